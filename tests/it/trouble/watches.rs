//! Watches while the database is away: they wait for it with their clients.

use serde_json::json;
use synapps::proto::WatchRunRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{behind, paying};
use crate::support::calls::{assert_gapless, collected, events_of};
use crate::support::database::Database;
use crate::support::history::has;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use crate::support::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_an_outage_without_a_gap() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    let held = bin.hold("/pay/0");
    let run = server.start("paying", &json!({ "n": 0 })).await;
    bin.requested("/pay/0", 1).await;
    let watch = server.watch(&run, 0).await;
    let watching = tokio::spawn(collected(watch));

    proxy.close();
    held.release();
    server.health_becomes("", ServingStatus::NotServing).await;
    proxy.open();

    let messages = within("the end of the watch", watching).await.unwrap();
    let events = events_of(&messages);
    assert_gapless(&events);
    assert!(has(&events, "run_succeeded"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_where_only_its_own_server_lost_the_database_catches_up() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let owner = TestServer::builder().database(&database).start().await;
    owner.save(paying(&bin)).await;
    let held = bin.hold("/pay/0");
    let run = owner.start("paying", &json!({ "n": 0 })).await;
    bin.requested("/pay/0", 1).await;
    let other = behind(&proxy, &database).await;
    let request = WatchRunRequest {
        run_id: run.clone(),
        ..WatchRunRequest::default()
    };
    let watch = other.runs().watch_run(request).await.unwrap().into_inner();
    let watching = tokio::spawn(collected(watch));

    proxy.close();
    other.health_becomes("", ServingStatus::NotServing).await;
    held.release();
    owner.finished_run(&run).await;
    proxy.open();

    let messages = within("the end of the watch", watching).await.unwrap();
    let events = events_of(&messages);
    assert_gapless(&events);
    assert!(has(&events, "run_succeeded"), "{events:?}");
}
