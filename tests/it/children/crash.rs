//! The program is killed while children run: each of them is there once, and its parent gets its output.

use std::collections::BTreeMap;

use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::{RunState, RunView};

use super::{asking, call, calling, child_of, output, runs_of};
use crate::support::binary::Binary;
use crate::support::calls::assert_gapless;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;

#[tokio::test(flavor = "multi_thread")]
async fn parent_and_child_go_on_after_a_kill() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let mut binary = Binary::start(&[]).await;
    binary.save(asking("leaf", &bin, "/slow")).await;
    binary.save(calling("middle", "leaf")).await;
    let top = binary
        .save_and_start(calling("top", "middle"), &json!({}))
        .await;
    let middle = child_of(&binary, &top).await;
    let leaf = child_of(&binary, &middle).await;
    bin.requested("/slow", 1).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;
    let run = binary.finished_run(&top).await;

    assert_eq!(output(&run), json!("/slow"));
    assert_eq!(call(&run).child_run_id, middle);
    assert_eq!(bin.count("/slow"), 2);
    for (flow, run_id) in [("middle", &middle), ("leaf", &leaf), ("top", &top)] {
        let runs = runs_of(&binary, flow).await;
        assert_eq!(runs.len(), 1, "{flow}");
        assert_eq!(
            (&runs[0].run_id, runs[0].state()),
            (run_id, RunState::Succeeded)
        );
        assert_gapless(&binary.events_after(run_id, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_ends_while_its_parent_is_out_of_memory_is_told_after_a_kill() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let mut binary = Binary::start(&[]).await;
    binary.save(asking("child", &bin, "/slow")).await;
    let top = binary
        .save_and_start(calling("top", "child"), &json!({}))
        .await;
    binary.run_in_state(&top, RunState::Waiting).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;
    let run = binary.finished_run(&top).await;

    assert_eq!(output(&run), json!("/slow"));
    assert_eq!(runs_of(&binary, "child").await.len(), 1);
    assert_gapless(&binary.events_after(&top, 0).await);
}

/// Kills fall on all that lies between the start of a child and the word of its end, for ten children are at it at once.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_short_children_is_there_once_whenever_the_program_is_killed() {
    const CHILDREN: usize = 60;
    let bin = HttpBin::start().await;
    let mut binary = Binary::start(&[]).await;
    let get = json!({"url": bin.url("/{{ input.n }}")});
    let path = json!({"source": ["{{ input.n }}", "{{ content.data.path }}"]});
    binary
        .save(chain(
            "child",
            &[("get", "http_request", get), ("path", "transform", path)],
        ))
        .await;
    let body = json!({"nodes": [
        {"id": "call", "type": "subflow", "data": {"flow_id": "child", "input": {"n": "{{ item }}"}}},
    ]});
    let config = json!({"array_source": "{{ input }}", "concurrency": 10, "body": body});
    let items: Vec<usize> = (0..CHILDREN).collect();
    let top = binary
        .save_and_start(chain("top", &[("loop", "for_each", config)]), &json!(items))
        .await;

    for requests in [7, 24, 51] {
        bin.requested_in_all(requests).await;
        binary.kill().await;
        binary = binary.restart().await;
    }
    let run = binary.finished_run(&top).await;

    let expected: Vec<_> = (0..CHILDREN).map(|n| json!([n, format!("/{n}")])).collect();
    assert_eq!(output(&run), json!(expected));
    let events = binary.events_after(&top, 0).await;
    assert_gapless(&events);
    let mut started = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for event in &events {
        match &event.event {
            Some(Event::ChildStarted(child)) => {
                let before = started.insert(event.step_path.clone(), child.run_id.clone());
                assert_eq!(before, None, "{}", event.step_path);
            }
            Some(Event::ChildEnded(child)) => {
                assert_eq!(child.state(), RunState::Succeeded);
                let before = ended.insert(event.step_path.clone(), child.run_id.clone());
                assert_eq!(before, None, "{}", event.step_path);
            }
            _ => {}
        }
    }
    assert_eq!((started.len(), &ended), (CHILDREN, &started));
    let children = runs_of(&binary, "child").await;
    assert_eq!(children.len(), CHILDREN);
    for child in &children {
        assert_eq!(child.state(), RunState::Succeeded);
        assert_eq!(child.parent_run_id, top);
        assert!(started.values().any(|id| *id == child.run_id));
    }
    assert_gapless(&binary.events_after(&children[30].run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_children_though_the_program_is_killed_at_once() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let mut binary = Binary::start(&[]).await;
    binary.save(asking("child", &bin, "/slow")).await;
    let top = binary
        .save_and_start(calling("top", "child"), &json!({}))
        .await;
    let child = child_of(&binary, &top).await;
    bin.requested("/slow", 1).await;

    binary.cancel(&top).await.unwrap();
    binary.kill().await;
    let binary = binary.restart().await;

    for run_id in [&top, &child] {
        binary.finished_run(run_id).await;
        let run = binary.get_as(run_id, RunView::Basic).await;
        assert_eq!(run.state(), RunState::Cancelled, "{run:?}");
        assert_gapless(&binary.events_after(run_id, 0).await);
    }
}
