//! One attempt of one step: gathers what it reads, runs the applet under its timeout, and makes a payload of the output.
//!
//! It knows nothing of the run's state: the driver gives it an [`Assignment`] and gets it back as [`Landed`]. A panic
//! in an applet is that attempt's failure and nobody else's.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Parts;
use super::payloads::Encoded;
use super::plan::Plan;
use super::pool::Slot;
use crate::applet::{self, Certainty, Completion, Context, Delivered, Effect, Outcome};
use crate::flow::graph::NodeIndex;
use crate::ids::{NodeId, RunKey, StepPath};
use crate::run::event::{ChunkKey, PayloadInfo};
use crate::store;
use crate::template::Scope;

/// What one attempt has to do.
#[derive(Debug)]
pub struct Assignment {
    /// Which run.
    pub key: RunKey,
    /// The epoch in which it is owned.
    pub epoch: i64,
    /// The revision.
    pub plan: Arc<Plan>,
    /// Which node.
    pub node: NodeIndex,
    /// The step's path.
    pub path: StepPath,
    /// The attempt's number.
    pub number: u32,
    /// Whether the wait that an earlier call asked for is over.
    pub waited: bool,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// The run's input.
    pub input: Source,
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
    /// Which node.
    pub node: NodeIndex,
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
        /// Value and text.
        encoded: Encoded,
        /// Size, hash and place.
        info: PayloadInfo,
        /// The port; empty for the only one.
        port: String,
        /// What happened on the way.
        details: Map<String, Value>,
    },
    /// Nothing is to be done until then.
    WaitUntil(DateTime<Utc>),
    /// It failed.
    Failed(applet::Error),
    /// It was told to end, and did.
    Cancelled {
        /// Whether it may have taken effect outside.
        outcome_unknown: bool,
    },
}

/// How much longer than its bound an attempt may take to say itself what it did outside.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Does what an assignment says.
pub async fn fly(parts: Arc<Parts>, assignment: Assignment) -> Landed {
    let (node, number, started_at) = (assignment.node, assignment.number, assignment.started_at);
    let work = AssertUnwindSafe(attempt(&parts, assignment)).catch_unwind();
    let end = match work.await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => End::Failed(error),
        Err(_) => End::Failed(applet::Error::permanent(
            "PANIC",
            "the applet panicked, which is a bug in it",
        )),
    };
    Landed {
        node,
        number,
        started_at,
        end,
    }
}

