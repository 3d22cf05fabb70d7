//! One task per open run: asks the run what to do, has it done, and journals what came of it.
//!
//! Events are applied to the run in memory at once and handed to the journal as soon as it is free; nothing outside the
//! run happens on events that are not durable. Whatever says that the run is not ours (a failed fence) ends the driver,
//! and what it had in memory is forgotten.

mod assign;
mod begin;
mod decide;
pub(super) mod fail;
mod finish;
mod hand;
mod inside;
mod land;
mod leave;
mod letters;
mod places;
mod reuse;
mod stop;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Parts;
use super::attempt::{Assignment, Landed};
use super::children::Order;
use super::payloads::Encoded;
use super::plan::Plan;
use crate::applet::BoxFuture;
use crate::ids::RunKey;
use crate::journal::{Birth, Born};
use crate::run::Run;
use crate::run::event::{Event, Recorded};
use crate::run::scope::StepKey;
use crate::run::state::StopCause;
use crate::store::inbox::Letter;
use crate::store::runs::RunRow;

use self::places::{Places, Probing};

pub use self::begin::{Adopted, adopt, born};
pub use self::inside::Inside;

/// What a driver is told from outside.
#[derive(Debug)]
pub enum Message {
    /// A caller asks something of the run.
    Letter(Letter),
    /// Somebody wants to know what is going on.
    Ask(oneshot::Sender<Inside>),
    /// The process is about to end: start nothing more, and leave.
    Drain,
    /// The lease was over for a while: find out whether the run is still ours, and say so if it is, and drop this
    /// in any case.
    Recheck(mpsc::Sender<()>),
}

/// Why a driver has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run has ended.
    Ended,
    /// The run waits and belongs to nobody, until this time.
    Parked(DateTime<Utc>),
    /// The run belongs to somebody else.
    Fenced,
    /// The run never came into being: its request id was taken.
    Unborn,
    /// The database refuses what the run has to write.
    Rejected(String),
    /// The process is about to end, and the run was given back where that was possible.
    Drained,
}

/// How long a wait may be that is spent in memory; a longer one is parked. As long a run waits for a child in memory.
const SHORT_WAIT: Duration = Duration::from_secs(5);

/// How long events wait for `PURE` steps in flight, to ride in one flush with them.
const PURE_GRACE: Duration = Duration::from_millis(5);

/// What became of a run that was to be, and what its row said then; `None` where that has to be read.
pub(super) type Delivered = (Born, Option<Box<RunRow>>);

/// Drives one run.
pub struct Driver {
    parts: Arc<Parts>,
    key: RunKey,
    epoch: i64,
    plan: Arc<Plan>,
    run: Run,
    /// Applied, and not yet handed to the journal.
    pending: Vec<Recorded>,
    pending_since: Option<tokio::time::Instant>,
    /// Steps whose attempt or child was told to end because their item has failed.
    told_to_end: HashSet<StepKey>,
    /// Handed to the journal, and its verdict.
    handed: Option<Handed>,
    flush: Option<BoxFuture<'static, Flushed>>,
    committed: i64,
    /// The run's birth, until it was handed over.
    birth: Option<Birth>,
    birth_reply: Option<oneshot::Sender<Delivered>>,
    /// What the run's row says once it is born, for whoever waits for that.
    newborn: Option<Box<RunRow>>,
    /// Values that are not durable yet: by the sequence of their event, and the input.
    outputs: HashMap<i64, Encoded>,
    /// Lists of items of the loops that are under way.
    items: HashMap<StepKey, Arc<serde_json::Value>>,
    input: Option<Encoded>,
    attempts: JoinSet<Landed>,
    flying: HashMap<StepKey, Flying>,
    /// The run that it was forked from.
    ancestry: reuse::Ancestry,
    /// Attempts that ended while an event was being written that a letter may forestall.
    held: Vec<Landed>,
    /// Attempts that may start once the event that says so is durable.
    gated: Vec<(i64, Assignment)>,
    places: Places,
    /// The places of suspects that this run's attempts have.
    probes: HashMap<StepKey, Probing>,
    /// Makes the run's output.
    finish: Option<BoxFuture<'static, finish::Finished>>,
    /// Children that may start once the event that says so is durable.
    orders: Vec<(i64, Order)>,
    /// How many children were ordered and are not there yet: without its owner nobody would start them.
    unborn: Arc<AtomicU32>,
    /// Since when nothing but children is waited for.
    idle_since: Option<tokio::time::Instant>,
    /// What its children inherit.
    priority: i32,
    /// What it counts under for its flow's limit of open runs, if that has one.
    concurrency_key: Option<String>,
    /// The run before the event that ends or parks it, or ends a wait, which a letter may still forestall.
    before_end: Option<Run>,
    letters: Letters,
    mailbox: mpsc::Receiver<Message>,
    /// When the run was last asked what it wants done.
    decided_at: DateTime<Utc>,
    stopping: Option<StopCause>,
    draining: bool,
    /// Set while it is not known whether the run is still ours: no attempt begins that is not `PURE`. The last field, for
    /// whoever waits for it goes on once the attempts above are gone too.
    unsure: Option<mpsc::Sender<()>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("key", &self.key)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// An attempt in this process.
#[derive(Debug)]
struct Flying {
    number: u32,
    pure: bool,
    /// Whether a drain waits for its end: what it does must not be done twice, or is known already.
    kept: bool,
    stop: CancellationToken,
    abort: Option<AbortHandle>,
}

/// What the journal is writing.
#[derive(Debug)]
struct Handed {
    events: Arc<[Recorded]>,
    answered: Vec<i64>,
    /// Whether the run is given back with it.
    leaves: bool,
    /// Whether it says that the run is ours, which was not known.
    checks: bool,
}

/// The journal's verdict, on a birth or on what follows.
enum Flushed {
    Born(Born),
    Moved(crate::journal::Verdict),
    Closed,
}

/// Which letters were folded.
#[derive(Debug, Default)]
struct Letters {
    /// How many of all that were ever posted.
    folded: i64,
    seen: HashSet<i64>,
    /// Folded, and to be deleted by the next flush.
    answered: Vec<i64>,
}

impl Driver {
    /// Drives the run until it ends, waits, or is somebody else's.
    pub async fn drive(mut self: Box<Self>) -> Exit {
        loop {
            self.end_probes();
            if self.draining {
                self.leave_off();
            } else {
                self.decide();
            }
            self.hand_over();
            if let Some(exit) = self.turn().await {
                return exit;
            }
        }
    }

