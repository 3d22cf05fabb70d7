//! The child's side: what the program does when the service starts it to run code.
//!
//! It is called before anything else in the process is set up. Its standard input is the channel to the service; it
//! jails itself, says so, waits for one program, runs it and ends.

mod filter;
mod jail;
mod javascript;
mod kernel;
mod python;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::interpreter::Interpreter;
use super::{Language, Layers, frame};

/// The first argument of a process that is such a child.
pub const MARK: &str = "__run-code";

/// What a child is to be, its second argument.
#[derive(Debug, Deserialize, Serialize)]
pub struct Order {
    /// Which language it runs.
    pub language: Language,
    /// The process that starts it, without which it ends.
    pub parent: i32,
    /// Whether it goes on where a layer is missing.
    pub lenient: bool,
    /// The interpreter, for Python.
    pub python: Option<Interpreter>,
}

/// Runs code if this process was started for it, and gives what it is to exit with; otherwise `None`.
///
/// Has to be called first thing in `main`, while there is one thread and nothing has been opened.
pub fn run_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    let order = arguments.next().and_then(|order| order.into_string().ok());
    let order = order.and_then(|order| serde_json::from_str(&order).ok());
    let Some(order) = order else {
        eprintln!("synapps: {MARK} is for synapps itself");
        return Some(ExitCode::FAILURE);
    };
    match serve(&order) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            // Where the service is still there, it hears of it.
            eprintln!("synapps: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn serve(order: &Order) -> io::Result<()> {
    // Not fatal: all that the service opens is closed on exec anyway.
    let closed = kernel::close_inherited();
    rustix::process::setsid()?;
    std::env::set_current_dir("/")?;
    let mut channel = Channel::take()?;
    let refuse = |channel: &mut Channel, why: String| {
        frame::write(channel, frame::REFUSED, why.as_bytes())?;
        Err(io::Error::other(why))
    };
    let mut layers = match jail::enter(order) {
        Ok(layers) => layers,
        Err(missing) => return refuse(&mut channel, missing),
    };
    if let Err(error) = closed {
        layers.missing.push(format!("close_range: {error}"));
    }
    match (order.language, &order.python) {
        (Language::Javascript, _) => {
            if let Err(missing) = jail::filter(order, &mut layers, filter::of_quickjs()) {
                return refuse(&mut channel, missing);
            }
            check(order, &mut channel)?;
            announce(&mut channel, &layers)?;
            javascript::serve(&mut channel)
        }
        (Language::Python, Some(interpreter)) => {
            let inner = filter::of_python();
            let starting = filter::of_starting_python();
            if let Err(missing) = jail::filter(order, &mut layers, starting) {
                return refuse(&mut channel, missing);
            }
            announce(&mut channel, &layers)?;
            let error = python::become_interpreter(interpreter, &channel, inner, order.lenient);
            refuse(&mut channel, format!("{error}"))
        }
        (Language::Python, None) => refuse(&mut channel, "no interpreter was named".to_owned()),
    }
}

/// Trusts nobody that the doors are shut: tries them.
fn check(order: &Order, channel: &mut Channel) -> io::Result<()> {
    let opened = ["/proc/self/environ", "/etc/passwd"]
        .into_iter()
        .find(|path| File::open(path).is_ok());
    let connected = UnixStream::pair().is_ok();
    if order.lenient || (opened.is_none() && !connected) {
        return Ok(());
    }
    let why = "the jail does not hold: a file or a socket could be opened";
    frame::write(channel, frame::REFUSED, why.as_bytes())?;
    Err(io::Error::other(why))
}

fn announce(channel: &mut Channel, layers: &Layers) -> io::Result<()> {
    frame::write(channel, frame::JAILED, &serde_json::to_vec(layers)?)
}

/// The channel to the service. As a file, because its calls are `read` and `write`, which the filters let through.
struct Channel(File);

impl Channel {
    /// Moves the channel out of the standard input, which is empty from then on.
    fn take() -> io::Result<Self> {
        let channel = rustix::io::dup(rustix::stdio::stdin())?;
        let nothing = File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(nothing)?;
        Ok(Self(channel.into()))
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
