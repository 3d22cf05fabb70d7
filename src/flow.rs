//! A flow: a graph of nodes that can be run, as data.
//!
//! A client's [`Draft`] becomes a [`Definition`] by [`validate::validate`], which refuses whatever could not run: a
//! definition that exists is valid. A [`Revision`] is a definition under its number in a flow; it never changes.

pub mod diff;
pub mod document;
pub mod graph;
pub mod hash;
mod retry;
pub mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{FlowId, FlowKey, NodeId};

/// What a client sent, of which nothing is known yet.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Empty where the service is to make one.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The client's own marks, to find it by.
    pub labels: BTreeMap<String, String>,
    /// The graph and what governs it.
    pub definition: Definition,
}

/// The part of a flow that runs depend on: it makes a revision, and its hash tells whether it changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// In the order the client gave them.
    pub nodes: Vec<Node>,
    /// In the order the client gave them, which is the order in which `merge` reads its inputs.
    pub edges: Vec<Edge>,
    /// JSON schema of a run's input; anything goes without one.
    pub input_schema: Option<Value>,
    /// What governs a run as a whole.
    pub policy: Policy,
}

/// One use of an applet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the definition.
    pub id: NodeId,
    /// Kind of applet (`transform`, `http_request` …).
    pub kind: String,
    /// Where an editor draws it.
    pub position: Position,
    /// The applet's config: an object, whose strings may hold templates.
    pub data: Value,
    /// What people call it; empty means the id.
    pub display_name: String,
    /// Bound of one attempt; without one the applet's default holds.
    pub timeout: Option<Duration>,
    /// A stricter effect than the applet's own (or `IDEMPOTENT` for an `http_request` that posts).
    pub effect: Option<Effect>,
    /// How failed attempts are repeated; not at all without one.
    pub retry: Option<RetryPolicy>,
    /// What follows when the last attempt has failed; the run fails without one.
    pub on_error: Option<OnError>,
}

/// How failed attempts of a step are repeated.
///
/// Before attempt n + 1 the step waits `initial_interval` × `coefficient`^(n − 1), at most `max_interval`, varied by
/// `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The most attempts, the first one included; at least 1.
    pub max_attempts: u32,
    /// The wait before the second attempt.
    pub initial_interval: Duration,
    /// By how much each further wait is longer; at least 1.
    pub coefficient: f64,
    /// The longest wait.
    pub max_interval: Duration,
    /// By what part of itself each wait is varied at random, 0 to 1.
    pub jitter: f64,
    /// Reasons after which no further attempt is made, beside those that the applet calls permanent.
    pub non_retryable_reasons: Vec<String>,
    /// Reasons after which even an `AT_MOST_ONCE` step is attempted again.
    pub safe_on: Vec<String>,
    /// The longest that all attempts and the waits between them may take.
    pub total_timeout: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            initial_interval: Duration::from_secs(1),
            coefficient: 2.0,
            max_interval: Duration::from_mins(1),
            jitter: 0.0,
            non_retryable_reasons: Vec::new(),
            safe_on: Vec::new(),
            total_timeout: None,
        }
    }
}

/// What follows when the last attempt of a step has failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OnError {
    /// The failure leaves by the port [`ERROR_PORT`], with the step's input.
    ErrorPort,
    /// Another node takes the failed one's place, with its input.
    Fallback(NodeId),
    /// This goes on in place of the output.
    DefaultOutput(Value),
    /// The run goes on without the output: what depends on it alone is skipped.
    ContinueRun,
}

/// Where an editor draws a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

/// What carries an output from a port of one node to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Unique in the definition, unless it is empty.
    pub id: String,
    /// The node whose output travels.
    pub source: NodeId,
    /// The node that it travels to.
    pub target: NodeId,
    /// Port of the source; empty means its only one.
    pub source_handle: String,
    /// Kept for editors, never read.
    pub target_handle: String,
    /// Kept for editors, never read.
    pub animated: bool,
}

/// What governs a run as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Bound from the first step to the end of the run, waits included.
    pub run_timeout: Option<Duration>,
    /// The most steps of one run that execute at once.
    pub max_parallel_steps: Option<u32>,
    /// The most runs that are open at once, counted apart for each `concurrency_key`; see [`Policy::open_run_limit`].
    pub max_open_runs: Option<u32>,
    /// A template over the run's input and nothing else; empty counts all runs of the flow together.
    pub concurrency_key: String,
    /// What becomes of a run over `max_open_runs`; it queues where nothing is said.
    pub on_conflict: Option<OnConflict>,
}

impl Policy {
    /// How many runs may be open at once under one concurrency key; `None` where the policy does not say. A key alone
    /// means one.
    #[must_use]
    pub fn open_run_limit(&self) -> Option<u32> {
        self.max_open_runs
            .or_else(|| (!self.concurrency_key.is_empty()).then_some(1))
    }
}

/// What becomes of a run that is over its flow's limit of open runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnConflict {
    /// It stays queued until another one ends.
    Queue,
    /// Its start is refused.
    Reject,
    /// The open ones are cancelled, and it starts once they have ended.
    CancelRunning,
}

/// The graph inside a loop node: what is done with each item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// In the order the author gave them.
    pub nodes: Vec<Node>,
    /// In the order the author gave them.
    pub edges: Vec<Edge>,
}

/// What a crash during an attempt allows.
///
/// Ordered: each one is stricter than those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Effect {
    /// Nothing outside the run changes: it may run again without anybody's notice.
    Pure,
    /// It may run again with the same idempotency key.
    Idempotent,
    /// It may not run again by itself: the step is parked until somebody decides.
    AtMostOnce,
}

/// A named way out of a node (on the wire `source_handle`).
pub type Port = Arc<str>;

/// The port of an applet that has just one.
pub const ONLY_PORT: &str = "";

/// The port by which a failure leaves a node whose `on_error` says so.
pub const ERROR_PORT: &str = "error";

/// What the applets say about one node: all that validation must know of them.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Named ports; empty for an applet with just one way out.
    pub ports: Vec<Port>,
    /// The applet's own effect under this config.
    pub effect: Option<Effect>,
    /// What is wrong with `data`, each with a path inside it.
    pub violations: Vec<Violation>,
    /// Nodes whose results the templates read.
    pub references: Vec<NodeId>,
    /// Which of `item` and `index` the templates read: there are such only inside a loop's body.
    pub loop_names: Vec<&'static str>,
    /// Names of the secrets that the config reads.
    pub secrets: Vec<String>,
    /// Hosts that the config names literally.
    pub hosts: Vec<String>,
    /// The longest timeout that the applet allows for one attempt.
    pub max_timeout: Option<Duration>,
    /// The graph inside it, for an applet that has one: what its config says under `body`, or one of the applet's own
    /// making where that is no graph.
    pub body: Option<Body>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, as the client wrote it (`flow.nodes[3].data.url`).
    pub field: String,
    /// Named reason (`UNKNOWN_APPLET`, `OUT_OF_BOUNDS` …), for programs.
    pub reason: &'static str,
    /// What is wrong, with the bound and the value, for people.
    pub description: String,
}

/// A definition under its number in a flow: what a run is pinned to.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The flow's key inside the database.
    pub flow_key: FlowKey,
    /// The flow's name at the time of reading.
    pub flow_id: FlowId,
    /// Counted from 1.
    pub number: i32,
    /// What to run.
    pub definition: Definition,
}