async fn attempt(parts: &Parts, assignment: Assignment) -> Result<End, applet::Error> {
    let plan = Arc::clone(&assignment.plan);
    let node = plan.node(assignment.node);
    let prepared = node.prepared.as_ref().map_err(Clone::clone)?;
    let effect = plan.graph.node(assignment.node).effect;
    let cancelled = assignment.cancelled.clone();
    let Some(context) = cancelled
        .run_until_cancelled(context(parts, &assignment, node.timeout, effect))
        .await
    else {
        return Ok(End::Cancelled {
            outcome_unknown: false,
        });
    };
    let context = context?;
    let completion = match effect {
        // Nothing outside is lost with it: it is dropped at once.
        Effect::Pure | Effect::Idempotent => {
            let bounded = tokio::time::timeout(node.timeout, prepared.run(context));
            match cancelled.run_until_cancelled(bounded).await {
                Some(completion) => completion,
                None => {
                    return Ok(End::Cancelled {
                        outcome_unknown: false,
                    });
                }
            }
        }
        // It has seen the token and knows best what it has done.
        Effect::AtMostOnce => {
            tokio::time::timeout(node.timeout + LAST_WORDS, prepared.run(context)).await
        }
    };
    let completion = completion.unwrap_or_else(|_| Err(timed_out(node.timeout, effect)));
    match completion {
        Ok(Completion::Done(outcome)) => output(parts, &assignment, outcome).await,
        Ok(Completion::Wait(wait)) => Ok(End::WaitUntil(wait.until.unwrap_or_default())),
        Ok(Completion::Call(_) | Completion::Loop(_)) => {
            Err(applet::Error::permanent("NOT_YET_SUPPORTED", "comes next"))
        }
        Err(error) if cancelled.is_cancelled() => Ok(End::Cancelled {
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

async fn context(
    parts: &Parts,
    assignment: &Assignment,
    timeout: Duration,
    effect: Effect,
) -> Result<Context, applet::Error> {
    let graph = &assignment.plan.graph;
    let node_id = graph.node(assignment.node).id.clone();
    let run_input = load(parts, &assignment.key, &assignment.input).await?;
    let mut inputs = Vec::with_capacity(assignment.delivered.len());
    for (node_id, source) in &assignment.delivered {
        let value = load(parts, &assignment.key, source).await?;
        inputs.push(Delivered {
            node_id: node_id.clone(),
            value,
        });
    }
    let mut results = BTreeMap::new();
    for (node_id, source) in &assignment.results {
        results.insert(node_id.clone(), load(parts, &assignment.key, source).await?);
    }
    let content = content(
        assignment.plan.node(assignment.node).sources,
        &run_input,
        &inputs,
    );
    Ok(Context {
        namespace: assignment.key.namespace.clone(),
        run_id: assignment.key.run_id,
        node_id: node_id.clone(),
        step_path: assignment.path.clone(),
        attempt: assignment.number,
        idempotency_key: format!("{}/{}", assignment.key.run_id, assignment.path),
        effect,
        input: Arc::clone(&content),
        inputs,
        scope: Scope {
            input: run_input,
            content,
            results: Arc::new(results),
            run_id: assignment.key.run_id,
            node_id,
            item: None,
            extra: BTreeMap::new(),
        },
        deadline: Instant::now() + timeout,
        cancelled: assignment.cancelled.clone(),
        woken: assignment.waited.then_some(applet::Woken::Time),
        cpu: parts.cpu.clone(),
        egress: parts.egress.clone(),
    })
}

/// A node's input: the run's for a root, its predecessor's output, or an object by node id if several can deliver.
fn content(sources: usize, run_input: &Arc<Value>, inputs: &[Delivered]) -> Arc<Value> {
    match (sources, inputs) {
        (0, _) => Arc::clone(run_input),
        (1, [only]) => Arc::clone(&only.value),
        _ => {
            let by_node = inputs
                .iter()
                .map(|input| (input.node_id.to_string(), Value::clone(&input.value)));
            Arc::new(Value::Object(by_node.collect()))
        }
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
    persist(|| parts.payloads.value(key, sequence, info)).await
}

async fn output(
    parts: &Parts,
    assignment: &Assignment,
    outcome: Outcome,
) -> Result<End, applet::Error> {
    let max_bytes = parts.settings.max_payload_bytes;
    let encoded = Encoded::of_output(outcome.output, max_bytes)?;
    let info = if encoded.is_inline() {
        encoded.info.clone()
    } else {
        let path = assignment.path.to_string();
        let at = ChunkKey {
            path,
            attempt: assignment.number,
            epoch: assignment.epoch,
        };
        persist(|| parts.payloads.write(&assignment.key, &encoded, at.clone())).await?
    };
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
        encoded,
        info,
        port,
        details,
    })
}

/// The most bytes of what a step tells beside its output.
const MAX_DETAILS_BYTES: u64 = 64 * 1024;

/// Repeats a call to the store while only waiting helps.
pub(super) async fn persist<T, F>(call: impl Fn() -> F) -> Result<T, applet::Error>
where
    F: Future<Output = store::Result<T>>,
{
    let mut wait = Duration::from_millis(50);
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) => match error.class() {
                store::Class::Lost | store::Class::Again | store::Class::Refusing => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "a payload has to wait for the database"
                    );
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
                store::Class::BadRow | store::Class::Other => {
                    return Err(applet::Error::permanent("PAYLOAD_LOST", error.to_string()));
                }
            },
        }
    }
}
