//! What can be done about a run that is there: pause, resume, retry, resolve, signal, approve, delete.

mod approvals;
mod deletes;
mod pauses;
mod resolves;
mod retries;
mod signals;
mod states;

use serde_json::{Value, json};
use synapps::proto::{
    Approval, ApprovalDecision, DeleteRunRequest, Flow, ListApprovalsRequest, PauseRunRequest,
    ResolveApprovalRequest, ResolveStepRequest, ResumeRunRequest, RetryRunRequest, Run,
    SignalRunRequest, StepResolution,
};
use tonic::Status;

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::wire;

pub async fn pause(server: &Calls, run_id: &str, reason: &str) -> Result<Run, Status> {
    let request = PauseRunRequest {
        run_id: run_id.to_owned(),
        reason: reason.to_owned(),
    };
    let answer = server.runs().pause_run(request).await?;
    Ok(answer.into_inner().run.unwrap())
}

pub async fn resume(server: &Calls, run_id: &str) -> Result<Run, Status> {
    let request = ResumeRunRequest {
        run_id: run_id.to_owned(),
    };
    let answer = server.runs().resume_run(request).await?;
    Ok(answer.into_inner().run.unwrap())
}

pub async fn retry(server: &Calls, run_id: &str) -> Result<Run, Status> {
    let request = RetryRunRequest {
        run_id: run_id.to_owned(),
    };
    let answer = server.runs().retry_run(request).await?;
    Ok(answer.into_inner().run.unwrap())
}

async fn delete(server: &Calls, run_id: &str) -> Result<(), Status> {
    let request = DeleteRunRequest {
        run_id: run_id.to_owned(),
    };
    server.runs().delete_run(request).await.map(drop)
}

pub fn verdict(run_id: &str, path: &str, attempt: i32, what: StepResolution) -> ResolveStepRequest {
    ResolveStepRequest {
        run_id: run_id.to_owned(),
        step_path: path.to_owned(),
        attempt,
        resolution: what.into(),
        ..ResolveStepRequest::default()
    }
}

pub async fn resolve(server: &Calls, request: ResolveStepRequest) -> Result<Run, Status> {
    let answer = server.runs().resolve_step(request).await?;
    Ok(answer.into_inner().run.unwrap())
}

pub fn a_signal(run_id: &str, name: &str, payload: &Value) -> SignalRunRequest {
    SignalRunRequest {
        run_id: run_id.to_owned(),
        name: name.to_owned(),
        payload: Some(wire::value(payload)),
        ..SignalRunRequest::default()
    }
}

/// Whether the call has sent it.
pub async fn signal(server: &Calls, request: SignalRunRequest) -> Result<bool, Status> {
    let answer = server.runs().signal_run(request).await?;
    Ok(answer.into_inner().sent)
}

/// All that is asked of this run; of all runs if it is empty.
pub async fn asked(server: &Calls, run_id: &str) -> Vec<Approval> {
    let request = ListApprovalsRequest {
        run_id: run_id.to_owned(),
        ..ListApprovalsRequest::default()
    };
    let answer = server.runs().list_approvals(request).await.unwrap();
    answer.into_inner().approvals
}

pub fn decision(approval: &Approval, what: ApprovalDecision) -> ResolveApprovalRequest {
    ResolveApprovalRequest {
        run_id: approval.run_id.clone(),
        step_path: approval.step_path.clone(),
        etag: approval.etag.clone(),
        decision: what.into(),
        decided_by: "ann@example.org".to_owned(),
        ..ResolveApprovalRequest::default()
    }
}

pub async fn decide(server: &Calls, request: ResolveApprovalRequest) -> Result<Run, Status> {
    let answer = server.runs().resolve_approval(request).await?;
    Ok(answer.into_inner().run.unwrap())
}

/// Asks something of a server and then computes something.
fn asking(id: &str, method: &str, url: &str) -> Flow {
    let call = json!({ "method": method, "url": url });
    chain(
        id,
        &[
            ("call", "http_request", call),
            ("after", "transform", json!({})),
        ],
    )
}

/// How often this has happened, in the words of [`kinds`](crate::support::history::kinds).
fn times(events: &[synapps::proto::RunEvent], what: &str) -> usize {
    let kinds = crate::support::history::kinds(events);
    kinds.iter().filter(|kind| *kind == what).count()
}
