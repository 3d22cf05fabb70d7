//! A child, from outside: started, jailed, waiting for its program; killed with all that is its when it is dropped.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, kill_process_group, prlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::child::{MARK, Order};
use super::frame::{self, MAX_GREETING_BYTES, Received};
use super::{Error, Layers};

/// How long a child may take until it is ready: long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts children. All are started by one thread, which lives as long as this does: the kernel ends a child with the
/// thread that has started it.
#[derive(Clone, Debug)]
pub struct Launcher {
    orders: mpsc::Sender<Launch>,
}

struct Launch {
    command: Command,
    handle: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

impl Launcher {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let (orders, queue) = mpsc::channel::<Launch>();
        std::thread::Builder::new()
            .name("synapps-code".to_owned())
            .spawn(move || {
                for mut launch in queue {
                    let _runtime = launch.handle.enter();
                    // Nobody may be waiting any more; the child is killed then.
                    drop(launch.started.send(launch.command.spawn()));
                }
            })?;
        Ok(Self { orders })
    }

    async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (started, child) = oneshot::channel();
        let launch = Launch {
            command,
            handle: Handle::current(),
            started,
        };
        let gone = |_| io::Error::other("the thread that starts processes has ended");
        self.orders
            .send(launch)
            .map_err(|_| io::Error::other("the thread that starts processes has ended"))?;
        child.await.map_err(gone)?
    }

    /// Starts a child and waits until it is jailed and ready.
    pub async fn launch(&self, program: Option<&Path>, order: &Order) -> Result<Jailed, Error> {
        let start = |error: io::Error| Error::Start(error.to_string());
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(start)?;
        ours.set_nonblocking(true).map_err(start)?;
        let order = serde_json::to_string(order).map_err(|error| start(error.into()))?;
        // The link leads to this very program even after its file was replaced.
        let mut command = Command::new(program.unwrap_or(Path::new("/proc/self/exe")));
        command
            .arg0("synapps")
            .args([MARK, &order])
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = self.spawn(command).await.map_err(start)?;
        let lost = || Error::Start("it has ended at once".to_owned());
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let mut jailed = Jailed {
            pid: id.and_then(Pid::from_raw).ok_or_else(lost)?,
            channel: UnixStream::from_std(ours).map_err(start)?,
            stdout: child.stdout.take().ok_or_else(lost)?,
            stderr: child.stderr.take().ok_or_else(lost)?,
            layers: Layers::default(),
            child,
        };
        match tokio::time::timeout(PATIENCE, jailed.greet()).await {
            Ok(greeted) => greeted.map(|()| jailed),
            Err(_) => Err(Error::Start(format!(
                "it was not ready within {} s",
                PATIENCE.as_secs()
            ))),
        }
    }
}

/// A child that is jailed and waits for its one program.
#[derive(Debug)]
pub struct Jailed {
    pub(super) child: Child,
    pub(super) pid: Pid,
    pub(super) channel: UnixStream,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
    pub(super) layers: Layers,
}

impl Jailed {
    async fn greet(&mut self) -> Result<(), Error> {
        loop {
            match frame::receive(&mut self.channel, MAX_GREETING_BYTES).await {
                Received::Frame(frame::JAILED, body) => {
                    self.layers = serde_json::from_slice(&body).unwrap_or_default();
                }
                Received::Frame(frame::READY, _) => return Ok(()),
                Received::Frame(frame::REFUSED, body) => {
                    return Err(Error::Refused(String::from_utf8_lossy(&body).into_owned()));
                }
                _ => return Err(Error::Start(self.last_words().await)),
            }
        }
    }

    /// What a child that could not be started has said about it.
    async fn last_words(&mut self) -> String {
        let mut words = super::capture::Capture::new(1_000);
        let reading = words.drain(&mut self.stderr, &|_| {});
        // Only so long as it is ending anyway.
        let ended = tokio::time::timeout(Duration::from_secs(1), reading).await;
        let (words, _) = words.into_text();
        match words.trim() {
            said if ended.is_ok() && !said.is_empty() => said.to_owned(),
            _ => "it has ended before it was ready".to_owned(),
        }
    }

    /// Whether it still waits.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Limits what it may use from now on, memory beside what it has taken already.
    pub fn limit(&self, cpu_seconds: u32, memory_bytes: u64) -> io::Result<()> {
        let usage = Usage::of(self.pid).ok_or(io::ErrorKind::NotFound)?;
        let cpu = u64::from(cpu_seconds) + (usage.cpu + Duration::from_millis(500)).as_secs();
        // A program can ignore the signal of the first limit, but not that of the second.
        self.set(Resource::Cpu, cpu, cpu + 1)?;
        let memory = usage.memory_bytes.saturating_add(memory_bytes);
        self.set(Resource::As, memory, memory)
    }

    fn set(&self, resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
        let (current, maximum) = (Some(current), Some(maximum));
        prlimit(Some(self.pid), resource, Rlimit { current, maximum })?;
        Ok(())
    }

    /// CPU time that it has used so far, also after its end until that was waited for.
    pub fn cpu(&self) -> Duration {
        Usage::of(self.pid).map_or(Duration::ZERO, |usage| usage.cpu)
    }

    /// Sends the program.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let header = frame::header(frame::PROGRAM, request)?;
        self.channel.write_all(&header).await?;
        self.channel.write_all(request).await
    }
}

impl Drop for Jailed {
    fn drop(&mut self) {
        kill(&self.child, self.pid);
    }
}

/// Kills a child and all that is its.
pub fn kill(child: &Child, pid: Pid) {
    // Until its end was waited for, its id is no other process's.
    if child.id().is_some() {
        // Its session is its group too; before it has one, there is only itself. Either may have ended already.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// What a process uses, by the kernel's account.
struct Usage {
    cpu: Duration,
    memory_bytes: u64,
}

impl Usage {
    fn of(pid: Pid) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
        Self::parse(&stat)
    }

    /// By proc(5): fields 14 and 15 are CPU time in ticks, 23 is memory in bytes.
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the name, which may hold anything; the third follows the last parenthesis.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks = number(14)? + number(15)?;
        Some(Self {
            cpu: Duration::from_secs_f64(
                Duration::from_secs(ticks).as_secs_f64() / TICKS_PER_SECOND,
            ),
            memory_bytes: number(23)?,
        })
    }
}

/// `USER_HZ`, which is 100 on all architectures that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_past_any_name() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 86 0 0 0 250 50 0 0 20 0 1 0 99 4096 213 0";

        let usage = Usage::parse(stat).unwrap();

        assert_eq!(usage.cpu, Duration::from_secs(3));
        assert_eq!(usage.memory_bytes, 4096);
    }
}
