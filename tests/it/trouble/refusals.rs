//! The database answers, and refuses: for want of room or connections, because it follows another one, because of a lock.

use serde_json::json;
use synapps::proto::RunState;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{BIRTH, FLUSH, RENEWAL, assert_outage, behind, number, paying, succeeds, try_start};
use crate::support::database::Database;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use crate::support::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_refused_is_kept_and_written_when_the_database_takes_it() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    let states = [
        "40001", "40P01", "55P03", "57014", "25006", "53100", "53200", "57P01", "42501",
    ];
    for (n, state) in states.into_iter().enumerate() {
        let (pay, ask) = (format!("/pay/{n}"), format!("/ask/{n}"));
        let held = bin.hold(&pay);
        let run = server.start("paying", &json!({ "n": n })).await;
        bin.requested(&pay, 1).await;

        proxy.refuse(FLUSH, state);
        let before = proxy.count(FLUSH);
        held.release();
        proxy.executed(FLUSH, before + 3).await;
        let meanwhile = server.get(&run).await;
        let asked = bin.count(&ask);
        proxy.relent();

        assert_eq!(meanwhile.state(), RunState::Running, "{state}");
        assert_eq!(asked, 0, "{state}: what is not durable leads to nothing");
        succeeds(&server, &run).await;
        assert_eq!((bin.count(&pay), bin.count(&ask)), (1, 1), "{state}");
    }
    let epochs = "SELECT count(*) FROM workflow_runs WHERE epoch <> 1";
    assert_eq!(number(&database.sql().await, epochs).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_be_written_is_refused_and_does_not_happen_later() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    let sql = database.sql().await;
    for (n, state) in ["53100", "25006", "42501"].into_iter().enumerate() {
        proxy.refuse(BIRTH, state);
        let refused = try_start(&server, "paying", n).await.unwrap_err();
        proxy.relent();
        server.health_becomes("", ServingStatus::Serving).await;

        assert_outage(state, &refused);
        let run = server.start("paying", &json!({ "n": n })).await;
        succeeds(&server, &run).await;
        let runs = number(&sql, "SELECT count(*) FROM workflow_runs").await;
        assert_eq!(runs, i64::try_from(n + 1).unwrap(), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_when_the_lease_is_renewed_and_nothing_can_be_written_all_the_same() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    let held = bin.hold("/pay/0");
    let run = server.start("paying", &json!({ "n": 0 })).await;
    bin.requested("/pay/0", 1).await;

    proxy.refuse(FLUSH, "53100");
    held.release();
    server.health_becomes("", ServingStatus::NotServing).await;
    let refused = try_start(&server, "paying", 1).await.unwrap_err();
    let readable = server.get(&run).await;
    proxy.relent();

    assert_outage("a start", &refused);
    assert_eq!(readable.run_id, run);
    server.health_becomes("", ServingStatus::Serving).await;
    succeeds(&server, &run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_connections_left_the_service_waits_for_some() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    for (n, state) in ["53300", "57P03"].into_iter().enumerate() {
        let pay = format!("/pay/{n}");
        let held = bin.hold(&pay);
        let run = server.start("paying", &json!({ "n": n })).await;
        bin.requested(&pay, 1).await;

        proxy.refuse_sessions(state);
        proxy.cut_all();
        held.release();
        server.health_becomes("", ServingStatus::NotServing).await;
        let refused = try_start(&server, "paying", 99).await.unwrap_err();
        proxy.relent();

        assert_outage(state, &refused);
        server.health_becomes("", ServingStatus::Serving).await;
        succeeds(&server, &run).await;
        assert_eq!(bin.count(&pay), 1, "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_row_is_held_by_somebody_holds_up_no_other() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    // One lane, so that they share it.
    let builder = TestServer::builder().database(&database);
    let builder = builder.url(proxy.url(&database)).flag("--journal-lanes=1");
    let server = builder.start().await;
    server.save(paying(&bin)).await;
    let held: Vec<_> = (0..4).map(|n| bin.hold(&format!("/pay/{n}"))).collect();
    let mut runs = Vec::new();
    for n in 0..4 {
        runs.push(server.start("paying", &json!({ "n": n })).await);
        bin.requested(&format!("/pay/{n}"), 1).await;
    }
    let holder = database.sql().await;
    holder.batch_execute("BEGIN").await.unwrap();
    let id = uuid::Uuid::parse_str(&runs[0]).unwrap();
    let lock = "SELECT 1 FROM workflow_runs WHERE run_id = $1 FOR UPDATE";
    holder.query_one(lock, &[&id]).await.unwrap();

    drop(held);
    for run in &runs[1..] {
        succeeds(&server, run).await;
    }
    holder.batch_execute("ROLLBACK").await.unwrap();

    succeeds(&server, &runs[0]).await;
    assert_eq!(bin.count("/pay/0"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_renewed_stops_admission_and_no_run() {
    let bin = HttpBin::start().await;
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    server.save(paying(&bin)).await;
    let held = bin.hold("/ask/0");
    let run = server.start("paying", &json!({ "n": 0 })).await;
    bin.requested("/ask/0", 1).await;

    proxy.refuse(RENEWAL, "25006");
    server.health_becomes("", ServingStatus::NotServing).await;
    let refused = try_start(&server, "paying", 1).await.unwrap_err();
    held.release();
    // What is in flight may finish, and counts as long as nobody has taken the run.
    succeeds(&server, &run).await;
    proxy.relent();

    assert_outage("a start", &refused);
    within("health", server.health_becomes("", ServingStatus::Serving)).await;
    assert_eq!(bin.count("/ask/0"), 1);
}
