//! A cluster of a test's own that is stopped in each way, comes back, and fails over.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use synapps::config::search_path;
use synapps::postgres::{Durability, Options, Place, PrivateCluster};
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{assert_outage, paying, succeeds, try_start};
use crate::support::database::Database;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::within;

/// A cluster that can be stopped and started again.
struct Own {
    dir: TempDir,
    cluster: Option<PrivateCluster>,
}

impl Own {
    async fn start() -> Self {
        // Not where only this user gets: another one runs the server if this is root.
        let dir = tempfile::Builder::new()
            .prefix("own-")
            .tempdir_in("/tmp")
            .unwrap();
        let mut own = Self { dir, cluster: None };
        own.start_again().await;
        own.cluster().ensure_database("own").await.unwrap();
        own
    }

    async fn start_again(&mut self) {
        drop(self.cluster.take());
        let cluster = PrivateCluster::start(Options {
            place: Place::Kept(self.path()),
            durability: Durability::None,
            programs: None,
            search_path: search_path(),
        });
        self.cluster = Some(cluster.await.unwrap());
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("cluster")
    }

    fn cluster(&self) -> &PrivateCluster {
        self.cluster.as_ref().unwrap()
    }

    /// Stops the server by a signal: `INT` is fast, `QUIT` immediate, after which it has to recover.
    async fn stop_by(&self, signal: Signal) {
        let file = self.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap();
        let pid = text.lines().next().unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        within("the end of the cluster", self.cluster().ended()).await;
    }

    async fn sql(&self, statement: &str) {
        let client = self.cluster().connect("own").await.unwrap();
        client.batch_execute(statement).await.unwrap();
    }

    async fn server(&self) -> TestServer {
        let url = self.cluster().url("own");
        let database = Database::elsewhere("own", url.clone());
        let builder = TestServer::builder().database(&database).url(url);
        builder.start().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_on_after_their_database_was_restarted_fast_and_at_once() {
    let bin = HttpBin::start().await;
    let mut own = Own::start().await;
    let server = own.server().await;
    server.save(paying(&bin)).await;
    let mut runs = Vec::new();
    for (round, signal) in [Signal::INT, Signal::QUIT].into_iter().enumerate() {
        let numbers = 10 * round..10 * (round + 1);
        let held: Vec<_> = numbers
            .clone()
            .map(|n| bin.hold(&format!("/pay/{n}")))
            .collect();
        for n in numbers {
            runs.push(server.start("paying", &json!({ "n": n })).await);
            bin.requested(&format!("/pay/{n}"), 1).await;
        }

        own.stop_by(signal).await;
        drop(held);
        server.health_becomes("", ServingStatus::NotServing).await;
        let refused = try_start(&server, "paying", 99).await.unwrap_err();
        own.start_again().await;

        assert_outage("a start", &refused);
        for run in &runs {
            succeeds(&server, run).await;
        }
    }
    for n in 0..20 {
        assert_eq!(bin.count(&format!("/pay/{n}")), 1, "run {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_outlasted_connections_cut_and_nothing_written_for_a_while() {
    let bin = HttpBin::start().await;
    let own = Own::start().await;
    let server = own.server().await;
    server.save(paying(&bin)).await;
    let held = bin.hold("/pay/0");
    let run = server.start("paying", &json!({ "n": 0 })).await;
    bin.requested("/pay/0", 1).await;

    own.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        .await;
    own.sql("SELECT pg_reload_conf()").await;
    own.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'synapps'",
    )
    .await;
    held.release();
    server.health_becomes("", ServingStatus::NotServing).await;
    let refused = try_start(&server, "paying", 1).await.unwrap_err();
    let readable = server.get(&run).await;
    own.sql("ALTER SYSTEM RESET default_transaction_read_only")
        .await;
    own.sql("SELECT pg_reload_conf()").await;

    assert_outage("a start", &refused);
    assert_eq!(readable.run_id, run);
    server.health_becomes("", ServingStatus::Serving).await;
    succeeds(&server, &run).await;
    assert_eq!((bin.count("/pay/0"), bin.count("/ask/0")), (1, 1));
}
