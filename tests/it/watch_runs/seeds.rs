//! Runs that nobody executes, made in the database.

use uuid::Uuid;

/// What a row says beside its id.
const COLUMNS: &str = "namespace, run_id, flow_key, revision, state, wait_reason, wake_at, ended_at, event_format, total_steps, \
     created_at, changed_in";

/// One run that waits for long.
pub async fn waiting(sql: &tokio_postgres::Client) -> String {
    let run = Uuid::now_v7();
    let insert = format!(
        "INSERT INTO workflow_runs ({COLUMNS}) VALUES ('default', $1, 1, 1, 'WAITING', 'DELAY', now() + interval '1 day', \
         NULL, 1, 1, now(), pg_current_xact_id()::text::bigint)"
    );
    sql.execute(&insert, &[&run]).await.unwrap();
    run.to_string()
}

/// A statement that makes many runs, which wait or have ended.
pub fn many(count: usize, is_open: bool) -> String {
    let what = if is_open {
        "'WAITING', 'DELAY', now() + interval '1 day', NULL"
    } else {
        "'SUCCEEDED', NULL, NULL, now()"
    };
    format!(
        "INSERT INTO workflow_runs ({COLUMNS}) SELECT 'default', \
         (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid, \
         1, 1, {what}, 1, 1, now(), pg_current_xact_id()::text::bigint FROM generate_series(1, {count}) n"
    )
}

/// A statement that pauses a run, as its owner would.
pub fn pause(run_id: &str) -> String {
    format!(
        "UPDATE workflow_runs SET state = 'PAUSED', wait_reason = NULL, changed_in = pg_current_xact_id()::text::bigint \
         WHERE namespace = 'default' AND run_id = '{run_id}'"
    )
}
