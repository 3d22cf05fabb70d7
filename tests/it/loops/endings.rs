//! How much of a loop runs at once, and what becomes of it when its run is stopped in the middle.

use serde_json::json;
use synapps::proto::{Flow, FlowPolicy, RunState, StepState};

use super::{looping, output, progress, single, step};
use crate::support::calls::assert_gapless;
use crate::support::flows::chain;
use crate::support::history::has;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

/// Asks the same path for each of ten items, three at a time.
fn asking(bin: &HttpBin) -> Flow {
    looping("asking", config(bin))
}

fn config(bin: &HttpBin) -> serde_json::Value {
    let get = json!({"url": bin.url("/item?n={{ index }}")});
    json!({
        "array_source": (0..10).collect::<Vec<_>>(),
        "concurrency": 3,
        "body": single("get", "http_request", get),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_items_are_under_way_than_the_author_wants() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/item");
    let run_id = server.save_and_start(asking(&bin), &json!({})).await;
    bin.requested("/item", 3).await;

    let run = server.get(&run_id).await;
    let steps = server.steps(&run_id, "loop").await;
    held.release();
    let ended = server.finished_run(&run_id).await;

    assert_eq!(progress(&run), [10, 3, 0, 0]);
    assert_eq!(step(&run, "loop").state(), StepState::Running);
    assert_eq!(run.current_node_ids, ["loop"]);
    assert_eq!(steps.len(), 3);
    assert_eq!(output(&ended).as_array().unwrap().len(), 10);
    assert_eq!((bin.count("/item"), bin.most_at_once()), (10, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_bounds_the_steps_of_its_loops_too() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/item");
    let mut flow = asking(&bin);
    flow.policy = Some(FlowPolicy {
        max_parallel_steps: 2,
        ..FlowPolicy::default()
    });
    let run_id = server.save_and_start(flow, &json!({})).await;
    bin.requested("/item", 2).await;

    held.release();
    let ended = server.finished_run(&run_id).await;

    assert_eq!(output(&ended).as_array().unwrap().len(), 10);
    assert_eq!(bin.most_at_once(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_items_that_are_under_way_and_begins_no_other() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/item");
    let run_id = server.save_and_start(asking(&bin), &json!({})).await;
    bin.requested("/item", 3).await;

    server.cancel(&run_id).await.unwrap();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Cancelled);
    assert_eq!(step(&run, "loop").state(), StepState::Cancelled);
    assert_eq!(step(&run, "end").state(), StepState::Cancelled);
    let steps = server.steps(&run_id, "loop").await;
    assert_eq!(steps.len(), 3);
    assert!(
        steps
            .iter()
            .all(|step| step.state() == StepState::Cancelled)
    );
    assert_eq!(bin.count("/item"), 3);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_waits_is_cancelled_out_of_memory_too() {
    let server = TestServer::start().await;
    let body = single("wait", "delay", json!({"seconds": 3_600}));
    let flow = looping("waiting", json!({"array_source": [1, 2, 3], "body": body}));
    let run_id = server.save_and_start(flow, &json!({})).await;
    let waiting = server.run_in_state(&run_id, RunState::Waiting).await;

    server.cancel(&run_id).await.unwrap();
    let run = server.finished_run(&run_id).await;

    assert_eq!(progress(&waiting), [3, 3, 0, 0]);
    assert_eq!(run.state(), RunState::Cancelled);
    let steps = server.steps(&run_id, "loop").await;
    assert!(
        steps
            .iter()
            .all(|step| step.state() == StepState::Cancelled)
    );
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_its_time_is_stopped_in_the_middle_of_its_loop() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/item");
    let mut flow = asking(&bin);
    flow.policy = Some(FlowPolicy {
        run_timeout: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..FlowPolicy::default()
    });
    let run_id = server.save_and_start(flow, &json!({})).await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Failed);
    let error = run.error.as_ref().unwrap();
    assert_eq!((&*error.code, &*error.node_id), ("RUN_TIMEOUT", ""));
    assert_eq!(step(&run, "loop").state(), StepState::Cancelled);
    assert!(bin.count("/item") <= 3);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_may_wait_and_the_run_is_parked_meanwhile() {
    let server = TestServer::start().await;
    let body = json!({
        "nodes": [
            {"id": "wait", "type": "delay", "data": {"seconds": 6}},
            {"id": "after", "type": "transform", "data": {"source": "{{ item }} {{ index }}"}},
        ],
        "edges": [{"source": "wait", "target": "after"}],
    });
    let flow = looping("late", json!({"array_source": ["a", "b"], "body": body}));
    let run_id = server.save_and_start(flow, &json!({})).await;

    let waiting = server.run_in_state(&run_id, RunState::Waiting).await;
    let run = server.finished_run(&run_id).await;

    assert!(waiting.wake_time.is_some());
    assert_eq!(progress(&waiting), [2, 2, 0, 0]);
    assert_eq!(output(&run), json!(["a 0", "b 1"]));
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert!(has(&events, "run_resumed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_elsewhere_cuts_off_a_loop() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/item");
    let gate = bin.hold("/broken");
    bin.answer("/broken", crate::support::http_bin::Answer::status(500));
    let mut flow = chain(
        "beside",
        &[("broken", "http_request", json!({"url": bin.url("/broken")}))],
    );
    let beside = asking(&bin);
    flow.nodes.push(beside.nodes[2].clone());
    flow.edges.extend(beside.edges);
    let run_id = server.save_and_start(flow, &json!({})).await;
    bin.requested_in_all(4).await;

    gate.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(run.error.as_ref().unwrap().code, "HTTP_5XX");
    assert_eq!(step(&run, "loop").state(), StepState::Cancelled);
    assert_eq!(bin.count("/item"), 3);
    assert_gapless(&server.events_after(&run_id, 0).await);
}
