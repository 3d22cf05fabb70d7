//! `DeleteRun` of a run that others may still need.

use serde_json::json;
use synapps::proto::{Run, RunState};
use tonic::Code;

use super::{a_signal, asking, delete, signal};
use crate::support::calls::{assert_error, metadata};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_child_stays_until_its_parent_has_ended() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(asking("inner", "GET", &bin.url("/fast"))).await;
    let outer = flow_with_ends("outer")
        .node("call", "subflow", json!({ "flow_id": "inner" }))
        .node("slow", "http_request", json!({ "url": bin.url("/slow") }))
        .edge("start", "call")
        .edge("call", "slow")
        .edge("slow", "end")
        .build();
    let parent = server.save_and_start(outer, &json!({})).await;
    bin.requested("/slow", 1).await;
    let run = server.get(&parent).await;
    let child = |run: &Run| {
        let step = run.steps.iter().find(|step| step.node_id == "call");
        step.unwrap().child_run_id.clone()
    };
    let child = child(&run);

    let error = delete(&server, &child).await.unwrap_err();

    assert_error(&error, Code::FailedPrecondition, "RUN_IN_USE");
    assert_eq!(metadata(&error, "usedBy"), parent);
    assert_eq!(metadata(&error, "relation"), "PARENT");
    held.release();
    assert_eq!(
        server.finished_run(&parent).await.state(),
        RunState::Succeeded
    );
    delete(&server, &child).await.unwrap();
    delete(&server, &parent).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stays_until_its_forks_have_ended() {
    let server = TestServer::start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    let origin = server.save_and_start(flow, &json!({})).await;
    server.cancel(&origin).await.unwrap();
    server.finished_run(&origin).await;
    let fork = server.start("flow", &json!({})).await;
    server.run_in_state(&fork, RunState::Waiting).await;
    let id = |text: &str| uuid::Uuid::parse_str(text).unwrap();
    let sql = server.sql().await;
    let forked = "UPDATE workflow_runs SET forked_from = $1 WHERE run_id = $2";
    sql.execute(forked, &[&id(&origin), &id(&fork)])
        .await
        .unwrap();

    let error = delete(&server, &origin).await.unwrap_err();

    assert_error(&error, Code::FailedPrecondition, "RUN_IN_USE");
    assert_eq!(metadata(&error, "usedBy"), fork);
    assert_eq!(metadata(&error, "relation"), "FORK");
    server.cancel(&fork).await.unwrap();
    server.finished_run(&fork).await;
    delete(&server, &origin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_its_signals_and_approvals_is_left() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("flow")
        .node("ask", "approval", json!({ "title": "Go?" }))
        .edge("start", "ask")
        .edge_from("ask", "approved", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;
    let named = synapps::proto::SignalRunRequest {
        request_id: "once".to_owned(),
        ..a_signal(&run_id, "go", &json!(1))
    };
    signal(&server, named).await.unwrap();
    server.cancel(&run_id).await.unwrap();
    server.finished_run(&run_id).await;

    delete(&server, &run_id).await.unwrap();

    let sql = server.sql().await;
    for table in ["approvals", "signal_requests", "run_inbox", "run_events"] {
        let rows = format!("SELECT count(*) FROM {table}");
        let rows: i64 = sql.query_one(&rows, &[]).await.unwrap().get(0);
        assert_eq!(rows, 0, "{table}");
    }
}
