//! Which revision a start means while another process changes the flow: each process remembers what it saw last, and goes
//! by nothing that was over when the start came.

use serde_json::{Value, json};
use synapps::proto::{DeleteFlowRequest, Flow, StartRunRequest, UpdateFlowRequest};
use tonic::Code;

use super::{request, start};
use crate::support::calls::{Calls, assert_error};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

/// A flow that says this.
fn saying(text: &str) -> Flow {
    let says = json!({ "operation": "template", "template": text });
    chain("says", &[("say", "transform", says)])
}

/// Two processes on one database; the first has started a run of the flow.
async fn two() -> (TestServer, TestServer) {
    let first = TestServer::start().await;
    let second = TestServer::builder().database(first.database());
    let second = second.start().await;
    second.save(saying("one")).await;
    assert_eq!(said(&first).await, (1, "one".to_owned()));
    (first, second)
}

async fn update(calls: &Calls, flow: Flow) {
    let update = UpdateFlowRequest {
        flow: Some(flow),
        ..UpdateFlowRequest::default()
    };
    calls.flows().update_flow(update).await.unwrap();
}

async fn delete(calls: &Calls) {
    let delete = DeleteFlowRequest {
        flow_id: "says".to_owned(),
        ..DeleteFlowRequest::default()
    };
    calls.flows().delete_flow(delete).await.unwrap();
}

/// The revision of a run that is started now, and what it says.
async fn said(calls: &Calls) -> (i32, String) {
    said_by(calls, request("says", &json!({}))).await
}

async fn said_by(calls: &Calls, request: StartRunRequest) -> (i32, String) {
    let run = start(calls, request).await.unwrap().run.unwrap();
    let run = calls.finished_run(&run.run_id).await;
    let output = calls.get(&run.run_id).await.output;
    (
        run.revision,
        wire::json(output.as_ref()).as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_by_what_another_process_has_saved_just_before() {
    let (first, second) = two().await;

    for (revision, text) in [(2, "two"), (3, "three")] {
        update(&second, saying(text)).await;
        assert_eq!(said(&first).await, (revision, text.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_an_older_revision_stays_with_it() {
    let (first, second) = two().await;
    update(&second, saying("two")).await;
    let older = StartRunRequest {
        revision: 1,
        ..request("says", &json!({}))
    };

    assert_eq!(said_by(&first, older).await, (1, "one".to_owned()));
    let newer = StartRunRequest {
        revision: 2,
        ..request("says", &json!({}))
    };
    assert_eq!(said_by(&first, newer).await, (2, "two".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_another_process_has_deleted_starts_nothing() {
    let (first, second) = two().await;
    delete(&second).await;

    let refused = start(&first, request("says", &json!({}))).await;
    let older = StartRunRequest {
        revision: 1,
        ..request("says", &json!({}))
    };
    let older = start(&first, older).await;

    assert_error(&refused.unwrap_err(), Code::NotFound, "FLOW_NOT_FOUND");
    assert_error(&older.unwrap_err(), Code::NotFound, "FLOW_NOT_FOUND");
    second.save(saying("again")).await;
    assert_eq!(said(&first).await, (1, "again".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_checked_by_the_schema_that_another_process_has_saved_just_before() {
    let (first, second) = two().await;
    let schema = json!({ "type": "object", "required": ["name"] });
    let strict = Flow {
        input_schema: Some(wire::fields(&schema)),
        ..saying("strict")
    };
    update(&second, strict).await;
    let refused = start(&first, request("says", &json!({}))).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let named: Value = json!({ "name": "Ada" });
    let strict = said_by(&first, request("says", &named)).await;
    assert_eq!(strict, (2, "strict".to_owned()));

    update(&second, saying("lax")).await;

    assert_eq!(said(&first).await, (3, "lax".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_gives_its_run_again_although_the_flow_has_changed() {
    let (first, second) = two().await;
    let named = StartRunRequest {
        request_id: "order-1".to_owned(),
        ..request("says", &json!({}))
    };
    let before = start(&first, named.clone()).await.unwrap();
    update(&second, saying("two")).await;

    let again = start(&first, named).await.unwrap();

    assert!(before.started && !again.started);
    assert_eq!(before.run.unwrap().run_id, again.run.unwrap().run_id);
}
