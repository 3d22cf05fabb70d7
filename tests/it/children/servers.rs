//! Parent and child on two servers of one database.

use serde_json::json;
use synapps::proto::RunState;
use tokio_postgres::Client;

use super::{asking, calling, child_of, output};
use crate::support::calls::assert_gapless;
use crate::support::database::Database;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

/// Two servers of which the first holds one run only, so that a child goes to the other.
async fn servers() -> (TestServer, TestServer) {
    let database = Database::migrated().await;
    let full = TestServer::builder()
        .database(&database)
        .flag("--max-open-runs=1")
        .start()
        .await;
    let other = TestServer::builder().database(&database).start().await;
    (full, other)
}

/// How many executors own a run.
async fn owners(sql: &Client) -> i64 {
    let owners = "SELECT count(DISTINCT executor_id) FROM workflow_runs";
    sql.query_one(owners, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_on_another_server_tells_its_parent() {
    let (full, other) = servers().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    full.save(asking("child", &bin, "/slow")).await;
    let top = full
        .save_and_start(calling("top", "child"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let owners = owners(&full.sql().await).await;
    held.release();
    let run = full.finished_run(&top).await;

    assert_eq!(owners, 2);
    assert_eq!(output(&run), json!("/slow"));
    assert_gapless(&other.events_after(&top, 0).await);
    assert_eq!(bin.count("/slow"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_on_another_server_fails_the_parent() {
    let (full, _other) = servers().await;
    let bin = HttpBin::start().await;
    bin.answer("/slow", Answer::status(500));
    full.save(asking("child", &bin, "/slow")).await;
    let top = full
        .save_and_start(calling("top", "child"), &json!({}))
        .await;

    let run = full.finished_run(&top).await;

    assert_eq!(run.error.as_ref().unwrap().code, "CHILD_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_child_on_another_server() {
    let (full, other) = servers().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    full.save(asking("child", &bin, "/slow")).await;
    let top = full
        .save_and_start(calling("top", "child"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;
    let child = child_of(&other, &top).await;

    full.cancel(&top).await.unwrap();

    for run_id in [&top, &child] {
        let run = other.finished_run(run_id).await;
        assert_eq!(run.state(), RunState::Cancelled, "{run:?}");
        assert_gapless(&full.events_after(run_id, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_was_handed_over_goes_on_with_its_child() {
    let (full, other) = servers().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    full.save(asking("child", &bin, "/slow")).await;
    let top = full
        .save_and_start(calling("top", "child"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    full.stop().await;
    held.release();
    let run = other.finished_run(&top).await;

    assert_eq!(output(&run), json!("/slow"));
    assert_gapless(&other.events_after(&top, 0).await);
    assert_eq!(bin.count("/slow"), 1);
}
