//! A parent whose child takes long waits out of memory.

use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::{RunState, StepState, WaitReason};

use super::{asking, call, calling, child_of, output};
use crate::support::calls::assert_gapless;
use crate::support::flows::chain;
use crate::support::history::kinds;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_is_parked_and_goes_on_when_its_child_has_ended() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(asking("child", &bin, "/slow")).await;
    let top = server
        .save_and_start(calling("top", "child"), &json!({}))
        .await;

    // It waits for 5 s in memory first.
    let waiting = server.run_in_state(&top, RunState::Waiting).await;
    let sql = server.sql().await;
    let owned = "SELECT count(*) FROM workflow_runs WHERE executor_id IS NOT NULL";
    let owned: i64 = sql.query_one(owned, &[]).await.unwrap().get(0);
    held.release();
    let run = server.finished_run(&top).await;

    assert_eq!(waiting.wait_reason(), WaitReason::Child);
    assert_eq!(call(&waiting).state(), StepState::Waiting);
    assert_eq!(call(&waiting).wait_reason(), WaitReason::Child);
    assert_eq!(waiting.current_node_ids, ["call"]);
    assert_eq!(owned, 1, "the child only");
    assert_eq!(output(&run), json!("/slow"));
    let events = server.events_after(&top, 0).await;
    assert_gapless(&events);
    assert_eq!(
        kinds(&events),
        [
            "run_queued",
            "run_started",
            "step_succeeded start",
            "child_started call",
            "run_waiting",
            "child_ended call",
            "run_resumed",
            "step_succeeded call",
            "step_succeeded end",
            "run_succeeded"
        ]
    );
    let Some(Event::RunWaiting(waiting)) = &events[4].event else {
        unreachable!("it is called so")
    };
    assert_eq!(waiting.reason(), WaitReason::Child);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_generations_wait_for_a_time_without_any_memory() {
    let server = TestServer::start().await;
    let wait = json!({"seconds": 12});
    server.save(chain("leaf", &[("wait", "delay", wait)])).await;
    server.save(calling("middle", "leaf")).await;
    let top = server
        .save_and_start(calling("top", "middle"), &json!({"kept": [1]}))
        .await;
    let middle = child_of(&server, &top).await;
    let leaf = child_of(&server, &middle).await;

    for run_id in [&leaf, &middle, &top] {
        server.run_in_state(run_id, RunState::Waiting).await;
    }
    let sql = server.sql().await;
    let owned = "SELECT count(*) FROM workflow_runs WHERE executor_id IS NOT NULL";
    let owned: i64 = sql.query_one(owned, &[]).await.unwrap().get(0);
    let run = server.finished_run(&top).await;

    assert_eq!(owned, 0);
    assert_eq!(output(&run), json!({"kept": [1]}));
    for run_id in [&leaf, &middle, &top] {
        assert_gapless(&server.events_after(run_id, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_short_flow_does_not_wait_for_a_tick() {
    let server = TestServer::start().await;
    server.save(chain("short", &[])).await;
    let calls: Vec<_> = (0..20)
        .map(|n| (format!("call{n}"), json!({"flow_id": "short"})))
        .collect();
    let nodes: Vec<_> = calls
        .iter()
        .map(|(id, config)| (id.as_str(), "subflow", config.clone()))
        .collect();
    let run_id = server
        .save_and_start(chain("top", &nodes), &json!({"x": 1}))
        .await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(output(&run), json!({"x": 1}));
    let (from, to) = (run.start_time.unwrap(), run.end_time.unwrap());
    let took = to.seconds - from.seconds;
    assert!(took < 15, "20 calls one after the other took {took} s");
    let events = server.events_after(&run_id, 0).await;
    let parked = kinds(&events)
        .into_iter()
        .filter(|kind| kind == "run_waiting");
    assert_eq!(parked.count(), 0);
}
