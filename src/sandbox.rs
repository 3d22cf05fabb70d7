//! Runs code of flows in jailed children of the service's own program.
//!
//! A child is started, jails itself ([`child`]) and waits; it runs one program and ends. A few are kept waiting for each
//! language that is in use, so that a program does not wait for them. What a program may reach is nothing: no network,
//! no file but its interpreter's own, no environment, no other process; it has its input, some CPU time and memory, two
//! streams that it can write, and the result that it leaves.

mod capture;
pub mod child;
mod execution;
pub mod frame;
pub mod interpreter;
mod jailed;
mod pool;
mod probe;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use execution::{Ending, Report};

use interpreter::Interpreter;
use jailed::Launcher;
use pool::Pool;

/// Which language a program is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// The system's Python 3.
    #[default]
    Python,
    /// `QuickJS`, which is part of the service.
    Javascript,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Python, Self::Javascript];
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "python",
            Self::Javascript => "javascript",
        })
    }
}

/// What happens to code where the kernel lacks a layer of the jail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// It is not run.
    #[default]
    Required,
    /// It is run with the layers that are there.
    Degraded,
    /// No code is run at all.
    Off,
}

/// How code is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What happens where a layer is missing.
    pub mode: Mode,
    /// The Python interpreter; a name without a slash is looked for on the path.
    pub python: PathBuf,
    /// The program that children are; without it the one that this process is.
    pub program: Option<PathBuf>,
    /// The most bytes of the JSON of a result.
    pub max_result_bytes: usize,
}

/// The layers of a jail that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each of these layers is there or is not"
)]
pub struct Layers {
    /// It cannot gain rights by starting a program.
    pub no_new_privs: bool,
    /// The kernel limits its memory, CPU time, files and processes.
    pub rlimits: bool,
    /// It has no capability, also where the service has.
    pub capabilities: bool,
    /// It can make few calls to the kernel.
    pub seccomp: bool,
    /// What landlock shuts off; empty without it.
    pub landlock: String,
    /// Namespaces of its own, which not every kernel allows.
    pub namespaces: Vec<String>,
    /// What is missing of what has to be there.
    pub missing: Vec<String>,
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        for (is_there, name) in [
            (self.no_new_privs, "no_new_privs"),
            (self.rlimits, "rlimits"),
            (self.capabilities, "no capabilities"),
            (self.seccomp, "seccomp"),
        ] {
            if is_there {
                names.push(name.to_owned());
            }
        }
        if !self.landlock.is_empty() {
            names.push(format!("landlock ({})", self.landlock));
        }
        if !self.namespaces.is_empty() {
            names.push(format!("namespaces ({})", self.namespaces.join(", ")));
        }
        f.write_str(&names.join(", "))
    }
}

/// What one program may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// CPU time, in seconds.
    pub cpu_seconds: u32,
    /// Memory beside what its interpreter takes, in bytes.
    pub memory_bytes: u64,
    /// How much of its standard output is kept, and as much of its standard error, in bytes.
    pub output_bytes: usize,
    /// When it is ended.
    pub deadline: Instant,
}

/// Why a program was not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator wants no code here.
    #[error("code is switched off here (SYNAPPS_CODE_SANDBOX=off)")]
    Off,
    /// A layer of the jail is missing.
    #[error(
        "code is not run because its jail is not complete: {0} (SYNAPPS_CODE_SANDBOX=degraded runs it all the same)"
    )]
    Refused(String),
    /// There is no interpreter of the language.
    #[error("there is no interpreter for Python: {}", in_one_line(.0))]
    Interpreter(#[from] interpreter::Error),
    /// The child could not be started, or ended before it had a program.
    #[error("a process for the code could not be started: {0}")]
    Start(String),
    /// Others have taken all the time that there was.
    #[error("no place for the code became free in time")]
    Busy,
}

fn in_one_line(error: &interpreter::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A handle to what runs code; cheap to clone. Children end with the last handle.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

/// How many children may be started at once for one execution: a waiting one may have died.
const MAX_STARTS: usize = 3;

struct Shared {
    settings: Settings,
    launcher: Launcher,
    turns: Semaphore,
    pools: [Pool; 2],
    python: OnceCell<Interpreter>,
    // Ends the tasks that refill the pools.
    stop: CancellationToken,
    _stopped: DropGuard,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sandbox")
            .field(&self.shared.settings)
            .finish()
    }
}

impl Sandbox {
    /// Sets it up; nothing is started before there is something to run, but for [`Sandbox::probe`].
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn new(settings: Settings) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let stop = CancellationToken::new();
        let shared = Shared {
            launcher: Launcher::start()?,
            turns: Semaphore::new(2 * cores),
            pools: [Pool::new(cores), Pool::new(cores)],
            python: OnceCell::new(),
            _stopped: stop.clone().drop_guard(),
            stop,
            settings,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Runs a program. `request` is its [`frame::Request`] as JSON; `on_output` gets what it prints, as it comes.
    ///
    /// Dropping the future ends the program at once.
    ///
    /// # Errors
    ///
    /// Why the program was not run. One that has failed is a [`Report`].
    pub async fn run(
        &self,
        language: Language,
        request: &[u8],
        limits: &Limits,
        on_output: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Report, Error> {
        let turn = self.shared.turns.acquire();
        let _turn = tokio::time::timeout_at(limits.deadline.into(), turn)
            .await
            .map_err(|_| Error::Busy)?;
        let most = self.shared.settings.max_result_bytes;
        let mut starts = 0;
        loop {
            starts += 1;
            let jailed = self.shared.take(&self.shared, language).await?;
            match execution::run(jailed, language, request, limits, most, on_output).await {
                Ok(report) => return Ok(report),
                Err(lost) if starts == MAX_STARTS => return Err(Error::Start(lost.to_string())),
                // It has gone before it had its program: nothing was run.
                Err(_) => {}
            }
        }
    }
}
