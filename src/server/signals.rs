//! What tells the process to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that mean "stop": SIGTERM from whatever runs the process, SIGINT from Ctrl-C, SIGHUP from a terminal
/// that goes away.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals over: from now on none of them ends the process by itself.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one, and gives its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}
