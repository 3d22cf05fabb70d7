//! A process whose database is away while its clients go on asking: what it keeps for them is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use synapps::proto::StartRunRequest;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{assert_outage, paying, succeeds};
use crate::support::binary::Binary;
use crate::support::calls::Calls;
use crate::support::database::Database;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::{wire, within};

/// How many clients ask at once.
const CLIENTS: usize = 16;
/// How much each sends.
const INPUT: usize = 200 << 10;
/// How many starts are refused before it is looked at the memory.
const REFUSALS: usize = 300;
/// How much may be kept for them: far less than all that was sent.
const MOST: u64 = 48 << 20;

/// The memory that a process has, in bytes.
fn resident(binary: &Binary) -> u64 {
    let status = format!("/proc/{}/status", binary.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Starts runs until it is told to end, and counts the refusals.
async fn hammer(calls: Calls, refusals: Arc<AtomicUsize>, end: CancellationToken) {
    let input = wire::value(&json!({ "n": 0, "text": "x".repeat(INPUT) }));
    while !end.is_cancelled() {
        let request = StartRunRequest {
            flow_id: "paying".to_owned(),
            input: Some(input.clone()),
            ..StartRunRequest::default()
        };
        if let Err(status) = calls.runs().start_run(request).await {
            assert_outage("a start", &status);
            refusals.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_under_load_takes_a_bounded_amount_of_memory() {
    for silent in [false, true] {
        let bin = HttpBin::start().await;
        let (proxy, database) = (Proxy::start().await, Database::migrated().await);
        let there = Database::elsewhere(database.name(), proxy.url(&database));
        let binary = Binary::start_on(&there, &[]).await;
        binary.save(paying(&bin)).await;
        let (refusals, end) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let mut clients = JoinSet::new();
        // What the load itself takes is there before the outage.
        for _ in 0..CLIENTS {
            clients.spawn(hammer(
                Calls::clone(&binary),
                Arc::clone(&refusals),
                end.clone(),
            ));
        }
        within("some runs", proxy.executed(super::BIRTH, 20)).await;
        let before = resident(&binary);

        if silent {
            proxy.silence();
        } else {
            proxy.close();
        }
        let refused = async {
            while refusals.load(Ordering::Relaxed) < REFUSALS {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("refusals", refused).await;
        let after = resident(&binary);
        end.cancel();
        proxy.open();
        while let Some(client) = within("a client", clients.join_next()).await {
            client.unwrap();
        }

        println!("silent: {silent}, before: {before}, after {REFUSALS} refusals: {after}");
        assert!(
            after.saturating_sub(before) < MOST,
            "silent: {silent}, before: {before}, after: {after}"
        );
        binary.health_becomes("", ServingStatus::Serving).await;
        let run = binary.start("paying", &json!({ "n": 1 })).await;
        succeeds(&binary, &run).await;
    }
}
