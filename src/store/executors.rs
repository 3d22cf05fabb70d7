//! Executors: their leases, and the tick that claims runs and reads letters.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    BigInt, Bool, Double, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::births::PRIORITIES;
use super::inbox::{Letter, Request};
use super::schema::{executors, workflow_runs};
use super::{Error, Result};
use crate::ids::{ExecutorId, RunId, RunKey};
use crate::run::event::FORMAT;

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Renewal {
    /// The database's time.
    #[diesel(sql_type = Timestamptz)]
    pub now: DateTime<Utc>,
    /// The highest event format that all live executors read.
    #[diesel(sql_type = SmallInt)]
    pub event_format: i16,
}

/// Keeps an executor's lease for `lease` from now on.
///
/// The row is made where it is missing, so that the first call registers the executor. One that was retired or declared
/// dead stays so.
///
/// # Errors
///
/// As every query.
pub async fn renew(
    conn: &mut AsyncPgConnection,
    executor: ExecutorId,
    address: &str,
    lease: Duration,
) -> Result<Renewal> {
    Ok(diesel::sql_query(
        "INSERT INTO executors AS e (executor_id, address, version, event_format, lease_until) \
         VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5)) \
         ON CONFLICT (executor_id) DO UPDATE SET lease_until = excluded.lease_until \
         WHERE NOT e.retired AND e.lease_until > to_timestamp(0) \
         RETURNING clock_timestamp() AS now, (SELECT least(min(o.event_format), $4) FROM executors o \
         WHERE NOT o.retired AND o.lease_until > now()) AS event_format",
    )
    .bind::<SqlUuid, _>(executor.uuid())
    .bind::<Text, _>(address)
    .bind::<Text, _>(env!("CARGO_PKG_VERSION"))
    .bind::<SmallInt, _>(FORMAT)
    .bind::<Double, _>(lease.as_secs_f64())
    .get_result(conn)
    .await?)
}

/// Gives an executor's runs free to be taken over at once: it has ended in order.
///
/// # Errors
///
/// As every query.
pub async fn retire(conn: &mut AsyncPgConnection, executor: ExecutorId) -> Result<()> {
    diesel::update(executors::table.find(executor.uuid()))
        .set(executors::retired.eq(true))
        .execute(conn)
        .await?;
    Ok(())
}

/// Declares all executors dead but this one, unless they have ended in order: only for who knows that it owns the cluster
/// alone. Their leases end with 1970, by which a tick knows that their runs may be taken over at once.
///
/// # Errors
///
/// As every query.
pub async fn declare_dead_all_but(
    conn: &mut AsyncPgConnection,
    executor: ExecutorId,
) -> Result<()> {
    let others = executors::table
        .filter(executors::executor_id.ne(executor.uuid()))
        .filter(diesel::dsl::not(executors::retired));
    diesel::update(others)
        .set(executors::lease_until.eq(DateTime::UNIX_EPOCH))
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes executors that are gone and own nothing any more.
///
/// # Errors
///
/// As every query.
pub async fn bury(conn: &mut AsyncPgConnection) -> Result<usize> {
    let owned = workflow_runs::table
        .filter(workflow_runs::executor_id.eq(executors::executor_id.nullable()))
        .select(workflow_runs::run_id);
    let gone = executors::retired.or(executors::lease_until.lt(diesel::dsl::now));
    Ok(diesel::delete(
        executors::table
            .filter(gone)
            .filter(diesel::dsl::not(diesel::dsl::exists(owned))),
    )
    .execute(conn)
    .await?)
}

/// What a tick may do.
#[derive(Clone, Copy, Debug)]
pub struct TickRequest {
    /// For whom.
    pub executor: ExecutorId,
    /// How many runs it has room for.
    pub capacity: usize,
    /// Until when it may take runs whose executor let its lease run out, if it may; those of a retired one it always
    /// may. A time and not a yes, because a statement may be on its way for longer than the right to it lasts.
    pub take_over_until: Option<DateTime<Utc>>,
}

/// A run that belongs to the executor now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which run.
    pub key: RunKey,
    /// Whether its executor died with it: what was in flight may be what killed it.
    pub died: bool,
}

/// What a tick found.
#[derive(Clone, Debug, Default)]
pub struct Ticked {
    /// Runs that belong to the executor now.
    pub claimed: Vec<Claim>,
    /// Letters to runs that belonged to it before.
    pub letters: Vec<Letter>,
}

#[derive(QueryableByName)]
struct TickRow {
    #[diesel(sql_type = Text)]
    namespace: String,
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
    #[diesel(sql_type = Nullable<BigInt>)]
    inbox_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    data: Option<String>,
    #[diesel(sql_type = Bool)]
    died: bool,
}

