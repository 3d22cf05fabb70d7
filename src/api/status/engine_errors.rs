//! What the engine refuses.

use tonic::{Code, Status};
use tracing::warn;

use super::refusal::{Refusal, refuse_fields, shown};
use super::{control, store_errors};
use crate::engine;
use crate::engine::queue::Bound;
use crate::ids::FlowId;

/// Why the engine refuses.
#[expect(clippy::too_many_lines, reason = "one arm for each error")]
pub(super) fn status(error: engine::Error) -> Status {
    match error {
        engine::Error::Store(error) => store_errors::status(&error),
        engine::Error::RunNotFound(id) => Refusal::new(
            Code::NotFound,
            "RUN_NOT_FOUND",
            format!("run {id} does not exist"),
        )
        .with("runId", id)
        .about("synapps.v1.Run", id)
        .status(),
        engine::Error::RunDone { id, state } => Refusal::new(
            Code::FailedPrecondition,
            "RUN_ALREADY_DONE",
            format!("run {id} is {state} already"),
        )
        .with("runId", id)
        .with("state", state)
        .status(),
        engine::Error::Refused(refused) => control::status(refused),
        engine::Error::RequestIdReused { request_id, run_id } => {
            let request_id = shown(&request_id);
            Refusal::new(
                Code::AlreadyExists,
                "REQUEST_ID_REUSED",
                format!(
                    "request_id {request_id} was used for another request, which started run {run_id}; take a new one"
                ),
            )
            .with("requestId", request_id)
            .with("runId", run_id)
            .about("synapps.v1.Run", run_id)
            .status()
        }
        engine::Error::InvalidInput(violations) => {
            let what = "the input does not fit the flow's input schema";
            refuse_fields(what, "INVALID_INPUT", &violations)
        }
        engine::Error::InvalidFork(violations) => {
            refuse_fields("the request is invalid", "INVALID_REQUEST", &violations)
        }
        engine::Error::FlowDeleted(id) => Refusal::new(
            Code::FailedPrecondition,
            "FLOW_DELETED",
            format!("the flow of run {id} was deleted, and starts no more runs"),
        )
        .with("runId", id)
        .status(),
        engine::Error::NoConcurrencyKey(violation) => {
            let what = "the flow's concurrency_key cannot be made of the input";
            refuse_fields(what, "INVALID_INPUT", &[violation])
        }
        engine::Error::TooManyOpenRuns {
            flow_id,
            key,
            limit,
            open,
        } => too_many_open_runs(&flow_id, &key, limit, open),
        engine::Error::QueueFull(full) => queue_full(&full),
        engine::Error::TooManyStarts(limit) => {
            let what = format!("{limit} starts are under way in this process, which is its limit");
            Refusal::new(Code::ResourceExhausted, "TOO_MANY_STARTS", &what)
                .with("limit", limit)
                .quota("starts", &what)
                .retry_soon()
                .status()
        }
        engine::Error::PayloadNotFound { run_id, reference } => {
            let reference = shown(&reference);
            Refusal::new(
                Code::NotFound,
                "PAYLOAD_NOT_FOUND",
                format!("run {run_id} has no payload {reference}; GetRun and ListRunEvents name those it has"),
            )
            .with("runId", run_id)
            .with("ref", &reference)
            .about("synapps.v1.PayloadRef", reference)
            .status()
        }
        engine::Error::Rejected(why) => {
            let why = shown(&why);
            warn!(why, "the database does not take a run");
            Refusal::new(
                Code::FailedPrecondition,
                "RUN_REJECTED",
                format!("the database does not take the run: {why}"),
            )
            .with("cause", why)
            .status()
        }
        engine::Error::TooMuchStarting { limit } => {
            let what = format!(
                "runs of more than {limit} bytes are being started and are not durable yet"
            );
            Refusal::new(Code::ResourceExhausted, "TOO_MUCH_STARTING", &what)
                .with("limit", limit)
                .quota("bytes of runs that are being started", &what)
                .retry_soon()
                .status()
        }
        engine::Error::TooManyWatchers(crate::hub::TooMany(limit)) => {
            let what = format!("{limit} watches are open in this process, which is its limit");
            Refusal::new(Code::ResourceExhausted, "TOO_MANY_WATCHERS", &what)
                .with("limit", limit)
                .quota("watchers", &what)
                .retry_soon()
                .status()
        }
        engine::Error::Draining => Refusal::new(
            Code::Unavailable,
            "DRAINING",
            "the service is shutting down; try again, on another replica",
        )
        .retry_soon()
        .status(),
    }
}

fn queue_full(full: &engine::queue::Full) -> Status {
    let (name, scope) = match &full.bound {
        Bound::All => ("SYNAPPS_MAX_QUEUED_RUNS", "the service".to_owned()),
        Bound::OfNamespace(namespace) => (
            "SYNAPPS_MAX_QUEUED_RUNS_PER_NAMESPACE",
            format!("namespace {}", shown(namespace.as_str())),
        ),
    };
    let (limit, queued) = (full.limit, full.queued);
    let what = format!(
        "{queued} runs of {scope} wait for their start and {name} is {limit}; try again when some have started, or cancel some"
    );
    Refusal::new(Code::ResourceExhausted, "QUEUE_FULL", &what)
        .with("limitName", name)
        .with("limit", limit)
        .with("value", queued)
        .with("scope", &scope)
        .quota(&scope, &what)
        .retry_soon()
        .status()
}

fn too_many_open_runs(flow_id: &FlowId, key: &str, limit: u32, open: u32) -> Status {
    let (id, key) = (shown(flow_id.as_str()), shown(key));
    let scope = if key.is_empty() {
        format!("flow {id}")
    } else {
        format!("flow {id} with the concurrency key {key}")
    };
    let what = format!(
        "{open} runs of {scope} are open and FlowPolicy.max_open_runs is {limit}; wait for the end of one or \
         cancel one (ListRuns lists them), or change on_conflict"
    );
    Refusal::new(Code::ResourceExhausted, "MAX_OPEN_RUNS", &what)
        .with("limit", limit)
        .with("value", open)
        .with("key", &key)
        .with("flowId", &id)
        .with("scope", "FlowPolicy.max_open_runs")
        .quota(&scope, &what)
        .retry_soon()
        .status()
}
