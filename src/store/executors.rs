//! Executors: their leases, and the tick that claims runs and reads letters.

mod held;
mod tick;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

pub use self::held::{Held, held};
pub use self::tick::{Claim, Order, TickRequest, Ticked, Turn, can_take_turns, tick};
use super::Result;
use super::schema::{executors, workflow_runs};
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
    /// When the first lease of another executor is over unless it is renewed.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub next_lease_end: Option<DateTime<Utc>>,
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
         WHERE NOT o.retired AND o.lease_until > now()) AS event_format, \
         (SELECT min(o.lease_until) FROM executors o WHERE o.executor_id <> $1 \
         AND NOT o.retired AND o.lease_until > now()) AS next_lease_end",
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

/// All runs that belong to the executor, as far as is committed.
///
/// # Errors
///
/// As every query.
pub async fn owned(conn: &mut AsyncPgConnection, executor: ExecutorId) -> Result<Vec<RunKey>> {
    let rows: Vec<(String, Uuid)> = workflow_runs::table
        .filter(workflow_runs::executor_id.eq(executor.uuid()))
        .select((workflow_runs::namespace, workflow_runs::run_id))
        .load(conn)
        .await?;
    let key = |(namespace, run_id): (String, Uuid)| RunKey {
        namespace: namespace.into(),
        run_id: RunId::new(run_id),
    };
    Ok(rows.into_iter().map(key).collect())
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
