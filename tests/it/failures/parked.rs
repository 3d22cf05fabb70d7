//! A long wait before another attempt is spent out of memory.

use serde_json::json;
use synapps::proto::{RetryPolicy, RunState, StepState, WaitReason};

use super::{asking, attempts, milliseconds, output, run, state, step, waits};
use crate::support::binary::Binary;
use crate::support::calls::assert_gapless;
use crate::support::database::Database;
use crate::support::history::{has, kinds};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

/// Longer than what is worth waiting for in memory.
fn long() -> RetryPolicy {
    RetryPolicy {
        initial_interval: Some(milliseconds(7_000)),
        ..attempts(2)
    }
}

/// How many runs somebody owns.
async fn owned(database: &Database) -> i64 {
    let owned = "SELECT count(*) FROM workflow_runs WHERE executor_id IS NOT NULL";
    let sql = database.sql().await;
    sql.query_one(owned, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_parked_until_the_next_attempt() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer_first("/flaky", 1, Answer::status(500));
    let flow = asking("flaky", &bin, "/flaky").retry(long()).build();
    let run_id = server.save_and_start(flow, &json!({})).await;

    let waiting = server.run_in_state(&run_id, RunState::Waiting).await;
    let owned = owned(server.database()).await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(waiting.wait_reason(), WaitReason::Retry);
    assert_eq!(state(&waiting, "get"), StepState::Waiting);
    assert_eq!(step(&waiting, "get").wait_reason(), WaitReason::Retry);
    assert_eq!(step(&waiting, "get").wake_time, waiting.wake_time);
    assert_eq!(
        step(&waiting, "get").error.as_ref().unwrap().code,
        "HTTP_5XX"
    );
    assert_eq!(owned, 0);
    assert_eq!(output(&run)["data"]["count"], 2);
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert_eq!(
        kinds(&events)[3..],
        [
            "step_started get",
            "step_retry_scheduled get",
            "run_waiting",
            "run_resumed",
            "step_started get",
            "step_succeeded get",
            "step_succeeded end",
            "run_succeeded"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_outlasts_a_kill_and_keeps_its_time() {
    let bin = HttpBin::start().await;
    bin.answer_first("/flaky", 1, Answer::status(500));
    let mut binary = Binary::start(&[]).await;
    let flow = asking("flaky", &bin, "/flaky").retry(long()).build();
    let run_id = binary.save_and_start(flow, &json!({})).await;
    binary.run_in_state(&run_id, RunState::Waiting).await;

    binary.kill().await;
    let binary = binary.restart().await;
    let run = binary.finished_run(&run_id).await;

    assert_eq!(output(&run)["data"]["count"], 2);
    let events = binary.events_after(&run_id, 0).await;
    assert_gapless(&events);
    let (_, until) = waits(&events)[0];
    let attempts = &step(&run, "get").attempts;
    assert_eq!(attempts.len(), 2);
    assert!(super::at(attempts[1].start_time) >= until);
    assert_eq!(bin.count("/flaky"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_wait_outlasts_a_kill_too() {
    let bin = HttpBin::start().await;
    bin.answer_first("/flaky", 2, Answer::status(500));
    let mut binary = Binary::start(&[]).await;
    let policy = RetryPolicy {
        initial_interval: Some(milliseconds(3_000)),
        ..attempts(3)
    };
    let flow = asking("flaky", &bin, "/flaky").retry(policy).build();
    let run_id = binary.save_and_start(flow, &json!({})).await;
    binary
        .event_once(&run_id, 0, |event| {
            crate::support::history::kind(event) == "step_retry_scheduled"
        })
        .await;

    binary.kill().await;
    let binary = binary.restart().await;
    let run = binary.finished_run(&run_id).await;

    assert_eq!(output(&run)["data"]["count"], 3);
    assert_eq!(step(&run, "get").attempts.len(), 3);
    let events = binary.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert!(!has(&events, "step_failed get"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_long_wait_gets_it_out_of_memory() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let busy = Answer::status(503).header("retry-after", "7");
    bin.answer_first("/busy", 1, busy);
    let flow = asking("busy", &bin, "/busy").retry(attempts(2)).build();

    let run = run(&server, flow, json!({})).await;

    assert_eq!(output(&run)["status_code"], 200);
    assert!(has(
        &server.events_after(&run.run_id, 0).await,
        "run_waiting"
    ));
}