/// Claims runs that are due or whose executor is gone, epoch + 1 each, and reads the letters of the executor's runs.
/// What is due goes by priority, then by time: of each priority the index is asked apart, so that no number of runs that
/// wait for later is read. A run that nobody owns and that somebody asks something of, such as to be cancelled, is
/// claimed however full the executor is; of those that have yet to start only what keeps them from it.
///
/// Runs that somebody else has locked are left out. The claims are committed when this returns; what a run has written
/// is read by later statements only, for this one's snapshot is older than its locks.
///
/// # Errors
///
/// As every query.
pub async fn tick(conn: &mut AsyncPgConnection, request: TickRequest) -> Result<Ticked> {
    let rows: Vec<TickRow> = diesel::sql_query(
        "WITH gone AS (SELECT executor_id, NOT retired AS died FROM executors \
         WHERE executor_id <> $1 AND (retired OR lease_until <= to_timestamp(0) OR (now() < $3 AND lease_until < now()))), \
         due AS (SELECT d.namespace, d.run_id FROM generate_series($5::integer, $6::integer, -1) AS p(priority), \
         LATERAL (SELECT namespace, run_id FROM workflow_runs WHERE priority = p.priority AND wake_at <= now() \
         AND event_format <= $4 ORDER BY wake_at LIMIT $2 FOR UPDATE SKIP LOCKED) d LIMIT $2), \
         orphaned AS (SELECT r.namespace, r.run_id, g.died FROM workflow_runs r JOIN gone g ON g.executor_id = r.executor_id \
         WHERE r.event_format <= $4 LIMIT $2 FOR UPDATE OF r SKIP LOCKED), \
         asked AS (SELECT r.namespace, r.run_id FROM run_inbox i \
         JOIN workflow_runs r ON r.namespace = i.namespace AND r.run_id = i.run_id \
         WHERE i.kind <> 'ADMITTED' AND r.wake_at <= now() AND r.event_format <= $4 \
         AND (r.state <> 'QUEUED' OR i.kind IN ('CANCEL', 'PAUSE')) LIMIT 100 FOR UPDATE OF r SKIP LOCKED), \
         roomy AS (SELECT namespace, run_id, died FROM orphaned UNION ALL SELECT namespace, run_id, false FROM due LIMIT $2), \
         picked AS (SELECT namespace, run_id, false AS died FROM asked UNION SELECT namespace, run_id, died FROM roomy), \
         claimed AS (UPDATE workflow_runs r SET executor_id = $1, epoch = r.epoch + 1, wake_at = NULL FROM picked p \
         WHERE r.namespace = p.namespace AND r.run_id = p.run_id AND r.ended_at IS NULL RETURNING r.namespace, r.run_id, p.died) \
         SELECT namespace, run_id, NULL::bigint AS inbox_id, NULL::text AS data, died FROM claimed \
         UNION ALL SELECT i.namespace, i.run_id, i.inbox_id, i.data::text, false FROM run_inbox i \
         JOIN workflow_runs r ON r.namespace = i.namespace AND r.run_id = i.run_id WHERE r.executor_id = $1",
    )
    .bind::<SqlUuid, _>(request.executor.uuid())
    .bind::<BigInt, _>(i64::try_from(request.capacity).unwrap_or(i64::MAX))
    .bind::<Nullable<Timestamptz>, _>(request.take_over_until)
    .bind::<SmallInt, _>(FORMAT)
    .bind::<Integer, _>(*PRIORITIES.end())
    .bind::<Integer, _>(*PRIORITIES.start())
    .load(conn)
    .await?;
    let mut ticked = Ticked::default();
    for row in rows {
        let key = RunKey {
            namespace: row.namespace.into(),
            run_id: RunId::new(row.run_id),
        };
        match (row.inbox_id, row.data) {
            (Some(id), Some(data)) => {
                ticked.letters.push(Letter {
                    key,
                    id,
                    request: Request::decode(&data)?,
                });
            }
            (None, None) => ticked.claimed.push(Claim {
                key,
                died: row.died,
            }),
            _ => return Err(Error::Corrupt(format!("a letter to run {key} has no text"))),
        }
    }
    Ok(ticked)
}

/// Forgets request ids whose time is over, at most `limit` at once; gives how many.
///
/// # Errors
///
/// As every query.
pub async fn forget_requests(conn: &mut AsyncPgConnection, limit: i64) -> Result<usize> {
    Ok(diesel::sql_query(
        "DELETE FROM start_requests s USING (SELECT namespace, request_id FROM start_requests \
         WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) o \
         WHERE s.namespace = o.namespace AND s.request_id = o.request_id",
    )
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await?)
}
