//! What is told of which runs.

use serde_json::json;
use synapps::proto::{RunChangeKind, RunState, WatchRunsRequest};

use super::{asking, in_states, past, seeds, start_labelled, told_until, watch};
use crate::support::calls::Calls;
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

async fn succeeded(server: &Calls, flow_id: &str) -> String {
    let run_id = server.start(flow_id, &json!({})).await;
    server.finished_run(&run_id).await;
    run_id
}

#[tokio::test(flavor = "multi_thread")]
async fn open_runs_come_first_and_then_each_change_to_the_end() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    server.save(chain("quick", &[])).await;
    succeeded(&server, "quick").await;
    let open = server
        .save_and_start(asking("slow", &bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let mut watch = watch(&server, WatchRunsRequest::default()).await.unwrap();
    let (runs, count) = past(&mut watch).await;
    let later = succeeded(&server, "quick").await;
    let told_later = told_until(&mut watch, |run, _| {
        run.run_id == later && run.state() == RunState::Succeeded
    })
    .await;
    held.release();
    let told = told_until(&mut watch, |run, _| {
        run.run_id == open && run.state() == RunState::Succeeded
    })
    .await;

    assert_eq!(count, 1, "what has ended is not open");
    assert_eq!(
        (&runs[0].run_id, runs[0].state()),
        (&open, RunState::Running)
    );
    assert_eq!(runs[0].flow_id, "slow");
    for (run, kind) in told_later.iter().chain(&told) {
        assert_eq!(*kind, RunChangeKind::Current);
        assert!(run.run_id == later || run.run_id == open);
    }
    let end = &told.last().unwrap().0;
    assert!(end.end_time.is_some() && end.progress == end.total_steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_runs_of_the_flow_with_the_labels_are_told_of() {
    let server = TestServer::start().await;
    server.save(chain("one", &[])).await;
    server.save(chain("other", &[])).await;
    let request = WatchRunsRequest {
        flow_id: "one".to_owned(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        ..WatchRunsRequest::default()
    };

    let mut watch = watch(&server, request).await.unwrap();
    assert_eq!(past(&mut watch).await.1, 0);
    start_labelled(&server, "other", "a").await;
    start_labelled(&server, "one", "b").await;
    succeeded(&server, "one").await;
    let wanted = start_labelled(&server, "one", "a").await;
    let told = told_until(&mut watch, |run, _| run.state() == RunState::Succeeded).await;

    assert!(told.iter().all(|(run, _)| run.run_id == wanted), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_leaves_the_filter_gets_a_last_message_with_its_final_state() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("slow", &bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let request = in_states(&[RunState::Running]);
    let mut watching = watch(&server, request).await.unwrap();
    let final_only = in_states(&[RunState::Succeeded]);
    let mut ended = watch(&server, final_only).await.unwrap();
    assert_eq!(past(&mut watching).await.1, 1);
    assert_eq!(past(&mut ended).await.1, 0);
    held.release();
    let left = told_until(&mut watching, |_, _| true).await;
    let came = told_until(&mut ended, |_, _| true).await;

    assert_eq!(left[0].0.run_id, run_id);
    assert_eq!(left[0].0.state(), RunState::Succeeded);
    assert_eq!(left[0].1, RunChangeKind::Left);
    assert_eq!(
        (&came[0].0.run_id, came[0].1),
        (&run_id, RunChangeKind::Current)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_many_steps_is_told_of_in_few_messages() {
    let server = TestServer::start().await;
    let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    let nodes: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "transform", json!({ "source": "x" })))
        .collect();
    server.save(chain("long", &nodes)).await;

    let mut watch = watch(&server, WatchRunsRequest::default()).await.unwrap();
    past(&mut watch).await;
    let run_id = succeeded(&server, "long").await;
    let told = told_until(&mut watch, |run, _| run.state() == RunState::Succeeded).await;

    assert!(told.iter().all(|(run, _)| run.run_id == run_id));
    assert!(told.len() <= 3, "{}", told.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_made_by_another_server_are_told() {
    let database = Database::migrated().await;
    let owner = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = owner.save_and_start(asking("slow", &bin), &json!({})).await;
    bin.requested("/slow", 1).await;

    let mut watch = watch(&other, WatchRunsRequest::default()).await.unwrap();
    let (runs, _) = past(&mut watch).await;
    held.release();
    let told = told_until(&mut watch, |run, _| run.state() == RunState::Succeeded).await;

    assert_eq!(runs[0].run_id, run_id);
    assert_eq!(told.last().unwrap().0.run_id, run_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_commits_late_is_not_missed() {
    let server = TestServer::start().await;
    server.save(chain("quick", &[])).await;
    let (late, sql) = (server.sql().await, server.sql().await);
    let run_id = seeds::waiting(&sql).await;
    let mut watch = watch(&server, WatchRunsRequest::default()).await.unwrap();
    assert_eq!(past(&mut watch).await.1, 1);

    late.batch_execute("BEGIN").await.unwrap();
    late.batch_execute(&seeds::pause(&run_id)).await.unwrap();
    for _ in 0..2 {
        // Began later, and is told of earlier: the look goes past the open transaction.
        let quick = succeeded(&server, "quick").await;
        let told = told_until(&mut watch, |run, _| {
            run.run_id == quick && run.state() == RunState::Succeeded
        })
        .await;
        assert!(told.iter().all(|(run, _)| run.run_id == quick), "{told:?}");
    }
    late.batch_execute("COMMIT").await.unwrap();
    let told = told_until(&mut watch, |_, _| true).await;

    assert_eq!(
        (&told[0].0.run_id, told[0].0.state()),
        (&run_id, RunState::Paused)
    );
    let quick = succeeded(&server, "quick").await;
    let after = told_until(&mut watch, |run, _| run.state() == RunState::Succeeded).await;
    assert!(
        after.iter().all(|(run, _)| run.run_id == quick),
        "told once: {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_misses_changes_reads_how_things_are() {
    let server = TestServer::start().await;
    let sql = server.sql().await;
    let run_id = seeds::waiting(&sql).await;
    let stays = seeds::waiting(&sql).await;
    let request = in_states(&[RunState::Waiting]);
    let mut watch = watch(&server, request).await.unwrap();
    assert_eq!(past(&mut watch).await.1, 2);

    // More at once than is kept for a watcher.
    let all = format!(
        "BEGIN; {}; {}; COMMIT",
        seeds::pause(&run_id),
        seeds::many(17_000, false)
    );
    sql.batch_execute(&all).await.unwrap();
    let left = told_until(&mut watch, |_, _| true).await;
    sql.batch_execute(&seeds::pause(&stays)).await.unwrap();
    let next = told_until(&mut watch, |_, _| true).await;

    assert_eq!(
        (&left[0].0.run_id, left[0].1),
        (&run_id, RunChangeKind::Left)
    );
    assert_eq!(
        (&next[0].0.run_id, next[0].1),
        (&stays, RunChangeKind::Left)
    );
}
