//! Attempts: how many, after which failures, and what can be read of each.

use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::{RetryPolicy, RunState, StepState};

use super::{asking, at, attempts, failure, milliseconds, output, picky, run, step, waits};
use crate::support::calls::assert_gapless;
use crate::support::flows::flow_with_ends;
use crate::support::history::{kind, kinds};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_tried_again_until_it_succeeds() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer_first("/flaky", 2, Answer::status(503));
    let flow = asking("flaky", &bin, "/flaky").retry(attempts(5)).build();

    let run = run(&server, flow, json!({})).await;

    assert_eq!(output(&run)["data"]["count"], 3);
    assert_eq!(bin.count("/flaky"), 3);
    let events = server.events_after(&run.run_id, 0).await;
    assert_gapless(&events);
    assert_eq!(
        kinds(&events)[3..],
        [
            "step_started get",
            "step_retry_scheduled get",
            "step_started get",
            "step_retry_scheduled get",
            "step_started get",
            "step_succeeded get",
            "step_succeeded end",
            "run_succeeded"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_can_be_read_afterwards() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer_first("/flaky", 1, Answer::status(503).body("later"));
    bin.answer("/flaky", Answer::status(500));
    let flow = asking("flaky", &bin, "/flaky").retry(attempts(3)).build();

    let run = run(&server, flow, json!({})).await;
    let listed = server.steps(&run.run_id, "").await;
    let events = server.events_after(&run.run_id, 0).await;

    assert_eq!(failure(&run), ("HTTP_5XX", "get", 3));
    assert_eq!(listed, run.steps);
    let get = step(&run, "get");
    assert_eq!((get.state(), get.attempt), (StepState::Failed, 3));
    let shown: Vec<_> = get
        .attempts
        .iter()
        .map(|attempt| {
            let error = attempt.error.as_ref().unwrap();
            let details = wire::object_of(error.details.as_ref().unwrap());
            assert!(attempt.start_time.is_some() && attempt.end_time.is_some());
            assert_eq!((&*error.node_id, &*error.step_path), ("get", "get"));
            (
                attempt.number,
                attempt.state(),
                error.attempt,
                details["status_code"].clone(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (1, StepState::Failed, 1, json!(503)),
            (2, StepState::Failed, 2, json!(500)),
            (3, StepState::Failed, 3, json!(500))
        ]
    );
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| {
            let error = match &event.event {
                Some(Event::StepRetryScheduled(retry)) => retry.error.as_ref(),
                Some(Event::StepFailed(failed)) => failed.error.as_ref(),
                _ => None,
            };
            Some((kind(event), event.attempt, error?.clone()))
        })
        .collect();
    assert_eq!(told.len(), 3);
    for ((kind, attempt, error), shown) in told.into_iter().zip(&get.attempts) {
        let expected = if attempt < 3 {
            "step_retry_scheduled"
        } else {
            "step_failed"
        };
        assert_eq!((kind, attempt), (expected, shown.number));
        assert_eq!(Some(&error), shown.error.as_ref());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_there_is_one_attempt() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/no", Answer::status(503));

    let run = run(&server, asking("once", &bin, "/no").build(), json!({})).await;

    assert_eq!(failure(&run), ("HTTP_5XX", "get", 1));
    assert_eq!(bin.count("/no"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_permanent_or_named_is_not_tried_again() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/missing", Answer::status(404));
    bin.answer("/broken", Answer::status(500));
    let permanent = asking("permanent", &bin, "/missing").retry(attempts(5));
    let named = RetryPolicy {
        non_retryable_reasons: vec!["TIMEOUT".to_owned(), "HTTP_5XX".to_owned()],
        ..attempts(5)
    };
    let named = asking("named", &bin, "/broken").retry(named);
    let pure = flow_with_ends("pure")
        .node("get", "transform", picky())
        .retry(attempts(5))
        .edge("start", "get")
        .edge("get", "end");

    for (flow, code) in [
        (permanent, "HTTP_4XX"),
        (named, "HTTP_5XX"),
        (pure, "PATH_MISSING"),
    ] {
        let run = run(&server, flow.build(), json!({})).await;

        assert_eq!(failure(&run), (code, "get", 1));
        assert_eq!(step(&run, "get").attempts.len(), 1);
    }
    assert_eq!(bin.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_over_its_time_is_tried_again() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let flow = asking("slow", &bin, "/slow")
        .retry(attempts(10))
        .with(|node| node.timeout = Some(milliseconds(400)))
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;

    bin.requested("/slow", 3).await;
    held.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let get = step(&run, "get");
    assert!(get.attempts.len() >= 3, "{get:?}");
    let (last, failed) = get.attempts.split_last().unwrap();
    assert_eq!(last.state(), StepState::Succeeded);
    for attempt in failed {
        assert_eq!(attempt.error.as_ref().unwrap().code, "TIMEOUT");
    }
    // All attempts of a step are one and the same to the other side.
    let seen = bin.seen();
    assert!(
        seen.iter()
            .all(|request| request.idempotency_key == seen[0].idempotency_key)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_for_all_attempts_ends_them() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    let _held = bin.hold("/slow");
    let policy = || RetryPolicy {
        initial_interval: Some(milliseconds(400)),
        total_timeout: Some(milliseconds(1_000)),
        ..attempts(100)
    };

    let broken = asking("broken", &bin, "/broken").retry(policy());
    let broken = run(&server, broken.build(), json!({})).await;
    let slow = asking("slow", &bin, "/slow").retry(policy());
    let slow = run(&server, slow.build(), json!({})).await;

    let (code, node, attempt) = failure(&broken);
    assert_eq!((code, node), ("HTTP_5XX", "get"));
    assert!((1..=3).contains(&attempt), "{attempt} attempts");
    let events = server.events_after(&broken.run_id, 0).await;
    let begun = at(step(&broken, "get").start_time);
    for (_, until) in waits(&events) {
        assert!((until - begun).num_milliseconds() <= 1_000);
    }
    // One attempt takes all the time that there is.
    assert_eq!(failure(&slow), ("TIMEOUT", "get", 1));
    let took = step(&slow, "get").duration.unwrap();
    assert!(took.seconds < 10, "{took:?}");
}
