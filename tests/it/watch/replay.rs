//! Watches of what has happened: whole, resumed anywhere, after the end, beyond it.

use serde_json::json;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{StreamEndReason, WatchRunRequest};
use tonic::Code;
use uuid::Uuid;

use super::{asking, end_of, past, request, to_the_end, watch};
use crate::support::calls::{assert_error, assert_gapless, events_of, metadata, violated_fields};
use crate::support::flows::chain;
use crate::support::history::kinds;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_the_beginning_tells_the_whole_history_and_ends() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server
        .save_and_start(asking("flow", &bin), &json!({}))
        .await;

    let messages = server.watched(&run_id, 0).await;

    let events = events_of(&messages);
    assert_gapless(&events);
    assert_eq!(events, server.events_after(&run_id, 0).await);
    assert_eq!(
        kinds(&events),
        [
            "run_queued",
            "run_started",
            "step_succeeded start",
            "step_started get",
            "step_succeeded get",
            "step_succeeded text",
            "step_succeeded end",
            "run_succeeded"
        ]
    );
    assert!(events.is_sorted_by_key(|event| {
        let time = event.time.unwrap();
        (time.seconds, time.nanos)
    }));
    assert_eq!(end_of(&messages), Some(StreamEndReason::Finished));
    let caught_up = |message: &&_| {
        let message: &synapps::proto::WatchRunResponse = message;
        matches!(message.message, Some(Message::CaughtUp(_)))
    };
    assert_eq!(messages.iter().filter(caught_up).count(), 1);
    assert!(messages.is_sorted_by_key(|message| message.sequence));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumed_at_any_sequence_gives_exactly_the_rest() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server
        .save_and_start(asking("flow", &bin), &json!({}))
        .await;
    server.finished_run(&run_id).await;
    let all = server.events_after(&run_id, 0).await;

    for seen in 0..=all.len() {
        let after_sequence = i64::try_from(seen).unwrap();
        let messages = server.watched(&run_id, after_sequence).await;

        assert_eq!(events_of(&messages), all[seen..]);
        assert_eq!(end_of(&messages), Some(StreamEndReason::Finished));
        assert!(
            messages
                .iter()
                .all(|message| message.sequence >= after_sequence)
        );
        assert_eq!(
            messages.last().unwrap().sequence,
            all.last().unwrap().sequence
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_beyond_the_end_is_told_where_the_end_is() {
    let server = TestServer::start().await;
    let run_id = server.save_and_start(chain("flow", &[]), &json!({})).await;
    let last = server.finished_run(&run_id).await.last_sequence;

    let beyond = WatchRunRequest {
        after_sequence: last + 1,
        ..request(&run_id)
    };
    let error = watch(&server, beyond).await.unwrap_err();

    assert_error(&error, Code::OutOfRange, "SEQUENCE_BEYOND_END");
    assert_eq!(metadata(&error, "lastSequence"), last.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_nothing_or_before_the_beginning_is_refused() {
    let server = TestServer::start().await;

    let nobody = Uuid::now_v7().to_string();
    let error = watch(&server, request(&nobody)).await.unwrap_err();
    assert_error(&error, Code::NotFound, "RUN_NOT_FOUND");

    let wrong = WatchRunRequest {
        after_sequence: -1,
        ..request("no-id")
    };
    let error = watch(&server, wrong).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(violated_fields(&error), ["run_id", "after_sequence"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_in_events_only_where_they_are_wanted_and_small() {
    let server = TestServer::start().await;
    let input = json!({ "text": "x".repeat(40_000), "name": "Ada" });
    let name = json!({ "operation": "json_path", "json_path": "$.name" });
    let flow = chain("flow", &[("name", "transform", name)]);
    let run_id = server.save_and_start(flow, &input).await;
    server.finished_run(&run_id).await;

    // Per event: whether it has a payload, and whether that is the value itself.
    let payloads = |include_payloads| {
        let (server, run_id) = (&server, &run_id);
        async move {
            let request = WatchRunRequest {
                include_payloads,
                ..request(run_id)
            };
            let (messages, error) = to_the_end(watch(server, request).await.unwrap()).await;
            assert!(error.is_none());
            let inside = events_of(&messages).into_iter().filter_map(|event| {
                use synapps::proto::payload::Content;
                use synapps::proto::run_event::Event;
                let payload = match event.event? {
                    Event::RunQueued(event) => event.input,
                    Event::StepSucceeded(event) => event.output,
                    Event::RunSucceeded(event) => event.output,
                    _ => return None,
                };
                match payload.unwrap().content.unwrap() {
                    Content::Value(value) => Some(wire::json(Some(&value))),
                    Content::Ref(reference) => Some(json!(reference.size_bytes)),
                }
            });
            inside.collect::<Vec<_>>()
        }
    };

    let large = json!(input.to_string().len());
    // The run's own output is there in any case.
    assert_eq!(
        payloads(false).await,
        [
            large.clone(),
            large.clone(),
            json!(5),
            json!(5),
            json!("Ada")
        ]
    );
    assert_eq!(
        payloads(true).await,
        [
            large.clone(),
            large,
            json!("Ada"),
            json!("Ada"),
            json!("Ada")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_first_and_replaces_no_event() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("flow", &bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let with_snapshot = WatchRunRequest {
        include_snapshot: true,
        ..request(&run_id)
    };
    let mut watch = watch(&server, with_snapshot).await.unwrap();
    let (before, caught_up) = past(&mut watch).await;
    held.release();
    let (after, error) = to_the_end(watch).await;

    assert!(error.is_none());
    let Some(Message::Snapshot(snapshot)) = &before[0].message else {
        panic!("no snapshot: {before:?}");
    };
    let run = snapshot.run.as_ref().unwrap();
    assert_eq!(run.last_sequence, caught_up.sequence);
    assert_eq!(
        (&run.run_id, run.current_node_ids.as_slice()),
        (&run_id, ["get".to_owned()].as_slice())
    );
    assert!(run.steps.is_empty());
    assert_eq!(snapshot.steps.len(), 4);
    let all = [events_of(&before), events_of(&after)].concat();
    assert_gapless(&all);
    assert_eq!(
        before.len(),
        1 + usize::try_from(caught_up.sequence).unwrap()
    );
}
