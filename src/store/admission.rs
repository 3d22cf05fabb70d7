//! Limits of open runs: how many are open under one concurrency key, who waits there, and who is let in next.
//!
//! Whoever counts holds the key's advisory lock until the count has its consequence, so that the limit is kept however
//! many replicas start and end runs at the same time. Only runs of flows that have a limit come here. A run counts from
//! when it was admitted until it has ended; one that was not waits without a wake-up.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::births::{self, Birth};
use super::inbox::{Letter, Request};
use super::{Error, Result};
use crate::flow::OnConflict;
use crate::ids::{ExecutorId, Namespace, RunId, RunKey};

/// What a run that is to be has to pass.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Whose runs are counted.
    pub namespace: &'a Namespace,
    /// What they are counted under.
    pub key: &'a str,
    /// The most that are open at once.
    pub limit: u32,
    /// What becomes of one that is over the limit.
    pub on_conflict: OnConflict,
    /// Whether no more runs may wait for their start: then one that would have to is refused.
    pub queue_is_full: bool,
}

/// What became of a run that is to be.
#[derive(Clone, Debug)]
pub enum Passage {
    /// It is there and may run.
    Admitted,
    /// It is there and waits for its place. These runs were asked to end for it.
    Queued(Vec<Letter>),
    /// It is not there: so many are open.
    Refused {
        /// Admitted and not ended.
        open: u32,
    },
    /// It is not there: it would have to wait, and no more runs may.
    QueueFull,
    /// It is not there: its request id has started this run, with a request of this hash.
    Taken(RunId, Vec<u8>),
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    open: i64,
    #[diesel(sql_type = Bool)]
    queued: bool,
}

/// Brings a run into being, admitted or not: `birth` gives its rows for either case.
///
/// A concurrent call with the same key, and [`admit`], wait for this one's end. Nobody overtakes a run that waits.
///
/// # Errors
///
/// As every query; unless the connection was lost, nothing was written.
pub async fn bear<'a>(
    conn: &mut AsyncPgConnection,
    executor: ExecutorId,
    gate: Gate<'_>,
    birth: impl Fn(bool) -> Birth<'a> + Send + Sync,
) -> Result<Passage> {
    conn.transaction(async |conn| {
        lock(conn, gate.namespace, gate.key).await?;
        let run = birth(true);
        let (key, request) = (run.key, run.request);
        if let Some(request) = request
            && let Some((run, hash)) =
                births::find_request_on(conn, key.namespace.as_str(), &request.id).await?
        {
            return Ok(Passage::Taken(run, hash));
        }
        let count: Count = diesel::sql_query(
            "SELECT (SELECT count(*) FROM workflow_runs WHERE namespace = $1 AND concurrency_key = $2 \
             AND admitted AND ended_at IS NULL) AS open, \
             EXISTS (SELECT 1 FROM workflow_runs WHERE namespace = $1 AND concurrency_key = $2 \
             AND NOT admitted AND ended_at IS NULL AND state = 'QUEUED') AS queued",
        )
        .bind::<Text, _>(gate.namespace.as_str())
        .bind::<Text, _>(gate.key)
        .get_result(conn)
        .await?;
        let open = u32::try_from(count.open).unwrap_or(u32::MAX);
        let admitted = open < gate.limit && !count.queued;
        if !admitted && gate.on_conflict == OnConflict::Reject {
            return Ok(Passage::Refused { open });
        }
        if !admitted && gate.queue_is_full {
            return Ok(Passage::QueueFull);
        }
        let run = if admitted { run } else { birth(false) };
        if !births::write_one(conn, executor, run).await? {
            // A start under another key has taken the request id just before.
            let found = match request {
                Some(request) => {
                    births::find_request_on(conn, key.namespace.as_str(), &request.id).await?
                }
                None => None,
            };
            let (run, hash) = found.ok_or_else(|| {
                Error::Corrupt(format!("run {key} was neither born nor born before"))
            })?;
            return Ok(Passage::Taken(run, hash));
        }
        if admitted {
            return Ok(Passage::Admitted);
        }
        let letters = if gate.on_conflict == OnConflict::CancelRunning {
            cancel_others(conn, gate, key).await?
        } else {
            Vec::new()
        };
        Ok(Passage::Queued(letters))
    })
    .await
}

