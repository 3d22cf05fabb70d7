//! Opening a failed run again: the one way out of a final state.

use diesel::sql_types::{BigInt, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Result;
use crate::ids::RunKey;
use crate::run::event::Recorded;

/// Opens a run that has failed, with the event that says so, whose sequence has to be the next; says whether it did.
///
/// One statement. It did not where the run has not failed, is a child, or has gone on meanwhile: of two callers with the
/// same event one succeeds. Nobody owns the run then, and it is due at once. What was asked of it before its end and was
/// not taken in is dropped, for the end was the answer.
///
/// # Errors
///
/// As every query; nothing has changed.
pub async fn reopen(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    reopened: &Recorded,
) -> Result<bool> {
    let written = diesel::sql_query(
        "WITH reopened AS (UPDATE workflow_runs SET state = CASE WHEN started_at IS NULL THEN 'QUEUED' ELSE 'RUNNING' END, \
         error = NULL, ended_at = NULL, epoch = epoch + 1, executor_id = NULL, wake_at = now(), last_sequence = $3, \
         event_format = greatest(event_format, $4), changed_in = pg_current_xact_id()::text::bigint \
         WHERE namespace = $1 AND run_id = $2 AND state = 'FAILED' AND parent_run_id IS NULL AND last_sequence = $3 - 1 \
         RETURNING namespace, run_id, epoch), \
         unasked AS (DELETE FROM approvals a USING reopened r WHERE a.namespace = r.namespace AND a.run_id = r.run_id), \
         unread AS (DELETE FROM run_inbox i USING reopened r WHERE i.namespace = r.namespace AND i.run_id = r.run_id) \
         INSERT INTO run_events (namespace, run_id, sequence, epoch, at, kind, data) \
         SELECT namespace, run_id, $3, epoch, $5, $6, $7::json FROM reopened",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .bind::<BigInt, _>(reopened.sequence)
    .bind::<SmallInt, _>(reopened.event.format())
    .bind::<Timestamptz, _>(reopened.at)
    .bind::<Text, _>(reopened.event.kind())
    .bind::<Text, _>(reopened.event.encode())
    .execute(conn)
    .await?;
    Ok(written == 1)
}
