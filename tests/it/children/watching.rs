//! Watches that follow children, and theirs.

use std::collections::BTreeMap;

use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{
    ChildEvent, ExecuteRunRequest, RunEvent, StreamEndReason, WatchRunRequest, WatchRunResponse,
    execute_run_response,
};

use super::{asking, calling, child_of, runs_of};
use crate::support::calls::{Calls, assert_gapless, collected, events_of};
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::within;

fn request(run_id: &str, after_sequence: i64) -> WatchRunRequest {
    WatchRunRequest {
        run_id: run_id.to_owned(),
        after_sequence,
        include_payloads: true,
        include_children: true,
        ..WatchRunRequest::default()
    }
}

/// All that a watch with children brings until it ends.
async fn watched(server: &Calls, run_id: &str, after_sequence: i64) -> Vec<WatchRunResponse> {
    let request = request(run_id, after_sequence);
    let watch = server.runs().watch_run(request).await.unwrap().into_inner();
    within("the end of a watch", collected(watch)).await
}

/// What a watch told of children, by run; the parent's events follow the same rules as ever.
fn children_of(messages: &[WatchRunResponse]) -> BTreeMap<String, Vec<RunEvent>> {
    let events = messages
        .iter()
        .filter_map(|message| match &message.message {
            Some(Message::ChildEvent(event)) => Some(event.clone()),
            _ => None,
        });
    by_run(events)
}

fn by_run(events: impl Iterator<Item = ChildEvent>) -> BTreeMap<String, Vec<RunEvent>> {
    let mut children: BTreeMap<String, Vec<RunEvent>> = BTreeMap::new();
    for event in events {
        let of_run = children.entry(event.run_id).or_default();
        of_run.push(event.event.expect("a child's event has one"));
    }
    children
}

/// Asserts that the last message says that the watch ends in order.
fn assert_finished(messages: &[WatchRunResponse]) {
    match &messages.last().unwrap().message {
        Some(Message::End(end)) => assert_eq!(end.reason(), StreamEndReason::Finished),
        other => panic!("{other:?}"),
    }
}