/// Waits until nobody else counts under this key, and keeps others from it until the transaction ends.
async fn lock(conn: &mut AsyncPgConnection, namespace: &Namespace, key: &str) -> Result<()> {
    // Two keys of one hash wait for each other, and no harm is done.
    diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind::<Text, _>(format!("{namespace}/{key}"))
        .execute(conn)
        .await?;
    Ok(())
}

/// How long attempts of a run may go on that is cancelled for another one.
const GRACE_MS: u64 = 10_000;

#[derive(QueryableByName)]
struct Posted {
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
    #[diesel(sql_type = BigInt)]
    inbox_id: i64,
}

/// Asks all other open runs of the key to end, those that wait included.
async fn cancel_others(
    conn: &mut AsyncPgConnection,
    gate: Gate<'_>,
    by: &RunKey,
) -> Result<Vec<Letter>> {
    let request = Request::Cancel {
        reason: format!("run {by} takes its place: the flow's policy says CANCEL_RUNNING"),
        grace_ms: GRACE_MS,
    };
    // The rows are locked in the order in which flushes lock them.
    let posted: Vec<Posted> = diesel::sql_query(
        "WITH others AS (SELECT namespace, run_id FROM workflow_runs r WHERE namespace = $1 AND concurrency_key = $2 \
         AND ended_at IS NULL AND run_id <> $3 AND state <> 'CANCELLING' AND NOT EXISTS (SELECT 1 FROM run_inbox i \
         WHERE i.namespace = r.namespace AND i.run_id = r.run_id AND i.kind = 'CANCEL') ORDER BY run_id FOR UPDATE), \
         told AS (UPDATE workflow_runs r SET inbox_count = inbox_count + 1, \
         wake_at = CASE WHEN executor_id IS NULL THEN now() END FROM others o \
         WHERE r.namespace = o.namespace AND r.run_id = o.run_id RETURNING r.run_id) \
         INSERT INTO run_inbox (namespace, run_id, kind, data) SELECT $1, run_id, $4, $5::json FROM told \
         RETURNING run_id, inbox_id",
    )
    .bind::<Text, _>(gate.namespace.as_str())
    .bind::<Text, _>(gate.key)
    .bind::<SqlUuid, _>(by.run_id.uuid())
    .bind::<Text, _>(request.kind())
    .bind::<Text, _>(request.encode()?)
    .load(conn)
    .await?;
    let letter = |posted: Posted| Letter {
        key: RunKey {
            namespace: gate.namespace.clone(),
            run_id: RunId::new(posted.run_id),
        },
        id: posted.inbox_id,
        request: request.clone(),
    };
    Ok(posted.into_iter().map(letter).collect())
}

/// Lets in the run that is first in line under this key, if there is a place for it: the oldest of the highest
/// priority, by the limit of the revision that it is pinned to. Gives the letter that tells it.
///
/// Runs that are paused or about to be cancelled are passed over. To be called until it gives nothing.
///
/// # Errors
///
/// As every query; nobody was let in.
pub async fn admit(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    key: &str,
) -> Result<Option<Letter>> {
    let request = Request::Admitted;
    let data = request.encode()?;
    conn.transaction(async |conn| {
        lock(conn, namespace, key).await?;
        let posted: Option<Posted> = diesel::sql_query(
            "WITH first AS (SELECT r.run_id, coalesce(v.max_open_runs, 1) AS most FROM workflow_runs r \
             JOIN flow_revisions v ON v.namespace = r.namespace AND v.flow_key = r.flow_key AND v.revision = r.revision \
             WHERE r.namespace = $1 AND r.concurrency_key = $2 AND NOT r.admitted AND r.ended_at IS NULL \
             AND r.state = 'QUEUED' AND NOT EXISTS (SELECT 1 FROM run_inbox i WHERE i.namespace = r.namespace \
             AND i.run_id = r.run_id AND i.kind = 'CANCEL') ORDER BY r.priority DESC, r.run_id LIMIT 1), \
             admitted AS (UPDATE workflow_runs r SET admitted = true, inbox_count = inbox_count + 1, \
             wake_at = CASE WHEN executor_id IS NULL THEN now() END FROM first f \
             WHERE r.namespace = $1 AND r.run_id = f.run_id AND NOT r.admitted AND r.ended_at IS NULL \
             AND (SELECT count(*) FROM workflow_runs o WHERE o.namespace = $1 AND o.concurrency_key = $2 \
             AND o.admitted AND o.ended_at IS NULL) < f.most RETURNING r.run_id) \
             INSERT INTO run_inbox (namespace, run_id, kind, data) SELECT $1, run_id, $3, $4::json FROM admitted \
             RETURNING run_id, inbox_id",
        )
        .bind::<Text, _>(namespace.as_str())
        .bind::<Text, _>(key)
        .bind::<Text, _>(request.kind())
        .bind::<Text, _>(&data)
        .get_result(conn)
        .await
        .optional()?;
        Ok(posted.map(|posted| Letter {
            key: RunKey {
                namespace: namespace.clone(),
                run_id: RunId::new(posted.run_id),
            },
            id: posted.inbox_id,
            request: request.clone(),
        }))
    })
    .await
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = Text)]
    namespace: String,
    #[diesel(sql_type = Text)]
    concurrency_key: String,
}

