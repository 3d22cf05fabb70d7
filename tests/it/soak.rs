//! The soak: some replicas, runs of all kinds, and faults at random for a while; then everything has to come to its end.
//!
//! `make soak` runs it: `TIME` (5m unless it says otherwise, at most 60m), `REPLICAS` (3), `SEED` (what faults come in
//! what order; printed).

mod chance;
mod cluster;
mod faults;
mod figures;
mod replica;

use std::sync::Arc;
use std::time::{Duration, Instant};

use synapps::config::duration;

use crate::invariants::check;
use crate::report;
use crate::traffic::{Choice, Kind, Traffic};
use chance::Chance;
use cluster::SoakCluster;
use faults::Faults;
use figures::Figures;
use replica::Replica;

/// How often a run is started.
const START_EVERY: Duration = Duration::from_millis(60);

/// The most runs whose clients wait at once: what makes the load fit the machine.
const MOST_OPEN: usize = 60;

/// How long clients may take to come to their ends when the faults are over.
const REST: Duration = Duration::from_mins(3);

/// How often it says that it goes on.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What there is of each kind of run, in a hundred.
const SHARES: [(Kind, u64); 6] = [
    (Kind::Mixed, 55),
    (Kind::Waits, 15),
    (Kind::Cancelled, 10),
    (Kind::Nap, 10),
    (Kind::Retried, 8),
    (Kind::Large, 2),
];

/// A variable of `make soak`, or what it is otherwise.
fn setting(name: &str, otherwise: &str) -> String {
    let value = std::env::var(format!("SYNAPPS_SOAK_{name}")).unwrap_or_default();
    if value.is_empty() {
        otherwise.to_owned()
    } else {
        value
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes: make soak"]
async fn nothing_is_lost_doubled_or_stuck_after_a_while_of_faults() {
    let time = duration::parse(&setting("TIME", "5m")).unwrap();
    let time = time.min(Duration::from_hours(1));
    let replicas: usize = setting("REPLICAS", "3").parse().unwrap();
    let by_clock = chrono::Utc::now().timestamp_micros().to_string();
    let seed: u64 = setting("SEED", &by_clock).parse().unwrap();
    println!("{time:?} with {replicas} replicas, SEED={seed}");

    let cluster = Arc::new(SoakCluster::start().await);
    let mut team = Vec::new();
    for _ in 0..replicas {
        team.push(Arc::new(Replica::start(&cluster).await));
    }
    let traffic = Traffic::new(Choice::InTurn).await;
    let calls: Vec<_> = team.iter().map(|replica| replica.calls()).collect();
    traffic.replicas().set(&calls.iter().collect::<Vec<_>>());
    traffic.save_flows(&calls[0]).await;

    let faults = Faults::begin(&team, &cluster, Chance::new(seed));
    load(&traffic, Chance::new(seed ^ 1), time).await;
    let mut figures: Figures = faults.end().await;
    println!("the faults are over, {} clients wait", traffic.open());
    let (visits, stuck) = traffic.settled(REST).await;

    let sql = cluster.sql().await;
    let visits: Vec<_> = visits.iter().collect();
    let mut findings = check(&sql, &calls[0], &traffic, &visits).await;
    findings.violations.extend(stuck);
    figures.count(&visits, &findings, &traffic);
    let text = figures.text(&report::circumstances().await, time, replicas, seed);
    println!("{text}");
    report::write("soak", &text);
    if !findings.violations.is_empty() {
        for replica in &team {
            println!("{}", replica.last_words().await);
        }
    }
    cluster.stop().await;
    let violations = &findings.violations;
    assert!(
        violations.is_empty(),
        "{} violations\n{}",
        violations.len(),
        violations.join("\n")
    );
}

/// Starts runs for a while, as many at once as may be.
async fn load(traffic: &Traffic, mut chance: Chance, time: Duration) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(START_EVERY);
    let mut told = Duration::ZERO;
    while started.elapsed() < time {
        ticks.tick().await;
        if started.elapsed() >= told {
            println!("{:>5} s: {} clients wait", told.as_secs(), traffic.open());
            told += TELL_EVERY;
        }
        if traffic.open() < MOST_OPEN {
            traffic.begin(&[*chance.pick(&SHARES)]);
        }
    }
}
