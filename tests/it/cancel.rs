//! `CancelRun` in each state that a run can be in.

use std::time::Duration;

use serde_json::json;
use synapps::proto::{CancelRunRequest, Effect, Flow, Run, RunState, StepState, WaitReason};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tonic::{Code, Status};

use crate::support::calls::{Calls, assert_error, assert_gapless, metadata};
use crate::support::database::Database;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::history::{has, kinds};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::within;

fn asking(id: &str, method: &str, url: &str) -> Flow {
    let get = json!({ "method": method, "url": url });
    chain(
        id,
        &[
            ("call", "http_request", get),
            ("after", "transform", json!({})),
        ],
    )
}

fn because(run_id: &str, reason: &str) -> CancelRunRequest {
    CancelRunRequest {
        run_id: run_id.to_owned(),
        reason: reason.to_owned(),
        ..CancelRunRequest::default()
    }
}

async fn cancel(server: &Calls, request: CancelRunRequest) -> Result<Run, Status> {
    let answer = server.runs().cancel_run(request).await?;
    Ok(answer.into_inner().run.unwrap())
}

fn is_cancelled(run: &Run) -> bool {
    [RunState::Cancelling, RunState::Cancelled].contains(&run.state())
}

/// Asserts that the run has ended as cancelled, for this reason, and that nothing was begun after that.
async fn assert_ends_cancelled(server: &Calls, run_id: &str, reason: &str) -> Run {
    use synapps::proto::run_event::Event;
    let run = server.finished_run(run_id).await;
    assert_eq!(run.state(), RunState::Cancelled, "{run:?}");
    assert!(run.error.is_none() && run.output.is_none());
    let events = server.events_after(run_id, 0).await;
    assert_gapless(&events);
    let at = events
        .iter()
        .position(|event| matches!(event.event, Some(Event::RunCancelling(_))))
        .expect("run_cancelling");
    let after = kinds(&events[at..]);
    assert!(
        !after.iter().any(|kind| kind.starts_with("step_started")),
        "{after:?}"
    );
    match events.last().unwrap().event.as_ref().unwrap() {
        Event::RunCancelled(event) => assert_eq!(event.reason, reason),
        other => panic!("the last event is {other:?}"),
    }
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_is_cancelled_without_having_started() {
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

    let answer = cancel(&server, because(&queued, "too late")).await.unwrap();
    assert!(is_cancelled(&answer), "{answer:?}");
    let again = cancel(&server, because(&queued, "again")).await.unwrap();
    assert!(is_cancelled(&again), "{again:?}");
    // While the server is as full as before.
    let run = assert_ends_cancelled(&server, &queued, "too late").await;
    assert!(run.start_time.is_none());
    held.release();

    assert_eq!(bin.count("/slow"), 1);
    assert_eq!(
        server.finished_run(&first).await.state(),
        RunState::Succeeded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_dropped() {
    let server = TestServer::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let run_id = server
        .save_and_start(asking("flow", "GET", &url), &json!({}))
        .await;
    let (mut client, _) = within("a connection", listener.accept()).await.unwrap();
    let mut start = [0; 3];
    client.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"GET");

    let answer = cancel(&server, because(&run_id, "enough")).await.unwrap();
    // Ends when the connection does; a reset is an end too.
    within(
        "the end of the request",
        client.read_to_end(&mut Vec::new()),
    )
    .await
    .ok();
    let run = assert_ends_cancelled(&server, &run_id, "enough").await;

    assert!(is_cancelled(&answer));
    let states: Vec<_> = run
        .steps
        .iter()
        .map(|step| (step.node_id.as_str(), step.state()))
        .collect();
    assert_eq!(
        states,
        [
            ("start", StepState::Succeeded),
            ("end", StepState::Cancelled),
            ("call", StepState::Cancelled),
            ("after", StepState::Cancelled)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_may_happen_once_only_is_cut_off_when_its_grace_is_over() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = asking("flow", "POST", &bin.url("/slow"));
    let run_id = server.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;

    let at_once = CancelRunRequest {
        grace: Some(prost_types::Duration::default()),
        ..because(&run_id, "now")
    };
    let answer = cancel(&server, at_once).await.unwrap();

    assert!(is_cancelled(&answer));
    assert_ends_cancelled(&server, &run_id, "now").await;
    assert!(has(
        &server.events_after(&run_id, 0).await,
        "step_cancelled call"
    ));
    assert_eq!(bin.count("/slow"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_time_is_cancelled_at_once() {
    let server = TestServer::start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;

    let answer = cancel(&server, because(&run_id, "no more")).await.unwrap();

    assert!(is_cancelled(&answer));
    let run = assert_ends_cancelled(&server, &run_id, "no more").await;
    assert_eq!(run.wait_reason(), WaitReason::Unspecified);
    assert!(run.wake_time.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_somebodys_word_on_a_step_can_be_cancelled() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = flow_with_ends("flow")
        .node(
            "call",
            "http_request",
            json!({ "method": "POST", "url": bin.url("/slow") }),
        )
        .with(|node| {
            node.timeout = Some(prost_types::Duration {
                seconds: 0,
                nanos: 200_000_000,
            });
        })
        .effect(Effect::AtMostOnce)
        .edge("start", "call")
        .edge("call", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    let waiting = server.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(waiting.wait_reason(), WaitReason::OutcomeUnknown);

    let answer = cancel(&server, because(&run_id, "never mind"))
        .await
        .unwrap();

    assert!(is_cancelled(&answer));
    let run = assert_ends_cancelled(&server, &run_id, "never mind").await;
    // It is still not known what became of it.
    assert_eq!(run.steps[2].state(), StepState::OutcomeUnknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_cancel_gives_the_same_answer_and_keeps_the_first_reason() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = asking("flow", "GET", &bin.url("/slow"));
    let run_id = server.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;

    let calls = (0..5).map(|_| cancel(&server, because(&run_id, "first")));
    for answer in futures_util::future::join_all(calls).await {
        assert!(is_cancelled(&answer.unwrap()));
    }
    assert_ends_cancelled(&server, &run_id, "first").await;

    let late = cancel(&server, because(&run_id, "later")).await.unwrap();
    assert_eq!(late.state(), RunState::Cancelled);
    assert_ends_cancelled(&server, &run_id, "first").await;
    let events = server.events_after(&run_id, 0).await;
    let cancelling = kinds(&events)
        .into_iter()
        .filter(|kind| kind == "run_cancelling");
    assert_eq!(cancelling.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_succeeded_or_failed_stays_as_it_is() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    for (id, path, state) in [("good", "/fine", "SUCCEEDED"), ("bad", "/broken", "FAILED")] {
        let flow = asking(id, "GET", &bin.url(path));
        let run_id = server.save_and_start(flow, &json!({})).await;
        let before = server.finished_run(&run_id).await;

        let error = cancel(&server, because(&run_id, "too late"))
            .await
            .unwrap_err();

        assert_error(&error, Code::FailedPrecondition, "RUN_ALREADY_DONE");
        assert_eq!(metadata(&error, "state"), state);
        assert_eq!(server.get(&run_id).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_than_the_runs_own_can_cancel_it() {
    let database = Database::migrated().await;
    let owner = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = asking("flow", "GET", &bin.url("/slow"));
    let run_id = owner.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;

    let answer = cancel(&other, because(&run_id, "from afar")).await.unwrap();

    assert!(is_cancelled(&answer));
    assert_ends_cancelled(&other, &run_id, "from afar").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_was_acknowledged_wins_over_any_success() {
    let server = TestServer::start().await;
    let other = TestServer::builder()
        .database(server.database())
        .start()
        .await;
    let bin = HttpBin::start().await;
    server.save(asking("flow", "GET", &bin.url("/fast"))).await;

    for number in 0..50_u32 {
        let run_id = server.start("flow", &json!({})).await;
        // The only wait for a time in these tests: it moves the race from one end of the run to the other.
        tokio::time::sleep(Duration::from_micros(u64::from(number) * 400)).await;
        let canceller = if number % 5 == 0 { &other } else { &server };
        let answer = cancel(canceller, because(&run_id, "race")).await;

        match answer {
            Ok(run) => {
                assert!(is_cancelled(&run), "{run:?}");
                assert_ends_cancelled(&server, &run_id, "race").await;
            }
            Err(error) => {
                assert_error(&error, Code::FailedPrecondition, "RUN_ALREADY_DONE");
                let run = server.finished_run(&run_id).await;
                assert_eq!(run.state(), RunState::Succeeded);
                assert_gapless(&server.events_after(&run_id, 0).await);
            }
        }
    }
}
