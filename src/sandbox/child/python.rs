//! Python: the child becomes the system's interpreter, which goes on in `bootstrap.py`.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{Channel, filter};
use crate::sandbox::interpreter::Interpreter;

/// What the interpreter runs first: it shuts the last doors, then waits for the program.
const BOOTSTRAP: &str = include_str!("bootstrap.py");

/// Replaces this process by the interpreter, which inherits the jail and the channel. Returns only if that fails.
///
/// `inner` is the filter that the interpreter installs once it has started; without it nothing can be executed or
/// started any more.
pub fn become_interpreter(
    interpreter: &Interpreter,
    channel: &Channel,
    inner: filter::Program,
    lenient: bool,
) -> io::Error {
    let inner = match inner {
        Ok(program) => filter::encode(&program),
        Err(_) if lenient => String::new(),
        Err(error) => return io::Error::other(error),
    };
    // Isolated from variables and the user's packages, without `site`, writing no caches.
    Command::new(&interpreter.executable)
        .args(["-I", "-S", "-B", "-X", "utf8", "-c", BOOTSTRAP])
        .arg(channel.0.as_fd().as_raw_fd().to_string())
        .arg(inner)
        .arg(if lenient { "lenient" } else { "strict" })
        .env_clear()
        .exec()
}
