//! Errors into `Status`: the only place where a gRPC code is chosen.

mod control;
mod engine_errors;
pub(crate) mod refusal;
mod store_errors;
#[cfg(test)]
mod tests;

use tonic::{Code, Status};
use tracing::error;

use self::refusal::{Refusal, refuse_fields, shown};
use crate::cpu;
use crate::engine;
use crate::export;
use crate::flow::Violation;
use crate::ids::{FlowId, RunId};
use crate::import::MAX_BYTES;
use crate::run::state::RunState;
use crate::store::deletion::Relation;
use crate::store::{self, Class};

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields that are missing, malformed or out of bounds: all of them at once.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// The flow cannot be saved as it is: all that is wrong with it, at once.
    #[error("the flow is invalid")]
    InvalidFlow(Vec<Violation>),
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The store refuses, or cannot be reached.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A flow is not deleted while runs of it are open, unless that is forced.
    #[error("flow {flow_id} has {open} open runs")]
    FlowHasOpenRuns {
        /// Which flow.
        flow_id: FlowId,
        /// How many, as far as they were counted.
        open: usize,
    },
    /// A flow cannot be written in the format that is asked for.
    #[error("flow {flow_id} is not exported: {source}")]
    NotExported {
        /// Which flow.
        flow_id: FlowId,
        /// Why.
        source: export::Error,
    },
    /// No applet is of this kind.
    #[error("no applet is of kind {0}")]
    AppletNotFound(String),
    /// No key to seal secrets with is configured.
    #[error("the server has no key to seal secrets with")]
    SecretsNotConfigured,
    /// The run has not ended, which the call needs.
    #[error("run {id} is {state}")]
    RunNotDone {
        /// Which run.
        id: RunId,
        /// Where it stands.
        state: RunState,
    },
    /// Another run that is open may still need the run.
    #[error("run {id} is in use by run {by}")]
    RunInUse {
        /// Which run.
        id: RunId,
        /// What the other one is to it.
        relation: Relation,
        /// The other one.
        by: RunId,
    },
    /// A sequence that does not exist yet.
    #[error("run {id} has no event {asked}: its last one is {last}")]
    SequenceBeyondEnd {
        /// Which run.
        id: RunId,
        /// What was asked for.
        asked: i64,
        /// Sequence of its last event.
        last: i64,
    },
    /// A watcher has read nothing for too long.
    #[error("nothing was read from the stream for {seconds} s; watch again after event {sequence}")]
    WatcherTooSlow {
        /// For how long.
        seconds: u64,
        /// Sequence of the last event that was sent.
        sequence: i64,
    },
    /// A watcher of many runs has read nothing for too long.
    #[error("nothing was read from the stream for {seconds} s; watch again")]
    RunsWatcherTooSlow {
        /// For how long.
        seconds: u64,
    },
    /// The database was away for longer than a watcher is kept waiting.
    #[error("the database is away; watch again after event {sequence}")]
    WatchCutOff {
        /// Sequence of the last event that was sent.
        sequence: i64,
        /// What the database said last.
        source: Box<Error>,
    },
    /// More runs are wanted by one watcher than it can follow.
    #[error("more than {limit} runs that satisfy the filter are open")]
    TooManyRuns {
        /// The most that it can follow.
        limit: usize,
    },
    /// The process is about to end; the stream can be resumed elsewhere.
    #[error("the service is shutting down; watch again after event {sequence}")]
    Draining {
        /// Sequence of the last event that was sent.
        sequence: i64,
    },
    /// Work on the side has panicked.
    #[error("work for the request has panicked")]
    Panicked(#[from] cpu::Panicked),
}

/// What a call gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the database could not answer, and may later.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        let (Self::Store(store) | Self::Engine(engine::Error::Store(store))) = self else {
            return false;
        };
        match store.class() {
            Class::Lost | Class::Again | Class::Refusing => true,
            Class::BadRow | Class::Other => false,
        }
    }

    /// One field that is missing, malformed or out of bounds.
    #[must_use]
    pub fn field(violation: Violation) -> Self {
        Self::Invalid(vec![violation])
    }
}

