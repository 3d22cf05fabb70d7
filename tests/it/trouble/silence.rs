//! The database takes what it is sent and says nothing any more: for a moment, for one connection, for longer than a lease.

use std::time::Duration;

use serde_json::json;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{FLUSH, assert_outage, behind, number, paying, succeeds, try_start};
use crate::support::bounded;
use crate::support::database::Database;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::{Cut, Proxy};
use crate::support::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_connection_hangs_takes_another_one() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    let held = bin.hold("/pay/0");
    let run = server.start("paying", &json!({ "n": 0 })).await;
    bin.requested("/pay/0", 1).await;

    let hangs = proxy.cut_at(FLUSH, Cut::Never);
    held.release();
    within("a flush that hangs", hangs).await.unwrap();

    succeeds(&server, &run).await;
    assert_eq!((bin.count("/pay/0"), bin.count("/ask/0")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_under_way_when_the_database_fell_silent_are_answered() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    let held = bin.hold("/pay/0");
    let run = server.start("paying", &json!({ "n": 0 })).await;
    bin.requested("/pay/0", 1).await;

    proxy.silence();
    held.release();
    let soon = Duration::from_secs(20);
    let started = bounded(soon, "a start", try_start(&server, "paying", 1));
    let cancelled = bounded(soon, "a cancel", server.cancel(&run));
    let (started, cancelled) = tokio::join!(started, cancelled);
    server.health_becomes("", ServingStatus::NotServing).await;
    proxy.open();

    assert_outage("a start", &started.unwrap_err());
    assert_outage("a cancel", &cancelled.unwrap_err());
    server.health_becomes("", ServingStatus::Serving).await;
    // Whether the cancel has come through nobody can say; that the run ends is sure, and that it pays once.
    server.finished_run(&run).await;
    assert_eq!(bin.count("/pay/0"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_is_no_reason_to_give_up() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;

    proxy.delay(Duration::from_millis(150));
    let run = server.start("paying", &json!({ "n": 0 })).await;
    succeeds(&server, &run).await;
    proxy.delay(Duration::ZERO);

    let epochs = "SELECT count(*) FROM workflow_runs WHERE epoch <> 1";
    assert_eq!(number(&database.sql().await, epochs).await, 0);
    assert_eq!(bin.count("/pay/0"), 1);
}
