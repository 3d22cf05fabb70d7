//! Errors into `Status`: the only place where a gRPC code is chosen.

use crate::engine;
use crate::flow::Violation;
use crate::ids::{FlowId, RunId};
use crate::run::state::RunState;
use crate::store;

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
    /// No applet is of this kind.
    #[error("no applet is of kind {0}")]
    AppletNotFound(String),
    /// The run has not ended, which the call needs.
    #[error("run {id} is {state}")]
    RunNotDone {
        /// Which run.
        id: RunId,
        /// Where it stands.
        state: RunState,
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
    /// The process is about to end; the stream can be resumed elsewhere.
    #[error("the service is shutting down; watch again after event {sequence}")]
    Draining {
        /// Sequence of the last event that was sent.
        sequence: i64,
    },
}

/// What a call gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;
