//! Steps that wait for somebody, beside others that do.

use serde_json::{Value, json};
use synapps::proto::{RunState, StepState};

use super::{output, result, state};
use crate::control::{a_signal, asked, signal};
use crate::support::calls::assert_gapless;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::history::has;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn two_steps_that_wait_for_one_name_need_two_signals() {
    let server = TestServer::start().await;
    let wait = json!({ "name": "go" });
    // The second begins to wait after the first.
    let flow = flow_with_ends("two")
        .node("first", "wait_signal", wait.clone())
        .node("soon", "delay", json!({ "seconds": 0.2 }))
        .node("second", "wait_signal", wait)
        .edge("start", "first")
        .edge("start", "soon")
        .edge("soon", "second")
        .edge_from("first", "received", "end")
        .edge_from("second", "received", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    let both_wait = |run: &synapps::proto::Run| {
        ["first", "second"]
            .iter()
            .all(|node| state(run, node) == StepState::Waiting)
    };
    server.run_once(&run_id, "both to wait", both_wait).await;

    let send = async |payload: i32| {
        let request = a_signal(&run_id, "go", &json!(payload));
        assert!(signal(&server, request).await.unwrap());
    };
    send(1).await;
    let half = server
        .run_once(&run_id, "one to go on", |run| !both_wait(run))
        .await;
    send(2).await;
    let run = server.finished_run(&run_id).await;

    // The one that has waited for longest is the first to get one.
    assert_eq!(state(&half, "second"), StepState::Waiting);
    assert_eq!(output(&run), json!({"first": 1, "second": 2}));
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_is_there_already_is_taken_even_where_nobody_would_wait() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("early")
        .node("open", "wait_signal", json!({ "name": "open" }))
        .node("wait", "wait_signal", json!({ "name": "go", "timeout": 0 }))
        .node("late", "transform", json!({}))
        .edge("start", "open")
        .edge_from("open", "received", "wait")
        .edge_from("wait", "received", "end")
        .edge_from("wait", "expired", "late")
        .build();
    let early = server.save_and_start(flow, &json!({})).await;
    let without = server.start("early", &json!({})).await;

    let go = a_signal(&early, "go", &json!("here"));
    signal(&server, go).await.unwrap();
    for run_id in [&early, &without] {
        let open = a_signal(run_id, "open", &json!("opened"));
        signal(&server, open).await.unwrap();
    }
    let early = server.finished_run(&early).await;
    let without = server.finished_run(&without).await;

    assert_eq!(output(&early), json!("here"));
    assert_eq!(state(&early, "late"), StepState::Skipped);
    assert_eq!(without.state(), RunState::Succeeded, "{without:?}");
    // What was waited for in vain leaves by `expired`, with the node's input.
    assert_eq!(result(&without, "late"), json!("opened"));
    assert_eq!(state(&without, "end"), StepState::Skipped);
}

/// Asks, and passes on what comes by each port under the name of the port.
fn asking(config: Value) -> synapps::proto::Flow {
    let mut flow = flow_with_ends("ask")
        .node("ask", "approval", config)
        .edge("start", "ask");
    for port in ["approved", "rejected", "expired"] {
        flow = flow
            .node(port, "transform", json!({}))
            .edge_from("ask", port, port)
            .edge(port, "end");
    }
    flow.build()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_in_time_leaves_by_its_default_or_expires() {
    for (default, port) in [
        (None, "expired"),
        (Some("approved"), "approved"),
        (Some("rejected"), "rejected"),
    ] {
        let server = TestServer::start().await;
        let mut config = json!({ "title": "Go on?", "expires_in": 0.3 });
        if let Some(default) = default {
            config["default_decision"] = default.into();
        }
        let run_id = server.save_and_start(asking(config), &json!([1])).await;

        let run = server.finished_run(&run_id).await;

        let given = &output(&run)[port];
        assert_eq!(given["decision"], port.to_uppercase(), "{given}");
        assert_eq!(given["input"], json!([1]));
        assert_eq!(asked(&server, &run_id).await, []);
        let events = server.events_after(&run_id, 0).await;
        assert_gapless(&events);
        assert!(has(&events, "step_expired ask"));
        assert!(!has(&events, "approval_resolved ask"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_takes_its_own_signals() {
    let server = TestServer::start().await;
    let child = flow_with_ends("child")
        .node("wait", "wait_signal", json!({ "name": "go" }))
        .edge("start", "wait")
        .edge_from("wait", "received", "end")
        .build();
    server.save(child).await;
    let flow = chain("top", &[("call", "subflow", json!({ "flow_id": "child" }))]);
    let top = server.save_and_start(flow, &json!({})).await;
    let waiting = server.run_in_state(&top, RunState::Waiting).await;
    let child = waiting.steps.iter().find(|step| step.node_id == "call");
    let child = child.unwrap().child_run_id.clone();

    let to_parent = a_signal(&top, "go", &json!("parent"));
    signal(&server, to_parent).await.unwrap();
    let to_child = a_signal(&child, "go", &json!("child"));
    signal(&server, to_child).await.unwrap();
    let run = server.finished_run(&top).await;

    assert_eq!(output(&run), json!("child"));
}
