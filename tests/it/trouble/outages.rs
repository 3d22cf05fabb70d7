//! Two processes whose database is away for longer than their leases, both or one of them.

use std::time::Duration;

use serde_json::json;
use synapps::proto::RunState;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{assert_outage, number, paying, succeeds, try_start, until};
use crate::support::binary::Binary;
use crate::support::calls::assert_gapless;
use crate::support::database::Database;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;

/// How many runs each process has.
const RUNS: usize = 8;

/// A process that reaches the database by a way of its own.
async fn replica(proxy: &Proxy, database: &Database) -> Binary {
    let url = proxy.url(database);
    Binary::start_on(&Database::elsewhere(database.name(), url), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_lease_moves_no_run_loses_no_result_and_doubles_nothing() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let sql = database.sql().await;
    let ways = [Proxy::start().await, Proxy::start().await];
    let replicas = [
        replica(&ways[0], &database).await,
        replica(&ways[1], &database).await,
    ];
    replicas[0].save(paying(&bin)).await;
    let held: Vec<_> = (0..2 * RUNS)
        .map(|n| bin.hold(&format!("/pay/{n}")))
        .collect();
    let mut runs = Vec::new();
    for n in 0..2 * RUNS {
        runs.push(replicas[n / RUNS].start("paying", &json!({ "n": n })).await);
        bin.requested(&format!("/pay/{n}"), 1).await;
    }
    // Each has earned the right to take over what the other leaves.
    let old = "SELECT max(started_at) < now() - interval '3 seconds' FROM executors";
    until(&sql, "a while", old).await;

    ways.iter().for_each(Proxy::close);
    // The results come while nobody can write them.
    drop(held);
    for replica in &replicas {
        replica.health_becomes("", ServingStatus::NotServing).await;
        let refused = try_start(replica, "paying", 99).await.unwrap_err();
        assert_outage("a start", &refused);
    }
    let out = "SELECT max(lease_until) < now() - interval '2 seconds' FROM executors";
    until(&sql, "the end of all leases", out).await;
    ways.iter().for_each(Proxy::open);

    for run in &runs {
        succeeds(&replicas[0], run).await;
        assert_gapless(&replicas[1].events_after(run, 0).await);
    }
    let moved = "SELECT count(*) FROM workflow_runs WHERE epoch <> 1";
    assert_eq!(number(&sql, moved).await, 0, "runs changed their owner");
    for n in 0..2 * RUNS {
        let sent = (
            bin.count(&format!("/pay/{n}")),
            bin.count(&format!("/ask/{n}")),
        );
        assert_eq!(sent, (1, 1), "run {n}");
    }
    for (n, replica) in replicas.iter().enumerate() {
        replica.health_becomes("", ServingStatus::Serving).await;
        let run = replica.start("paying", &json!({ "n": 100 + n })).await;
        succeeds(replica, &run).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_cannot_go_on_with_the_other_does_and_nothing_is_paid_twice() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let sql = database.sql().await;
    let way = Proxy::start().await;
    let cut_off = replica(&way, &database).await;
    let heir = Binary::start_on(&database, &[]).await;
    cut_off.save(paying(&bin)).await;
    // Half of the runs are in the middle of paying, the others have paid.
    let paying_still: Vec<_> = (0..RUNS / 2)
        .map(|n| bin.hold(&format!("/pay/{n}")))
        .collect();
    let asking: Vec<_> = (RUNS / 2..RUNS)
        .map(|n| bin.hold(&format!("/ask/{n}")))
        .collect();
    let mut runs = Vec::new();
    for n in 0..RUNS {
        runs.push(cut_off.start("paying", &json!({ "n": n })).await);
        let path = if n < RUNS / 2 { "pay" } else { "ask" };
        bin.requested(&format!("/{path}/{n}"), 1).await;
    }

    way.silence();
    for n in RUNS / 2..RUNS {
        bin.requested(&format!("/ask/{n}"), 2).await;
    }
    drop((paying_still, asking));
    for run in &runs[RUNS / 2..] {
        succeeds(&heir, run).await;
    }
    for run in &runs[..RUNS / 2] {
        // Whether it was paid only the process knows that is cut off.
        let parked = heir.run_in_state(run, RunState::Waiting).await;
        assert_eq!(parked.run_id, *run);
    }
    way.open();
    cut_off.health_becomes("", ServingStatus::Serving).await;

    let epochs = "SELECT count(*) FROM workflow_runs WHERE epoch <> 2";
    assert_eq!(number(&sql, epochs).await, 0, "each was taken over once");
    for (n, run) in runs.iter().enumerate() {
        assert_eq!(bin.count(&format!("/pay/{n}")), 1, "run {n}");
        assert_gapless(&cut_off.events_after(run, 0).await);
    }
    let run = cut_off.start("paying", &json!({ "n": 100 })).await;
    let next = crate::support::bounded(Duration::from_secs(30), "a run", async {
        succeeds(&cut_off, &run).await;
    });
    next.await;
}
