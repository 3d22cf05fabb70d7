//! The database goes away and comes back while the service stays: runs go on, and the service says meanwhile that it
//! does not serve.

use serde_json::json;
use synapps::proto::StartRunRequest;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{all_succeed, assert_sound, order, start_many};
use crate::support::calls::assert_error;
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;

const FLUSH: &str = "WITH moved AS";

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_on_while_connections_to_the_database_break_again_and_again() {
    let bin = HttpBin::start().await;
    let held: Vec<_> = (0..20).map(|n| bin.hold(&format!("/stock/{n}"))).collect();
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let builder = TestServer::builder()
        .database(&database)
        .url(proxy.url(&database));
    let server = builder.start().await;
    server.save(order(&bin)).await;
    let runs = start_many(&server, "order", 20).await;

    for held in held {
        held.release();
        proxy.executed(FLUSH, proxy.count(FLUSH) + 1).await;
        proxy.cut_all();
    }

    all_succeed(&server, &runs).await;
    for (n, run) in runs.iter().enumerate() {
        assert_sound(&server.events_after(run, 0).await);
        assert_eq!(bin.count(&format!("/pay/{n}")), 1);
        assert_eq!(
            bin.count(&format!("/stock/{n}")),
            1,
            "what was answered is not asked for again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_calls_say_that_the_database_is_away_and_that_it_is_back() {
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let builder = TestServer::builder()
        .database(&database)
        .url(proxy.url(&database));
    let server = builder.start().await;
    let flow = chain(
        "short",
        &[(
            "text",
            "transform",
            json!({ "operation": "template", "template": "x" }),
        )],
    );
    server.save(flow).await;

    proxy.close();
    server
        .health_becomes("synapps.v1.RunService", ServingStatus::NotServing)
        .await;
    server
        .health_becomes("liveness", ServingStatus::Serving)
        .await;
    let request = StartRunRequest {
        flow_id: "short".to_owned(),
        ..StartRunRequest::default()
    };
    let refused = server.runs().start_run(request).await.unwrap_err();
    proxy.open();
    server
        .health_becomes("synapps.v1.RunService", ServingStatus::Serving)
        .await;

    assert_error(&refused, Code::Unavailable, "DATABASE_UNAVAILABLE");
    let run = server.start("short", &json!({})).await;
    all_succeed(&server, &[run]).await;
}
