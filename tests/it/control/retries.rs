//! `RetryRun`: what succeeded is kept, what failed is tried again, and whoever watches goes on.

use serde_json::json;
use synapps::proto::{CancelRunRequest, Flow, RunState, StepState};
use tonic::Code;

use super::{asking, retry, times};
use crate::support::binary::Binary;
use crate::support::calls::{assert_error, assert_gapless, events_of, metadata};
use crate::support::database::Database;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::history::{has, kinds};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

/// Two requests, one after the other.
fn two(bin: &HttpBin) -> Flow {
    let get = |path: &str| json!({ "url": bin.url(path) });
    chain(
        "two",
        &[
            ("first", "http_request", get("/first")),
            ("second", "http_request", get("/second")),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_failed_is_tried_again() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/second", Answer::status(500));
    let run_id = server.save_and_start(two(&bin), &json!({})).await;
    let failed = server.finished_run(&run_id).await;
    assert_eq!(failed.state(), RunState::Failed);
    bin.answer("/second", Answer::status(200).body("{}"));

    let open = retry(&server, &run_id).await.unwrap();

    assert!(open.error.is_none() && open.end_time.is_none(), "{open:?}");
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!((bin.count("/first"), bin.count("/second")), (1, 2));
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert_eq!(times(&events, "run_reopened"), 1);
    let step = run.steps.iter().find(|step| step.node_id == "second");
    let attempts: Vec<_> = step
        .unwrap()
        .attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.state()))
        .collect();
    assert_eq!(
        attempts,
        [(1, StepState::Failed), (2, StepState::Succeeded)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumed_after_the_end_brings_what_follows_and_goes_on_live() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/second", Answer::status(500));
    let run_id = server.save_and_start(two(&bin), &json!({})).await;
    let failed = server.finished_run(&run_id).await;
    let held = bin.hold("/second");
    bin.answer("/second", Answer::status(200).body("{}"));

    retry(&server, &run_id).await.unwrap();
    let watching = {
        let (calls, run_id) = (Clone::clone(&*server), run_id.clone());
        tokio::spawn(async move { calls.watched(&run_id, failed.last_sequence).await })
    };
    bin.requested("/second", 2).await;
    held.release();
    let messages = watching.await.unwrap();

    let events = events_of(&messages);
    let all = server.events_after(&run_id, 0).await;
    let seen: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    let rest: Vec<i64> = (failed.last_sequence + 1..=all.last().unwrap().sequence).collect();
    assert_eq!(seen, rest);
    assert_eq!(kinds(&events)[0], "run_reopened");
    assert!(has(&events, "run_succeeded"));
    // From the beginning too, over the end that was none.
    let whole = events_of(&server.watched(&run_id, 0).await);
    assert_gapless(&whole);
    assert_eq!(whole.len(), all.len());
    assert!(has(&whole, "run_failed") && has(&whole, "run_succeeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_retries_at_the_same_time_one_opens_the_run() {
    let database = Database::migrated().await;
    let one = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    let bin = HttpBin::start().await;
    bin.answer("/second", Answer::status(500));
    let run_id = one.save_and_start(two(&bin), &json!({})).await;
    one.finished_run(&run_id).await;
    let held = bin.hold("/second");

    let calls = (0..8).map(|at| retry(if at % 2 == 0 { &one } else { &other }, &run_id));
    let answers = futures_util::future::join_all(calls).await;

    let mut opened = 0;
    for answer in answers {
        match answer {
            Ok(_) => opened += 1,
            Err(error) => {
                assert_error(&error, Code::FailedPrecondition, "RUN_NOT_FAILED");
                assert_eq!(metadata(&error, "state"), "RUNNING");
            }
        }
    }
    assert_eq!(opened, 1);
    bin.requested("/second", 2).await;
    bin.answer("/second", Answer::status(200).body("{}"));
    held.release();
    assert_eq!(one.finished_run(&run_id).await.state(), RunState::Succeeded);
    assert_eq!(
        times(&one.events_after(&run_id, 0).await, "run_reopened"),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_fail_and_be_retried_again_and_again() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    let flow = asking("flow", "POST", &bin.url("/broken"));
    let run_id = server.save_and_start(flow, &json!({})).await;

    for times in 1..=3 {
        let run = server.finished_run(&run_id).await;
        assert_eq!(run.state(), RunState::Failed);
        assert_eq!(run.error.unwrap().attempt, times);
        retry(&server, &run_id).await.unwrap();
    }

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(bin.count("/broken"), 4);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_by_the_failure_runs_too() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    let flow = flow_with_ends("flow")
        .node("wait", "delay", json!({ "seconds": 1 }))
        .node("call", "http_request", json!({ "url": bin.url("/broken") }))
        .edge("start", "wait")
        .edge("start", "call")
        .edge("wait", "end")
        .edge("call", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.finished_run(&run_id).await;
    bin.answer("/broken", Answer::status(200).body("{}"));

    retry(&server, &run_id).await.unwrap();

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(run.progress, run.total_steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_items_of_a_loop_that_failed_are_tried_again() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/item/1", Answer::status(500));
    let url = bin.url("/item/{{ item }}");
    let body = json!({ "nodes": [{ "id": "get", "type": "http_request", "data": { "url": url } }], "edges": [] });
    let each = json!({ "body": body, "array_source": "{{ input.items }}", "concurrency": 1 });
    let flow = chain("each", &[("each", "for_each", each)]);
    let run_id = server
        .save_and_start(flow, &json!({ "items": [0, 1, 2] }))
        .await;
    let failed = server.finished_run(&run_id).await;
    assert_eq!(failed.state(), RunState::Failed, "{failed:?}");
    bin.answer("/item/1", Answer::status(200).body("{}"));

    retry(&server, &run_id).await.unwrap();

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let counts = [0, 1, 2].map(|item| bin.count(&format!("/item/{item}")));
    assert_eq!(counts, [1, 2, 1]);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_retried_with_its_parent() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    server
        .save(asking("inner", "GET", &bin.url("/broken")))
        .await;
    let call = json!({ "flow_id": "inner" });
    let run_id = server
        .save_and_start(chain("outer", &[("call", "subflow", call)]), &json!({}))
        .await;
    let failed = server.finished_run(&run_id).await;
    assert_eq!(failed.state(), RunState::Failed, "{failed:?}");
    let step = failed.steps.iter().find(|step| step.node_id == "call");
    let child = step.unwrap().child_run_id.clone();

    let error = retry(&server, &child).await.unwrap_err();

    assert_error(&error, Code::FailedPrecondition, "RUN_IS_CHILD");
    assert_eq!(metadata(&error, "parentRunId"), run_id);
    bin.answer("/broken", Answer::status(200).body("{}"));
    retry(&server, &run_id).await.unwrap();
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_run_outlasts_a_kill_and_can_be_cancelled() {
    let bin = HttpBin::start().await;
    bin.answer("/second", Answer::status(500));
    let mut binary = Binary::start(&[]).await;
    let run_id = binary.save_and_start(two(&bin), &json!({})).await;
    binary.finished_run(&run_id).await;
    let held = bin.hold("/second");
    retry(&binary, &run_id).await.unwrap();
    bin.requested("/second", 2).await;

    binary.kill().await;
    let binary = binary.restart().await;
    bin.requested("/second", 3).await;
    let request = CancelRunRequest {
        run_id: run_id.clone(),
        ..CancelRunRequest::default()
    };
    binary.runs().cancel_run(request).await.unwrap();
    held.release();

    let run = binary.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Cancelled, "{run:?}");
    assert_gapless(&binary.events_after(&run_id, 0).await);
    assert_eq!(bin.count("/first"), 1);
}
