//! What clients saw: each start has made its run and no other, and the events of each watch are the history, byte for
//! byte.
//!
//! That events came in order and once was seen while they came.

use std::collections::{BTreeMap, BTreeSet};

use synapps::proto::RunState;
use tokio_postgres::Client;

use super::Findings;
use crate::support::calls::Calls;
use crate::traffic::{Kind, Visit, print_of};

/// How many histories are read at once.
const AT_ONCE: usize = 8;

pub(super) async fn check(sql: &Client, calls: &Calls, visits: &[&Visit], findings: &mut Findings) {
    starts(sql, visits, findings).await;
    for few in visits.chunks(AT_ONCE) {
        let histories = few.iter().map(|visit| calls.events_after(&visit.run_id, 0));
        let histories = futures_util::future::join_all(histories).await;
        for (visit, history) in few.iter().zip(histories) {
            let history: Vec<u64> = history.iter().map(print_of).collect();
            if history != visit.seen {
                let differs = history
                    .iter()
                    .zip(&visit.seen)
                    .position(|(one, other)| one != other);
                findings.violations.push(format!(
                    "run {}: its watcher saw {} events, its history has {}; the first that differs: {differs:?}",
                    visit.run_id,
                    visit.seen.len(),
                    history.len()
                ));
            }
        }
    }
    for visit in visits {
        if !is_fitting(visit) {
            let Visit {
                run_id, kind, n, ..
            } = visit;
            let told = format!("run {run_id} ({kind:?} {n}) is {:?}", visit.ended);
            findings.violations.push(told);
        }
    }
}

/// The run of each request that was answered is the one of the answer, and there is no other run.
async fn starts(sql: &Client, visits: &[&Visit], findings: &mut Findings) {
    let query = "SELECT request_id, run_id::text FROM workflow_runs WHERE parent_run_id IS NULL";
    let rows = sql.query(query, &[]).await.unwrap();
    let runs: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut answered = BTreeSet::new();
    for visit in visits {
        let request = format!("run-{}", visit.n);
        if runs.get(&request) != Some(&visit.run_id) {
            let told = format!(
                "run {} of {request} was accepted and is not there",
                visit.run_id
            );
            findings.violations.push(told);
        }
        answered.insert(request);
    }
    for (request, run) in &runs {
        if !answered.contains(request) {
            findings
                .violations
                .push(format!("run {run} of {request} is nobody's"));
        }
    }
}

/// Whether the run has ended as its kind has to.
fn is_fitting(visit: &Visit) -> bool {
    match visit.kind {
        Kind::Cancelled => visit.ended == RunState::Cancelled,
        Kind::Mixed if visit.resolved.failed > 0 => visit.ended == RunState::Failed,
        _ => visit.ended == RunState::Succeeded,
    }
}
