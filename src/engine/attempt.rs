//! One attempt of one step: gathers what it reads, runs the applet under its timeout, and makes a payload of the output.
//!
//! It knows nothing of the run's state: the driver gives it an [`Assignment`] and gets it back as [`Landed`]. A panic
//! in an applet is that attempt's failure and nobody else's.

mod aftermath;
mod child;
mod collect;
mod gather;
mod redaction;
mod take;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::collect::{Collection, Given};
pub use self::take::{Taken, Took};
use super::Parts;
use super::payloads::Encoded;
use super::plan::{Plan, PlanNode};
use super::pool::Slot;
use crate::applet::{self, Certainty, Completion, Effect, Outcome};
use crate::crash_points::{reach_attempt, reach_attempt_done};
use crate::ids::{FlowId, FlowKey, NodeId, RunKey, StepPath};
use crate::run::event::{ChunkKey, Failure, PayloadInfo};
use crate::run::scope::StepKey;
use crate::run::state::Handling;
use crate::run::step::Woken;
use crate::store;
use crate::usage::Usage;

/// What one attempt has to do.
#[derive(Debug)]
pub struct Assignment {
    /// Which run.
    pub key: RunKey,
    /// The epoch in which it is owned.
    pub epoch: i64,
    /// How many runs it is below one that nobody has called.
    pub depth: u32,
    /// The revision.
    pub plan: Arc<Plan>,
    /// Which step.
    pub step: StepKey,
    /// The number of the graph that its node is in.
    pub graph: u32,
    /// The step's path.
    pub path: StepPath,
    /// The attempt's number.
    pub number: u32,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// What is to be done.
    pub task: Task,
    /// The payload of what has ended its wait, if that has one.
    pub wakening: Option<Source>,
    /// The bound of the attempt.
    pub timeout: Duration,
    /// The run's input.
    pub input: Source,
    /// The item of the innermost loop that the step is in: the list, and its place there.
    pub item: Option<(Source, u32)>,
    /// Outputs that reach the node, in edge order.
    pub delivered: Vec<(NodeId, Source)>,
    /// Outputs that its templates read.
    pub results: Vec<(NodeId, Source)>,
    /// Set when the run comes to an early end.
    pub cancelled: CancellationToken,
    /// Its place in the pool.
    #[expect(dead_code, reason = "held until the attempt ends")]
    pub slot: Option<Slot>,
}

impl Assignment {
    fn node(&self) -> &PlanNode {
        self.plan.node(self.graph, self.step.node)
    }
}

/// What is to be done for a step.
#[derive(Debug)]
pub enum Task {
    /// Run its applet, for the first time or after a wait.
    Run(Option<Woken>),
    /// Make a loop's output of what its items gave.
    Collect(Collection),
    /// Make what a failure passes on.
    PassOn(Failure, Handling),
    /// Take an output that is there already.
    Take(Box<Taken>),
}

/// Where a value is.
#[derive(Clone, Debug)]
pub enum Source {
    /// In memory.
    Ready(Arc<Value>),
    /// In the cache or the store, with the event of this sequence.
    Stored(i64, PayloadInfo),
}

/// An attempt that has come to its end.
#[derive(Debug)]
pub struct Landed {
    /// Which step.
    pub step: StepKey,
    /// The attempt's number.
    pub number: u32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How it ended.
    pub end: End,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum End {
    /// The step has its output.
    Output {
        /// The output.
        output: Placed,
        /// The port; empty for the only one.
        port: String,
        /// What happened on the way.
        details: Map<String, Value>,
        /// What it has used.
        usage: Usage,
    },
    /// The step has taken an output that was there already.
    Took(Took),
    /// The output that it was to take is not there any more.
    Gone,
    /// Nothing is to be done until something comes.
    Wait(applet::Wait),
    /// Another flow is to run as a child.
    Call {
        /// Its id.
        flow_id: FlowId,
        /// Its key.
        flow_key: FlowKey,
        /// The revision.
        revision: i32,
        /// What the child is started with.
        input: Placed,
    },
    /// The node's body is to run for each of these items.
    Loop(applet::Loop, Placed),
    /// It failed.
    Failed(applet::Error),
    /// It failed for good, and this is what it passes on.
    PassedOn(Failure, Handling, Placed),
    /// It was told to end, and did.
    Cancelled {
        /// Whether it may have taken effect outside.
        outcome_unknown: bool,
    },
}

/// A payload with its place, which is written if it does not lie beside its event.
#[derive(Debug)]
pub struct Placed {
    /// Value and text.
    pub encoded: Encoded,
    /// Size, hash and place.
    pub info: PayloadInfo,
}

impl Placed {
    /// The text that is to lie beside the event.
    #[must_use]
    pub fn beside(&self) -> Option<Arc<str>> {
        let inline = self.info.chunks.is_none();
        inline.then(|| Arc::clone(&self.encoded.text))
    }
}

/// How much longer than its bound an attempt may take to say itself what it did outside.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Does what an assignment says.
pub async fn fly(parts: Arc<Parts>, mut assignment: Assignment) -> Landed {
    let (step, number, started_at) = (assignment.step, assignment.number, assignment.started_at);
    let task = std::mem::replace(&mut assignment.task, Task::Run(None));
    let work = AssertUnwindSafe(perform(&parts, &assignment, task)).catch_unwind();
    let end = match work.await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => End::Failed(error),
        Err(_) => End::Failed(applet::Error::permanent(
            "PANIC",
            "the applet panicked, which is a bug in it",
        )),
    };
    Landed {
        step,
        number,
        started_at,
        end,
    }
}

