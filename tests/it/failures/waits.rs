//! How long a step waits before another attempt.

use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::{RetryPolicy, RunState};

use super::{asking, at, attempts, failure, lasts, milliseconds, output, run, waits};
use crate::support::calls::assert_gapless;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn waits_grow_up_to_the_longest_and_attempts_keep_to_them() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    let policy = RetryPolicy {
        max_attempts: 5,
        initial_interval: Some(milliseconds(100)),
        coefficient: 3.0,
        max_interval: Some(milliseconds(500)),
        ..RetryPolicy::default()
    };
    let flow = asking("growing", &bin, "/broken").retry(policy).build();

    let run = run(&server, flow, json!({})).await;

    assert_eq!(failure(&run), ("HTTP_5XX", "get", 5));
    let events = server.events_after(&run.run_id, 0).await;
    assert_gapless(&events);
    let waits = waits(&events);
    assert_eq!(waits.len(), 4);
    for (&wait, expected) in waits.iter().zip([100, 300, 500, 500]) {
        assert!(lasts(wait, expected), "{wait:?}, not {expected} ms");
    }
    let began: Vec<_> = events
        .iter()
        .filter(|event| matches!(event.event, Some(Event::StepStarted(_))))
        .map(|event| at(event.time))
        .collect();
    for ((_, until), began) in waits.iter().zip(&began[1..]) {
        assert!(began >= until, "{began} is before {until}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_vary_within_the_jitter() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    let policy = RetryPolicy {
        max_attempts: 6,
        initial_interval: Some(milliseconds(200)),
        coefficient: 1.0,
        jitter: 0.5,
        ..RetryPolicy::default()
    };
    let flow = asking("jitter", &bin, "/broken").retry(policy).build();

    let run = run(&server, flow, json!({})).await;

    let waits: Vec<i64> = waits(&server.events_after(&run.run_id, 0).await)
        .into_iter()
        .map(|(from, to)| (to - from).num_milliseconds())
        .collect();
    assert_eq!(waits.len(), 5);
    assert!(
        waits.iter().all(|wait| (50..=300).contains(wait)),
        "{waits:?}"
    );
    assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_side_may_ask_for_more_time() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let busy = Answer::status(429).header("retry-after", "2");
    bin.answer_first("/busy", 1, busy);
    let soon = Answer::status(503).header("retry-after", "0");
    bin.answer_first("/soon", 1, soon);

    let busy = asking("busy", &bin, "/busy").retry(attempts(2));
    let busy = run(&server, busy.build(), json!({})).await;
    let soon = asking("soon", &bin, "/soon").retry(attempts(2));
    let soon = run(&server, soon.build(), json!({})).await;

    for (run, expected) in [(&busy, 2_000), (&soon, 50)] {
        assert_eq!(output(run)["status_code"], 200);
        let waits = waits(&server.events_after(&run.run_id, 0).await);
        assert!(lasts(waits[0], expected), "{waits:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_the_end_of_the_runs_time_end_the_wait() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    let long = RetryPolicy {
        initial_interval: Some(milliseconds(4_000)),
        ..attempts(5)
    };
    let flow = asking("cancel", &bin, "/broken").retry(long.clone());
    let cancelled = server.save_and_start(flow.build(), &json!({})).await;
    server
        .event_once(&cancelled, 0, |event| {
            matches!(event.event, Some(Event::StepRetryScheduled(_)))
        })
        .await;

    server.cancel(&cancelled).await.unwrap();
    let cancelled = server.finished_run(&cancelled).await;
    let mut flow = asking("timeout", &bin, "/broken").retry(long).build();
    flow.policy = Some(synapps::proto::FlowPolicy {
        run_timeout: Some(milliseconds(1_000)),
        ..synapps::proto::FlowPolicy::default()
    });
    let late = run(&server, flow, json!({})).await;

    assert_eq!(cancelled.state(), RunState::Cancelled);
    assert_eq!(failure(&late), ("RUN_TIMEOUT", "", 0));
    assert!(bin.count("/broken") <= 2);
    for run in [&cancelled, &late] {
        assert_gapless(&server.events_after(&run.run_id, 0).await);
    }
}
