//! How code of flows is run.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::sandbox::{self, Mode};

/// How code of flows is run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Code")]
pub struct Code {
    /// What happens to `code` where the kernel lacks a layer of its jail (seccomp, landlock, limits, `no_new_privs`):
    /// `required` refuses it, `degraded` runs it all the same, `off` runs no code at all
    #[arg(
        long,
        env = "SYNAPPS_CODE_SANDBOX",
        value_name = "MODE",
        default_value = "required",
        hide_possible_values = true
    )]
    pub code_sandbox: Mode,

    /// The Python 3 that runs code; a name without a slash is looked for in $PATH. It needs ctypes
    #[arg(
        long,
        env = "SYNAPPS_PYTHON",
        value_name = "PROGRAM",
        default_value = "python3"
    )]
    pub python: PathBuf,

    /// The program that is started for code. Unset: this one
    #[arg(
        long,
        env = "SYNAPPS_CODE_PROGRAM",
        value_name = "PROGRAM",
        hide = true
    )]
    pub code_program: Option<PathBuf>,

    /// Whether it is tried at the start whether code can be run
    #[arg(
        long,
        env = "SYNAPPS_CODE_PROBE",
        value_name = "BOOL",
        default_value_t = true,
        action = ArgAction::Set,
        hide = true
    )]
    pub code_probe: bool,
}

impl Code {
    /// The settings of the sandbox, for outputs of at most `max_payload_bytes`.
    #[must_use]
    pub fn sandbox(&self, max_payload_bytes: u32) -> sandbox::Settings {
        let most = usize::try_from(max_payload_bytes).unwrap_or(usize::MAX);
        sandbox::Settings {
            mode: self.code_sandbox,
            python: self.python.clone(),
            program: self.code_program.clone(),
            // The text that a program writes may be longer than the compact one that counts.
            max_result_bytes: most.saturating_mul(2),
        }
    }
}
