//! Executors: their leases, and the tick that claims runs and reads letters.

mod held;
mod tick;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

pub use self::held::{Held, held};
pub use self::tick::{Claim, Order, TickRequest, Ticked, Turn, can_take_turns, tick};
use super::Result;
use super::schema::{executors, workflow_runs};
use crate::ids::ExecutorId;
use crate::run::event::FORMAT;

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Keeps an executor's lease for `lease` from now on, and gives the database's time.
///
/// The row is made where it is missing, so that the first call registers the executor.
///
/// # Errors
///
/// As every query.
pub async fn renew(
    conn: &mut AsyncPgConnection,
    executor: ExecutorId,
    address: &str,
    lease: Duration,
) -> Result<DateTime<Utc>> {
    let row: Now = diesel::sql_query(
        "INSERT INTO executors AS e (executor_id, address, version, event_format, lease_until) \
         VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5)) \
         ON CONFLICT (executor_id) DO UPDATE SET lease_until = excluded.lease_until WHERE NOT e.retired \
         RETURNING clock_timestamp() AS now",
    )
    .bind::<SqlUuid, _>(executor.uuid())
    .bind::<Text, _>(address)
    .bind::<Text, _>(env!("CARGO_PKG_VERSION"))
    .bind::<SmallInt, _>(FORMAT)
    .bind::<Double, _>(lease.as_secs_f64())
    .get_result(conn)
    .await?;
    Ok(row.now)
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

/// Declares all executors dead but this one: only for who knows that it owns the cluster alone.
///
/// # Errors
///
/// As every query.
pub async fn retire_all_but(conn: &mut AsyncPgConnection, executor: ExecutorId) -> Result<()> {
    diesel::update(executors::table.filter(executors::executor_id.ne(executor.uuid())))
        .set(executors::retired.eq(true))
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
