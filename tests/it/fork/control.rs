//! Forks beside the other calls: they are compared, retried, cancelled like any run, and keep their original from being
//! deleted while they may need it.

use serde_json::json;
use synapps::proto::{
    DeleteRunRequest, DiffRunsRequest, DiffRunsResponse, RetryRunRequest, Run, RunState,
    SignalRunRequest, StepState,
};
use tonic::Code;

use super::{answers, data, fork, forked, from, get, of, output, reused, step, two_ways};
use crate::support::calls::{Calls, assert_error, assert_gapless};
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

async fn diff(calls: &Calls, base: &str, compare: &str) -> DiffRunsResponse {
    let request = DiffRunsRequest {
        base: base.to_owned(),
        compare: compare.to_owned(),
    };
    let answer = calls.runs().diff_runs(request).await;
    answer.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_differs_from_its_original_in_what_came_out_differently() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    answers(&bin, "/left", &json!({ "said": 1 }));
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    server.finished_run(&run_id).await;

    let same = forked(&server, of(&run_id)).await;
    let other = forked(&server, from(&run_id, &["after"])).await;

    let nothing = diff(&server, &run_id, &same.run_id).await;
    let something = diff(&server, &run_id, &other.run_id).await;
    assert!(nothing.equal, "{nothing:?}");
    let steps: Vec<&str> = something
        .steps
        .iter()
        .map(|step| step.step_path.as_str())
        .collect();
    assert_eq!(steps, ["end", "after", "join"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_cannot_be_deleted_while_a_fork_is_open() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    server.finished_run(&run_id).await;
    let held = bin.hold("/after");
    let run = fork(&server, from(&run_id, &["after"])).await.unwrap();
    let run = run.run.unwrap();
    bin.requested("/after", 2).await;

    let delete = DeleteRunRequest { run_id };
    let error = server.runs().delete_run(delete.clone()).await.unwrap_err();
    assert_error(&error, Code::FailedPrecondition, "RUN_IN_USE");

    server.cancel(&run.run_id).await.unwrap();
    let cancelled = server.finished_run(&run.run_id).await;
    assert_eq!(cancelled.state(), RunState::Cancelled);
    held.release();
    server.runs().delete_run(delete).await.unwrap();
}

/// A run that had failed, once it has ended again.
async fn retried(calls: &Calls, failed: &Run) -> Run {
    let retry = RetryRunRequest {
        run_id: failed.run_id.clone(),
    };
    calls.runs().retry_run(retry).await.unwrap();
    calls.watched(&failed.run_id, failed.last_sequence).await;
    calls.get(&failed.run_id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_failed_is_retried_with_what_it_had_taken() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    server.finished_run(&run_id).await;
    bin.answer("/after", Answer::status(404));
    let run = forked(&server, from(&run_id, &["after"])).await;
    assert_eq!(run.state(), RunState::Failed);

    bin.answer("/after", Answer::status(200));
    let run = retried(&server, &run).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_gapless(&server.events_after(&run.run_id, 0).await);
    assert_eq!(step(&run, "after").attempt, 2);
    assert_eq!(
        (bin.count("/left"), bin.count("/right"), bin.count("/after")),
        (1, 1, 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_taken_when_another_step_failed_is_taken_at_the_retry() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    answers(&bin, "/gate", &json!("open"));
    answers(&bin, "/right", &json!("x".repeat(60_000)));
    let flow = flow_with_ends("gate")
        .node("gate", "http_request", get(&bin, "/gate"))
        .node("said", "transform", data())
        .node("after", "http_request", get(&bin, "/after"))
        .node("right", "http_request", get(&bin, "/right"))
        .edge("start", "gate")
        .edge("gate", "said")
        .edge("said", "after")
        .edge("said", "right")
        .edge("after", "end")
        .edge("right", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.finished_run(&run_id).await;
    bin.answer("/after", Answer::status(404));
    let held = bin.hold("/gate");
    let run = fork(&server, from(&run_id, &["gate", "after"]))
        .await
        .unwrap();
    let run = run.run.unwrap();
    bin.requested("/gate", 2).await;
    let sql = server.database().sql().await;
    let lock = "BEGIN; LOCK TABLE payload_chunks";
    sql.batch_execute(lock).await.unwrap();
    held.release();
    let run = server.finished_run(&run.run_id).await;
    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(step(&run, "right").state(), StepState::Cancelled);

    sql.batch_execute("COMMIT").await.unwrap();
    bin.answer("/after", Answer::status(200));
    let run = retried(&server, &run).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_gapless(&server.events_after(&run.run_id, 0).await);
    assert_eq!((step(&run, "right").attempt, bin.count("/right")), (2, 1));
    assert!(reused(&run).contains(&"right"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_came_need_not_come_again_unless_its_step_is_named() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("go")
        .node("go", "wait_signal", json!({ "name": "go" }))
        .edge("start", "go")
        .edge_from("go", "received", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    let signal = |run_id: &str, payload: serde_json::Value| SignalRunRequest {
        run_id: run_id.to_owned(),
        name: "go".to_owned(),
        payload: Some(wire::value(&payload)),
        ..SignalRunRequest::default()
    };
    let sent = signal(&run_id, json!({ "n": 1 }));
    server.runs().signal_run(sent).await.unwrap();
    let original = server.finished_run(&run_id).await;

    let same = forked(&server, of(&run_id)).await;
    let again = fork(&server, from(&run_id, &["go"])).await.unwrap();
    let again = again.run.unwrap();
    server.run_in_state(&again.run_id, RunState::Waiting).await;
    let sent = signal(&again.run_id, json!({ "n": 2 }));
    server.runs().signal_run(sent).await.unwrap();
    let again = server.finished_run(&again.run_id).await;

    assert_eq!(original.state(), RunState::Succeeded, "{original:?}");
    assert_eq!(output(&same), json!({ "n": 1 }));
    assert_eq!(step(&same, "go").ports, step(&original, "go").ports);
    assert_eq!(output(&again), json!({ "n": 2 }));
    assert_eq!(reused(&again), ["start"]);
}
