//! Which runs have changed their state since somebody looked: for those who watch many runs.
//!
//! Each change of a run's state leaves the transaction that made it in `changed_in`. A look is a snapshot of Postgres,
//! which knows exactly which transactions it sees; what has changed since is what an earlier snapshot does not see. A
//! cursor over a time or a number would miss transactions that commit later than others that began after them.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::schema::workflow_runs;
use super::{Error, Result};
use crate::ids::{FlowKey, Namespace, RunId};
use crate::run::state::RunState;

/// What a statement that changes a run's state sets `changed_in` to.
pub(super) const CHANGED_NOW: &str = "pg_current_xact_id()::text::bigint";

/// Which transactions had been committed at one point in time (`pg_snapshot`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    text: String,
    /// All transactions below are seen, or were rolled back.
    from: i64,
    /// None from here on is seen.
    below: i64,
    /// Those between that are not seen.
    in_progress: Vec<i64>,
}

impl Snapshot {
    fn parse(text: String) -> Result<Self> {
        let parts: Option<(i64, i64, Vec<i64>)> = (|| {
            let mut parts = text.splitn(3, ':');
            let from = parts.next()?.parse().ok()?;
            let below = parts.next()?.parse().ok()?;
            let between = parts.next()?.split(',').filter(|one| !one.is_empty());
            let in_progress = between.map(|one| one.parse().ok()).collect::<Option<_>>()?;
            Some((from, below, in_progress))
        })();
        match parts {
            Some((from, below, in_progress)) => Ok(Self {
                text,
                from,
                below,
                in_progress,
            }),
            None => Err(Error::Corrupt(format!("{text:?} is no snapshot"))),
        }
    }

    /// Whether a change is seen that this transaction has made.
    #[must_use]
    pub fn has_seen(&self, changed_in: i64) -> bool {
        changed_in < self.from
            || (changed_in < self.below && !self.in_progress.contains(&changed_in))
    }

    /// As Postgres writes it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// A run whose state has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which run.
    pub run_id: RunId,
    /// The transaction that changed it last.
    pub changed_in: i64,
}

/// Which runs somebody wants to know of.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only those of this flow.
    pub flow_key: Option<FlowKey>,
    /// Only those in one of these states; in any if empty.
    pub states: Vec<RunState>,
    /// Only those that have all of these labels: an object of texts.
    pub labels: Option<Value>,
}

#[derive(QueryableByName)]
struct Look {
    #[diesel(sql_type = Text)]
    snapshot: String,
    #[diesel(sql_type = Array<SqlUuid>)]
    runs: Vec<Uuid>,
    #[diesel(sql_type = Array<BigInt>)]
    changed: Vec<i64>,
}

/// What is seen now.
///
/// # Errors
///
/// As every query.
pub async fn look(conn: &mut AsyncPgConnection) -> Result<Snapshot> {
    let query = "SELECT pg_current_snapshot()::text AS snapshot, '{}'::uuid[] AS runs, '{}'::bigint[] AS changed";
    let look: Look = diesel::sql_query(query).get_result(conn).await?;
    Snapshot::parse(look.snapshot)
}

/// Runs whose state has changed since, by transactions that have committed since; and what is seen now.
///
/// A change is given by exactly one of several looks that each begin where the one before has ended. What a
/// transaction changes that goes on for long is given by the first look after its end.
///
/// # Errors
///
/// As every query.
pub async fn since(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    before: &Snapshot,
) -> Result<(Snapshot, Vec<Change>)> {
    // What is later than all there is comes of a database that this one was restored from.
    let look: Look = diesel::sql_query(
        "SELECT pg_current_snapshot()::text AS snapshot, coalesce(array_agg(c.run_id), '{}') AS runs, \
         coalesce(array_agg(c.changed_in), '{}') AS changed FROM (SELECT run_id, changed_in FROM workflow_runs \
         WHERE namespace = $1 AND changed_in >= $2 AND changed_in < pg_snapshot_xmax(pg_current_snapshot())::text::bigint \
         AND NOT pg_visible_in_snapshot(changed_in::text::xid8, $3::pg_snapshot)) c",
    )
    .bind::<Text, _>(namespace.as_str())
    .bind::<BigInt, _>(before.from)
    .bind::<Text, _>(before.text())
    .get_result(conn)
    .await?;
    let changes = look.runs.iter().zip(&look.changed);
    let changes = changes.map(|(run, changed_in)| Change {
        run_id: RunId::new(*run),
        changed_in: *changed_in,
    });
    Ok((Snapshot::parse(look.snapshot)?, changes.collect()))
}

/// Open runs that are wanted, newest first, and what was seen when they were read; of more than `limit` any `limit`.
///
/// # Errors
///
/// As every query.
pub async fn open(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    wanted: &Wanted,
    limit: usize,
) -> Result<(Snapshot, Vec<RunId>)> {
    let states = RunState::ALL.iter().filter(|state| {
        !state.is_final() && (wanted.states.is_empty() || wanted.states.contains(state))
    });
    let states: Vec<&str> = states.map(|state| state.as_str()).collect();
    // No order: with one, a table of mostly ended runs might be read from its end instead of by state.
    let mut query = diesel::sql_query(
        "SELECT pg_current_snapshot()::text AS snapshot, '{}'::bigint[] AS changed, \
         ARRAY(SELECT run_id FROM workflow_runs WHERE namespace = $1 AND state = ANY($2)",
    )
    .into_boxed::<Pg>()
    .bind::<Text, _>(namespace.as_str())
    .bind::<Array<Text>, _>(states);
    let mut binds = 2;
    if let Some(FlowKey(flow_key)) = wanted.flow_key {
        binds += 1;
        query = query
            .sql(format!(" AND flow_key = ${binds}"))
            .bind::<BigInt, _>(flow_key);
    }
    if let Some(labels) = &wanted.labels {
        binds += 1;
        query = query
            .sql(format!(" AND labels @> ${binds} AND labels <> '{{}}'"))
            .bind::<Jsonb, _>(labels);
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = query
        .sql(format!(" LIMIT ${}) AS runs", binds + 1))
        .bind::<BigInt, _>(limit);
    let mut look: Look = query.get_result(conn).await?;
    look.runs.sort_unstable_by(|one, other| other.cmp(one));
    let runs = look.runs.into_iter().map(RunId::new).collect();
    Ok((Snapshot::parse(look.snapshot)?, runs))
}

/// Which of these runs there are.
///
/// # Errors
///
/// As every query.
pub async fn existing(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    runs: &[RunId],
) -> Result<Vec<RunId>> {
    let ids: Vec<Uuid> = workflow_runs::table
        .filter(workflow_runs::namespace.eq(namespace.as_str()))
        .filter(workflow_runs::run_id.eq_any(runs.iter().map(|run| run.uuid())))
        .select(workflow_runs::run_id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(RunId::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_was_committed_before_it() {
        let snapshot = Snapshot::parse("10:15:10,12".to_owned()).unwrap();

        let seen: Vec<i64> = (8..18).filter(|one| snapshot.has_seen(*one)).collect();

        assert_eq!(seen, [8, 9, 11, 13, 14]);
        let quiet = Snapshot::parse("10:10:".to_owned()).unwrap();
        assert!(quiet.has_seen(9) && !quiet.has_seen(10));
        for wrong in ["", "1", "1:2", "a:2:", "1:2:x"] {
            assert!(Snapshot::parse(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
