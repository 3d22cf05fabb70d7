//! The program is killed in the middle of its work and started again: what was durable goes on, and nothing is done
//! twice but what its effect class allows.

mod effects;
mod outages;
mod stopping;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::{Flow, RunEvent, RunState};
use tokio::task::JoinSet;

use crate::support::binary::Binary;
use crate::support::calls::{Calls, assert_gapless};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;

const RUNS: usize = 50;

/// Long enough that a machine that is busy with other tests renews it in time.
const LEASE: Duration = Duration::from_secs(4);

/// Orders something once, then asks, waits and computes on three ways at once.
pub fn order(bin: &HttpBin) -> Flow {
    let url = |path: &str| bin.url(&format!("/{path}/{{{{ input.n }}}}"));
    flow_with_ends("order")
        .node(
            "pay",
            "http_request",
            json!({ "method": "POST", "url": url("pay") }),
        )
        .node("stock", "http_request", json!({ "url": url("stock") }))
        .node("soon", "delay", json!({ "seconds": 1 }))
        .node(
            "text",
            "transform",
            json!({ "operation": "template", "template": "order {{ input.n }}" }),
        )
        .node("all", "merge", json!({ "strategy": "object" }))
        .node(
            "tell",
            "http_request",
            json!({ "method": "PUT", "url": url("tell") }),
        )
        .edge("start", "pay")
        .edge("pay", "stock")
        .edge("pay", "soon")
        .edge("pay", "text")
        .edge("stock", "all")
        .edge("soon", "all")
        .edge("text", "all")
        .edge("all", "tell")
        .edge("tell", "end")
        .build()
}

/// Starts runs with the inputs `{"n": 0}`, `{"n": 1}` …
pub async fn start_many(calls: &Calls, flow_id: &str, count: usize) -> Vec<String> {
    let mut starts = JoinSet::new();
    for n in 0..count {
        let (calls, flow_id) = (calls.clone(), flow_id.to_owned());
        starts.spawn(async move { (n, calls.start(&flow_id, &json!({ "n": n })).await) });
    }
    let mut runs = starts.join_all().await;
    runs.sort();
    runs.into_iter().map(|(_, run)| run).collect()
}

/// Waits until all runs have ended, and asserts that they succeeded.
pub async fn all_succeed(calls: &Calls, runs: &[String]) {
    let mut ends = JoinSet::new();
    for run in runs {
        let (calls, run) = (calls.clone(), run.clone());
        ends.spawn(async move { calls.finished_run(&run).await });
    }
    for run in ends.join_all().await {
        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        assert_eq!(run.progress, run.total_steps, "{run:?}");
    }
}

/// Asserts that a history has no gap and says of each step at most once that it succeeded.
pub fn assert_sound(events: &[RunEvent]) {
    assert_gapless(events);
    let mut succeeded: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        if let Some(Event::StepSucceeded(_)) = event.event {
            *succeeded.entry(&event.step_path).or_default() += 1;
        }
    }
    assert!(succeeded.values().all(|times| *times == 1), "{succeeded:?}");
}

/// By how much longer things may take because others use this machine too: 1 while there is work for at most two
/// threads per core, which is what these tests make themselves.
pub fn crowd() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load
        .split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = f64::from(u32::try_from(cores).unwrap());
    (load / cores / 2.0).max(1.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_runs_in_the_middle_of_their_work_all_succeed_after_a_kill() {
    let bin = HttpBin::start().await;
    let held: Vec<_> = (0..RUNS)
        .map(|n| bin.hold(&format!("/stock/{n}")))
        .collect();
    let mut binary = Binary::start(&["--lease=4s"]).await;
    binary.save(order(&bin)).await;
    let runs = start_many(&binary, "order", RUNS).await;
    for n in 0..RUNS {
        bin.requested(&format!("/stock/{n}"), 1).await;
    }

    let killed = Utc::now();
    binary.kill().await;
    drop(held);
    let binary = binary.restart().await;
    all_succeed(&binary, &runs).await;

    let sql = binary.database().sql().await;
    let took = "SELECT extract(epoch FROM max(ended_at) - $1)::float8 FROM workflow_runs";
    let took = sql.query_one(took, &[&killed]).await.unwrap().get(0);
    let (took, limit) = (
        Duration::from_secs_f64(took),
        LEASE + Duration::from_secs(5).mul_f64(crowd()),
    );
    assert!(
        took <= limit,
        "the last one ended {took:?} after the kill: {}",
        binary.log().text()
    );
    for (n, run) in runs.iter().enumerate() {
        assert_sound(&binary.events_after(run, 0).await);
        let paid = bin.count(&format!("/pay/{n}"));
        assert_eq!(paid, 1, "run {n} paid {paid} times");
    }
    let mut keys: HashMap<String, Vec<String>> = HashMap::new();
    for request in bin.seen() {
        keys.entry(request.path)
            .or_default()
            .push(request.idempotency_key);
    }
    for (path, keys) in keys {
        assert!(
            keys.iter().all(|key| !key.is_empty() && *key == keys[0]),
            "{path}: {keys:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_outlast_one_kill_after_the_other() {
    let bin = HttpBin::start().await;
    let steps: Vec<(String, serde_json::Value)> = (0..6)
        .map(|at| {
            (
                format!("get{at}"),
                json!({ "url": bin.url(&format!("/get{at}/{{{{ input.n }}}}")) }),
            )
        })
        .collect();
    let nodes: Vec<_> = steps
        .iter()
        .map(|(id, config)| (id.as_str(), "http_request", config.clone()))
        .collect();
    let mut binary = Binary::start(&[]).await;
    binary.save(chain("chain", &nodes)).await;

    let runs = start_many(&binary, "chain", 10).await;
    // Twice, because a step that was under way at three kills would be put aside.
    for requests in [5, 30] {
        bin.requested_in_all(requests).await;
        binary.kill().await;
        binary = binary.restart().await;
    }

    all_succeed(&binary, &runs).await;
    for run in &runs {
        assert_sound(&binary.events_after(run, 0).await);
    }
    let seen = bin.seen().len();
    assert!(seen >= 60, "each of 60 requests was sent: {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_while_nobody_is_there_is_over_at_the_next_start() {
    let mut binary = Binary::start(&[]).await;
    let flow = chain("wait", &[("wait", "delay", json!({ "seconds": 6 }))]);
    let run = binary.save_and_start(flow, &json!({ "kept": true })).await;
    binary.run_in_state(&run, RunState::Waiting).await;

    binary.kill().await;
    let sql = binary.database().sql().await;
    let due = "SELECT coalesce(bool_and(wake_at <= now()), false) FROM workflow_runs";
    let wait = async { while !sql.query_one(due, &[]).await.unwrap().get::<_, bool>(0) {} };
    crate::support::within("the time to wake up", wait).await;
    let binary = binary.restart().await;

    let run = binary.finished_run(&run).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(
        crate::support::wire::json(run.output.as_ref()),
        json!({ "kept": true })
    );
    assert_sound(&binary.events_after(&run.run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_durable_when_its_start_is_answered() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let mut binary = Binary::start(&[]).await;
    let flow = chain(
        "slow",
        &[("slow", "http_request", json!({ "url": bin.url("/slow") }))],
    );
    let run = binary.save_and_start(flow, &json!({})).await;

    binary.kill().await;
    let binary = binary.restart().await;

    let listed = binary.get(&run).await;
    assert_eq!(listed.run_id, run);
    held.release();
    all_succeed(&binary, &[run]).await;
}
