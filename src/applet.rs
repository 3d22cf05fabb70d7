//! An applet: the code behind a kind of node.
//!
//! An applet is written as a typed [`Applet`]; the [`registry`] erases the type once, so that the engine sees only
//! [`Prepared`] nodes. Applets know neither the store nor the wire: they get a [`Context`] and give a [`Completion`].

pub mod approval;
pub mod artist;
pub mod code;
pub mod compiled;
#[cfg(test)]
mod conformance_tests;
pub mod delay;
pub mod end;
mod failure;
pub mod for_each;
pub mod http_request;
pub mod if_else;
pub mod image;
pub mod llm;
pub mod memory;
pub mod merge;
pub mod registry;
pub mod start;
pub mod subflow;
pub mod switch;
#[cfg(test)]
mod tests;
pub mod transform;
#[cfg(test)]
pub(crate) mod trial;
pub mod wait_signal;
pub mod writer;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::cpu::Cpu;
use crate::egress::Egress;
use crate::files::Files;
pub use crate::flow::Effect;
use crate::flow::{Body, Port, Violation};
use crate::hub::drafts::Pen;
use crate::ids::{FlowId, Namespace, NodeId, RunId, StepPath};
use crate::redact::Redactor;
pub use crate::run::state::{Decision, OnItemError};
use crate::secrets::{Denied, Granted, NotForHost};
use crate::template::{Reads, Scope};
use crate::usage::Usage;

/// The code behind a kind of node.
pub trait Applet: Send + Sync + 'static {
    /// What a node's `type` says to get this applet.
    const KIND: &'static str;

    /// What the author of a flow sets; refuses unknown keys. Read when a flow is saved (templates not yet rendered,
    /// see [`crate::template::Templated`]) and again before each attempt (rendered).
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// What the catalogue says about it.
    fn description() -> Description;

    /// Named ways out under this config; empty for an applet with just one.
    fn ports(_config: &Self::Config) -> Vec<Port> {
        Vec::new()
    }

    /// What a crash during an attempt allows, under this config.
    fn effect(config: &Self::Config) -> Effect;

    /// What the types cannot say: bounds, patterns that do not parse, keys that exclude each other. Paths are
    /// relative to the config.
    fn check(_config: &Self::Config) -> Vec<Violation> {
        Vec::new()
    }

    /// The same for a rendered config, before each attempt whose config has templates. An applet whose `check` costs
    /// something (compiling patterns) looks here only at what templates can change.
    fn check_rendered(config: &Self::Config) -> Vec<Violation> {
        Self::check(config)
    }

    /// What the config reads beside its templates: the names in its expressions.
    fn reads(_config: &Self::Config) -> Reads {
        Reads::default()
    }

    /// Hosts that the config names literally.
    fn hosts(_config: &Self::Config) -> Vec<String> {
        Vec::new()
    }

    /// The graph inside the node, for an applet that runs one ([`Completion::Loop`]).
    fn body(_config: &Self::Config) -> Option<Body> {
        None
    }

    /// Does the work of one attempt.
    ///
    /// # Errors
    ///
    /// Whatever kept it from its output; the reasons are listed in its [`Description`].
    fn run(
        &self,
        context: Context,
        config: Self::Config,
    ) -> impl Future<Output = Result<Completion, Error>> + Send;
}

/// What the catalogue says about an applet.
#[derive(Clone, Debug)]
pub struct Description {
    /// Raised when the meaning of a config changes.
    pub version: u32,
    /// A few words.
    pub title: &'static str,
    /// What it does and what comes out, in sentences.
    pub text: &'static str,
    /// Its ways out, for people: name and meaning.
    pub handles: &'static [(&'static str, &'static str)],
    /// What a crash allows, for people; where it depends on the config, the usual one.
    pub effect: Effect,
    /// Named reasons of its own failures, with their meaning.
    pub reasons: &'static [(&'static str, &'static str)],
    /// `data` of a node that can be copied.
    pub example: fn() -> Value,
    /// Keys of the config whose strings are never rendered: code, patterns, paths, expressions.
    pub raw: &'static [&'static str],
    /// Keys of the config whose templates the applet renders itself, because it adds names to them.
    pub deferred: &'static [&'static str],
    /// Bound of an attempt where the node sets none.
    pub default_timeout: Duration,
    /// The longest bound that a node may set.
    pub max_timeout: Duration,
}

/// What one attempt knows and may use.
#[derive(Clone, Debug)]
pub struct Context {
    /// Whose run it is.
    pub namespace: Namespace,
    /// The run.
    pub run_id: RunId,
    /// The node.
    pub node_id: NodeId,
    /// The step's place in its run.
    pub step_path: StepPath,
    /// Counted from 1.
    pub attempt: u32,
    /// The same for every attempt of the step with the same rendered config.
    pub idempotency_key: String,
    /// The effect that counts for this node.
    pub effect: Effect,
    /// The node's input: its predecessor's output, or an object keyed by node id if several can deliver.
    pub input: Arc<Value>,
    /// The outputs that reached the node, in edge order.
    pub inputs: Vec<Delivered>,
    /// What templates and expressions can name.
    pub scope: Scope,
    /// When the attempt is cut off.
    pub deadline: Instant,
    /// Set when the run is cancelled or fails elsewhere: the applet ends soon after.
    pub cancelled: CancellationToken,
    /// What ended the wait that an earlier call asked for; `None` at the first call of an attempt.
    pub woken: Option<Woken>,
    /// Where work that takes more than some microseconds of CPU runs.
    pub cpu: Cpu,
    /// The one way out to the network.
    pub egress: Egress,
    /// The secrets that the node names: whether they may be sent where the applet is about to send them.
    pub secrets: Granted,
    /// Takes values of secrets out of all that the attempt gives and shows; the engine does that. An applet adds what it
    /// has composed of secrets, and redacts texts before it cuts them: half of a value is not found.
    pub redactor: Redactor,
    /// Writes what watchers see while the attempt goes on.
    pub pen: Pen,
    /// Keeps what is no JSON: images and the like.
    pub files: Files,
}

