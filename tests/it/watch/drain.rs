//! Watches of a server that shuts down, and of the one after it.

use serde_json::json;
use synapps::proto::{ExecuteRunRequest, RunState, StreamEndReason};
use tonic::Code;

use super::{asking, end_of, past, request, to_the_end, watch};
use crate::support::calls::{assert_error, assert_gapless, events_of, metadata};
use crate::support::history::has;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_a_shutdown_ends_goes_on_at_the_next_server() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("flow", &bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;
    let mut stream = watch(&server, request(&run_id)).await.unwrap();
    let (before, _) = past(&mut stream).await;

    let (database, (during, error)) = tokio::join!(server.stop(), to_the_end(stream));
    let error = error.expect("it is told why it ends");
    assert_error(&error, Code::Unavailable, "DRAINING");
    assert_eq!(end_of(&during), Some(StreamEndReason::Draining));
    let seen = [events_of(&before), events_of(&during)].concat();
    let last = seen.last().unwrap().sequence;
    assert_eq!(metadata(&error, "sequence"), last.to_string());
    assert_eq!(during.last().unwrap().sequence, last);

    let next = TestServer::builder().database(&database).start().await;
    held.release();
    let rest = within("the rest", next.watched(&run_id, last)).await;
    let seen = [
        seen,
        events_without_payloads(&next, &run_id, last, rest).await,
    ]
    .concat();
    assert_gapless(&seen);
    assert!(has(&seen, "run_succeeded"), "{seen:#?}");
}

/// The events of a watch, which have to be what is listed.
async fn events_without_payloads(
    server: &TestServer,
    run_id: &str,
    after: i64,
    watched: Vec<synapps::proto::WatchRunResponse>,
) -> Vec<synapps::proto::RunEvent> {
    let events = events_of(&watched);
    assert_eq!(events, server.events_after(run_id, after).await);
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_no_departure_of_the_client() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(asking("flow", &bin)).await;
    let execute = ExecuteRunRequest {
        flow_id: "flow".to_owned(),
        request_id: "once".to_owned(),
        cancel_on_disconnect: true,
        ..ExecuteRunRequest::default()
    };
    let mut stream = server
        .runs()
        .execute_run(execute.clone())
        .await
        .unwrap()
        .into_inner();
    bin.requested("/slow", 1).await;

    let read = async { while let Ok(Some(_)) = stream.message().await {} };
    let (database, ()) = tokio::join!(server.stop(), read);
    let next = TestServer::builder().database(&database).start().await;
    held.release();
    let mut again = next.runs().execute_run(execute).await.unwrap().into_inner();
    let first = again.message().await.unwrap().unwrap().message.unwrap();
    let read = async { while again.message().await.unwrap().is_some() {} };
    within("the end of the run", read).await;

    let synapps::proto::execute_run_response::Message::RunStarted(started) = first else {
        panic!("the first message is {first:?}");
    };
    assert!(!started.started);
    let run = next.finished_run(&started.run.unwrap().run_id).await;
    assert_eq!(run.state(), RunState::Succeeded);
}
