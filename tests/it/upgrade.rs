//! Upgrades: this version on the schema before its own, the version before on this one's schema, and both at once.

use serde_json::json;
use synapps::proto::{Flow, RunState};
use synapps::store::migrate;
use tokio_postgres::Client;

use crate::support::binary::Binary;
use crate::support::calls::{Calls, assert_gapless};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::within;

/// A flow that pays once, then asks, then computes, by paths with its input's number.
fn order(bin: &HttpBin) -> Flow {
    let url = |path: &str| bin.url(&format!("/{path}/{{{{ input.n }}}}"));
    let text = json!({ "operation": "template", "template": "order {{ input.n }}" });
    chain(
        "order",
        &[
            (
                "pay",
                "http_request",
                json!({ "method": "POST", "url": url("pay") }),
            ),
            ("ask", "http_request", json!({ "url": url("ask") })),
            ("text", "transform", text),
        ],
    )
}

/// A database whose schema lacks the last migration of this version.
async fn one_behind() -> Database {
    let database = Database::migrated().await;
    migrate::revert_last(&database.store().await).await.unwrap();
    database
}

/// Starts a run that has paid and asks.
async fn asking(calls: &Calls, bin: &HttpBin, n: usize) -> String {
    let run = calls.start("order", &json!({ "n": n })).await;
    bin.requested(&format!("/ask/{n}"), 1).await;
    run
}

async fn succeeds(calls: &Calls, run_id: &str) {
    let run = calls.finished_run(run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_gapless(&calls.events_after(run_id, 0).await);
}

/// Waits until all executors that live may take over what others leave.
async fn settled(sql: &Client) {
    let settled = "SELECT max(started_at) < now() - interval '3 seconds' FROM executors WHERE lease_until > now()";
    let wait = async {
        while !sql.query_one(settled, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
    };
    within("a while", wait).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn this_version_works_on_the_schema_before_its_own_crashes_included() {
    let bin = HttpBin::start().await;
    let database = one_behind().await;
    let mut binary = Binary::start_on(&database, &["--migrate=off"]).await;
    binary.log().line_with("one migration behind").await;
    binary.save(order(&bin)).await;
    let whole = binary.start("order", &json!({ "n": 0 })).await;
    succeeds(&binary, &whole).await;
    let held = bin.hold("/ask/1");
    let cut = asking(&binary, &bin, 1).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;

    succeeds(&binary, &cut).await;
    assert_eq!((bin.count("/pay/0"), bin.count("/pay/1")), (1, 1));
    let status = migrate::status(&database.store().await).await.unwrap();
    assert_eq!(status.pending.len(), 1, "nobody has migrated: {status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_may_be_brought_up_while_this_version_works_on_the_one_before() {
    let bin = HttpBin::start().await;
    let database = one_behind().await;
    let first = Binary::start_on(&database, &["--migrate=off"]).await;
    first.save(order(&bin)).await;
    let held = bin.hold("/ask/0");
    let run = asking(&first, &bin, 0).await;

    let second = Binary::start_on(&database, &[]).await;
    held.release();

    succeeds(&first, &run).await;
    let next = first.start("order", &json!({ "n": 1 })).await;
    succeeds(&second, &next).await;
    let status = migrate::status(&database.store().await).await.unwrap();
    assert_eq!(status.pending, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_two_migrations_behind_is_refused() {
    let database = one_behind().await;
    migrate::revert_last(&database.store().await).await.unwrap();

    let builder = TestServer::builder().database(&database);
    let refused = builder.flag("--migrate=off").try_start().await;

    let text = refused.unwrap_err().to_string();
    assert!(text.contains("2 migrations are pending"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_works_on_the_schema_of_this_one() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let Some(mut previous) = Binary::start_previous(&database, &["--migrate=off"]).await else {
        return;
    };
    previous.save(order(&bin)).await;
    let held = bin.hold("/ask/0");
    let run = asking(&previous, &bin, 0).await;

    previous.kill().await;
    held.release();
    let previous = previous.restart().await;

    succeeds(&previous, &run).await;
    assert_eq!(bin.count("/pay/0"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_at_once_take_over_from_each_other() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let sql = database.sql().await;
    let Some(mut previous) = Binary::start_previous(&database, &["--migrate=off"]).await else {
        return;
    };
    let mut this = Binary::start_on(&database, &["--migrate=off"]).await;
    previous.save(order(&bin)).await;
    for (n, calls) in [(0, Calls::clone(&previous)), (1, Calls::clone(&this))] {
        let run = calls.start("order", &json!({ "n": n })).await;
        succeeds(&calls, &run).await;
        // Each reads what the other has written.
        succeeds(&previous, &run).await;
        succeeds(&this, &run).await;
    }
    settled(&sql).await;

    let held = bin.hold("/ask/2");
    let of_previous = asking(&previous, &bin, 2).await;
    previous.kill().await;
    bin.requested("/ask/2", 2).await;
    held.release();
    succeeds(&this, &of_previous).await;

    let previous = previous.restart().await;
    settled(&sql).await;
    let held = bin.hold("/ask/3");
    let of_this = asking(&this, &bin, 3).await;
    this.kill().await;
    bin.requested("/ask/3", 2).await;
    held.release();
    succeeds(&previous, &of_this).await;

    let this = this.restart().await;
    let last = this.start("order", &json!({ "n": 4 })).await;
    succeeds(&previous, &last).await;
    for n in 0..5 {
        assert_eq!(bin.count(&format!("/pay/{n}")), 1, "run {n}");
    }
}
