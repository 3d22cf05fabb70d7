//! A service that has nothing to do costs next to nothing.

use crate::support::binary::Binary;
use crate::support::database::Database;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;

/// What the statement of the tick begins with; it comes once a second.
const TICK: &str = "WITH gone AS";

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_makes_at_most_two_queries_a_second() {
    let proxy = Proxy::start().await;
    let database = Database::migrated().await;
    let builder = TestServer::builder()
        .database(&database)
        .url(proxy.url(&database));
    let server = builder.flag("--lease=15s").start().await;

    // The first one sweeps too.
    proxy.executed(TICK, 2).await;
    let before = proxy.statements().len();
    proxy.executed(TICK, 8).await;
    let statements = proxy.statements().split_off(before);

    assert!(statements.len() <= 12, "in six seconds: {statements:#?}");
    assert!(
        statements.len() > 6,
        "the lease was renewed meanwhile: {statements:#?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_three_idle_replicas_makes_at_most_two_queries_a_second() {
    for notify in ["--notify=on", "--notify=off"] {
        let database = Database::migrated().await;
        let mut replicas = Vec::new();
        for _ in 0..3 {
            let proxy = Proxy::start().await;
            let builder = TestServer::builder()
                .database(&database)
                .url(proxy.url(&database));
            let server = builder.flag("--lease=15s").flag(notify).start().await;
            replicas.push((proxy, server));
        }

        let counts = replicas.iter().map(|(proxy, _)| async move {
            proxy.executed(TICK, proxy.count(TICK) + 2).await;
            let before = proxy.statements().len();
            proxy.executed(TICK, proxy.count(TICK) + 6).await;
            proxy.statements().split_off(before)
        });
        for statements in futures_util::future::join_all(counts).await {
            assert!(
                statements.len() <= 12,
                "{notify}, in six seconds: {statements:#?}"
            );
        }
        for (_, server) in replicas {
            server.stop().await;
        }
    }
}

/// The built program of these tests is not optimised; what is shipped takes less.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_takes_less_than_60_mib_of_memory() {
    let binary = Binary::start(&[]).await;
    let pid = binary.pid().as_raw_nonzero();

    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();

    assert!(kib < 60 * 1024, "{kib} KiB");
}
