//! What the tables say: journals without gaps, one end each, epochs that never decrease, nothing left over.

use tokio_postgres::Client;

use super::Findings;

/// A rule, and the query that finds what breaks it: one text each.
const RULES: [(&str, &str); 15] = [
    (
        "a run is stuck",
        "SELECT run_id || ' is ' || state || ' ' || coalesce(wait_reason, '') FROM workflow_runs WHERE ended_at IS NULL",
    ),
    (
        "a journal has a gap, or the row another last sequence",
        "SELECT r.run_id || ': ' || count(e.sequence) || ' events, row says ' || r.last_sequence \
         FROM workflow_runs r LEFT JOIN run_events e USING (namespace, run_id) GROUP BY r.namespace, r.run_id, r.last_sequence \
         HAVING count(e.sequence) <> r.last_sequence OR min(e.sequence) <> 1 OR max(e.sequence) <> r.last_sequence",
    ),
    (
        "a run did not end exactly once",
        "SELECT run_id || ': ' || string_agg(kind, ', ' ORDER BY sequence) FROM run_events \
         WHERE kind IN ('run_succeeded', 'run_failed', 'run_cancelled', 'run_reopened') GROUP BY namespace, run_id \
         HAVING count(*) FILTER (WHERE kind <> 'run_reopened') <> 1 + count(*) FILTER (WHERE kind = 'run_reopened')",
    ),
    (
        "a run's row and its last event disagree",
        "SELECT r.run_id || ': ' || r.state || ' after ' || e.kind FROM workflow_runs r JOIN run_events e \
         ON e.namespace = r.namespace AND e.run_id = r.run_id AND e.sequence = r.last_sequence \
         WHERE r.ended_at IS NOT NULL AND e.kind <> 'run_' || lower(r.state)",
    ),
    (
        "a journal goes on after its end, or its epoch decreases",
        "SELECT run_id || ' at ' || sequence || ': ' || kind || ' after ' || before || ', epoch ' || epoch || ' after ' || epoch_before \
         FROM (SELECT run_id, sequence, kind, epoch, lag(kind) OVER journal AS before, lag(epoch) OVER journal AS epoch_before \
         FROM run_events WINDOW journal AS (PARTITION BY namespace, run_id ORDER BY sequence)) e \
         WHERE epoch < epoch_before OR (before IN ('run_succeeded', 'run_failed', 'run_cancelled') AND kind <> 'run_reopened')",
    ),
    (
        "an event is of an epoch that its run has not reached",
        "SELECT e.run_id || ' at ' || e.sequence FROM run_events e JOIN workflow_runs r USING (namespace, run_id) WHERE e.epoch > r.epoch",
    ),
    (
        "events belong to no run",
        "SELECT e.run_id::text FROM run_events e LEFT JOIN workflow_runs r USING (namespace, run_id) WHERE r.run_id IS NULL \
         GROUP BY e.run_id",
    ),
    (
        "a request has started two runs",
        "SELECT request_id FROM workflow_runs WHERE request_id IS NOT NULL GROUP BY namespace, request_id HAVING count(*) > 1",
    ),
    (
        "a step succeeded twice",
        "SELECT run_id || ' ' || (data->>'path') FROM run_events WHERE kind = 'step_succeeded' \
         GROUP BY namespace, run_id, data->>'path' HAVING count(*) > 1",
    ),
    (
        "an attempt ended twice",
        "SELECT run_id || ' ' || (data->>'path') || ' attempt ' || (data->>'attempt') FROM run_events \
         WHERE kind IN ('step_succeeded', 'step_failed', 'step_retry_scheduled', 'step_cancelled') \
         GROUP BY namespace, run_id, data->>'path', data->>'attempt' HAVING count(*) > 1",
    ),
    (
        "a child is not there, or nobody has asked for it",
        "SELECT coalesce(s.run_id, c.run_id)::text FROM \
         (SELECT e.namespace, (e.data->>'run_id')::uuid AS run_id FROM run_events e JOIN workflow_runs p USING (namespace, run_id) \
         WHERE e.kind = 'child_started' AND p.state <> 'CANCELLED') s \
         FULL JOIN (SELECT namespace, run_id FROM workflow_runs WHERE parent_run_id IS NOT NULL) c USING (namespace, run_id) \
         WHERE s.run_id IS NULL OR c.run_id IS NULL",
    ),
    (
        "the parent of a child was not told",
        "SELECT run_id::text FROM workflow_runs WHERE parent_run_id IS NOT NULL AND NOT told",
    ),
    (
        "chunks of a payload are missing",
        "SELECT e.run_id || ' at ' || e.sequence FROM run_events e, LATERAL (VALUES (e.data->'output'), (e.data->'items'), \
         (e.data->'input')) p(info) WHERE p.info->'chunks' IS NOT NULL AND (p.info->>'size_bytes')::bigint IS DISTINCT FROM \
         (SELECT sum(octet_length(c.data)) FROM payload_chunks c WHERE c.namespace = e.namespace AND c.run_id = e.run_id \
         AND c.step_path = p.info->'chunks'->>'path' AND c.attempt = (p.info->'chunks'->>'attempt')::integer \
         AND c.epoch = (p.info->'chunks'->>'epoch')::bigint)",
    ),
    (
        "a letter to a run that has ended was never read",
        "SELECT i.run_id || ' ' || i.kind FROM run_inbox i JOIN workflow_runs r USING (namespace, run_id) WHERE r.ended_at IS NOT NULL",
    ),
    (
        "a run that has ended still asks for approval",
        "SELECT a.run_id::text FROM approvals a JOIN workflow_runs r USING (namespace, run_id) WHERE r.ended_at IS NOT NULL",
    ),
];

/// The most breaches of one rule that are told.
const TOLD: usize = 5;

pub(super) async fn check(sql: &Client, findings: &mut Findings) {
    for (rule, query) in RULES {
        let rows = sql.query(query, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{rule}: {error:?}"));
        for row in rows.iter().take(TOLD) {
            let which: String = row.get(0);
            findings.violations.push(format!("{rule}: {which}"));
        }
        if rows.len() > TOLD {
            let more = rows.len() - TOLD;
            findings.violations.push(format!("{rule}: {more} more"));
        }
    }
    let counts = "SELECT (SELECT count(*) FROM workflow_runs), (SELECT count(*) FROM run_events)";
    let counts = sql.query_one(counts, &[]).await.unwrap();
    findings.runs = usize::try_from(counts.get::<_, i64>(0)).unwrap();
    findings.events = usize::try_from(counts.get::<_, i64>(1)).unwrap();
}
