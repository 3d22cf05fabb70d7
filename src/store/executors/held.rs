//! Runs that nobody can claim because somebody holds their rows.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Nullable;
use diesel::sql_types::{Bool, Integer, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::ids::{ExecutorId, RunId, RunKey};
use crate::run::event::FORMAT;
use crate::store::Result;
use crate::store::births::PRIORITIES;

/// A run that should have been claimed for three ticks, and whose row is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which run.
    pub key: RunKey,
    /// The process of Postgres whose transaction holds the row.
    pub pid: i32,
    /// Whether the run is orphaned, and not due.
    pub orphaned: bool,
}

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = Text)]
    namespace: String,
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = Bool)]
    orphaned: bool,
}

/// Runs that this executor might have claimed for three seconds and that somebody has locked for as long, some of them.
///
/// Who holds a row is told by its `xmax`, and so not where several share the lock. Of sessions of other roles it is not
/// known since when they hold it, and they are taken to do so for long enough.
///
/// # Errors
///
/// As every query.
pub async fn held(
    conn: &mut AsyncPgConnection,
    executor: ExecutorId,
    take_over_until: Option<DateTime<Utc>>,
) -> Result<Vec<Held>> {
    let rows: Vec<HeldRow> = diesel::sql_query(
        "WITH gone AS (SELECT executor_id FROM executors WHERE executor_id <> $1 \
         AND (retired OR (now() < $2 AND lease_until < now() - interval '3 seconds'))), \
         missed AS (SELECT d.*, false AS orphaned FROM generate_series($4::integer, $5::integer, -1) AS p(priority), \
         LATERAL (SELECT namespace, run_id, xmax AS holder FROM workflow_runs WHERE priority = p.priority \
         AND wake_at <= now() - interval '3 seconds' AND event_format <= $3 ORDER BY wake_at LIMIT 5) d \
         UNION ALL (SELECT r.namespace, r.run_id, r.xmax, true FROM workflow_runs r \
         JOIN gone g ON g.executor_id = r.executor_id WHERE r.event_format <= $3 LIMIT 5)) \
         SELECT m.namespace, m.run_id, l.pid, m.orphaned FROM missed m \
         JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = m.holder AND l.granted \
         LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE coalesce(a.xact_start < now() - interval '3 seconds', true)",
    )
    .bind::<SqlUuid, _>(executor.uuid())
    .bind::<Nullable<Timestamptz>, _>(take_over_until)
    .bind::<SmallInt, _>(FORMAT)
    .bind::<Integer, _>(*PRIORITIES.end())
    .bind::<Integer, _>(*PRIORITIES.start())
    .load(conn)
    .await?;
    let held = |row: HeldRow| Held {
        key: RunKey {
            namespace: row.namespace.into(),
            run_id: RunId::new(row.run_id),
        },
        pid: row.pid,
        orphaned: row.orphaned,
    };
    Ok(rows.into_iter().map(held).collect())
}
