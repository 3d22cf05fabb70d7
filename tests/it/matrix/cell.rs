//! One cell: a process is brought to a boundary, struck, and everything is looked at afterwards.

use std::time::Duration;

use rustix::process::Signal;

use super::boundaries::Scene;
use super::fault::{Fault, LEASE, Victim, owned, taken_over};
use super::row::Row;
use super::{Held, Outcome};
use crate::invariants::{Fenced, check};
use crate::support::binary::{Binary, Log};
use crate::traffic::Kind;

/// How long the load of one round may take to bring the process to the boundary.
const ROUND: Duration = Duration::from_millis(2_500);

/// How many rounds there are before the boundary counts as not reached.
const ROUNDS: usize = 8;

/// How long a take-over or a drain may take to come to the boundary.
const WAY: Duration = Duration::from_secs(50);

/// How long clients may take to come to their ends when the fault is over.
const REST: Duration = Duration::from_mins(2);

/// The last lines of a process's log that a broken cell shows.
const TAIL: usize = 12;

pub async fn work(row: &mut Row, fault: Fault) -> Outcome {
    let mut victim = row.victim(fault).await;
    let mut dead = match row.boundary.scene {
        Scene::TakingOver => Some(row.another().await),
        Scene::Serving | Scene::Draining => None,
    };
    let before = row.visits.len();
    match lead(row, &victim, dead.as_mut()).await {
        Ok(()) => {}
        Err(why) => return Outcome::Broken(broken(row, &victim, vec![why])),
    }
    victim.stands_still(fault).await;
    if row.boundary.scene == Scene::TakingOver {
        row.heir = Some(row.another().await);
    }
    let heir = row.heir.as_ref().expect("there is one by now");
    row.traffic.replicas().set(&[&victim.binary, heir]);

    let executor = victim.binary.executor();
    let has_runs = owned(&row.sql, &executor).await > 0;
    victim.strike(fault);
    let mut took_over_in = None;
    let mut fenced = None;
    if fault.costs_the_lease() {
        let took = taken_over(&row.sql, &executor).await;
        took_over_in = has_runs.then_some(took);
        fenced = Some(Fenced::look(&row.sql).await);
    } else if fault == Fault::Delay {
        tokio::time::sleep(LEASE).await;
    }
    victim.relieve(fault);
    row.traffic.release();
    let probe = probe(row, &mut victim, fault).await;

    let (visits, stuck) = row.traffic.settled(REST).await;
    row.visits.extend(visits);
    let heir = row.heir.as_ref().expect("there is one by now");
    let visits: Vec<_> = row.visits.iter().collect();
    let mut findings = check(&row.sql, heir, &row.traffic, &visits).await;
    findings.violations.extend(stuck);
    findings.violations.extend(probe.err());
    if let Some(fenced) = fenced {
        fenced.check(&row.sql, &mut findings).await;
    }
    if !findings.violations.is_empty() {
        return Outcome::Broken(broken(row, &victim, findings.violations));
    }
    let resolved = row.visits[before..].iter().map(|visit| visit.resolved);
    let resolved =
        resolved.map(|resolved| resolved.succeeded + resolved.failed + resolved.quarantined);
    if row.boundary.scene == Scene::TakingOver {
        row.heir = None;
    }
    Outcome::Held(Held {
        runs: findings.runs,
        events: findings.events,
        took_over_in,
        resolved: resolved.sum(),
    })
}

/// Brings the process to the boundary, and says why that was not possible.
async fn lead(row: &Row, victim: &Victim, dead: Option<&mut Binary>) -> Result<(), String> {
    let replicas = row.traffic.replicas();
    let slow = |begun: &[u32]| {
        let kinds = row.boundary.kinds.iter().zip(begun);
        let slow = kinds.filter(|(kind, _)| **kind == Kind::Slow);
        slow.map(|(_, n)| format!("/slow/{n}")).collect::<Vec<_>>()
    };
    match (row.boundary.scene, dead) {
        (Scene::TakingOver, Some(dead)) => {
            replicas.set(&[dead]);
            let begun = row.traffic.begin(row.boundary.kinds);
            for path in slow(&begun) {
                row.traffic.bin().requested(&path, 1).await;
            }
            replicas.set(&[&victim.binary]);
            dead.kill().await;
        }
        (Scene::Draining, _) => {
            replicas.set(&[&victim.binary]);
            let begun = row.traffic.begin(row.boundary.kinds);
            for path in slow(&begun) {
                row.traffic.bin().requested(&path, 1).await;
            }
            replicas.set(&[&victim.binary, row.heir.as_ref().expect("it serves beside")]);
            victim.binary.signal(Signal::TERM);
        }
        _ => {
            replicas.set(&[&victim.binary, row.heir.as_ref().expect("it serves beside")]);
            for _ in 0..ROUNDS {
                row.traffic.begin(row.boundary.kinds);
                if reached(row, victim, ROUND).await {
                    return Ok(());
                }
            }
        }
    }
    if reached(row, victim, WAY).await {
        Ok(())
    } else {
        Err(format!(
            "the crash point {} was not reached",
            row.boundary.point
        ))
    }
}

/// Whether the process comes to its crash point within `limit`.
async fn reached(row: &Row, victim: &Victim, limit: Duration) -> bool {
    let said = format!("crash point {}:", row.boundary.point);
    let line = victim.binary.log().line_with(&said);
    tokio::time::timeout(limit, line).await.is_ok()
}

/// Asks a process that is still there to execute a run: it has to be as good as new.
async fn probe(row: &Row, victim: &mut Victim, fault: Fault) -> Result<(), String> {
    if fault == Fault::Kill {
        return Ok(());
    }
    if row.boundary.scene == Scene::Draining {
        victim.binary.ended().await;
        return Ok(());
    }
    row.traffic.replicas().set(&[&victim.binary]);
    row.traffic.begin(&[Kind::Mixed]);
    let done = async {
        while row.traffic.open() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(REST, done)
        .await
        .map_err(|_| "the process does not serve after the fault".to_owned())
}

/// What is wrong, and the last that the processes have said.
fn broken(row: &Row, victim: &Victim, mut why: Vec<String>) -> Vec<String> {
    let mut tell = |who: &str, log: &Log| {
        let text = log.text();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        why.extend(tail.iter().map(|line| format!("{who}: {line}")));
    };
    tell("struck", victim.binary.log());
    if let Some(heir) = &row.heir {
        tell("other", heir.log());
    }
    why
}
