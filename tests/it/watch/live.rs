//! Watches of what happens: many at once, through another server, over a long wait, in silence.

use std::time::Duration;

use serde_json::json;
use synapps::api::Settings;
use synapps::proto::RunState;
use synapps::proto::StreamEndReason;
use synapps::proto::watch_run_response::Message;

use super::bare::Bare;
use super::{asking, end_of, next, past, request, to_the_end, watch};
use crate::support::calls::{assert_gapless, events_of};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::history::has;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_watchers_of_one_run_see_the_same() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("flow", &bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let mut watches = Vec::new();
    for _ in 0..100 {
        let mut watch = watch(&server, request(&run_id)).await.unwrap();
        let (before, caught_up) = past(&mut watch).await;
        assert!(!caught_up.polling);
        watches.push((before, watch));
    }
    held.release();
    let seen = watches.into_iter().map(|(before, watch)| async move {
        let (after, error) = to_the_end(watch).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(end_of(&after), Some(StreamEndReason::Finished));
        [events_of(&before), events_of(&after)].concat()
    });
    let seen = futures_util::future::join_all(seen).await;

    assert_gapless(&seen[0]);
    assert!(has(&seen[0], "run_succeeded"));
    for other in &seen[1..] {
        assert_eq!(other, &seen[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_through_another_server_gets_every_event_too() {
    let database = Database::migrated().await;
    let owner = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = owner.save_and_start(asking("flow", &bin), &json!({})).await;
    bin.requested("/slow", 1).await;

    let mut watch = watch(&other, request(&run_id)).await.unwrap();
    let (before, caught_up) = past(&mut watch).await;
    held.release();
    let (after, error) = to_the_end(watch).await;

    assert!(!caught_up.polling, "the owner tells what happens");
    assert!(error.is_none(), "{error:?}");
    let events = [events_of(&before), events_of(&after)].concat();
    assert_gapless(&events);
    assert!(has(&events, "run_succeeded"));
    assert_eq!(bin.count("/slow"), 1);
}

/// Six seconds, because a shorter delay is spent in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlasts_a_long_delay_and_the_server_that_began_it() {
    let database = Database::migrated().await;
    let first = TestServer::builder().database(&database).start().await;
    let second = TestServer::builder().database(&database).start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 6 }))]);
    let run_id = first.save_and_start(flow, &json!({ "n": 1 })).await;
    let parked = first.run_in_state(&run_id, RunState::Waiting).await;

    let mut watch = watch(&second, request(&run_id)).await.unwrap();
    let (before, caught_up) = past(&mut watch).await;
    first.stop().await;
    let (after, error) = to_the_end(watch).await;

    assert!(parked.wake_time.is_some());
    assert_eq!(parked.wait_reason(), synapps::proto::WaitReason::Delay);
    assert_eq!(parked.steps[2].state(), synapps::proto::StepState::Waiting);
    assert!(caught_up.polling);
    assert!(error.is_none(), "{error:?}");
    let events = [events_of(&before), events_of(&after)].concat();
    assert_gapless(&events);
    for what in [
        "step_waiting wait",
        "run_waiting",
        "run_resumed",
        "step_succeeded wait",
        "run_succeeded",
    ] {
        assert!(has(&events, what), "{what}: {events:#?}");
    }
    let run = second.finished_run(&run_id).await;
    assert_eq!(run.output, run.input);
    let waited = run.end_time.unwrap().seconds - run.create_time.unwrap().seconds;
    assert!((5..=20).contains(&waited), "{waited} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_watch_says_that_it_is_alive() {
    let bare = Bare::start(Settings {
        heartbeat: Duration::from_millis(20),
        ..Settings::default()
    });
    let bare = bare.await;
    let server = bare.connect();
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("flow", &bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let mut watch = watch(&server, request(&run_id)).await.unwrap();
    let (before, caught_up) = past(&mut watch).await;
    for _ in 0..3 {
        let message = next(&mut watch).await;
        assert_eq!(message.sequence, caught_up.sequence);
        let Some(Message::Heartbeat(heartbeat)) = message.message else {
            panic!("no heartbeat: {message:?}");
        };
        assert!(heartbeat.time.is_some());
    }
    held.release();
    let (after, error) = to_the_end(watch).await;

    assert!(error.is_none(), "{error:?}");
    assert_gapless(&[events_of(&before), events_of(&after)].concat());
}
