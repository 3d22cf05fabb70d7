//! What is refused because of how a run stands.

use tonic::{Code, Status};

use super::refusal::{Refusal, refuse_fields, shown};
use crate::engine::control::Refused;
use crate::ids::RunId;
use crate::run::state::RunState;
use crate::store::deletion::Relation;

/// The error for what cannot be asked of a run as it stands.
pub(super) fn status(refused: Refused) -> Status {
    match refused {
        Refused::Cancelling(id) => Refusal::new(
            Code::FailedPrecondition,
            "RUN_CANCELLING",
            format!("run {id} is being cancelled, which nothing turns back"),
        )
        .with("runId", id)
        .with("state", RunState::Cancelling)
        .status(),
        Refused::NotFailed { id, state } => Refusal::new(
            Code::FailedPrecondition,
            "RUN_NOT_FAILED",
            format!("run {id} is {state}: only a run that is FAILED can be retried"),
        )
        .with("runId", id)
        .with("state", state)
        .status(),
        Refused::IsChild { id, parent } => Refusal::new(
            Code::FailedPrecondition,
            "RUN_IS_CHILD",
            format!("run {id} was started by run {parent}; retry that one"),
        )
        .with("runId", id)
        .with("parentRunId", parent)
        .status(),
        Refused::StepNotFound { id, path } => {
            let path = shown(path.as_str());
            Refusal::new(
                Code::NotFound,
                "STEP_NOT_FOUND",
                format!("run {id} has no step {path}; ListSteps names those it has"),
            )
            .with("runId", id)
            .with("stepPath", &path)
            .about("synapps.v1.Step", path)
            .status()
        }
        Refused::NotResolvable {
            id,
            path,
            state,
            attempt,
        } => {
            let path = shown(path.as_str());
            Refusal::new(
                Code::FailedPrecondition,
                "STEP_NOT_RESOLVABLE",
                format!(
                    "step {path} of run {id} is {state} at attempt {attempt}: it has to be OUTCOME_UNKNOWN or QUARANTINED \
                     at the attempt that is given, and nobody must have decided about that before"
                ),
            )
            .with("runId", id)
            .with("stepPath", path)
            .with("state", state)
            .with("attempt", attempt)
            .status()
        }
        Refused::Unfit(violations) => {
            let what = "the request does not fit the step";
            refuse_fields(what, "INVALID_REQUEST", &violations)
        }
        Refused::ApprovalNotFound { id, path } => {
            let path = shown(path.as_str());
            Refusal::new(
                Code::NotFound,
                "APPROVAL_NOT_FOUND",
                format!("step {path} of run {id} asks for no approval; ListApprovals lists those that are asked for"),
            )
            .with("runId", id)
            .with("stepPath", &path)
            .about("synapps.v1.Approval", path)
            .status()
        }
        Refused::ApprovalDecided {
            id,
            path,
            decision,
            decided_by,
        } => {
            let (path, decided_by) = (shown(path.as_str()), shown(&decided_by));
            let by = if decided_by.is_empty() {
                String::new()
            } else {
                format!(" by {decided_by}")
            };
            Refusal::new(
                Code::FailedPrecondition,
                "APPROVAL_DECIDED",
                format!("what step {path} of run {id} asked is decided: {decision}{by}"),
            )
            .with("runId", id)
            .with("stepPath", path)
            .with("decision", decision)
            .with("decidedBy", decided_by)
            .status()
        }
        Refused::ApprovalChanged {
            id,
            path,
            given,
            current,
        } => {
            let (path, given) = (shown(path.as_str()), shown(&given));
            Refusal::new(
                Code::Aborted,
                "ETAG_MISMATCH",
                format!(
                    "step {path} of run {id} asks something else by now: its etag is {current}, not {given}; read it again \
                     with ListApprovals"
                ),
            )
            .with("runId", id)
            .with("stepPath", path)
            .with("etag", current)
            .with("givenEtag", given)
            .status()
        }
        Refused::TooManySignals { id, limit } => {
            let what = format!(
                "run {id} keeps {limit} signals that no step has asked for, which is the most"
            );
            Refusal::new(Code::ResourceExhausted, "TOO_MANY_SIGNALS", &what)
                .with("runId", id)
                .with("limit", limit)
                .quota("signals", &what)
                .retry_soon()
                .status()
        }
        Refused::SignalReused { id, request_id } => {
            let request_id = shown(&request_id);
            Refusal::new(
                Code::AlreadyExists,
                "REQUEST_ID_REUSED",
                format!("request_id {request_id} was used for another signal to run {id}; take a new one"),
            )
            .with("requestId", request_id)
            .with("runId", id)
            .about("synapps.v1.Run", id)
            .status()
        }
    }
}

/// The error for deleting a run that another one may still need.
pub(super) fn in_use(id: RunId, relation: Relation, by: RunId) -> Status {
    let why = match relation {
        Relation::Parent => "a step of it waits for this run",
        Relation::Child => "this run has started it",
        Relation::Fork => "it is a fork of this run and may use its outputs",
    };
    Refusal::new(
        Code::FailedPrecondition,
        "RUN_IN_USE",
        format!("run {id} cannot be deleted while run {by} is open: {why}"),
    )
    .with("runId", id)
    .with("usedBy", by)
    .with("relation", relation.as_str())
    .status()
}
