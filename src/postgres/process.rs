//! The server as a child of this process.
//!
//! A thread of its own starts it and waits for its end, for two reasons: the kernel's "tell me when my parent dies"
//! means the thread that made the child, not the process; and a child that nobody waits for stays as a zombie.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use super::account::Account;
use super::directory::Directory;
use super::leftover::{FAST_TIMEOUT, IMMEDIATE_TIMEOUT};
use super::programs::Programs;
use super::{Durability, Error};

/// How a server is told to stop, each with the time that it has for it: fast (sessions end, checkpoint), immediate (it
/// recovers at the next start), and without a choice.
const STOPS: [(Signal, Duration); 3] = [
    (Signal::INT, FAST_TIMEOUT),
    (Signal::QUIT, IMMEDIATE_TIMEOUT),
    (Signal::KILL, IMMEDIATE_TIMEOUT),
];

/// A running server.
#[derive(Debug)]
pub(super) struct Process {
    // `None` once it has ended and its number may be another's.
    pid: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<bool>,
}

impl Process {
    /// Starts the server of a directory. It need not answer yet.
    pub(super) fn spawn(
        programs: &Programs,
        directory: &Directory,
        account: Option<&Account>,
        durability: Durability,
    ) -> Result<Self, Error> {
        let error = |source| Error::Spawn {
            program: programs.postgres.clone(),
            source,
        };
        let log = File::create(directory.log()).map_err(error)?;
        let mut command = Command::new(&programs.postgres);
        command
            .arg("-D")
            .arg(directory.data())
            .arg("-k")
            .arg(directory.socket())
            .args(["-p", "5432"])
            .args(["-c", "listen_addresses=", "-c", "logging_collector=off"])
            .env("LC_ALL", "C")
            .current_dir(directory.base())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(error)?)
            .stderr(log)
            // Ctrl-C in a terminal goes to the whole group, and the service still needs its database to stop cleanly.
            .process_group(0);
        if durability == Durability::None {
            // Tests: many services at once, and nothing to lose.
            let settings = ["fsync=off", "full_page_writes=off", "max_connections=200"];
            command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        }
        if let Some(account) = account {
            account.apply(&mut command);
        }
        stop_with_parent(&mut command);
        Self::keep(command).map_err(error)
    }

    fn keep(mut command: Command) -> io::Result<Self> {
        let (started, answer) = mpsc::sync_channel(1);
        let (end, ended) = watch::channel(false);
        let keeper = move || match command.spawn() {
            Ok(child) => {
                let pid = Pid::from_child(&child);
                let shared = Arc::new(Mutex::new(Some(pid)));
                // Fails if nobody waits for the answer any more; the channel is only dropped after it.
                let told = started.send(Ok(Arc::clone(&shared)));
                reap(child, pid, &shared);
                end.send_replace(true);
                drop(told);
            }
            Err(error) => {
                // As above: the other end waits for exactly this.
                drop(started.send(Err(error)));
            }
        };
        thread::Builder::new()
            .name("synapps-postgres".to_owned())
            .spawn(keeper)?;
        let pid = answer.recv().map_err(io::Error::other)??;
        Ok(Self { pid, ended })
    }

    /// Whether the server has ended.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the server has ended.
    pub(super) async fn ended(&self) {
        // An error would mean that the keeper is gone, which it only is after the end.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }

    /// Stops the server and waits for its end.
    pub(super) async fn stop(&self) {
        for (signal, timeout) in STOPS {
            self.tell(signal);
            if tokio::time::timeout(timeout, self.ended()).await.is_ok() {
                return;
            }
            tracing::warn!(?signal, "Postgres has not stopped in time");
        }
    }

    fn tell(&self, signal: Signal) {
        let pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::warn!(?signal, %error, "cannot tell Postgres to stop");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for (signal, timeout) in STOPS {
            self.tell(signal);
            let told = Instant::now();
            while told.elapsed() < timeout {
                if self.has_ended() {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Waits for the end of the child. Its number is withdrawn before it is free for others, so that no signal can ever
/// reach a stranger.
fn reap(mut child: Child, pid: Pid, shared: &Mutex<Option<Pid>>) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    match child.wait() {
        Ok(status) => tracing::debug!(%status, "Postgres has ended"),
        Err(error) => tracing::warn!(%error, "cannot tell how Postgres has ended"),
    }
    *shared = None;
}

/// Has the kernel interrupt the child when the thread that makes it ends; Postgres takes that as the fast way to stop.
#[cfg(target_os = "linux")]
pub(super) fn stop_with_parent(command: &mut Command) {
    let ask =
        || rustix::process::set_parent_process_death_signal(Some(Signal::INT)).map_err(Into::into);
    // Runs after the change of user, which would undo it.
    //
    // SAFETY: between fork and exec only what is safe in a signal handler may be called; this is one system call and
    // allocates nothing.
    #[expect(
        unsafe_code,
        reason = "there is no safe way to run something between fork and exec"
    )]
    unsafe {
        command.pre_exec(ask);
    }
}

/// Other systems have nothing of the kind: the next start stops what was left behind.
#[cfg(not(target_os = "linux"))]
pub(super) fn stop_with_parent(_command: &mut Command) {}
