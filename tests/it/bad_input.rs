//! What nobody should send: each is refused with a code, a reason and the field, and the service goes on.

mod configs;
mod graphs;
mod inputs;
mod texts;
mod trailers;
mod values;
mod wire;

use serde_json::json;
use synapps::proto::{CreateFlowRequest, Flow, RunState, ValidateFlowRequest};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::calls::{Calls, assert_error, metadata};
use crate::support::flows::chain;

/// The refusal to store a flow.
async fn refusal(server: &Calls, flow: Flow) -> Status {
    let request = CreateFlowRequest {
        flow: Some(flow),
        validate_only: false,
    };
    let answer = server.flows().create_flow(request).await;
    answer.expect_err("the flow was stored")
}

/// Fields and reasons of what is wrong with a request, as the error tells it.
fn told(status: &Status) -> Vec<(String, String)> {
    let bad = status.get_details_bad_request();
    let violations = bad.into_iter().flat_map(|bad| bad.field_violations);
    violations.map(|one| (one.field, one.reason)).collect()
}

/// Asserts that a flow is refused for exactly this, and that `ValidateFlow` says the same.
async fn assert_refused(server: &Calls, flow: Flow, expected: &[(&str, &str)]) -> Status {
    let request = ValidateFlowRequest {
        flow: Some(flow.clone()),
    };
    let report = server.flows().validate_flow(request).await;
    let report = report.unwrap().into_inner();
    let found = report.violations.iter();
    let found: Vec<(&str, &str)> = found.map(|one| (&*one.field, &*one.reason)).collect();
    assert_eq!(found, expected);

    let status = refusal(server, flow).await;

    let only_later = expected.iter().all(|one| one.1 == "NOT_YET_SUPPORTED");
    let reason = if only_later {
        "NOT_YET_SUPPORTED"
    } else {
        "INVALID_FLOW"
    };
    assert_error(&status, Code::InvalidArgument, reason);
    assert_eq!(
        metadata(&status, "violationCount"),
        expected.len().to_string()
    );
    let told = told(&status);
    let told: Vec<(&str, &str)> = told.iter().map(|one| (&*one.0, &*one.1)).collect();
    assert!(expected.starts_with(&told) && !told.is_empty(), "{told:?}");
    assert!(!status.message().is_empty());
    status
}

/// Asserts that the service still does its work.
async fn assert_unharmed(server: &Calls) {
    let config = json!({"operation": "template", "template": "still {{ input.here }}"});
    let flow = chain("", &[("greet", "transform", config)]);

    let run_id = server.save_and_start(flow, &json!({"here": "here"})).await;

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
}