    /// Whether another run's step waits for this run.
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.run.parent().is_some()
    }

    /// What the run counts under for its flow's limit of open runs, if that has one.
    #[must_use]
    pub fn counted_as(&self) -> Option<String> {
        self.concurrency_key.clone()
    }

    /// Whether the run has to be admitted before it starts.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.run.is_blocked()
    }

    /// Waits for the next thing that happens, and takes it in.
    async fn turn(&mut self) -> Option<Exit> {
        let wake = self.wake_after();
        let renewed = self.parts.lease.renewals();
        tokio::select! {
            flushed = at_hand(&mut self.flush) => {
                self.flush = None;
                return self.flushed(flushed).await;
            }
            Some(landed) = self.attempts.join_next(), if !self.attempts.is_empty() => {
                match landed {
                    Ok(landed) if self.before_end.is_some() => self.held.push(landed),
                    Ok(landed) => self.landed(landed),
                    // It was aborted, and whoever aborted it has said so.
                    Err(error) => tracing::debug!(%error, "an attempt was dropped"),
                }
            }
            message = self.mailbox.recv(), if !self.draining => match message {
                Some(message) => self.told(message),
                // The run was claimed once more by this process, and another driver has its place.
                None => return Some(Exit::Fenced),
            },
            read = at_hand(self.ancestry.reading()) => self.past_read(read),
            () = self.places.come() => {}
            finished = at_hand(&mut self.finish) => {
                self.finish = None;
                self.finished(finished);
            }
            () = next_renewal(renewed), if self.is_held_by_lease() => self.release_gated(),
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
        }
        None
    }

    fn told(&mut self, message: Message) {
        match message {
            // An end that is being written is refused if the letter came first; then all letters are read.
            Message::Letter(_) if self.before_end.is_some() => {}
            Message::Letter(letter) => self.fold(&letter),
            // An error says that nobody waits for the answer any more.
            Message::Ask(reply) => drop(reply.send(self.inside())),
            Message::Drain => self.drain(),
            Message::Recheck(known) => {
                self.unsure = Some(known);
                // What is on its way may have been written before.
                if let Some(handed) = &mut self.handed {
                    handed.checks = false;
                }
            }
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }

    /// Applies an event and keeps it for the journal.
    fn record(&mut self, event: impl Into<Event>, payload: Option<Arc<str>>) -> i64 {
        let sequence = self.run.last_sequence() + 1;
        let recorded = Recorded {
            sequence,
            at: self.now(),
            event: event.into(),
            payload,
        };
        if let Err(mismatch) = self.run.apply(&recorded) {
            // The run asked for what it then refused: a bug, which must not reach the journal.
            panic!("run {}: {mismatch}", self.key);
        }
        self.idle_since = None;
        self.pending.push(recorded);
        self.pending_since
            .get_or_insert_with(tokio::time::Instant::now);
        sequence
    }

    /// Records an event that a letter may forestall, and after which nothing is recorded before it is durable.
    fn record_end(&mut self, event: impl Into<Event>, payload: Option<Arc<str>>) {
        self.before_end = Some(self.run.clone());
        self.record(event, payload);
    }

    /// How long nothing is to be done unless something happens.
    fn wake_after(&self) -> Option<Duration> {
        let now = self.now();
        let decides = !self.draining && self.before_end.is_none() && self.finish.is_none();
        let due = self.run.wakes_at(self.decided_at).filter(|_| decides);
        let due = due.map(|at| (at - now).to_std().unwrap_or_default());
        let held = self.pending_since.filter(|_| self.flush.is_none());
        let held = held.map(|since| {
            (since + PURE_GRACE).saturating_duration_since(tokio::time::Instant::now())
        });
        let lingers = self.idle_since.filter(|_| decides).map(|since| {
            (since + SHORT_WAIT).saturating_duration_since(tokio::time::Instant::now())
        });
        due.into_iter().chain(held).chain(lingers).min()
    }
}

/// The future, if there is one; forever pending otherwise.
async fn at_hand<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next_renewal(mut renewals: tokio::sync::watch::Receiver<u64>) {
    if renewals.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