/// An output that reached a node.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Whose output it is.
    pub node_id: NodeId,
    /// The output.
    pub value: Arc<Value>,
}

/// How an attempt came to its end without an error.
#[derive(Clone, Debug)]
pub enum Completion {
    /// The step has its output.
    Done(Outcome),
    /// Nothing is to be done until something comes; the applet is called again with `woken` set.
    Wait(Wait),
    /// Another flow is to run as a child; its output is the step's.
    Call(Call),
    /// The node's body is to run once for each item; the list of what comes out is the step's output.
    Loop(Loop),
}

/// What a step waits for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// When it goes on at the latest; without a time it waits as long as the run may take.
    pub until: Option<DateTime<Utc>>,
    /// What may come before.
    pub awaited: Awaited,
}

/// What may end a wait before its time.
#[derive(Clone, Debug)]
pub enum Awaited {
    /// Nothing: it lasts until its time.
    Time,
    /// A signal of this name, sent to the run at any time.
    Signal(String),
    /// Somebody's decision.
    Approval(ApprovalRequest),
}

/// What somebody is asked to decide.
#[derive(Clone, Debug)]
pub struct ApprovalRequest {
    /// A few words.
    pub title: String,
    /// What there is to know; may be empty.
    pub description: String,
    /// JSON schema of the values that the decision carries; any object without one.
    pub form_schema: Option<Value>,
    /// What is decided when nobody has by the end of the wait; without one the wait expires.
    pub default_decision: Option<Decision>,
}

/// What ended a wait.
#[derive(Clone, Debug)]
pub enum Woken {
    /// Its time.
    Time,
    /// The signal, with its payload.
    Signal(Arc<Value>),
    /// A decision: an object with `decision`, `values`, `comment` and `decided_by`.
    Approval(Decision, Arc<Value>),
}

/// A flow that a step runs as a child.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which flow of the same namespace.
    pub flow_id: FlowId,
    /// Its revision; 0 is the latest.
    pub revision: i32,
    /// What the child is started with.
    pub input: Arc<Value>,
}

/// Items for the body of a node.
#[derive(Clone, Debug)]
pub struct Loop {
    /// A list: one item for each turn of the body.
    pub items: Arc<Value>,
    /// Whether items were left out because there were too many.
    pub truncated: bool,
    /// The most items that are under way at once; at least 1.
    pub concurrency: u32,
    /// What follows when an item fails.
    pub on_item_error: OnItemError,
}

/// What a finished step gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What travels along the edges.
    pub output: Arc<Value>,
    /// The port it leaves by; `None` for the only one.
    pub port: Option<Port>,
    /// What happened on the way (branch taken, status, duration …): kept with the step, not passed on.
    pub details: Map<String, Value>,
    /// What it has used, as far as that is metered.
    pub usage: Usage,
}

impl Outcome {
    /// An output through the only port, with nothing to tell.
    #[must_use]
    pub fn of(output: Arc<Value>) -> Self {
        Self {
            output,
            port: None,
            details: Map::new(),
            usage: Usage::default(),
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Error {
    /// For programs: `HTTP_5XX`, `TEMPLATE_PATH_MISSING` …
    pub reason: &'static str,
    /// For people; holds no secret.
    pub message: String,
    /// Whether another attempt might end better.
    pub retryable: bool,
    /// Whether it is known that nothing happened outside.
    pub certainty: Certainty,
    /// More for people and programs: the answer's status, the path that was missing.
    pub details: Map<String, Value>,
    /// What it has used all the same.
    pub usage: Usage,
}

/// What is known of an attempt's effect on the world after it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The outcome is known: an answer came, or provably nothing was sent.
    Known,
    /// It may have happened: sent, and no answer came.
    Unknown,
}

impl Error {
    /// A failure that another attempt would meet again.
    pub fn permanent(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retryable: false,
            certainty: Certainty::Known,
            details: Map::new(),
            usage: Usage::default(),
        }
    }

    /// A failure that may pass.
    pub fn retryable(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::permanent(reason, message)
        }
    }

    /// The same, of which it is not known whether it took effect.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.certainty = Certainty::Unknown;
        self
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with_detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::permanent(denied.reason(), denied.to_string())
    }
}

impl From<NotForHost> for Error {
    fn from(refused: NotForHost) -> Self {
        Self::permanent(NotForHost::REASON, refused.to_string())
    }
}

/// A future that is boxed, as an erased applet gives it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Nodes whose results a step's templates and expressions read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum References {
    /// Just these.
    Nodes(Vec<NodeId>),
    /// Cannot be told beforehand: all that are finished.
    All,
}

/// A node of a valid revision, ready to run: config parsed, templates compiled.
pub trait Prepared: Send + Sync {
    /// What a crash during an attempt allows, by the applet (the node may be stricter).
    fn effect(&self) -> Effect;

    /// Nodes whose results must be in the scope of [`Context`].
    fn references(&self) -> &References;

    /// All that its templates and expressions read.
    fn reads(&self) -> &Reads;

    /// Bound of an attempt where the node sets none.
    fn default_timeout(&self) -> Duration;

    /// The graph inside the node, if it has one.
    fn body(&self) -> Option<&Body>;

    /// The version of the applet's meaning, from its [`Description`].
    fn version(&self) -> u32;

    /// Renders the config and does the work of one attempt.
    fn run(&self, context: Context) -> BoxFuture<'_, Result<Completion, Error>>;
}
