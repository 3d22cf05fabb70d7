//! Items that wait: for signals, for decisions, for the end of a pause.

use serde_json::json;
use synapps::proto::{ApprovalDecision, RunState, StepState, WaitReason};

use super::{expression, looping, output, paths, progress, single};
use crate::control::{a_signal, asked, decide, decision, pause, resume, signal};
use crate::support::binary::Binary;
use crate::support::calls::{Calls, assert_gapless};
use crate::support::history::kind;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

/// Each item waits for a signal, called so; its output is what that carries, or `late`.
fn signalled(id: &str, name: &str) -> synapps::proto::Flow {
    let body = json!({
        "nodes": [
            {"id": "wait", "type": "wait_signal", "data": {"name": name, "timeout": 3_600}},
            {"id": "got", "type": "transform", "data": expression("[item, content]")},
            {"id": "late", "type": "transform", "data": expression("'late'")},
            {"id": "result", "type": "merge", "data": {"strategy": "first_wins"}},
        ],
        "edges": [
            {"source": "wait", "source_handle": "received", "target": "got"},
            {"source": "wait", "source_handle": "expired", "target": "late"},
            {"source": "got", "target": "result"},
            {"source": "late", "target": "result"},
        ],
    });
    let config = json!({"array_source": ["a", "b", "c"], "concurrency": 3, "body": body});
    looping(id, config)
}

async fn send(server: &Calls, run_id: &str, name: &str, payload: i32) {
    let request = a_signal(run_id, name, &json!(payload));
    assert!(signal(server, request).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_take_signals_of_one_name_one_after_the_other() {
    let server = TestServer::start().await;
    let run_id = server
        .save_and_start(signalled("same", "go"), &json!({}))
        .await;
    let waiting = server.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(waiting.wait_reason(), WaitReason::Signal);
    assert_eq!(progress(&waiting), [3, 3, 0, 0]);

    for payload in [1, 2, 3] {
        send(&server, &run_id, "go", payload).await;
    }
    let run = server.finished_run(&run_id).await;

    // All began to wait at about the same time, and each has got one of them.
    let list = output(&run);
    let mut given: Vec<i64> = Vec::new();
    for (item, name) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(list[item][0], name);
        given.push(list[item][1].as_i64().unwrap());
    }
    given.sort_unstable();
    assert_eq!(given, [1, 2, 3]);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_wait_for_signals_of_their_own_and_outlast_a_kill() {
    let mut binary = Binary::start(&[]).await;
    let run_id = binary
        .save_and_start(signalled("own", "go-{{ item }}"), &json!({}))
        .await;
    binary.run_in_state(&run_id, RunState::Waiting).await;

    send(&binary, &run_id, "go-c", 3).await;
    let through = |event: &synapps::proto::RunEvent| {
        event.step_path == "loop[2]/result" && kind(event) == "step_succeeded"
    };
    binary.event_once(&run_id, 0, through).await;
    binary.kill().await;
    let binary = binary.restart().await;
    send(&binary, &run_id, "go-a", 1).await;
    send(&binary, &run_id, "go-b", 2).await;
    let run = binary.finished_run(&run_id).await;

    assert_eq!(output(&run), json!([["a", 1], ["b", 2], ["c", 3]]));
    assert_gapless(&binary.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_asks_for_its_own_decision() {
    let server = TestServer::start().await;
    let body = json!({
        "nodes": [
            {"id": "ask", "type": "approval", "data": {"title": "Pay {{ item }}?"}},
            {"id": "yes", "type": "transform", "data": expression("item")},
            {"id": "no", "type": "transform", "data": expression("0")},
            {"id": "result", "type": "merge", "data": {"strategy": "first_wins"}},
        ],
        "edges": [
            {"source": "ask", "source_handle": "approved", "target": "yes"},
            {"source": "ask", "source_handle": "rejected", "target": "no"},
            {"source": "yes", "target": "result"},
            {"source": "no", "target": "result"},
        ],
    });
    let flow = looping(
        "asking",
        json!({"array_source": [10, 20, 30], "body": body}),
    );
    let run_id = server.save_and_start(flow, &json!({})).await;
    let waiting = server.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(waiting.wait_reason(), WaitReason::Approval);

    let mut approvals = asked(&server, &run_id).await;
    approvals.sort_by(|a, b| a.step_path.cmp(&b.step_path));
    let titles: Vec<_> = approvals
        .iter()
        .map(|approval| (&*approval.step_path, &*approval.title))
        .collect();
    assert_eq!(
        titles,
        [
            ("loop[0]/ask", "Pay 10?"),
            ("loop[1]/ask", "Pay 20?"),
            ("loop[2]/ask", "Pay 30?")
        ]
    );
    for (item, what) in [
        (2, ApprovalDecision::Approved),
        (0, ApprovalDecision::Approved),
        (1, ApprovalDecision::Rejected),
    ] {
        let request = decision(&approvals[item], what);
        decide(&server, request).await.unwrap();
    }
    let run = server.finished_run(&run_id).await;

    assert_eq!(output(&run), json!([10, 0, 30]));
    assert_eq!(asked(&server, &run_id).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_an_item_that_is_cut_off_is_asked_no_more() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/bad", crate::support::http_bin::Answer::status(500));
    let gate = bin.hold("/bad");
    let body = json!({"nodes": [
        {"id": "ask", "type": "approval", "data": {"title": "Pay {{ item }}?"}},
        {"id": "bad", "type": "http_request", "data": {"url": bin.url("/bad")}},
    ]});
    let config = json!({"array_source": [1, 2], "on_item_error": "skip", "body": body});
    let run_id = server
        .save_and_start(looping("cut", config), &json!({}))
        .await;
    bin.requested("/bad", 2).await;

    gate.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(output(&run), json!([]));
    assert_eq!(asked(&server, &run_id).await, []);
    let steps = server.steps(&run_id, "loop[0]").await;
    assert_eq!(paths(&steps), ["loop[0]/ask", "loop[0]/bad"]);
    assert_eq!(steps[0].state(), StepState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_lets_items_in_flight_end_and_begins_no_other() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/item");
    let config = json!({
        "array_source": (0..10).collect::<Vec<_>>(),
        "concurrency": 3,
        "body": single("get", "http_request", json!({"url": bin.url("/item?n={{ index }}")})),
    });
    let run_id = server
        .save_and_start(looping("paused", config), &json!({}))
        .await;
    bin.requested("/item", 3).await;

    pause(&server, &run_id, "wait").await.unwrap();
    held.release();
    let parked = server
        .run_once(&run_id, "a pause", |run| {
            run.state() == RunState::Paused && progress(run)[2] == 3
        })
        .await;
    let begun = bin.count("/item");
    resume(&server, &run_id).await.unwrap();
    let run = server.finished_run(&run_id).await;

    assert_eq!(progress(&parked)[2], 3);
    assert_eq!((begun, bin.count("/item")), (3, 10));
    assert_eq!(output(&run).as_array().unwrap().len(), 10);
    assert_eq!(bin.most_at_once(), 3);
    assert_gapless(&server.events_after(&run_id, 0).await);
}