// Boxed is what few attempts do, so that not all of them carry its state.
async fn perform(parts: &Parts, assignment: &Assignment, task: Task) -> Result<End, applet::Error> {
    match task {
        Task::Run(Some(Woken::Child {
            run_id,
            state,
            error,
        })) => Box::pin(child::result(parts, assignment, run_id, state, error)).await,
        Task::Run(woken) => attempt(parts, assignment, woken).await,
        Task::Collect(collection) => {
            Box::pin(collect::collect(parts, assignment, collection)).await
        }
        Task::PassOn(failure, handling) => {
            Box::pin(aftermath::pass_on(parts, assignment, failure, handling)).await
        }
        Task::Take(taken) => {
            let cancelled = assignment.cancelled.clone();
            let taking = Box::pin(take::take(parts, assignment, *taken));
            let cut_off = End::Cancelled {
                outcome_unknown: false,
            };
            let took = cancelled.run_until_cancelled(taking).await;
            took.unwrap_or(Ok(cut_off))
        }
    }
}

async fn attempt(
    parts: &Parts,
    assignment: &Assignment,
    woken: Option<Woken>,
) -> Result<End, applet::Error> {
    let node = assignment.node();
    let prepared = node.prepared.as_ref().map_err(Clone::clone)?;
    let graph = assignment.plan.graph_numbered(assignment.graph);
    let effect = graph.node(assignment.step.node).effect;
    let timeout = assignment.timeout;
    let cancelled = assignment.cancelled.clone();
    let cut_off = End::Cancelled {
        outcome_unknown: false,
    };
    let Some(context) = cancelled
        .run_until_cancelled(gather::context(parts, assignment, woken, effect))
        .await
    else {
        return Ok(cut_off);
    };
    let context = context?;
    if effect != Effect::Pure
        && cancelled
            .run_until_cancelled(parts.lease.firm())
            .await
            .is_none()
    {
        // What it reads may have been long in coming, and the run somebody else's since.
        return Ok(cut_off);
    }
    let (redactor, pen) = (context.redactor.clone(), context.pen.clone());
    reach_attempt(node.node.id.as_str());
    let completion = match effect {
        // Nothing outside is lost with it: it is dropped at once.
        Effect::Pure | Effect::Idempotent => {
            let bounded = tokio::time::timeout(timeout, prepared.run(context));
            match cancelled.run_until_cancelled(bounded).await {
                Some(completion) => completion,
                None => return Ok(cut_off),
            }
        }
        // It has seen the token and knows best what it has done.
        Effect::AtMostOnce => {
            tokio::time::timeout(timeout + LAST_WORDS, prepared.run(context)).await
        }
    };
    reach_attempt_done(node.node.id.as_str());
    let completion = completion.unwrap_or_else(|_| Err(timed_out(timeout, effect)));
    if completion.is_ok() {
        pen.finish();
    }
    drop(pen);
    let completion = if redactor.is_empty() {
        completion
    } else {
        Box::pin(redaction::clean(&parts.cpu, &redactor, completion)).await
    };
    let end = end(parts, assignment, completion).await;
    // What could not be kept is named with places in it.
    end.map_err(|error| redaction::failed(&redactor, error))
}

