//! The engine: drives every open run that this process owns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::applet::registry::Registry;
use crate::hub::{self, Hub, Subscription};
use crate::ids::{FlowId, Namespace, RunId, RunKey};
use crate::run::Run;
use crate::run::event::PayloadInfo;
use crate::run::state::RunState;
use crate::store::births::Request;
use crate::store::runs::RunRow;
use crate::store::{self, Store};

/// The handle that the api calls; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {}

/// A run that somebody wants started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Whose run it is to be.
    pub namespace: Namespace,
    /// The flow to run.
    pub flow_id: FlowId,
    /// Its revision; 0 is the latest.
    pub revision: i32,
    /// What it is started with.
    pub input: Value,
    /// The client's name for the request, if it gave one.
    pub request: Option<Request>,
    /// The client's marks.
    pub labels: BTreeMap<String, String>,
    /// Higher ones go first.
    pub priority: i32,
}

/// The answer to [`Engine::start`].
#[derive(Debug)]
pub struct Started {
    /// The run, which is durable now.
    pub key: RunKey,
    /// Whether this call has started it; else the request id had done so before.
    pub started: bool,
    /// A place at the hub. Where `started` is set it was taken before the first event: nothing needs to be replayed.
    pub subscription: Option<Subscription>,
}

/// A run as it stands: its row, and the fold of its events up to `row.last_sequence`.
#[derive(Clone, Debug)]
pub struct View {
    /// The projection.
    pub row: RunRow,
    /// All its steps.
    pub run: Run,
}

/// Why the engine refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refuses, or cannot be reached.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The namespace has no such run.
    #[error("run {0} does not exist")]
    RunNotFound(RunId),
    /// The run has ended, which the call does not allow.
    #[error("run {id} is {state}")]
    RunDone {
        /// Which run.
        id: RunId,
        /// How it ended.
        state: RunState,
    },
    /// The request id has started another run, by another request.
    #[error("request id {request_id} was used for another request, which started run {run_id}")]
    RequestIdReused {
        /// The request id.
        request_id: String,
        /// The run that it has started.
        run_id: RunId,
    },
    /// The input does not fit the flow's input schema.
    #[error("the input does not fit the flow's input schema")]
    InvalidInput(Vec<crate::flow::Violation>),
    /// A payload was asked for that is not there.
    #[error("run {run_id} has no payload {reference}")]
    PayloadNotFound {
        /// Which run.
        run_id: RunId,
        /// What was asked for.
        reference: String,
    },
    /// There are too many watchers.
    #[error(transparent)]
    TooManyWatchers(#[from] hub::TooMany),
    /// The process is about to end.
    #[error("the service is shutting down")]
    Draining,
}

/// SIGNATURES ONLY, for the api engineer; the lead replaces this file.
impl Engine {
    pub fn registry(&self) -> &Registry {
        todo!()
    }
    pub fn store(&self) -> &Store {
        todo!()
    }
    pub fn hub(&self) -> &Hub {
        todo!()
    }
    /// Cancelled when the process drains: streams end with DRAINING.
    pub fn draining(&self) -> tokio_util::sync::CancellationToken {
        todo!()
    }
    /// Starts a run (input is already checked for size/nesting/NUL by the api) and answers when it is durable.
    pub async fn start(&self, _start: Start, _watch: bool) -> Result<Started, Error> {
        todo!()
    }
    /// Answers with the state CANCELLING or CANCELLED; RunDone if SUCCEEDED or FAILED.
    pub async fn cancel(
        &self,
        _key: &RunKey,
        _reason: String,
        _grace: Duration,
    ) -> Result<RunState, Error> {
        todo!()
    }
    /// The run's row and the fold of its events.
    pub async fn view(&self, _key: &RunKey) -> Result<View, Error> {
        todo!()
    }
    /// JSON text of a payload of the run: the one that belongs to the event `sequence`, of which `info` is known.
    pub async fn payload(
        &self,
        _key: &RunKey,
        _sequence: i64,
        _info: &PayloadInfo,
    ) -> Result<Arc<str>, Error> {
        todo!()
    }
}