impl From<Error> for Status {
    #[expect(clippy::too_many_lines, reason = "one arm for each error")]
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(violations) => {
                refuse_fields("the request is invalid", "INVALID_REQUEST", &violations)
            }
            Error::InvalidFlow(violations) => {
                let what = "the flow is invalid (ValidateFlow tells all at once)";
                refuse_fields(what, "INVALID_FLOW", &violations)
            }
            Error::Engine(error) => engine_errors::status(error),
            Error::Store(error) => store_errors::status(&error),
            Error::FlowHasOpenRuns { flow_id, open } => {
                let id = shown(flow_id.as_str());
                Refusal::new(
                    Code::FailedPrecondition,
                    "FLOW_HAS_OPEN_RUNS",
                    format!(
                        "flow {id} has {open} open runs or more; wait for their end, cancel them, or set force"
                    ),
                )
                .with("flowId", id)
                .with("openRuns", open)
                .status()
            }
            Error::NotExported { flow_id, source } => export_status(&flow_id, &source),
            Error::AppletNotFound(kind) => {
                let kind = shown(&kind);
                Refusal::new(
                    Code::NotFound,
                    "APPLET_NOT_FOUND",
                    format!("there is no applet of type {kind}; ListApplets lists those that there are"),
                )
                .with("type", &kind)
                .about("synapps.v1.Applet", kind)
                .status()
            }
            Error::SecretsNotConfigured => Refusal::new(
                Code::FailedPrecondition,
                "SECRETS_NOT_CONFIGURED",
                "the server has no key to seal secrets with: set SYNAPPS_SECRETS_KEY or SYNAPPS_SECRETS_KEY_FILE",
            )
            .status(),
            Error::RunNotDone { id, state } => Refusal::new(
                Code::FailedPrecondition,
                "RUN_NOT_DONE",
                format!("run {id} is {state}, and has to have ended for this; CancelRun ends it"),
            )
            .with("runId", id)
            .with("state", state)
            .status(),
            Error::RunInUse { id, relation, by } => control::in_use(id, relation, by),
            Error::SequenceBeyondEnd { id, asked, last } => Refusal::new(
                Code::OutOfRange,
                "SEQUENCE_BEYOND_END",
                format!("run {id} has no event {asked}: its last one is {last}"),
            )
            .with("runId", id)
            .with("afterSequence", asked)
            .with("lastSequence", last)
            .status(),
            Error::WatcherTooSlow { seconds, sequence } => Refusal::new(
                Code::ResourceExhausted,
                "WATCHER_TOO_SLOW",
                format!(
                    "nothing was read from the stream for {seconds} s; watch again after event {sequence}"
                ),
            )
            .with("seconds", seconds)
            .with("sequence", sequence)
            .quota("watcher", "the time in which a watcher has to read something")
            .retry_soon()
            .status(),
            Error::WatchCutOff { sequence, source } => {
                store_errors::log_outage(&source);
                Refusal::new(
                    Code::Unavailable,
                    "DATABASE_UNAVAILABLE",
                    format!("the database cannot be reached; watch again after event {sequence}"),
                )
                .with("sequence", sequence)
                .retry_soon()
                .status()
            }
            Error::RunsWatcherTooSlow { seconds } => Refusal::new(
                Code::ResourceExhausted,
                "WATCHER_TOO_SLOW",
                format!("nothing was read from the stream for {seconds} s; watch again"),
            )
            .with("seconds", seconds)
            .quota("watcher", "the time in which a watcher has to read something")
            .retry_soon()
            .status(),
            Error::TooManyRuns { limit } => {
                let what = format!(
                    "more than {limit} runs that satisfy the filter are open, which is the most that one watch follows"
                );
                Refusal::new(
                    Code::ResourceExhausted,
                    "TOO_MANY_RUNS",
                    format!("{what}; narrow it by flow_id, states or labels, or page with ListRuns"),
                )
                .with("limit", limit)
                .quota("watched runs", &what)
                .retry_soon()
                .status()
            }
            Error::Draining { sequence } => Refusal::new(
                Code::Unavailable,
                "DRAINING",
                format!(
                    "the service is shutting down; watch again, on another replica, after event {sequence}"
                ),
            )
            .with("sequence", sequence)
            .retry_soon()
            .status(),
            Error::Panicked(panic) => internal(&panic),
        }
    }
}

fn export_status(flow_id: &FlowId, error: &export::Error) -> Status {
    let id = shown(flow_id.as_str());
    match error {
        export::Error::NotExpressible(violations) => Refusal::new(
            Code::FailedPrecondition,
            "NOT_EXPRESSIBLE",
            format!("flow {id} cannot be written in this format: {error}"),
        )
        .with("flowId", id)
        .with("violationCount", violations.len())
        .status(),
        export::Error::TooLarge { bytes } => Refusal::new(
            Code::FailedPrecondition,
            "DOCUMENT_TOO_LARGE",
            format!("flow {id}: {error}; GetFlow gives it"),
        )
        .with("flowId", id)
        .with("sizeBytes", bytes)
        .with("maxBytes", MAX_BYTES)
        .status(),
        export::Error::Yaml(_) | export::Error::Json(_) => internal(error),
    }
}

/// A bug: the cause is logged and nothing of it told.
fn internal(error: &(dyn std::error::Error + 'static)) -> Status {
    error!(error, "a request has failed");
    Refusal::new(
        Code::Internal,
        "INTERNAL",
        "internal error; the service's log has the cause",
    )
    .status()
}
