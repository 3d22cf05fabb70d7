//! Runs in the queue: they can be watched, cancelled and deleted like all others, and keep what waits behind them out.

use serde_json::json;
use synapps::proto::execute_run_response::Message;
use synapps::proto::{
    ConflictAction, DeleteRunRequest, ExecuteRunRequest, RunState, StreamEndReason,
};
use tonic::Code;

use super::{asking, at_most, start_at};
use crate::support::calls::assert_error;
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::{wire, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_can_be_cancelled_and_deleted_and_lets_nobody_slip_in() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/x");
    server
        .save(asking("narrow", &bin, at_most(1, ConflictAction::Queue)))
        .await;
    let open = start_at(&server, "narrow", "x", 0).await;
    let second = start_at(&server, "narrow", "y", 0).await;
    let third = start_at(&server, "narrow", "z", 0).await;
    bin.requested("/x", 1).await;
    let delete = DeleteRunRequest {
        run_id: second.clone(),
    };

    let early = server.runs().delete_run(delete.clone()).await;
    server.cancel(&second).await.unwrap();
    let cancelled = server.finished_run(&second).await;
    server.runs().delete_run(delete).await.unwrap();
    let behind = server.get(&third).await;
    held.release();

    assert_error(
        &early.unwrap_err(),
        Code::FailedPrecondition,
        "RUN_NOT_DONE",
    );
    assert_eq!(cancelled.state(), RunState::Cancelled);
    assert_eq!(cancelled.start_time, None, "it never started");
    assert_eq!(behind.state(), RunState::Queued);
    for run in [&open, &third] {
        assert_eq!(server.finished_run(run).await.state(), RunState::Succeeded);
    }
    assert_eq!((bin.count("/y"), bin.count("/z")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn execute_run_of_a_queued_run_streams_once_it_has_its_place() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/x");
    server
        .save(asking("narrow", &bin, at_most(1, ConflictAction::Queue)))
        .await;
    start_at(&server, "narrow", "x", 0).await;
    bin.requested("/x", 1).await;
    let request = ExecuteRunRequest {
        flow_id: "narrow".to_owned(),
        input: Some(wire::value(&json!({ "path": "y" }))),
        ..ExecuteRunRequest::default()
    };

    let stream = server.runs().execute_run(request).await.unwrap();
    let mut stream = stream.into_inner();
    let mut held = Some(held);
    let (mut sequences, mut end) = (Vec::new(), None);
    let read = async {
        while let Some(message) = stream.message().await.unwrap() {
            match message.message.unwrap() {
                Message::Event(event) => {
                    sequences.push(event.sequence);
                    // The first event is that it is queued: now the one before it may end.
                    drop(held.take());
                }
                Message::End(last) => end = Some(last.reason()),
                _ => {}
            }
        }
    };
    within("the end of the stream", read).await;

    assert_eq!(end, Some(StreamEndReason::Finished));
    let expected: Vec<i64> = (1..).take(sequences.len()).collect();
    assert_eq!(sequences, expected);
    assert!(sequences.len() > 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_keeps_its_place() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("waits")
        .node("sleep", "delay", json!({ "seconds": 3600 }))
        .edge("start", "sleep")
        .edge("sleep", "end")
        .policy(at_most(1, ConflictAction::Queue))
        .build();
    server.save(flow).await;

    let first = server.start("waits", &json!({})).await;
    server.run_in_state(&first, RunState::Waiting).await;
    let second = server.start("waits", &json!({})).await;
    let queued = server.get(&second).await;
    server.cancel(&first).await.unwrap();

    assert_eq!(queued.state(), RunState::Queued);
    server.run_in_state(&second, RunState::Waiting).await;
}
