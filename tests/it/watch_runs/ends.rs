//! Watches that are refused or ended, and those in which nothing happens.

use std::time::Duration;

use synapps::api::Settings;
use synapps::proto::watch_runs_response::Message;
use synapps::proto::{RunChangeKind, StreamEndReason, WatchRunsRequest};
use tonic::Code;

use super::{next, past, seeds, told_until, watch};
use crate::support::calls::{assert_error, metadata, violated_fields};
use crate::support::server::TestServer;
use crate::support::within;
use crate::watch::bare::Bare;

#[tokio::test(flavor = "multi_thread")]
async fn more_open_runs_than_can_be_followed_are_refused() {
    let server = TestServer::start().await;
    let sql = server.sql().await;
    sql.batch_execute(&seeds::many(10_000, true)).await.unwrap();
    let request = WatchRunsRequest::default;
    let mut just_enough = watch(&server, request()).await.unwrap();
    assert_eq!(past(&mut just_enough).await.1, 10_000);

    seeds::waiting(&sql).await;
    let refused = watch(&server, request()).await.unwrap_err();
    let ended = within("the end", async {
        loop {
            if let Err(status) = just_enough.message().await {
                return status;
            }
        }
    })
    .await;

    for status in [refused, ended] {
        assert_error(&status, Code::ResourceExhausted, "TOO_MANY_RUNS");
        assert_eq!(metadata(&status, "limit"), "10000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_a_watch_and_says_so() {
    let server = TestServer::start().await;
    seeds::waiting(&server.sql().await).await;
    let mut watch = watch(&server, WatchRunsRequest::default()).await.unwrap();
    past(&mut watch).await;

    let read = async {
        let mut last = None;
        loop {
            match watch.message().await {
                Ok(Some(message)) => last = message.message,
                Ok(None) => panic!("it ends with an error"),
                Err(status) => return (last, status),
            }
        }
    };
    let (_database, (last, status)) = tokio::join!(server.stop(), within("the end", read));

    assert_error(&status, Code::Unavailable, "DRAINING");
    let Some(Message::End(end)) = last else {
        panic!("{last:?}");
    };
    assert_eq!(end.reason(), StreamEndReason::Draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_watch_says_that_it_is_alive_and_notices_what_is_deleted() {
    let settings = Settings {
        heartbeat: Duration::from_millis(50),
        ..Settings::default()
    };
    let bare = Bare::start(settings).await;
    let server = bare.connect();
    let sql = bare.sql().await;
    let run_id = seeds::waiting(&sql).await;
    let mut watch = watch(&server, WatchRunsRequest::default()).await.unwrap();
    past(&mut watch).await;

    let alive = next(&mut watch).await;
    let delete = format!("DELETE FROM workflow_runs WHERE run_id = '{run_id}'");
    sql.batch_execute(&delete).await.unwrap();
    let told = told_until(&mut watch, |_, _| true).await;

    assert!(matches!(alive, Message::Heartbeat(heartbeat) if heartbeat.time.is_some()));
    assert_eq!(
        (&told[0].0.run_id, told[0].1),
        (&run_id, RunChangeKind::Deleted)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_reads_nothing_for_too_long_is_ended() {
    let settings = Settings {
        slow_watcher: Duration::from_millis(100),
        ..Settings::default()
    };
    let bare = Bare::start(settings).await;
    let sql = bare.sql().await;
    sql.batch_execute(&seeds::many(10_000, true)).await.unwrap();
    // More than is on the way to a client at most.
    let long = "UPDATE workflow_runs SET labels = jsonb_build_object('note', repeat('x', 1000))";
    sql.batch_execute(long).await.unwrap();

    let mut silent = watch(&bare.connect(), WatchRunsRequest::default())
        .await
        .unwrap();
    bare.has_no_watches().await;
    let status = within("the end", async {
        loop {
            if let Err(status) = silent.message().await {
                return status;
            }
        }
    })
    .await;

    assert_error(&status, Code::ResourceExhausted, "WATCHER_TOO_SLOW");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused() {
    let server = TestServer::builder().flag("--max-watchers=1").start().await;
    let wrong = WatchRunsRequest {
        flow_id: "a b".to_owned(),
        states: vec![0, 77],
        labels: [("ä".to_owned(), String::new())].into(),
    };
    let refused = watch(&server, wrong).await.unwrap_err();
    let fields = violated_fields(&refused);
    assert!(fields.contains(&"flow_id".to_owned()), "{fields:?}");
    assert!(fields.contains(&"states[1]".to_owned()), "{fields:?}");
    let absent = WatchRunsRequest {
        flow_id: "nothing".to_owned(),
        ..WatchRunsRequest::default()
    };
    let refused = watch(&server, absent).await.unwrap_err();
    assert_error(&refused, Code::NotFound, "FLOW_NOT_FOUND");

    let first = watch(&server, WatchRunsRequest::default()).await.unwrap();
    let second = watch(&server, WatchRunsRequest::default())
        .await
        .unwrap_err();
    assert_error(&second, Code::ResourceExhausted, "TOO_MANY_WATCHERS");
    drop(first);
}
