//! One node tried out, outside any run: what its author sees before it stands in a flow.
//!
//! It is one attempt as a run would make it, with a slot of the pool and under the node's timeout, and nothing of it is
//! kept. What it does outside is done: a request is sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::attempt::{self, Assignment, End, Placed, Source, Task};
use super::driver::fail::failure;
use super::plan::Plan;
use super::pool::Place;
use super::{Engine, Error};
use crate::applet::{Awaited, Wait};
use crate::flow::graph::NodeIndex;
use crate::flow::{Definition, Edge, Node, Position, Revision};
use crate::ids::{FlowId, FlowKey, Namespace, NodeId, RunKey, StepPath};
use crate::run::event::Failure;
use crate::run::scope::StepKey;
use crate::run::state::WaitReason;
use crate::store::payloads;
use crate::usage::Usage;

/// What is to be tried out.
#[derive(Debug)]
pub struct Tryout {
    /// Whose secrets and memories it uses.
    pub namespace: Namespace,
    /// A definition that [`surround`] has made.
    pub definition: Definition,
    /// The node's input.
    pub input: Value,
    /// The input of the run that it would be in.
    pub run_input: Value,
    /// Outputs of other nodes that its templates read.
    pub results: BTreeMap<NodeId, Value>,
}

/// What came of it.
#[derive(Debug)]
pub struct Tried {
    /// How it ended.
    pub end: TriedEnd,
    /// What it used.
    pub usage: Usage,
    /// How long it took, its wait for a free worker left out.
    pub took: Duration,
}

/// How a tryout ended.
#[derive(Debug)]
pub enum TriedEnd {
    /// It has an output.
    Output {
        /// The output.
        output: Arc<Value>,
        /// The port that it leaves by; empty for the only one.
        port: String,
        /// What happened on the way.
        details: Map<String, Value>,
    },
    /// It failed.
    Failed(Failure),
    /// It would wait.
    Waits(WaitReason, Option<chrono::DateTime<chrono::Utc>>),
    /// Its body would run for each of these items.
    Items(Arc<Value>),
}

/// Where the tested node stands in its definition.
const TESTED: NodeIndex = NodeIndex(0);

/// A flow around one node, in which it gets an input and its templates can read these results.
#[must_use]
pub fn surround<'a>(node: Node, results: impl Iterator<Item = &'a NodeId>) -> Definition {
    let results: Vec<&NodeId> = results.collect();
    let mut before = "input".to_owned();
    while before == node.id.as_str() || results.iter().any(|id| id.as_str() == before) {
        before.push('_');
    }
    let before = NodeId::new(before);
    let mut definition = Definition::default();
    let is_root = node.kind == "start";
    let tested = node.id.clone();
    definition.nodes.push(Node {
        // What follows from a failure is not tried out.
        retry: None,
        on_error: None,
        ..node
    });
    if is_root {
        return definition;
    }
    let stands_in = |id: NodeId, kind: &str| Node {
        id,
        kind: kind.to_owned(),
        position: Position::default(),
        data: Value::Object(Map::new()),
        display_name: String::new(),
        timeout: None,
        effect: None,
        retry: None,
        on_error: None,
    };
    let edge = |source: &NodeId, target: &NodeId| Edge {
        id: String::new(),
        source: source.clone(),
        target: target.clone(),
        source_handle: String::new(),
        target_handle: String::new(),
        animated: false,
    };
    for id in &results {
        definition.nodes.push(stands_in((*id).clone(), "start"));
        definition.edges.push(edge(id, &before));
    }
    let kind = if results.is_empty() { "start" } else { "merge" };
    definition.edges.push(edge(&before, &tested));
    definition.nodes.push(stands_in(before, kind));
    definition
}

impl Engine {
    /// Tries a node out.
    ///
    /// # Errors
    ///
    /// Only where the process is about to end: a failure of the node is an end like any other.
    pub async fn try_out(&self, tryout: Tryout) -> Result<Tried, Error> {
        if self.inner.draining.is_cancelled() {
            return Err(Error::Draining);
        }
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        let key = RunKey {
            namespace: tryout.namespace.clone(),
            run_id: parts.clock.run_id(now),
        };
        let slot = parts.pool.clone().take(Place::Slot).await;
        let cancelled = CancellationToken::new();
        // Whoever asked may leave.
        let _ending = cancelled.clone().drop_guard();
        let assignment = assignment(self, key.clone(), tryout, cancelled);
        let assignment = Assignment {
            started_at: now,
            slot: Some(slot),
            ..assignment
        };
        let begun = Instant::now();
        let landed = attempt::fly(Arc::clone(parts), assignment).await;
        let took = begun.elapsed();
        self.clear(&key).await;
        let (end, usage) = tried(landed.end);
        Ok(Tried { end, usage, took })
    }

    /// Removes what lies in the store of a run that never was.
    async fn clear(&self, key: &RunKey) {
        let cleared = async {
            let mut conn = self.store().conn().await?;
            payloads::forget(&mut conn, key).await
        };
        if let Err(error) = cleared.await {
            warn!(
                error = &error as &dyn std::error::Error,
                "what a tryout has stored stays until its partition goes"
            );
        }
    }
}

fn assignment(
    engine: &Engine,
    key: RunKey,
    tryout: Tryout,
    cancelled: CancellationToken,
) -> Assignment {
    let plan = Plan::new(
        &engine.inner.registry,
        Revision {
            flow_key: FlowKey(0),
            flow_id: FlowId::new(""),
            number: 1,
            definition: tryout.definition,
        },
    );
    let ready = |value| Source::Ready(Arc::new(value));
    let node = plan.node(0, TESTED);
    let (path, timeout) = (StepPath::from(&node.node.id), node.timeout);
    let sources = plan.graph.sources(TESTED);
    let delivered = sources
        .into_iter()
        .map(|source| plan.graph.node(source).id.clone())
        .zip([ready(tryout.input)]);
    Assignment {
        key,
        epoch: 1,
        depth: 0,
        step: StepKey::top(TESTED),
        graph: 0,
        path,
        number: 1,
        started_at: chrono::DateTime::UNIX_EPOCH,
        task: Task::Run(None),
        wakening: None,
        timeout,
        input: ready(tryout.run_input),
        item: None,
        delivered: delivered.collect(),
        results: tryout
            .results
            .into_iter()
            .map(|(id, value)| (id, ready(value)))
            .collect(),
        cancelled,
        slot: None,
        plan: Arc::new(plan),
    }
}

fn tried(end: End) -> (TriedEnd, Usage) {
    let output = |placed: Placed| placed.encoded.value;
    let end = match end {
        End::Output {
            output: placed,
            port,
            details,
            usage,
        } => {
            let end = TriedEnd::Output {
                output: output(placed),
                port,
                details,
            };
            return (end, usage);
        }
        End::Failed(error) => {
            let failure = failure(error);
            let usage = failure.usage;
            return (TriedEnd::Failed(failure), usage);
        }
        End::Wait(Wait { until, awaited }) => {
            let reason = match awaited {
                Awaited::Time => WaitReason::Delay,
                Awaited::Signal(_) => WaitReason::Signal,
                Awaited::Approval(_) => WaitReason::Approval,
            };
            TriedEnd::Waits(reason, until)
        }
        End::Call { .. } => TriedEnd::Waits(WaitReason::Child, None),
        End::Loop(_, items) => TriedEnd::Items(output(items)),
        End::Took(_) | End::Gone | End::PassedOn(..) | End::Cancelled { .. } => {
            unreachable!("a tryout takes no output, passes no failure on, and is not told to end")
        }
    };
    (end, Usage::default())
}
