//! Priorities: who goes first where there is no room for all.

use synapps::proto::{ConflictAction, FlowPolicy, RunState};

use super::{asking, at_most, start_at, until};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

/// Starts a run that takes the only place, then one of each of these priorities, lets them go and gives the order in
/// which they asked the server.
async fn order_of(server: &TestServer, policy: FlowPolicy, priorities: &[i32]) -> Vec<String> {
    let bin = HttpBin::start().await;
    let held = bin.hold("/first");
    server.save(asking("ordered", &bin, policy)).await;
    start_at(server, "ordered", "first", 0).await;
    bin.requested("/first", 1).await;
    let mut last = Vec::new();
    for (number, priority) in priorities.iter().enumerate() {
        let path = format!("{number}:{priority}");
        last.push(start_at(server, "ordered", &path, *priority).await);
    }
    held.release();
    for run in &last {
        let run = server.finished_run(run).await;
        assert_eq!(run.state(), RunState::Succeeded);
    }
    let paths = bin.seen().into_iter().map(|seen| seen.path);
    paths.skip(1).collect()
}

const PRIORITIES: [i32; 6] = [0, -10, 10, 0, 5, 10];
const ORDER: [&str; 6] = ["/2:10", "/5:10", "/4:5", "/0:0", "/3:0", "/1:-10"];

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_priority_is_admitted_first_and_among_equals_the_oldest() {
    let server = TestServer::start().await;

    let order = order_of(&server, at_most(1, ConflictAction::Queue), &PRIORITIES).await;

    assert_eq!(order, ORDER);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_priority_is_claimed_first_where_the_server_is_full() {
    let server = TestServer::builder()
        .flag("--max-open-runs=1")
        .start()
        .await;

    let order = order_of(&server, FlowPolicy::default(), &PRIORITIES).await;

    assert_eq!(order, ORDER);
    let sql = server.sql().await;
    let all = "SELECT count(*) = 0 FROM workflow_runs WHERE ended_at IS NULL";
    until(&sql, "the end of all", all).await;
}
