//! Errors about much or long input still reach the client whole.

use serde_json::json;
use synapps::proto::{CreateFlowRequest, Flow, ValidateFlowRequest};
use tonic::Code;
use tonic_types::StatusExt;

use super::{assert_unharmed, refusal, told};
use crate::support::calls::{Calls, assert_error, metadata};
use crate::support::flows::flow;
use crate::support::server::TestServer;

/// A flow with this much wrong in it.
fn broken(violations: usize, kind: &str) -> Flow {
    let mut flow = flow("broken");
    for number in 0..violations {
        flow = flow.node(&format!("n{number}"), kind, json!({}));
    }
    flow.build()
}

async fn reported(server: &Calls, flow: Flow) -> usize {
    let request = ValidateFlowRequest { flow: Some(flow) };
    let answer = server.flows().validate_flow(request).await;
    answer.unwrap().into_inner().violations.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_violations_the_first_are_told_and_all_are_counted() {
    let server = TestServer::start().await;
    let flow = broken(1_000, "robot");

    let status = refusal(&server, flow.clone()).await;

    assert_error(&status, Code::InvalidArgument, "INVALID_FLOW");
    assert_eq!(metadata(&status, "violationCount"), "1000");
    let told = told(&status);
    assert!((8..=32).contains(&told.len()), "{}", told.len());
    assert_eq!(told[0].0, "flow.nodes[0].type");
    assert!(status.message().contains("997 more"), "{status:?}");
    assert!(
        status.details().len() <= 5 * 1024,
        "{}",
        status.details().len()
    );
    assert_eq!(reported(&server, flow).await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_and_odd_texts_in_errors_are_cut() {
    let server = TestServer::start().await;
    let odd = "\u{1}\"\\é\u{1F600}".repeat(2_000);
    let mut flow = broken(40, &odd);
    for (number, node) in flow.nodes.iter_mut().enumerate() {
        node.id = format!("{number}{odd}");
        let data = node.data.get_or_insert_default();
        data.fields
            .insert(odd.clone() + "\0", prost_types::Value::default());
    }
    flow.id.clone_from(&odd);
    flow.labels.insert(odd.clone(), odd.clone());

    let status = refusal(&server, flow).await;

    assert_error(&status, Code::InvalidArgument, "INVALID_FLOW");
    let count: usize = metadata(&status, "violationCount").parse().unwrap();
    assert!(count > 100, "{count}");
    assert!(
        status.details().len() <= 5 * 1024,
        "{}",
        status.details().len()
    );
    assert!(status.message().len() <= 600, "{}", status.message().len());
    assert!(status.get_details_bad_request().is_some());
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_flow_names_the_field() {
    let server = TestServer::start().await;

    let status = server
        .flows()
        .create_flow(CreateFlowRequest::default())
        .await;
    let status = status.unwrap_err();

    assert_error(&status, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(told(&status), [("flow".to_owned(), "REQUIRED".to_owned())]);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "synapps.dev");
}
