//! `PauseRun` and `ResumeRun`: wherever a run is, whoever asks, whatever dies in between.

use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::{RunState, WaitReason};
use tonic::Code;

use super::{asking, pause, resume, times};
use crate::support::binary::Binary;
use crate::support::calls::{assert_error, assert_gapless};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::history::{has, kinds};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_ends_and_nothing_follows_until_the_run_is_resumed() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let flow = asking("flow", "POST", &bin.url("/slow"));
    let run_id = server.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;

    let paused = pause(&server, &run_id, "a look first").await.unwrap();
    assert_eq!(paused.state(), RunState::Paused);
    held.release();
    let ended = |event: &synapps::proto::RunEvent| matches!(event.event, Some(Event::StepSucceeded(_)) if event.node_id == "call");
    server.event_once(&run_id, 0, ended).await;
    let parked =
        |event: &synapps::proto::RunEvent| matches!(event.event, Some(Event::RunWaiting(_)));
    server.event_once(&run_id, 0, parked).await;

    let run = server.get(&run_id).await;
    assert_eq!(run.state(), RunState::Paused, "{run:?}");
    assert_eq!(run.wait_reason(), WaitReason::Unspecified);
    assert!(!has(
        &server.events_after(&run_id, 0).await,
        "step_succeeded after"
    ));
    let resumed = resume(&server, &run_id).await.unwrap();
    assert_ne!(resumed.state(), RunState::Paused);
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    let said = events.iter().find_map(|event| match &event.event {
        Some(Event::RunPaused(paused)) => Some(paused.reason.clone()),
        _ => None,
    });
    assert_eq!(said.as_deref(), Some("a look first"));
    assert_eq!((bin.count("/slow"), times(&events, "run_paused")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_that_is_paused_does_not_start() {
    let server = TestServer::builder()
        .flag("--max-open-runs=1")
        .start()
        .await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let flow = asking("flow", "GET", &bin.url("/slow"));
    let first = server.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;
    let queued = server.start("flow", &json!({})).await;

    let paused = pause(&server, &queued, "").await.unwrap();
    assert_eq!(paused.state(), RunState::Paused);
    held.release();
    server.finished_run(&first).await;
    let run = server.get(&queued).await;
    assert_eq!(run.state(), RunState::Paused);
    assert!(run.start_time.is_none());

    resume(&server, &queued).await.unwrap();
    let run = server.finished_run(&queued).await;
    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(bin.count("/slow"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_whose_time_comes_during_a_pause_is_over_when_the_run_is_resumed() {
    let server = TestServer::start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 6 }))]);
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;

    pause(&server, &run_id, "").await.unwrap();
    let sql = server.sql().await;
    let due = "SELECT bool_and(now() > created_at + interval '7 seconds') FROM workflow_runs";
    while !sql.query_one(due, &[]).await.unwrap().get::<_, bool>(0) {}
    assert_eq!(server.get(&run_id).await.state(), RunState::Paused);
    resume(&server, &run_id).await.unwrap();

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_pauses_and_resumes_give_the_same_answer_and_one_event() {
    let server = TestServer::start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;

    let pauses = (0..5).map(|_| pause(&server, &run_id, "again"));
    for run in futures_util::future::join_all(pauses).await {
        assert_eq!(run.unwrap().state(), RunState::Paused);
    }
    let one = times(&server.events_after(&run_id, 0).await, "run_paused");
    let resumes = (0..5).map(|_| resume(&server, &run_id));
    for run in futures_util::future::join_all(resumes).await {
        assert_ne!(run.unwrap().state(), RunState::Paused);
    }

    server.run_in_state(&run_id, RunState::Waiting).await;
    let events = server.events_after(&run_id, 0).await;
    let goes_on = events
        .iter()
        .filter(|event| matches!(&event.event, Some(Event::RunResumed(event)) if event.reason() == WaitReason::Paused));
    assert_eq!((one, goes_on.count()), (1, 1), "{:?}", kinds(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_than_the_runs_own_can_pause_and_resume_it() {
    let database = Database::migrated().await;
    let owner = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let flow = asking("flow", "GET", &bin.url("/slow"));
    let run_id = owner.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;

    let paused = pause(&other, &run_id, "from afar").await.unwrap();
    assert_eq!(paused.state(), RunState::Paused);
    held.release();
    other.run_in_state(&run_id, RunState::Paused).await;
    let resumed = resume(&other, &run_id).await.unwrap();
    assert_ne!(resumed.state(), RunState::Paused);

    let run = other.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_gapless(&other.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_counts_what_was_asked_before_whether_it_was_taken_in_or_not() {
    let database = Database::migrated().await;
    let one = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    let run_id = one.save_and_start(flow, &json!({})).await;

    for round in 0..6 {
        let (first, second) = if round % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let paused = pause(first, &run_id, "").await.unwrap();
        assert_eq!(paused.state(), RunState::Paused);
        let resumed = resume(second, &run_id).await.unwrap();
        assert_ne!(resumed.state(), RunState::Paused);
    }

    let run = one.run_in_state(&run_id, RunState::Waiting).await;
    let events = one.events_after(&run.run_id, 0).await;
    assert_gapless(&events);
    assert_eq!(times(&events, "run_paused"), 6, "{:?}", kinds(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_stays_paused_over_a_kill_and_goes_on_after_it() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let mut binary = Binary::start(&[]).await;
    let flow = asking("flow", "GET", &bin.url("/slow"));
    let run_id = binary.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;
    pause(&binary, &run_id, "").await.unwrap();

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;
    // Its owner's lease has to run out first: then the attempt that was lost has yet to be repeated.
    let parked =
        |event: &synapps::proto::RunEvent| matches!(event.event, Some(Event::RunWaiting(_)));
    binary.event_once(&run_id, 0, parked).await;
    assert_eq!(binary.get(&run_id).await.state(), RunState::Paused);
    assert_eq!(bin.count("/slow"), 1);
    resume(&binary, &run_id).await.unwrap();

    let run = binary.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(bin.count("/slow"), 2);
    assert_gapless(&binary.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_was_acknowledged_wins_over_any_success() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    server.save(asking("flow", "GET", &bin.url("/fast"))).await;

    for number in 0..30_u32 {
        let run_id = server.start("flow", &json!({})).await;
        // Moves the race from one end of the run to the other.
        tokio::time::sleep(std::time::Duration::from_micros(u64::from(number) * 600)).await;
        match pause(&server, &run_id, "race").await {
            Ok(run) => {
                assert_eq!(run.state(), RunState::Paused);
                assert_eq!(server.get(&run_id).await.state(), RunState::Paused);
                resume(&server, &run_id).await.unwrap();
            }
            Err(error) => assert_error(&error, Code::FailedPrecondition, "RUN_ALREADY_DONE"),
        }
        let run = server.finished_run(&run_id).await;
        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        assert_gapless(&server.events_after(&run_id, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_can_be_cancelled() {
    let server = TestServer::start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    let run_id = server.save_and_start(flow, &json!({})).await;
    pause(&server, &run_id, "").await.unwrap();

    server.cancel(&run_id).await.unwrap();

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Cancelled);
}
