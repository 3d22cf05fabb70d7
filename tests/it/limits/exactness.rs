//! The limit is kept whatever happens at once, and whatever dies.

use std::collections::HashMap;

use synapps::proto::{ConflictAction, RunState};

use super::{asking, at_most, start_at, until};
use crate::support::binary::Binary;
use crate::support::database::Database;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::within;

/// The most runs that were open at once by the journal: from `run_queued`, or `run_admitted` where that came, to the
/// final event.
async fn most_at_once(database: &Database) -> usize {
    let sql = database.sql().await;
    let query = "SELECT run_id::text, kind, at, coalesce((data->>'blocked')::boolean, false) FROM run_events \
                 WHERE kind IN ('run_queued', 'run_admitted', 'run_succeeded', 'run_failed', 'run_cancelled') \
                 ORDER BY sequence";
    let mut admitted = HashMap::new();
    let mut changes = Vec::new();
    for row in sql.query(query, &[]).await.unwrap() {
        let (run, kind): (String, String) = (row.get(0), row.get(1));
        let (at, blocked): (chrono::DateTime<chrono::Utc>, bool) = (row.get(2), row.get(3));
        match kind.as_str() {
            "run_queued" if blocked => {}
            "run_queued" | "run_admitted" => {
                admitted.insert(run, at);
                changes.push((at, 1));
            }
            _ if admitted.contains_key(&run) => changes.push((at, -1)),
            _ => {}
        }
    }
    changes.sort_unstable();
    let mut open = 0_i64;
    let counts = changes.into_iter().map(|(_, change)| {
        open += change;
        usize::try_from(open).unwrap()
    });
    counts.max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_starts_at_once_on_two_servers_no_more_than_three_are_ever_open() {
    let one = TestServer::start().await;
    let other = TestServer::builder().database(one.database()).start().await;
    let bin = HttpBin::start().await;
    let policy = at_most(3, ConflictAction::Queue);
    one.save(asking("narrow", &bin, policy)).await;

    let starts = (0..50).map(|number| {
        let server = if number % 2 == 0 { &one } else { &other };
        async move { start_at(server, "narrow", "x", 0).await }
    });
    let runs = within("the starts", futures_util::future::join_all(starts)).await;
    let sql = one.sql().await;
    let watched = async {
        let query = "SELECT count(*) FILTER (WHERE admitted AND ended_at IS NULL), \
                     count(*) FILTER (WHERE ended_at IS NULL) FROM workflow_runs";
        loop {
            let row = sql.query_one(query, &[]).await.unwrap();
            let (open, left): (i64, i64) = (row.get(0), row.get(1));
            assert!(open <= 3, "{open} are open");
            if left == 0 {
                break;
            }
        }
    };
    within("the end of all", watched).await;

    for run in &runs {
        assert_eq!(one.get(run).await.state(), RunState::Succeeded);
    }
    assert_eq!(bin.count("/x"), 50);
    assert!(most_at_once(one.database()).await <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_in_line_goes_on_when_the_owner_of_those_before_it_is_killed() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/x");
    let mut first = Binary::start(&[]).await;
    first
        .save(asking("narrow", &bin, at_most(1, ConflictAction::Queue)))
        .await;
    let open = start_at(&first, "narrow", "x", 0).await;
    let waiting = start_at(&first, "narrow", "y", 0).await;
    bin.requested("/x", 1).await;

    first.kill().await;
    let second = Binary::start_on(first.database(), &[]).await;
    bin.requested("/x", 2).await;
    let still = second.get(&waiting).await;
    held.release();

    assert_eq!(still.state(), RunState::Queued);
    for run in [&open, &waiting] {
        assert_eq!(second.finished_run(run).await.state(), RunState::Succeeded);
    }
    assert!(most_at_once(first.database()).await <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_a_dead_process_left_free_is_found_by_the_sweep() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/x");
    server
        .save(asking("narrow", &bin, at_most(1, ConflictAction::Queue)))
        .await;
    let open = start_at(&server, "narrow", "x", 0).await;
    let waiting = start_at(&server, "narrow", "y", 0).await;
    bin.requested("/x", 1).await;

    // As if the run had ended in a process that died before it let in the next one.
    let sql = server.sql().await;
    let end = "UPDATE workflow_runs SET state = 'CANCELLED', ended_at = now(), executor_id = NULL, wake_at = NULL, \
               epoch = epoch + 1 WHERE run_id::text = $1";
    assert_eq!(sql.execute(end, &[&open]).await.unwrap(), 1);

    assert_eq!(
        server.finished_run(&waiting).await.state(),
        RunState::Succeeded
    );
    drop(held);
    until(
        &sql,
        "no run is open",
        "SELECT count(*) = 0 FROM workflow_runs WHERE ended_at IS NULL",
    )
    .await;
    assert_eq!(bin.count("/y"), 1);
}