/// `top` calls `middle`, which calls `leaf`, which asks `/slow`.
async fn save_generations(server: &Calls, bin: &HttpBin) {
    server.save(asking("leaf", bin, "/slow")).await;
    server.save(calling("middle", "leaf")).await;
    server.save(calling("top", "middle")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_watch_tells_the_events_of_children_and_grandchildren_once() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    save_generations(&server, &bin).await;
    let top = server.start("top", &json!({})).await;

    let watch = server.runs().watch_run(request(&top, 0)).await.unwrap();
    let middle = child_of(&server, &top).await;
    let leaf = child_of(&server, &middle).await;
    bin.requested("/slow", 1).await;
    held.release();
    let messages = within("the end", collected(watch.into_inner())).await;

    assert_finished(&messages);
    assert_eq!(events_of(&messages), server.events_after(&top, 0).await);
    let children = children_of(&messages);
    assert_eq!(children.len(), 2);
    for run_id in [&middle, &leaf] {
        assert_gapless(&children[run_id]);
        let all = server.events_after(run_id, 0).await;
        assert_eq!(children[run_id], all);
    }
    let of_leaf = messages.iter().find_map(|message| match &message.message {
        Some(Message::ChildEvent(event)) if event.run_id == leaf => Some(event),
        _ => None,
    });
    let of_leaf = of_leaf.unwrap();
    assert_eq!(
        (&*of_leaf.parent_run_id, &*of_leaf.parent_step_path),
        (&*middle, "call")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_after_the_end_tells_all_of_it_too() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    save_generations(&server, &bin).await;
    let top = server.start("top", &json!({})).await;
    server.finished_run(&top).await;

    let messages = watched(&server, &top, 0).await;
    let without = server.watched(&top, 0).await;

    assert_finished(&messages);
    let children = children_of(&messages);
    assert_eq!(children.len(), 2);
    for (run_id, events) in &children {
        assert_eq!(*events, server.events_after(run_id, 0).await);
    }
    assert_eq!(children_of(&without).len(), 0);
    assert!(
        messages.is_sorted_by_key(|message| message.sequence),
        "a child's event carries the sequence of the watched run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_watch_tells_children_that_were_open_and_not_those_that_had_ended() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(asking("child", &bin, "/slow")).await;
    let calls = [
        ("first", "subflow", json!({"flow_id": "child"})),
        ("second", "subflow", json!({"flow_id": "child"})),
    ];
    let top = server
        .save_and_start(chain("top", &calls), &json!({}))
        .await;
    bin.requested("/slow", 1).await;
    let waits = server.get(&top).await.last_sequence;

    // One goes on while the first child is at work, one after it, one from the end.
    let during = server.runs().watch_run(request(&top, waits)).await.unwrap();
    held.release();
    let during = within("the end", collected(during.into_inner())).await;
    let all = server.events_after(&top, 0).await;
    let children = runs_of(&server, "child").await;
    let ended = all
        .iter()
        .find(|event| matches!(event.event, Some(Event::ChildEnded(_))));
    let between = watched(&server, &top, ended.unwrap().sequence).await;
    let after = watched(&server, &top, all.last().unwrap().sequence).await;

    for (messages, seen, told) in [
        (&during, waits, &children[..]),
        (&between, ended.unwrap().sequence, &children[1..]),
        (&after, all.last().unwrap().sequence, &children[..0]),
    ] {
        assert_finished(messages);
        let seen = usize::try_from(seen).unwrap();
        assert_eq!(events_of(messages), all[seen..]);
        let by_run = children_of(messages);
        assert_eq!(by_run.len(), told.len(), "after {seen}");
        for child in told {
            assert_gapless(&by_run[&child.run_id]);
            assert_eq!(
                i64::try_from(by_run[&child.run_id].len()).unwrap(),
                child.last_sequence
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_started_and_watched_in_one_call_tells_its_children_too() {
    use execute_run_response::Message;
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    save_generations(&server, &bin).await;

    let request = ExecuteRunRequest {
        flow_id: "top".to_owned(),
        include_payloads: true,
        include_children: true,
        ..ExecuteRunRequest::default()
    };
    let mut stream = server
        .runs()
        .execute_run(request)
        .await
        .unwrap()
        .into_inner();
    let messages = async {
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            messages.push(message.message.unwrap());
        }
        messages
    };
    let messages = within("the end", messages).await;

    let Message::RunStarted(started) = &messages[0] else {
        panic!("{:?}", messages[0]);
    };
    let top = &started.run.as_ref().unwrap().run_id;
    let own: Vec<RunEvent> = messages
        .iter()
        .filter_map(|message| match message {
            Message::Event(event) => Some(event.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(own, server.events_after(top, 0).await);
    let children = by_run(messages.iter().filter_map(|message| match message {
        Message::ChildEvent(event) => Some(event.clone()),
        _ => None,
    }));
    assert_eq!(children.len(), 2);
    for (run_id, events) in &children {
        assert_eq!(*events, server.events_after(run_id, 0).await);
    }
    assert!(matches!(messages.last(), Some(Message::End(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_forty_children_are_told() {
    const CHILDREN: usize = 40;
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    server.save(asking("child", &bin, "/any")).await;
    let items: Vec<usize> = (0..CHILDREN).collect();
    let config = json!({"array_source": items, "concurrency": 20, "body": "child"});
    let top = server
        .save_and_start(chain("top", &[("loop", "for_each", config)]), &json!({}))
        .await;

    let live = watched(&server, &top, 0).await;
    let late = watched(&server, &top, 0).await;

    for messages in [&live, &late] {
        assert_finished(messages);
        assert_gapless(&events_of(messages));
        let children = children_of(messages);
        assert_eq!(children.len(), CHILDREN);
        for child in runs_of(&server, "child").await {
            let events = &children[&child.run_id];
            assert_gapless(events);
            assert_eq!(i64::try_from(events.len()).unwrap(), child.last_sequence);
        }
    }
}
