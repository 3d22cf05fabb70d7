//! Failures, timeouts, unknown outcomes, and how much runs at once.

use serde_json::json;
use synapps::proto::{FlowPolicy, RunState, StepState, WaitReason};

use super::{output, state, step};
use crate::support::calls::assert_gapless;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::history::kinds;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

fn duration(seconds: i64, milliseconds: i32) -> prost_types::Duration {
    let nanos = milliseconds * 1_000_000;
    prost_types::Duration { seconds, nanos }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_fails_the_run_unless_the_node_wants_it() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/missing", Answer::status(404).body("no such thing"));
    let get = json!({ "url": bin.url("/missing") });
    let strict = chain(
        "strict",
        &[
            ("get", "http_request", get),
            ("after", "transform", json!({})),
        ],
    );
    let get = json!({ "url": bin.url("/missing"), "fail_on_status": false });
    let code = json!({ "operation": "json_path", "json_path": "$.status_code" });
    let lenient = chain(
        "lenient",
        &[("get", "http_request", get), ("code", "transform", code)],
    );

    let failed = server.save_and_start(strict, &json!({})).await;
    let failed = server.finished_run(&failed).await;
    let fine = server.save_and_start(lenient, &json!({})).await;
    let fine = server.finished_run(&fine).await;

    assert_eq!(failed.state(), RunState::Failed);
    let error = failed.error.as_ref().unwrap();
    assert_eq!(
        (error.code.as_str(), error.node_id.as_str(), error.attempt),
        ("HTTP_4XX", "get", 1)
    );
    assert_eq!(
        wire::object_of(error.details.as_ref().unwrap())["status_code"],
        404
    );
    assert_eq!(state(&failed, "get"), StepState::Failed);
    assert_eq!(
        step(&failed, "get").error.as_ref().unwrap().code,
        "HTTP_4XX"
    );
    assert!(failed.output.is_none());
    assert_eq!(bin.count("/missing"), 2);
    assert_eq!(
        (fine.state(), output(&fine)),
        (RunState::Succeeded, json!(404))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stops_what_else_is_in_flight() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let gate = bin.hold("/broken");
    bin.answer("/broken", Answer::status(500));
    let get = |path: &str| json!({ "url": bin.url(path) });
    let flow = flow_with_ends("flow")
        .node("slow", "http_request", get("/slow"))
        .node("broken", "http_request", get("/broken"))
        .edge("start", "slow")
        .edge("start", "broken")
        .edge("slow", "end")
        .edge("broken", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    bin.requested_in_all(2).await;

    gate.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(run.error.as_ref().unwrap().code, "HTTP_5XX");
    assert_eq!(state(&run, "slow"), StepState::Cancelled);
    assert_eq!(state(&run, "broken"), StepState::Failed);
    assert_eq!(state(&run, "end"), StepState::Cancelled);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_its_time_fails() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let policy = FlowPolicy {
        run_timeout: Some(duration(1, 0)),
        ..FlowPolicy::default()
    };
    let mut asking = chain(
        "asking",
        &[("get", "http_request", json!({ "url": bin.url("/slow") }))],
    );
    let mut waiting = chain("waiting", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    asking.policy = Some(policy.clone());
    waiting.policy = Some(policy);

    for flow in [asking, waiting] {
        let run_id = server.save_and_start(flow, &json!({})).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Failed);
        let error = run.error.as_ref().unwrap();
        assert_eq!(
            (error.code.as_str(), error.node_id.as_str()),
            ("RUN_TIMEOUT", "")
        );
        assert_eq!(
            run.steps[2].state(),
            StepState::Cancelled,
            "{:?}",
            run.steps[2]
        );
        assert_gapless(&server.events_after(&run_id, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_over_its_time_fails_its_step() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = flow_with_ends("flow")
        .node("get", "http_request", json!({ "url": bin.url("/slow") }))
        .with(|node| node.timeout = Some(duration(0, 200)))
        .edge("start", "get")
        .edge("get", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Failed);
    let error = run.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.node_id.as_str()),
        ("TIMEOUT", "get")
    );
    assert_eq!(bin.count("/slow"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_happen_once_only_and_was_not_answered_waits_for_a_decision() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = flow_with_ends("flow")
        .node(
            "post",
            "http_request",
            json!({ "method": "POST", "url": bin.url("/slow") }),
        )
        .with(|node| node.timeout = Some(duration(0, 200)))
        .edge("start", "post")
        .edge("post", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;

    let run = server.run_in_state(&run_id, RunState::Waiting).await;

    assert_eq!(run.wait_reason(), WaitReason::OutcomeUnknown);
    assert!(run.wake_time.is_none());
    assert_eq!(state(&run, "post"), StepState::OutcomeUnknown);
    assert_eq!(step(&run, "post").error.as_ref().unwrap().code, "TIMEOUT");
    assert_eq!(run.current_node_ids, ["post"]);
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert_eq!(
        kinds(&events)[3..],
        [
            "step_started post",
            "step_outcome_unknown post",
            "run_waiting"
        ]
    );
    assert_eq!(bin.count("/slow"), 1);
    assert!(!bin.seen()[0].idempotency_key.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_says_how_many_of_its_steps_run_at_once() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let mut held: Vec<_> = (0..6)
        .map(|number| Some(bin.hold(&format!("/{number}"))))
        .collect();
    let mut flow = flow_with_ends("flow").policy(FlowPolicy {
        max_parallel_steps: 2,
        ..FlowPolicy::default()
    });
    for number in 0..6 {
        let (id, url) = (format!("n{number}"), bin.url(&format!("/{number}")));
        flow = flow
            .node(&id, "http_request", json!({ "url": url }))
            .edge("start", &id)
            .edge(&id, "end");
    }
    let run_id = server.save_and_start(flow.build(), &json!({})).await;

    // With each answer one more is asked; the others wait.
    for asked in 2..=6 {
        bin.requested_in_all(asked).await;
        let run = server.get(&run_id).await;
        assert_eq!(run.current_node_ids.len(), 2, "{:?}", run.current_node_ids);
        assert_eq!(bin.seen().len(), asked);
        let path = &bin.seen()[asked - 2].path;
        let number: usize = path.trim_start_matches('/').parse().unwrap();
        held[number] = None;
    }
    held.clear();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(bin.seen().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_how_many_steps_of_all_runs_run_at_once() {
    let server = TestServer::builder()
        .flag("--max-concurrent-steps=1")
        .start()
        .await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let flow = chain(
        "flow",
        &[("get", "http_request", json!({ "url": bin.url("/slow") }))],
    );
    let one = server.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;

    let two = server.start("flow", &json!({})).await;
    server
        .event_once(&two, 0, |event| event.node_id == "start")
        .await;
    let waits = server.get(&two).await;
    let asked = bin.count("/slow");
    held.release();
    for run_id in [&one, &two] {
        assert_eq!(
            server.finished_run(run_id).await.state(),
            RunState::Succeeded
        );
    }

    assert_eq!(state(&waits, "get"), StepState::Pending);
    assert_eq!(waits.state(), RunState::Running);
    assert_eq!((asked, bin.count("/slow")), (1, 2));
}
