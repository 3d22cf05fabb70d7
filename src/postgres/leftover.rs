//! A server that a killed process has left on its data directory.
//!
//! The kernel stops the server when its parent dies, but that may still be going on, and not every system does it. Who
//! holds the lock of a data directory may stop whatever server runs on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How long a server may take to end its sessions and write a checkpoint.
pub(super) const FAST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may take that was told to leave as it is.
pub(super) const IMMEDIATE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked whether it has gone.
const POLL: Duration = Duration::from_millis(10);

/// Why the data is not free.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not end.
    #[error("another Postgres (process {pid}) has {} and does not stop", data.display())]
    Stubborn {
        /// The process.
        pid: i32,
        /// The data directory.
        data: PathBuf,
    },
    /// The file system refused something.
    #[error("cannot tell whether a Postgres runs on {}", data.display())]
    Io {
        /// The data directory.
        data: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Stops the server that runs on `data`, if one does.
pub(super) fn clear(data: &Path) -> Result<(), Error> {
    let path = data.join("postmaster.pid");
    let error = |source| Error::Io {
        data: data.to_owned(),
        source,
    };
    let text = match fs::read_to_string(&path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(error)?,
    };
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    let Some(pid) = pid.and_then(Pid::from_raw) else {
        // Being written, or cut off by a full disk: Postgres itself judges.
        return Ok(());
    };
    if test_kill_process(pid).is_err() {
        // Postgres itself sees that the process is gone, and takes over.
        return Ok(());
    }
    if !runs_on(pid, data) {
        // Another process has the number by now, and Postgres would take it for a living server.
        return match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(error(source)),
            _ => Ok(()),
        };
    }
    tracing::info!(
        process.id = pid.as_raw_nonzero().get(),
        "stopping a Postgres that was left behind"
    );
    for (signal, timeout) in [
        (Signal::INT, FAST_TIMEOUT),
        (Signal::QUIT, IMMEDIATE_TIMEOUT),
    ] {
        // Fails if it has gone by now, which is what is waited for.
        let told = kill_process(pid, signal);
        tracing::debug!(?signal, ?told, "told the Postgres that was left behind");
        if gone(pid, timeout) {
            return Ok(());
        }
    }
    Err(Error::Stubborn {
        pid: pid.as_raw_nonzero().get(),
        data: data.to_owned(),
    })
}

fn gone(pid: Pid, timeout: Duration) -> bool {
    let started = Instant::now();
    loop {
        if test_kill_process(pid).is_err() || is_zombie(pid) {
            return true;
        }
        if started.elapsed() > timeout {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// Whether the process has ended and only its parent has not looked yet. A container without an init keeps such.
fn is_zombie(pid: Pid) -> bool {
    fs::read_to_string(proc(pid).join("stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}

/// Whether the process is the server of this data directory: a server works in its data directory.
fn runs_on(pid: Pid, data: &Path) -> bool {
    if Path::new("/proc/self").exists() {
        let works_in = fs::read_link(proc(pid).join("cwd"));
        return works_in.is_ok_and(|dir| data.canonicalize().is_ok_and(|data| data == dir));
    }
    let number = pid.as_raw_nonzero().to_string();
    Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &number])
        .output()
        .is_ok_and(|output| {
            let command = String::from_utf8_lossy(&output.stdout);
            command.contains("postgres") && command.contains(&*data.to_string_lossy())
        })
}

fn proc(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}
