//! What a soak has counted, as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use synapps::proto::RunState;

use super::faults::Fault;
use crate::invariants::Findings;
use crate::traffic::{Traffic, Visit};

/// Figures of a soak.
#[derive(Debug, Default)]
pub struct Figures {
    faults: BTreeMap<Fault, usize>,
    /// From the fault until nothing belonged to the executor any more.
    taken_over: BTreeMap<Fault, Vec<Duration>>,
    rows: Vec<(String, String)>,
}

impl Figures {
    /// A fault has come.
    pub fn struck(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// All that an executor had is somebody else's.
    pub fn taken_over(&mut self, fault: Fault, took: Duration) {
        self.taken_over.entry(fault).or_default().push(took);
    }

    /// Counts what came of it all.
    pub fn count(&mut self, visits: &[&Visit], findings: &Findings, traffic: &Traffic) {
        let ended = |state: RunState| visits.iter().filter(|visit| visit.ended == state).count();
        let sum =
            |count: fn(&Visit) -> usize| visits.iter().map(|visit| count(visit)).sum::<usize>();
        let faults: usize = self.faults.values().sum();
        let mut row = |what: &str, figure: String| self.rows.push((what.to_owned(), figure));
        row("runs that clients started", visits.len().to_string());
        row(
            "succeeded, failed, cancelled",
            format!(
                "{}, {}, {}",
                ended(RunState::Succeeded),
                ended(RunState::Failed),
                ended(RunState::Cancelled)
            ),
        );
        row("runs in all, children included", findings.runs.to_string());
        row("events", findings.events.to_string());
        row("watches resumed", sum(|visit| visit.resumed).to_string());
        row(
            "`AT_MOST_ONCE` steps of unknown outcome",
            sum(|visit| visit.resolved.succeeded + visit.resolved.failed).to_string(),
        );
        row(
            "quarantined steps",
            sum(|visit| visit.resolved.quarantined).to_string(),
        );
        row("faults", faults.to_string());
        for (fault, count) in std::mem::take(&mut self.faults) {
            self.rows
                .push((format!("– {}", name(fault)), count.to_string()));
        }
        for (fault, mut times) in std::mem::take(&mut self.taken_over) {
            times.sort_unstable();
            let median = times[times.len() / 2].as_secs_f64();
            let most = times.last().expect("there is one").as_secs_f64();
            self.rows.push((
                format!(
                    "until nothing belonged to it any more after {}, p50 / max",
                    name(fault)
                ),
                format!("{median:.2} s / {most:.2} s of {}", times.len()),
            ));
        }
        for (error, count) in traffic.replicas().errors() {
            self.rows
                .push((format!("clients met {error}"), count.to_string()));
        }
        let violations = findings.violations.len();
        self.rows.push((
            "**lost, doubled or stuck**".to_owned(),
            format!("**{violations}**"),
        ));
    }

    /// The table.
    pub fn text(&self, circumstances: &str, time: Duration, replicas: usize, seed: u64) -> String {
        let mut text = format!(
            "{circumstances} {} s with {replicas} replicas, a lease of 2 s, `SEED={seed}`.\n\n| | |\n|---|---|\n",
            time.as_secs()
        );
        for (what, figure) in &self.rows {
            writeln!(text, "| {what} | {figure} |").expect("a text takes all");
        }
        text
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "`kill -9`",
        Fault::Term => "`SIGTERM`",
        Fault::Freeze => "`SIGSTOP`, 0.3 to 4 s",
        Fault::Cut => "connections cut",
        Fault::BlackHole => "black hole, 0.3 to 4 s",
        Fault::Delay => "answers 150 ms late, 0.3 to 4 s",
        Fault::Restart => "Postgres restarted",
        Fault::Crash => "Postgres crashed",
    }
}
