//! Signals: which were accepted by their request ids, and how many a run keeps that no step has asked for.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Double, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::births::REQUEST_TTL;
use super::inbox::{self, Request};
use super::schema::signal_requests;
use super::{Result, births};
use crate::ids::RunKey;
use crate::run::state::RunState;

/// What sending a signal met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, as this letter.
    Now(i64),
    /// The same request has sent it before.
    Before,
    /// The request id has sent another signal.
    Reused,
    /// The run keeps as many signals as it may.
    Full,
    /// The run has ended.
    Ended(RunState),
    /// There is no such run.
    Absent,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    kept: i64,
}

/// How many signals a run keeps that no step has asked for, those on their way included; not less than there are, and
/// exactly as many from `limit` on.
///
/// One snapshot. The history is counted through only where there are events enough to hold so many.
///
/// # Errors
///
/// As every query.
pub async fn kept(conn: &mut AsyncPgConnection, key: &RunKey, limit: i64) -> Result<i64> {
    let counted: Option<Count> = diesel::sql_query(
        "SELECT p.pending + CASE WHEN r.last_sequence + p.pending < $3 THEN r.last_sequence ELSE \
         (SELECT count(*) FILTER (WHERE e.kind = 'signal_received' AND e.data ->> 'path' IS NULL) \
         - count(*) FILTER (WHERE e.kind = 'step_waiting' AND e.data ->> 'taken' IS NOT NULL) FROM run_events e \
         WHERE e.namespace = r.namespace AND e.run_id = r.run_id AND e.kind IN ('signal_received', 'step_waiting')) END AS kept \
         FROM workflow_runs r CROSS JOIN LATERAL (SELECT count(*) AS pending FROM run_inbox i \
         WHERE i.namespace = r.namespace AND i.run_id = r.run_id AND i.kind = 'SIGNAL') p \
         WHERE r.namespace = $1 AND r.run_id = $2",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .bind::<BigInt, _>(limit)
    .get_result(conn)
    .await
    .optional()?;
    Ok(counted.map_or(0, |counted| counted.kept))
}

/// Posts a signal, once for each request id; `limit` is what [`kept`] has told a moment ago.
///
/// Of two calls with the same request id the second one waits for the first, and then finds it.
///
/// # Errors
///
/// As every query; nothing was sent.
pub async fn send(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    signal: &Request,
    named: Option<&births::Request>,
    limit: Limit,
) -> Result<Sent> {
    conn.transaction(async |conn| {
        let Some(run) = inbox::lock(conn, key).await? else {
            return Ok(Sent::Absent);
        };
        if let Some(named) = named
            && let Some(before) = find_request(conn, key, &named.id).await?
        {
            return Ok(if before == named.body_hash {
                Sent::Before
            } else {
                Sent::Reused
            });
        }
        if run.state.is_final() {
            return Ok(Sent::Ended(run.state));
        }
        if limit == Limit::Reached {
            return Ok(Sent::Full);
        }
        if let Some(named) = named {
            remember(conn, key, named).await?;
        }
        let posted = inbox::post(conn, key, signal).await?;
        Ok(match posted.and_then(|posted| posted.letter) {
            Some(letter) => Sent::Now(letter),
            // Its row is locked, and it was open.
            None => Sent::Absent,
        })
    })
    .await
}

/// Whether a run may keep one signal more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It may.
    Open,
    /// It may not.
    Reached,
}

async fn find_request(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    request_id: &str,
) -> Result<Option<Vec<u8>>> {
    Ok(signal_requests::table
        .filter(signal_requests::namespace.eq(key.namespace.as_str()))
        .filter(signal_requests::run_id.eq(key.run_id.uuid()))
        .filter(signal_requests::request_id.eq(request_id))
        .filter(signal_requests::expires_at.gt(diesel::dsl::now))
        .select(signal_requests::body_hash)
        .first(conn)
        .await
        .optional()?)
}

async fn remember(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    named: &births::Request,
) -> Result<()> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a day has few enough seconds for a double"
    )]
    let seconds = REQUEST_TTL.num_seconds() as f64;
    diesel::sql_query(
        "INSERT INTO signal_requests (namespace, run_id, request_id, body_hash, expires_at) \
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5)) \
         ON CONFLICT (namespace, run_id, request_id) DO UPDATE SET body_hash = excluded.body_hash, expires_at = excluded.expires_at",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .bind::<Text, _>(&named.id)
    .bind::<Binary, _>(named.body_hash.as_slice())
    .bind::<Double, _>(seconds)
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets request ids whose time is over, at most `limit` at once; gives how many.
///
/// # Errors
///
/// As every query.
pub async fn forget_requests(conn: &mut AsyncPgConnection, limit: i64) -> Result<usize> {
    Ok(diesel::sql_query(
        "DELETE FROM signal_requests s USING (SELECT namespace, run_id, request_id FROM signal_requests \
         WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) o \
         WHERE s.namespace = o.namespace AND s.run_id = o.run_id AND s.request_id = o.request_id",
    )
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await?)
}

/// Forgets all request ids of a run, inside the transaction that deletes it.
///
/// # Errors
///
/// As every query.
pub(super) async fn forget(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<()> {
    diesel::delete(
        signal_requests::table
            .filter(signal_requests::namespace.eq(key.namespace.as_str()))
            .filter(signal_requests::run_id.eq(key.run_id.uuid())),
    )
    .execute(conn)
    .await?;
    Ok(())
}