/// What is to be recorded of what an applet gave.
async fn end(
    parts: &Parts,
    assignment: &Assignment,
    completion: Result<Completion, applet::Error>,
) -> Result<End, applet::Error> {
    match completion {
        Ok(Completion::Done(outcome)) => output(parts, assignment, outcome).await,
        Ok(Completion::Wait(wait)) => Ok(End::Wait(wait)),
        Ok(Completion::Call(call)) => Box::pin(child::resolve(parts, assignment, call)).await,
        Ok(Completion::Loop(items)) => {
            let list = Arc::clone(&items.items);
            let placed = Box::pin(place(parts, assignment, list, "#items")).await?;
            Ok(End::Loop(items, placed))
        }
        Err(error) if assignment.cancelled.is_cancelled() => Ok(End::Cancelled {
            outcome_unknown: error.certainty == Certainty::Unknown,
        }),
        Err(error) => Err(error),
    }
}

fn timed_out(bound: Duration, effect: Effect) -> applet::Error {
    let message = format!(
        "the attempt took longer than its timeout of {} s",
        bound.as_secs_f64()
    );
    let error = applet::Error::retryable("TIMEOUT", message);
    if effect == Effect::AtMostOnce {
        error.with_unknown_outcome()
    } else {
        error
    }
}

/// A value, asked for until the database answers: a step does not fail because the database is away.
pub(super) async fn load(
    parts: &Parts,
    key: &RunKey,
    source: &Source,
) -> Result<Arc<Value>, applet::Error> {
    let (sequence, info) = match source {
        Source::Ready(value) => return Ok(Arc::clone(value)),
        Source::Stored(sequence, info) => (*sequence, info),
    };
    if let Some(value) = parts.payloads.find(key.run_id, sequence) {
        return Ok(value);
    }
    Box::pin(persist(|| parts.payloads.value(key, sequence, info))).await
}

async fn output(
    parts: &Parts,
    assignment: &Assignment,
    outcome: Outcome,
) -> Result<End, applet::Error> {
    let output = place(parts, assignment, outcome.output, "").await?;
    let mut details = Value::Object(outcome.details);
    crate::value::settle_output(&mut details, MAX_DETAILS_BYTES)
        .map_err(|error| applet::Error::permanent(error.reason(), format!("details: {error}")))?;
    let Value::Object(details) = details else {
        unreachable!("it was made an object just above")
    };
    let port = outcome
        .port
        .map(|port| port.to_string())
        .unwrap_or_default();
    Ok(End::Output {
        output,
        port,
        details,
        usage: outcome.usage,
    })
}

/// Makes a payload of a value, and writes it if it is too large to lie beside its event. `part` tells apart what one
/// attempt writes; empty is its output.
async fn place(
    parts: &Parts,
    assignment: &Assignment,
    value: Arc<Value>,
    part: &str,
) -> Result<Placed, applet::Error> {
    let encoded = Encoded::of_output(value, parts.settings.max_payload_bytes)?;
    let info = if encoded.is_inline() {
        encoded.info.clone()
    } else {
        let at = ChunkKey {
            path: format!("{}{part}", assignment.path),
            attempt: assignment.number,
            epoch: assignment.epoch,
        };
        let write = || parts.payloads.write(&assignment.key, &encoded, at.clone());
        Box::pin(persist(write)).await?
    };
    Ok(Placed { encoded, info })
}

/// The most bytes of what a step tells beside its output.
const MAX_DETAILS_BYTES: u64 = 64 * 1024;

/// How long a step waits for a database that answers what nobody expects, such as that a right is missing, before it
/// fails for it.
const REPAIR_TIME: Duration = Duration::from_mins(1);

/// Repeats a call to the store while only waiting helps.
pub(super) async fn persist<T, F>(call: impl Fn() -> F) -> Result<T, applet::Error>
where
    F: Future<Output = store::Result<T>>,
{
    let mut wait = Duration::from_millis(50);
    let mut unexpected_since = None;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let is_passing = match (error.class(), &error) {
            (store::Class::Lost | store::Class::Again | store::Class::Refusing, _) => {
                unexpected_since = None;
                true
            }
            (store::Class::Other, store::Error::Database(_)) => {
                let since = *unexpected_since.get_or_insert_with(Instant::now);
                since.elapsed() < REPAIR_TIME
            }
            (store::Class::BadRow | store::Class::Other, _) => false,
        };
        if !is_passing {
            return Err(applet::Error::permanent("PAYLOAD_LOST", error.to_string()));
        }
        warn!(
            error = &error as &dyn std::error::Error,
            "a step has to wait for the database"
        );
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}
