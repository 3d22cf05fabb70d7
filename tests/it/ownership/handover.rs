//! Two servers on one database: what one cannot go on with, the other does, and neither takes too early.

use std::time::Duration;

use serde_json::json;
use synapps::proto::{Flow, RunState};
use tokio_postgres::Client;

use crate::support::calls::assert_gapless;
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use crate::support::within;

fn slow(bin: &HttpBin, path: &str) -> Flow {
    let get = json!({ "url": bin.url(path) });
    let text = json!({ "operation": "template", "template": "{{ content.data.count }}" });
    chain(
        path.trim_start_matches('/'),
        &[("get", "http_request", get), ("text", "transform", text)],
    )
}

/// A server that reaches the database by a way of its own.
async fn behind(proxy: &Proxy, database: &Database) -> TestServer {
    let builder = TestServer::builder()
        .database(database)
        .url(proxy.url(database));
    builder.start().await
}

async fn until(sql: &Client, what: &str, query: &str) {
    let wait = async {
        while !sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
    };
    within(what, wait).await;
}

async fn epoch(sql: &Client, run_id: &str) -> i64 {
    let query = "SELECT epoch FROM workflow_runs WHERE run_id = $1";
    let id = uuid::Uuid::parse_str(run_id).unwrap();
    sql.query_one(query, &[&id]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_server_lost_the_database_is_taken_over_and_the_late_one_drops_it() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let proxy = Proxy::start().await;
    let database = Database::migrated().await;
    let cut_off = behind(&proxy, &database).await;
    let heir = TestServer::builder().database(&database).start().await;
    let run_id = cut_off
        .save_and_start(slow(&bin, "/slow"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    proxy.silence();
    bin.requested("/slow", 2).await;
    held.release();
    let run = heir.finished_run(&run_id).await;
    proxy.open();

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let sql = database.sql().await;
    assert_eq!(epoch(&sql, &run_id).await, 2);
    assert_gapless(&heir.events_after(&run_id, 0).await);
    // The one that was cut off has its own attempt's answer too, and may not write it.
    let next = cut_off.start("slow", &json!({})).await;
    assert_eq!(
        cut_off.finished_run(&next).await.state(),
        RunState::Succeeded
    );
    let after = heir.get(&run_id).await;
    assert_eq!(after.last_sequence, run.last_sequence);
    assert_eq!(after.output, run.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_server_that_stopped_in_order_go_on_at_once_elsewhere() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let database = Database::migrated().await;
    let builder = || {
        TestServer::builder()
            .database(&database)
            .flag("--lease=60s")
    };
    let (leaving, staying) = (builder().start().await, builder().start().await);
    let run_id = leaving
        .save_and_start(slow(&bin, "/slow"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    leaving.stop().await;
    bin.requested("/slow", 2).await;
    held.release();

    assert_eq!(
        staying.finished_run(&run_id).await.state(),
        RunState::Succeeded
    );
    assert_eq!(epoch(&database.sql().await, &run_id).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_just_started_leaves_the_dead_alone_for_a_lease_of_its_own() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let proxy = Proxy::start().await;
    let database = Database::migrated().await;
    let sql = database.sql().await;
    let dying = behind(&proxy, &database).await;
    dying.save_and_start(slow(&bin, "/slow"), &json!({})).await;
    bin.requested("/slow", 1).await;
    proxy.close();
    until(
        &sql,
        "the end of a lease",
        "SELECT lease_until < now() FROM executors",
    )
    .await;

    let _heir = TestServer::builder()
        .database(&database)
        .flag("--lease=4s")
        .start()
        .await;
    bin.requested("/slow", 2).await;

    let age = "SELECT extract(epoch FROM now() - started_at)::float8 FROM executors ORDER BY started_at DESC LIMIT 1";
    let age = sql.query_one(age, &[]).await.unwrap().get(0);
    let age = Duration::from_secs_f64(age);
    assert!(age >= Duration::from_secs(4), "it took over after {age:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_that_outlasts_all_leases_nobody_takes_from_anybody() {
    for silent in [false, true] {
        let bin = HttpBin::start().await;
        let database = Database::migrated().await;
        let sql = database.sql().await;
        let (proxy, other_proxy) = (Proxy::start().await, Proxy::start().await);
        let (one, other) = (
            behind(&proxy, &database).await,
            behind(&other_proxy, &database).await,
        );
        let held = [bin.hold("/one"), bin.hold("/other")];
        let of_one = one.save_and_start(slow(&bin, "/one"), &json!({})).await;
        let of_other = other.save_and_start(slow(&bin, "/other"), &json!({})).await;
        bin.requested("/one", 1).await;
        bin.requested("/other", 1).await;
        // Long enough for each to have earned the right to take over.
        let old = "SELECT max(started_at) < now() - interval '3 seconds' FROM executors";
        until(&sql, "a while", old).await;

        for proxy in [&proxy, &other_proxy] {
            if silent {
                proxy.silence();
            } else {
                proxy.close();
            }
        }
        let out = "SELECT max(lease_until) < now() - interval '1 second' FROM executors";
        until(&sql, "the end of all leases", out).await;
        proxy.open();
        other_proxy.open();
        until(
            &sql,
            "two leases again",
            "SELECT min(lease_until) > now() FROM executors",
        )
        .await;
        drop(held);

        assert_eq!(one.finished_run(&of_one).await.state(), RunState::Succeeded);
        assert_eq!(
            other.finished_run(&of_other).await.state(),
            RunState::Succeeded
        );
        let epochs = (epoch(&sql, &of_one).await, epoch(&sql, &of_other).await);
        assert_eq!(epochs, (1, 1), "silent: {silent}");
        assert_eq!(
            (bin.count("/one"), bin.count("/other")),
            (1, 1),
            "silent: {silent}"
        );
    }
}
