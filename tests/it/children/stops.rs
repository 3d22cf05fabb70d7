//! What stops a parent stops its children, and theirs.

use serde_json::json;
use synapps::proto::{CancelRunRequest, DeleteFlowRequest, FlowPolicy, RunState, StepState};
use tonic::Code;

use super::{asking, call, calling, child_of, details, output, run};
use crate::support::calls::{assert_gapless, reason};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

fn seconds() -> FlowPolicy {
    FlowPolicy {
        run_timeout: Some(prost_types::Duration {
            seconds: 3,
            nanos: 0,
        }),
        ..FlowPolicy::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_child_and_the_grandchild() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    server.save(asking("leaf", &bin, "/slow")).await;
    server.save(calling("middle", "leaf")).await;
    let top = server
        .save_and_start(calling("top", "middle"), &json!({}))
        .await;
    let middle = child_of(&server, &top).await;
    let leaf = child_of(&server, &middle).await;
    bin.requested("/slow", 1).await;

    server.cancel(&top).await.unwrap();
    for run_id in [&top, &middle, &leaf] {
        let run = server.finished_run(run_id).await;

        assert_eq!(run.state(), RunState::Cancelled, "{run:?}");
        assert_gapless(&server.events_after(run_id, 0).await);
    }
    let top = server.get(&top).await;
    assert_eq!(call(&top).state(), StepState::Cancelled);
    assert_eq!(bin.count("/slow"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_what_waits_out_of_memory() {
    let server = TestServer::start().await;
    let wait = json!({"seconds": 3_600});
    server.save(chain("leaf", &[("wait", "delay", wait)])).await;
    let top = server
        .save_and_start(calling("top", "leaf"), &json!({}))
        .await;
    let leaf = child_of(&server, &top).await;
    server.run_in_state(&leaf, RunState::Waiting).await;
    server.run_in_state(&top, RunState::Waiting).await;

    server.cancel(&top).await.unwrap();

    for run_id in [&top, &leaf] {
        let run = server.finished_run(run_id).await;
        assert_eq!(run.state(), RunState::Cancelled, "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_parents_time_is_the_end_of_its_childs() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    server.save(asking("leaf", &bin, "/slow")).await;
    server.save(calling("middle", "leaf")).await;
    let mut flow = calling("top", "middle");
    flow.policy = Some(seconds());
    let top = server.save_and_start(flow, &json!({})).await;
    let middle = child_of(&server, &top).await;
    let leaf = child_of(&server, &middle).await;

    let run = server.finished_run(&top).await;
    let ended = [
        server.finished_run(&middle).await,
        server.finished_run(&leaf).await,
    ];

    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(run.error.as_ref().unwrap().code, "RUN_TIMEOUT");
    assert_eq!(call(&run).state(), StepState::Cancelled);
    for run in ended {
        // Its own time is up at the same moment as its parent cancels it.
        match run.state() {
            RunState::Cancelled => {}
            RunState::Failed => assert_eq!(run.error.unwrap().code, "RUN_TIMEOUT"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bin.count("/slow"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_with_less_time_than_its_parent_fails_alone() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let mut child = asking("child", &bin, "/slow");
    child.policy = Some(seconds());
    server.save(child).await;

    let run = run(&server, calling("top", "child"), json!({})).await;

    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(run.error.as_ref().unwrap().code, "CHILD_FAILED");
    assert_eq!(details(&run)["error"]["code"], "RUN_TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_somebody_cancels_fails_its_parents_step() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    server.save(asking("child", &bin, "/slow")).await;
    let top = server
        .save_and_start(calling("top", "child"), &json!({}))
        .await;
    let child = child_of(&server, &top).await;
    bin.requested("/slow", 1).await;

    let request = CancelRunRequest {
        run_id: child.clone(),
        reason: "not this one".to_owned(),
        grace: None,
    };
    server.runs().cancel_run(request).await.unwrap();
    let run = server.finished_run(&top).await;

    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(run.error.as_ref().unwrap().code, "CHILD_CANCELLED");
    assert_eq!(details(&run)["run_id"], json!(child));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_fails_elsewhere_cancels_its_child() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let gate = bin.hold("/broken");
    bin.answer("/broken", Answer::status(500));
    server.save(asking("child", &bin, "/slow")).await;
    let flow = flow_with_ends("top")
        .node("call", "subflow", json!({"flow_id": "child"}))
        .node("get", "http_request", json!({"url": bin.url("/broken")}))
        .edge("start", "call")
        .edge("start", "get")
        .edge("call", "end")
        .edge("get", "end")
        .build();
    let top = server.save_and_start(flow, &json!({})).await;
    let child = child_of(&server, &top).await;
    bin.requested_in_all(2).await;

    gate.release();
    let run = server.finished_run(&top).await;

    assert_eq!(run.error.as_ref().unwrap().code, "HTTP_5XX");
    assert_eq!(call(&run).state(), StepState::Cancelled);
    assert_eq!(
        server.finished_run(&child).await.state(),
        RunState::Cancelled
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_whose_run_is_a_child_is_deleted_by_force_only() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    server.save(asking("child", &bin, "/slow")).await;
    let top = server
        .save_and_start(calling("top", "child"), &json!({}))
        .await;
    let child = child_of(&server, &top).await;
    bin.requested("/slow", 1).await;
    let mut request = DeleteFlowRequest {
        flow_id: "child".to_owned(),
        ..DeleteFlowRequest::default()
    };

    let refused = server.flows().delete_flow(request.clone()).await;
    let refused = refused.unwrap_err();
    request.force = true;
    server.flows().delete_flow(request).await.unwrap();
    let run = server.finished_run(&top).await;
    let child = server.finished_run(&child).await;

    assert_eq!(
        refused.code(),
        Code::FailedPrecondition,
        "{}",
        reason(&refused)
    );
    assert_eq!(run.error.as_ref().unwrap().code, "CHILD_CANCELLED");
    assert_eq!(child.state(), RunState::Cancelled);
    assert_eq!(child.flow_id, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_was_deleted_before_it_is_called_is_not_found() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(chain("child", &[])).await;
    let flow = chain(
        "top",
        &[
            ("get", "http_request", json!({"url": bin.url("/slow")})),
            ("call", "subflow", json!({"flow_id": "child", "input": 1})),
        ],
    );
    let first = server.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;
    let request = DeleteFlowRequest {
        flow_id: "child".to_owned(),
        ..DeleteFlowRequest::default()
    };
    server.flows().delete_flow(request).await.unwrap();

    held.release();
    let failed = server.finished_run(&first).await;
    server.save(chain("child", &[])).await;
    let again = server.start("top", &json!({})).await;
    let again = server.finished_run(&again).await;

    assert_eq!(failed.error.as_ref().unwrap().code, "FLOW_NOT_FOUND");
    assert_eq!(output(&again), json!(1));
}
