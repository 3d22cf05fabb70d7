//! How a program failed, as the failure of an attempt.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::json;

use super::told::beginning;
use crate::applet::Error;
use crate::redact::Redactor;
use crate::sandbox::frame::{Kind, Raised};
use crate::sandbox::{self, Ending, Limits};

/// For the catalogue.
pub(super) const REASONS: &[(&str, &str)] = &[
    ("CODE_SYNTAX", "the code is none in its language"),
    (
        "CODE_FAILED",
        "the program has thrown an exception, or has asked for an exit with another code than 0",
    ),
    ("CODE_CPU_EXCEEDED", "it used up its CPU time"),
    ("CODE_MEMORY_EXCEEDED", "it used up its memory"),
    (
        "CODE_RESULT_INVALID",
        "what result holds has no JSON form: NaN, a circle, a function …",
    ),
    (
        "CODE_CONTEXT_TOO_LARGE",
        "the outputs that it names in context.results are more than 32 MiB together",
    ),
    (
        "CODE_KILLED",
        "its process has ended without handing over a result",
    ),
    (
        "TIMEOUT",
        "it took longer than the timeout of the node; what it had printed is in the details",
    ),
    (
        "OUTPUT_TOO_LARGE",
        "its result is larger than an output may be",
    ),
    (
        "SANDBOX_UNAVAILABLE",
        "the server cannot jail code, or code is switched off there",
    ),
    (
        "RUNTIME_NOT_FOUND",
        "the server has no interpreter for the language",
    ),
];

/// The longest type, message or stack of an exception in the details, in bytes of JSON.
const MAX_STACK_BYTES: usize = 8 * 1024;

/// The shortest text of an exception that may have been cut where it was raised, in bytes.
const MIN_CUT_BYTES: usize = 4 * 1024;

/// The longest message of an exception in that of the failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;

/// Why there is no output.
pub(super) fn of(ending: Ending, limits: &Limits, redactor: &Redactor) -> Error {
    match ending {
        Ending::Raised(raised) => of_raised(&redacted(&raised, redactor), limits, redactor),
        Ending::Gone(status) => of_exit(status),
        Ending::Cpu => {
            let message = format!(
                "the program used up its CPU time of {} s (cpu_time_seconds)",
                limits.cpu_seconds
            );
            Error::permanent("CODE_CPU_EXCEEDED", message)
        }
        Ending::Timeout => {
            let message = "the program took longer than the timeout of its node";
            Error::retryable("TIMEOUT", message)
        }
        Ending::TooLarge | Ending::Result(_) => Error::permanent(
            "OUTPUT_TOO_LARGE",
            "the result is larger than the output of a step may be",
        ),
    }
}

/// Before anything of it is cut: half of a value would not be found.
fn redacted(raised: &Raised, redactor: &Redactor) -> Raised {
    let show = |text: &str| {
        // What is as long as this the program's own process may have cut already.
        if text.len() >= MIN_CUT_BYTES {
            redactor.beginning(text)
        } else {
            redactor.text(text).into_owned()
        }
    };
    Raised {
        name: show(&raised.name),
        message: show(&raised.message),
        stack: show(&raised.stack),
        kind: raised.kind,
        line: raised.line,
        exit_code: raised.exit_code,
    }
}

fn of_raised(raised: &Raised, limits: &Limits, redactor: &Redactor) -> Error {
    let said = beginning(&raised.message, MAX_MESSAGE_BYTES);
    let said = match &*raised.name {
        "" => said.to_owned(),
        name if said.is_empty() => name.to_owned(),
        name => format!("{}: {said}", beginning(name, MAX_MESSAGE_BYTES)),
    };
    let place = match raised.line {
        0 => String::new(),
        line => format!("line {line}: "),
    };
    let (reason, message) = match raised.kind {
        Kind::Syntax => ("CODE_SYNTAX", format!("{place}{said}")),
        Kind::Raised => ("CODE_FAILED", format!("{place}{said}")),
        Kind::Memory => {
            let memory = limits.memory_bytes >> 20;
            let message =
                format!("{place}the program used up its memory of {memory} MiB (memory_limit_mb)");
            ("CODE_MEMORY_EXCEEDED", message)
        }
        Kind::Cpu => return of(Ending::Cpu, limits, redactor),
        Kind::Result => ("CODE_RESULT_INVALID", format!("no JSON: {said}")),
    };
    let exception = json!({
        "type": beginning(&raised.name, MAX_STACK_BYTES),
        "message": beginning(&raised.message, MAX_STACK_BYTES),
        "stack": beginning(&raised.stack, MAX_STACK_BYTES),
        "line": raised.line,
    });
    Error::permanent(reason, message).with_detail("exception", exception)
}

fn of_exit(status: ExitStatus) -> Error {
    let message = |how: String| {
        format!("the program's process has ended {how} without handing over a result")
    };
    match status.signal() {
        // Who else kills is a system that is short of memory, which may pass.
        Some(signal) if signal == libc::SIGKILL => {
            let message = message("by SIGKILL".to_owned());
            Error::retryable("CODE_KILLED", message).with_detail("signal", signal)
        }
        Some(signal) => Error::permanent("CODE_KILLED", message(format!("by signal {signal}")))
            .with_detail("signal", signal),
        None => {
            let code = status.code().unwrap_or_default();
            Error::permanent("CODE_KILLED", message(format!("with exit code {code}")))
        }
    }
}

impl From<sandbox::Error> for Error {
    fn from(error: sandbox::Error) -> Self {
        let message = error.to_string();
        match error {
            sandbox::Error::Off | sandbox::Error::Refused(_) => {
                Self::permanent("SANDBOX_UNAVAILABLE", message)
            }
            sandbox::Error::Interpreter(_) => Self::permanent("RUNTIME_NOT_FOUND", message),
            sandbox::Error::Start(_) => Self::retryable("SANDBOX_UNAVAILABLE", message),
            sandbox::Error::Busy => Self::retryable("TIMEOUT", message),
        }
    }
}
