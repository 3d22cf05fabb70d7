//! `ExecuteRun`: a start and a watch in one call.

use serde_json::json;
use synapps::proto::execute_run_response::Message;
use synapps::proto::{ExecuteRunRequest, ExecuteRunResponse, RunEvent, RunState, StreamEndReason};
use tonic::{Code, Status, Streaming};

use super::{asking, greeting};
use crate::support::calls::{Calls, assert_error, assert_gapless, violated_fields};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::{wire, within};

fn request(flow_id: &str) -> ExecuteRunRequest {
    ExecuteRunRequest {
        flow_id: flow_id.to_owned(),
        input: Some(wire::value(&json!({ "name": "Ada" }))),
        request_id: "once".to_owned(),
        include_payloads: true,
        ..ExecuteRunRequest::default()
    }
}

async fn execute(
    server: &Calls,
    request: ExecuteRunRequest,
) -> Result<Streaming<ExecuteRunResponse>, Status> {
    Ok(server.runs().execute_run(request).await?.into_inner())
}

/// The id that the first message has, and whether the run was started by the call.
async fn started(stream: &mut Streaming<ExecuteRunResponse>) -> (String, bool) {
    let first = within("the first message", stream.message()).await;
    match first.unwrap().unwrap().message {
        Some(Message::RunStarted(started)) => (started.run.unwrap().run_id, started.started),
        other => panic!("the first message is {other:?}"),
    }
}

/// The events up to the end, which has to be in order.
async fn rest(mut stream: Streaming<ExecuteRunResponse>) -> Vec<RunEvent> {
    let collect = async {
        let (mut events, mut end) = (Vec::new(), None);
        while let Some(message) = stream.message().await.unwrap() {
            assert!(end.is_none(), "behind the end: {message:?}");
            match message.message.unwrap() {
                Message::Event(event) => {
                    assert_eq!(message.sequence, event.sequence);
                    events.push(event);
                }
                Message::End(last) => end = Some(last.reason()),
                Message::CaughtUp(_) | Message::Heartbeat(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        assert_eq!(end, Some(StreamEndReason::Finished));
        events
    };
    within("the end of the stream", collect).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_started_comes_first_then_each_event_then_the_end() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;

    let mut stream = execute(&server, request("greeting")).await.unwrap();
    let (run_id, new) = started(&mut stream).await;
    let events = rest(stream).await;

    assert!(new);
    assert_gapless(&events);
    assert_eq!(events, server.events_after(&run_id, 0).await);
    assert_eq!(
        wire::json(server.get(&run_id).await.output.as_ref()),
        json!("hello Ada")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_again_attaches_from_where_it_wants() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;
    let mut stream = execute(&server, request("greeting")).await.unwrap();
    let (run_id, _) = started(&mut stream).await;
    let all = rest(stream).await;

    for after in 0..=all.len() {
        let again = ExecuteRunRequest {
            after_sequence: i64::try_from(after).unwrap(),
            ..request("greeting")
        };
        let mut stream = execute(&server, again).await.unwrap();
        assert_eq!(started(&mut stream).await, (run_id.clone(), false));
        assert_eq!(rest(stream).await, all[after..]);
    }
    let beyond = ExecuteRunRequest {
        after_sequence: 1_000,
        ..request("greeting")
    };
    let error = execute(&server, beyond).await.unwrap_err();
    assert_error(&error, Code::OutOfRange, "SEQUENCE_BEYOND_END");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_attaches_to_a_running_run_sees_it_to_its_end() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(asking("slow", &bin, "/slow")).await;
    let mut one = execute(&server, request("slow")).await.unwrap();
    let (run_id, _) = started(&mut one).await;
    bin.requested("/slow", 1).await;

    let mut two = execute(&server, request("slow")).await.unwrap();
    assert_eq!(started(&mut two).await, (run_id, false));
    held.release();
    let (one, two) = tokio::join!(rest(one), rest(two));

    assert_gapless(&one);
    assert_eq!(one, two);
    assert_eq!(bin.count("/slow"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_ends_the_run_only_if_it_said_so() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(asking("slow", &bin, "/slow")).await;
    let mut ids = Vec::new();
    for cancel_on_disconnect in [true, false] {
        let request = ExecuteRunRequest {
            request_id: String::new(),
            cancel_on_disconnect,
            ..request("slow")
        };
        let mut stream = execute(&server, request).await.unwrap();
        ids.push(started(&mut stream).await.0);
    }
    bin.requested("/slow", 2).await;

    let cancelled = server.finished_run(&ids[0]).await;
    held.release();
    let finished = server.finished_run(&ids[1]).await;

    assert_eq!(cancelled.state(), RunState::Cancelled);
    assert_eq!(finished.state(), RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_or_resumed_is_refused_without_a_stream() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;

    let error = execute(&server, request("absent")).await.unwrap_err();
    assert_error(&error, Code::NotFound, "FLOW_NOT_FOUND");
    let nothing_to_resume = ExecuteRunRequest {
        request_id: String::new(),
        after_sequence: 1,
        ..request("greeting")
    };
    let error = execute(&server, nothing_to_resume).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(violated_fields(&error), ["after_sequence"]);
}
