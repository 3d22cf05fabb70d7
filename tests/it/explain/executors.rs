//! Reasons that lie with who owns a run, or with nobody doing so.

use serde_json::json;
use synapps::proto::{ExplainRunRequest, ObstacleKind, RunState, obstacle::Detail};
use synapps::run::event::FORMAT;
use synapps::store::inbox::Request;
use tonic::Code;
use uuid::Uuid;

use super::{explain, explained, kinds, one, post};
use crate::support::calls::assert_error;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

/// A server that takes nothing over for a minute, with a run that waits for long.
async fn server_with_waiting_run() -> (TestServer, String) {
    let server = TestServer::builder().flag("--lease=60s").start().await;
    let flow = chain("sleeper", &[("sleep", "delay", json!({ "seconds": 3600 }))]);
    let run = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run, RunState::Waiting).await;
    (server, run)
}

/// Gives a run to an executor at this address whose lease lasts for so long.
async fn give_to(server: &TestServer, run: &str, address: &str, lease: &str) -> Uuid {
    let executor = Uuid::new_v4();
    let sql = server.sql().await;
    let insert = format!(
        "INSERT INTO executors (executor_id, address, version, event_format, lease_until) \
         VALUES ($1, $2, '0', {FORMAT}, now() + interval '{lease}')"
    );
    sql.execute(&insert, &[&executor, &address]).await.unwrap();
    let give = "UPDATE workflow_runs SET executor_id = $1, wake_at = NULL, epoch = epoch + 1 WHERE run_id::text = $2";
    assert_eq!(sql.execute(give, &[&executor, &run]).await.unwrap(), 1);
    executor
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_lease_has_ended() {
    let (server, run) = server_with_waiting_run().await;
    let executor = give_to(&server, &run, "10.0.0.7:7000", "-5 seconds").await;

    let answer = explain(&server, &run).await;

    let (_, detail) = one(&answer, ObstacleKind::LeaseExpired);
    let Detail::Owner(owner) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(owner.executor_id, executor.to_string());
    assert_eq!(owner.address, "10.0.0.7:7000");
    assert!(owner.lease_expire_time.unwrap().seconds < answer.time.unwrap().seconds);
    assert!(!answer.answered_by_owner);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_owns_it_and_has_letters_to_read() {
    let (server, run) = server_with_waiting_run().await;
    give_to(&server, &run, "10.0.0.7:7000", "1 hour").await;
    let request = Request::Signal {
        name: "s".to_owned(),
        payload: json!({}),
    };
    post(server.database(), &run, request).await;

    let answer = explain(&server, &run).await;

    let (obstacle, detail) = one(&answer, ObstacleKind::OwnedElsewhere);
    assert!(obstacle.message.contains("10.0.0.7:7000"), "{obstacle:?}");
    assert!(matches!(detail, Detail::Owner(_)));
    let (_, detail) = one(&answer, ObstacleKind::Letters);
    let Detail::Letters(letters) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(letters.count, 1);
    assert!(letters.oldest_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_history_is_newer_than_all_executors() {
    let (server, run) = server_with_waiting_run().await;
    let sql = server.sql().await;
    let newer =
        "UPDATE workflow_runs SET event_format = 99, wake_at = now() WHERE run_id::text = $1";
    assert_eq!(sql.execute(newer, &[&run]).await.unwrap(), 1);

    let answer = explain(&server, &run).await;

    let (_, detail) = one(&answer, ObstacleKind::FormatTooNew);
    let Detail::FormatTooNew(formats) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(
        (formats.event_format, formats.highest_readable),
        (99, i32::from(FORMAT))
    );
    assert!(!kinds(&answer).contains(&ObstacleKind::Unclaimed));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_executor_has_room_or_none_lives() {
    let server = TestServer::builder()
        .flag("--max-open-runs=1")
        .start()
        .await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let get = json!({ "url": bin.url("/slow") });
    server
        .save(chain("asks", &[("get", "http_request", get)]))
        .await;
    server.start("asks", &json!({})).await;
    bin.requested("/slow", 1).await;

    let queued = server.start("asks", &json!({})).await;
    let full = explain(&server, &queued).await;
    let sql = server.sql().await;
    let retire = "UPDATE executors SET retired = true";
    assert_eq!(sql.execute(retire, &[]).await.unwrap(), 1);
    let alone = explain(&server, &queued).await;

    let (_, detail) = one(&full, ObstacleKind::Unclaimed);
    let Detail::Unclaimed(unclaimed) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(unclaimed.live_executors, 1);
    assert_eq!(
        (unclaimed.open_runs_here, unclaimed.max_open_runs_here),
        (1, 1)
    );
    assert!(unclaimed.due_time.is_some());
    one(&alone, ObstacleKind::NoLiveExecutor);
    assert!(!kinds(&alone).contains(&ObstacleKind::Unclaimed));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_ended_or_was_never_there() {
    let server = TestServer::start().await;
    let flow = chain("short", &[]);
    let run = server.save_and_start(flow, &json!({})).await;
    server.finished_run(&run).await;

    let answer = explained(&server, &run, ObstacleKind::Final).await;
    let absent = ExplainRunRequest {
        run_id: Uuid::now_v7().to_string(),
    };
    let none = server.runs().explain_run(absent).await.unwrap_err();

    assert_eq!(kinds(&answer), [ObstacleKind::Final]);
    assert_eq!(answer.run.unwrap().state(), RunState::Succeeded);
    assert_error(&none, Code::NotFound, "RUN_NOT_FOUND");
}