/// Keys under which somebody waits although there is a place, because a process died between the end of a run and the
/// admission of the next; at most `limit`.
///
/// # Errors
///
/// As every query.
pub async fn left_over(
    conn: &mut AsyncPgConnection,
    limit: i64,
) -> Result<Vec<(Namespace, String)>> {
    let places: Vec<Place> = diesel::sql_query(
        "SELECT q.namespace, q.concurrency_key FROM (SELECT r.namespace, r.concurrency_key, \
         max(coalesce(v.max_open_runs, 1)) AS most FROM workflow_runs r \
         JOIN flow_revisions v ON v.namespace = r.namespace AND v.flow_key = r.flow_key AND v.revision = r.revision \
         WHERE NOT r.admitted AND r.ended_at IS NULL AND r.state = 'QUEUED' GROUP BY r.namespace, r.concurrency_key) q \
         WHERE (SELECT count(*) FROM workflow_runs o WHERE o.namespace = q.namespace \
         AND o.concurrency_key = q.concurrency_key AND o.admitted AND o.ended_at IS NULL) < q.most LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    let place = |place: Place| (place.namespace.into(), place.concurrency_key);
    Ok(places.into_iter().map(place).collect())
}

/// Where a run stands that waits for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The most that are open at once, by the revision of the run.
    pub limit: u32,
    /// Those that are admitted and have not ended.
    pub open: u32,
    /// Those that wait and are let in before it.
    pub ahead: u32,
}

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = Integer)]
    most: i32,
    #[diesel(sql_type = BigInt)]
    open: i64,
    #[diesel(sql_type = BigInt)]
    ahead: i64,
}

/// Where this run stands among those of its concurrency key; `None` if it has none, or is gone.
///
/// # Errors
///
/// As every query.
pub async fn line(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<Option<Line>> {
    let row: Option<LineRow> = diesel::sql_query(
        "SELECT coalesce(v.max_open_runs, 1) AS most, \
         (SELECT count(*) FROM workflow_runs o WHERE o.namespace = $1 AND o.concurrency_key = r.concurrency_key \
         AND o.admitted AND o.ended_at IS NULL) AS open, \
         (SELECT count(*) FROM workflow_runs o WHERE o.namespace = $1 AND o.concurrency_key = r.concurrency_key \
         AND NOT o.admitted AND o.ended_at IS NULL AND o.state = 'QUEUED' \
         AND (o.priority > r.priority OR (o.priority = r.priority AND o.run_id < r.run_id))) AS ahead \
         FROM workflow_runs r \
         JOIN flow_revisions v ON v.namespace = r.namespace AND v.flow_key = r.flow_key AND v.revision = r.revision \
         WHERE r.namespace = $1 AND r.run_id = $2 AND r.concurrency_key IS NOT NULL",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.map(|row| Line {
        limit: u32::try_from(row.most).unwrap_or(1),
        open: u32::try_from(row.open).unwrap_or(u32::MAX),
        ahead: u32::try_from(row.ahead).unwrap_or(u32::MAX),
    }))
}
