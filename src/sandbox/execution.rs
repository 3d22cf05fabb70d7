//! One program in one child: limited, run, watched, and ended whatever it does.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use tokio::io::unix::AsyncFd;

use super::capture::Capture;
use super::frame::{self, Kind, Raised, Received};
use super::jailed::{self, Jailed};
use super::{Language, Limits};

/// How long it may take to read what a program has printed, once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Memory of a child in JavaScript beside what its programs may take.
const HANDOVER_BYTES: u64 = 64 << 20;

/// What a program did.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote to its standard output, and whether there was more than was kept.
    pub stdout: (String, bool),
    /// The same of its standard error.
    pub stderr: (String, bool),
    /// How long it took.
    pub duration: Duration,
    /// CPU time that it used, in steps of 10 ms.
    pub cpu: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub enum Ending {
    /// With a result: its JSON, by the program's own account.
    Result(Vec<u8>),
    /// With a failure that it has told.
    Raised(Raised),
    /// Without a word: by a signal, or by an exit that went past everything.
    Gone(ExitStatus),
    /// It used up its CPU time.
    Cpu,
    /// Its time was over.
    Timeout,
    /// Its result is larger than a result may be.
    TooLarge,
}

/// Runs a program in a child, which ends with it.
///
/// # Errors
///
/// When the child has gone before it had the program.
pub async fn run(
    mut jailed: Jailed,
    language: Language,
    request: &[u8],
    limits: &Limits,
    max_result_bytes: usize,
    on_output: &(dyn Fn(&str) + Send + Sync),
) -> io::Result<Report> {
    let begun = Instant::now();
    let exit = watch(pidfd_open(jailed.pid, PidfdFlags::NONBLOCK)?)?;
    let memory = match language {
        Language::Python => limits.memory_bytes,
        // QuickJS counts what programs take itself, more exactly; here it must be able to say so, and to hand over text.
        Language::Javascript => 2 * limits.memory_bytes + HANDOVER_BYTES,
    };
    jailed.limit(limits.cpu_seconds, memory)?;
    let cpu_before = jailed.cpu();
    let deadline = tokio::time::Instant::from_std(limits.deadline);
    match tokio::time::timeout_at(deadline, jailed.send(request)).await {
        Ok(sent) => sent?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    }

    let (mut stdout, mut stderr) = (
        Capture::new(limits.output_bytes),
        Capture::new(limits.output_bytes),
    );
    let ending = {
        let (child_out, child_err) = (&mut jailed.stdout, &mut jailed.stderr);
        let streams = async {
            tokio::join!(
                stdout.drain(child_out, on_output),
                stderr.drain(child_err, on_output)
            );
        };
        let mut streams = pin!(streams.fuse());
        let channel = &mut jailed.channel;
        let ended = async {
            let received = frame::receive(channel, max_result_bytes).await;
            if let Received::Closed = received {
                // Its end may take a moment longer, or it has closed the channel and goes on.
                let gone = exit.readable().await;
                drop(gone);
            }
            received
        };
        let mut ended = pin!(ended);
        let received = loop {
            tokio::select! {
                received = &mut ended => break Some(received),
                () = &mut streams, if !streams.is_terminated() => {}
                () = tokio::time::sleep_until(deadline) => break None,
            }
        };
        jailed::kill(&jailed.child, jailed.pid);
        if !streams.is_terminated() {
            // Nobody is left who could write; what was written is read to its end.
            drop(tokio::time::timeout(LAST_WORDS, streams).await);
        }
        received
    };
    let duration = begun.elapsed();
    // Between its end and our waiting for it the kernel still knows what it has used.
    drop(tokio::time::timeout(LAST_WORDS, exit.readable()).await);
    let cpu = jailed.cpu().saturating_sub(cpu_before);
    let status = jailed.child.wait().await?;
    let spent = cpu >= Duration::from_secs(limits.cpu_seconds.into());
    Ok(Report {
        ending: settle(ending, status, spent),
        stdout: stdout.into_text(),
        stderr: stderr.into_text(),
        duration,
        cpu,
    })
}

/// What a program tells, without U+0000, which no database keeps.
fn storable(mut raised: Raised) -> Raised {
    for text in [&mut raised.name, &mut raised.message, &mut raised.stack] {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    raised
}

/// A descriptor that can be read once its process has ended.
#[expect(
    deprecated,
    reason = "it is for types that may close their descriptor early, which this one does not"
)]
fn watch(process: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(process)
}

/// What a program's end means. `spent` is whether it has used all of its CPU time.
fn settle(received: Option<Received>, status: ExitStatus, spent: bool) -> Ending {
    match received {
        None => Ending::Timeout,
        Some(Received::TooLarge) => Ending::TooLarge,
        Some(Received::Frame(frame::RESULT, body)) => Ending::Result(body),
        Some(Received::Frame(_, body)) => match serde_json::from_slice::<Raised>(&body) {
            Ok(raised) if raised.kind == Kind::Cpu => Ending::Cpu,
            Ok(raised) => Ending::Raised(storable(raised)),
            Err(_) => Ending::Raised(Raised {
                message: "the program has written something else than a result to the channel that its result takes"
                    .to_owned(),
                exit_code: 1,
                ..Raised::default()
            }),
        },
        Some(Received::Closed) => match status.signal() {
            Some(signal) if signal == Signal::XCPU.as_raw() => Ending::Cpu,
            Some(signal) if signal == Signal::KILL.as_raw() && spent => Ending::Cpu,
            _ => Ending::Gone(status),
        },
    }
}
