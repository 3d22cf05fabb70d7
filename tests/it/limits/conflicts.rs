//! What becomes of a run that is over the limit.

use serde_json::json;
use synapps::proto::{ConflictAction, FlowPolicy, RunState, StartRunRequest, WaitReason};
use tonic::Code;
use tonic_types::StatusExt;

use super::{asking, at_most, start_at, try_start};
use crate::support::calls::{assert_error, metadata, reason, violated_fields};
use crate::support::flows::chain;
use crate::support::history::{has, kinds};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn it_queues_and_starts_when_another_one_ends() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/x");
    server
        .save(asking("narrow", &bin, at_most(1, ConflictAction::Queue)))
        .await;

    let open = start_at(&server, "narrow", "x", 0).await;
    let waiting = start_at(&server, "narrow", "y", 0).await;
    bin.requested("/x", 1).await;
    let queued = server.get(&waiting).await;
    held.release();
    let ended = server.finished_run(&waiting).await;

    assert_eq!(queued.state(), RunState::Queued);
    assert_eq!(queued.wait_reason(), WaitReason::Concurrency);
    assert_eq!(ended.state(), RunState::Succeeded);
    let events = server.events_after(&waiting, 0).await;
    assert_eq!(
        kinds(&events)[..3],
        ["run_queued", "run_admitted", "run_started"]
    );
    let open = server.events_after(&open, 0).await;
    assert!(!has(&open, "run_admitted"), "it had its place at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refused_and_told_the_limit() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/x");
    let policy = FlowPolicy {
        concurrency_key: "{{ input.path }}".to_owned(),
        on_conflict: ConflictAction::Reject.into(),
        ..FlowPolicy::default()
    };
    server.save(asking("narrow", &bin, policy)).await;
    let first = StartRunRequest {
        flow_id: "narrow".to_owned(),
        input: Some(wire::value(&json!({ "path": "x" }))),
        request_id: "once".to_owned(),
        ..StartRunRequest::default()
    };
    let begun = server.runs().start_run(first.clone()).await.unwrap();
    let run_id = begun.into_inner().run.unwrap().run_id;

    let refused = try_start(&server, "narrow", &json!({ "path": "x" }), 0).await;
    let repeated = server.runs().start_run(first).await.unwrap().into_inner();
    let elsewhere = try_start(&server, "narrow", &json!({ "path": "y" }), 0).await;
    let none = try_start(&server, "narrow", &json!({}), 0).await;
    let long = try_start(&server, "narrow", &json!({ "path": "x".repeat(501) }), 0).await;
    held.release();
    server.finished_run(&run_id).await;
    let after = try_start(&server, "narrow", &json!({ "path": "x" }), 0).await;

    let refused = refused.unwrap_err();
    assert_error(&refused, Code::ResourceExhausted, "MAX_OPEN_RUNS");
    for (key, value) in [
        ("limit", "1"),
        ("value", "1"),
        ("key", "x"),
        ("flowId", "narrow"),
    ] {
        assert_eq!(metadata(&refused, key), value, "{key}");
    }
    assert_eq!(metadata(&refused, "scope"), "FlowPolicy.max_open_runs");
    assert!(refused.get_details_quota_failure().is_some());
    assert!(refused.get_details_retry_info().is_some());
    assert!(!repeated.started);
    assert_eq!(repeated.run.unwrap().run_id, run_id);
    assert!(elsewhere.is_ok(), "keys are counted apart");
    assert!(after.is_ok(), "the place is free again");
    let none = none.unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument);
    assert_eq!(violated_fields(&none), ["input"]);
    assert_eq!(reason(&long.unwrap_err()), "INVALID_INPUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_the_place_of_those_that_are_open_and_queued_once_they_have_ended() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let (first, _second) = (bin.hold("/1"), bin.hold("/2"));
    let policy = at_most(1, ConflictAction::CancelRunning);
    server.save(asking("latest", &bin, policy)).await;

    let one = start_at(&server, "latest", "1", 0).await;
    bin.requested("/1", 1).await;
    let two = start_at(&server, "latest", "2", 5).await;
    let three = start_at(&server, "latest", "3", 0).await;
    let last = server.finished_run(&three).await;

    drop(first);
    assert_eq!(last.state(), RunState::Succeeded);
    for run in [&one, &two] {
        assert_eq!(server.finished_run(run).await.state(), RunState::Cancelled);
    }
    let before = server.get(&one).await.end_time.unwrap();
    let after = last.start_time.unwrap();
    assert!((before.seconds, before.nanos) <= (after.seconds, after.nanos));
    let cancelled = server.events_after(&one, 0).await;
    let why = cancelled.iter().find_map(|event| match &event.event {
        Some(synapps::proto::run_event::Event::RunCancelling(event)) => Some(event.reason.clone()),
        _ => None,
    });
    assert!(why.unwrap().contains(&two), "it says for which run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_counts_and_fails_its_step_where_it_is_refused() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/x");
    server
        .save(asking("narrow", &bin, at_most(1, ConflictAction::Reject)))
        .await;
    let call = json!({ "flow_id": "narrow", "input": { "path": "{{ input.path }}" } });
    server
        .save(chain("parent", &[("call", "subflow", call)]))
        .await;

    let first = server.start("parent", &json!({ "path": "x" })).await;
    bin.requested("/x", 1).await;
    let second = server.start("parent", &json!({ "path": "y" })).await;
    let second = server.finished_run(&second).await;
    let third = try_start(&server, "narrow", &json!({ "path": "z" }), 0).await;
    held.release();
    let first = server.finished_run(&first).await;

    assert_eq!(first.state(), RunState::Succeeded);
    assert_eq!(second.state(), RunState::Failed);
    let error = second.error.unwrap();
    assert_eq!(error.code, "CHILD_FAILED");
    assert!(
        error.message.contains("the most are 1"),
        "{}",
        error.message
    );
    assert_eq!(reason(&third.unwrap_err()), "MAX_OPEN_RUNS");
}
