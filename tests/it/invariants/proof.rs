//! The check itself is checked: whatever is done to sound runs behind the service's back is found.

use std::time::Duration;

use super::{Findings, check, effects, journals};
use crate::support::binary::Binary;
use crate::traffic::{Choice, Kind, Traffic};

/// What breaks a rule, and how the finding begins.
const BREACHES: [(&str, &str); 14] = [
    (
        "a run is stuck",
        "UPDATE workflow_runs SET state = 'RUNNING', ended_at = NULL, wake_at = now() WHERE parent_run_id IS NULL",
    ),
    (
        "a journal has a gap",
        "DELETE FROM run_events WHERE sequence = 2",
    ),
    (
        "a journal has a gap",
        "UPDATE workflow_runs SET last_sequence = last_sequence + 1",
    ),
    (
        "a run did not end exactly once",
        "UPDATE run_events SET kind = 'run_failed' WHERE kind = 'run_started'",
    ),
    (
        "a run's row and its last event disagree",
        "UPDATE workflow_runs SET state = 'CANCELLED'",
    ),
    (
        "a journal goes on after its end",
        "UPDATE run_events SET epoch = epoch + 1 WHERE sequence = 2",
    ),
    (
        "an event is of an epoch",
        "UPDATE workflow_runs SET epoch = 0",
    ),
    ("events belong to no run", "DELETE FROM workflow_runs"),
    (
        "a request has started two runs",
        "UPDATE workflow_runs SET request_id = 'run-0'",
    ),
    (
        "a step succeeded twice",
        "UPDATE run_events SET data = jsonb_set(data::jsonb, '{path}', '\"same\"') WHERE kind = 'step_succeeded'",
    ),
    (
        "a child is not there",
        "DELETE FROM workflow_runs WHERE parent_run_id IS NOT NULL",
    ),
    (
        "the parent of a child was not told",
        "UPDATE workflow_runs SET told = false WHERE parent_run_id IS NOT NULL",
    ),
    (
        "chunks of a payload are missing",
        "DELETE FROM payload_chunks WHERE chunk = 1",
    ),
    (
        "a letter to a run",
        "INSERT INTO run_inbox (namespace, run_id, kind, data) SELECT namespace, run_id, 'CANCEL', '{}' FROM workflow_runs",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_broken_behind_the_services_back_is_found() {
    let binary = Binary::start(&[]).await;
    let traffic = Traffic::new(Choice::FirstFirst).await;
    traffic.replicas().set(&[&binary]);
    traffic.save_flows(&binary).await;
    traffic.begin(&[Kind::Mixed, Kind::Large, Kind::Waits, Kind::Retried]);
    let (mut visits, stuck) = traffic.settled(Duration::from_mins(1)).await;
    let sql = binary.database().sql().await;
    assert_eq!(stuck, [""; 0]);

    let sound = check(&sql, &binary, &traffic, &visits.iter().collect::<Vec<_>>()).await;
    assert_eq!(sound.violations, [""; 0]);

    for (rule, breach) in BREACHES {
        sql.batch_execute("BEGIN").await.unwrap();
        sql.batch_execute(breach).await.unwrap();
        let mut findings = Findings::default();
        journals::check(&sql, &mut findings).await;
        sql.batch_execute("ROLLBACK").await.unwrap();
        let told = |violation: &String| violation.starts_with(rule);
        assert!(
            findings.violations.iter().any(told),
            "{breach}: {findings:?}"
        );
    }

    let mut seen = traffic.bin().seen();
    let paid = seen
        .iter()
        .find(|request| request.path.starts_with("/pay/"));
    seen.push(paid.unwrap().clone());
    let mut findings = Findings::default();
    effects::check(&seen, &visits.iter().collect::<Vec<_>>(), &mut findings);
    assert_eq!(findings.violations.len(), 1, "{findings:?}");

    visits[0].seen.pop();
    let cut = check(&sql, &binary, &traffic, &visits.iter().collect::<Vec<_>>()).await;
    assert_eq!(cut.violations.len(), 1, "{cut:?}");
}
