//! What has to hold after any trouble, looked up in the database, in what clients saw, and at the server that counts
//! effects. Whatever does not is told in a sentence.
//!
//! Used by the crash matrix and by the soak.

mod effects;
mod journals;
mod proof;
mod watched;

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::support::calls::Calls;
use crate::traffic::{Traffic, Visit};

/// What a check has found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How many runs it has looked at, children included.
    pub runs: usize,
    /// How many events.
    pub events: usize,
    /// What does not hold; empty if all is well.
    pub violations: Vec<String>,
}

/// Looks at all runs of a database, of which clients have made `visits`; no run may be open any more.
pub async fn check(sql: &Client, calls: &Calls, traffic: &Traffic, visits: &[&Visit]) -> Findings {
    let mut findings = Findings {
        violations: traffic.replicas().take_wrong(),
        ..Findings::default()
    };
    journals::check(sql, &mut findings).await;
    watched::check(sql, calls, visits, &mut findings).await;
    effects::check(&traffic.bin().seen(), visits, &mut findings);
    findings
}

/// How many events of each run an earlier owner has written: never more, once it is an earlier one.
#[derive(Debug)]
pub struct Fenced {
    written: BTreeMap<String, i64>,
}

impl Fenced {
    /// As it is now.
    pub async fn look(sql: &Client) -> Self {
        let query = "SELECT r.run_id::text || ' before epoch ' || r.epoch, \
            count(*) FILTER (WHERE e.epoch < r.epoch) FROM workflow_runs r \
            JOIN run_events e USING (namespace, run_id) WHERE r.ended_at IS NULL GROUP BY r.run_id, r.epoch";
        let rows = sql.query(query, &[]).await.unwrap();
        Self {
            written: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }
    }

    /// Whether those that were fenced by then have written since.
    pub async fn check(&self, sql: &Client, findings: &mut Findings) {
        for (run, written) in &self.written {
            let (id, epoch) = run.split_once(" before epoch ").unwrap();
            let query = "SELECT count(*) FROM run_events WHERE run_id = $1::text::uuid AND epoch < $2::text::bigint";
            let row = sql.query_one(query, &[&id, &epoch]).await.unwrap();
            let now: i64 = row.get(0);
            if now != *written {
                let told = format!("run {run}: {written} events when it was taken over, {now} now");
                findings.violations.push(told);
            }
        }
    }
}
