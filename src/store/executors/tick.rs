//! The statement of the tick: which runs an executor gets, and the letters of those that it has.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{
    BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::ids::{ExecutorId, Namespace, RunId, RunKey};
use crate::run::event::FORMAT;
use crate::store::births::PRIORITIES;
use crate::store::inbox::{Letter, Request};
use crate::store::{Error, Result};

/// What a tick may do.
#[derive(Clone, Debug)]
pub struct TickRequest {
    /// For whom.
    pub executor: ExecutorId,
    /// How many runs it has room for.
    pub capacity: usize,
    /// Until when it may take runs whose executor let its lease run out, if it may; those of a retired one it always
    /// may. A time and not a yes, because a statement may be on its way for longer than the right to it lasts.
    pub take_over_until: Option<DateTime<Utc>>,
    /// Which of the runs that are due come first.
    pub order: Order,
}

/// Which of the runs that are due come first.
#[derive(Clone, Debug, Default)]
pub enum Order {
    /// The highest priority, and of that the longest due.
    #[default]
    Oldest,
    /// Namespaces take turns within a priority, however many runs each of them has; of a namespace the longest due.
    Turns(Turn),
}

/// Where the turns of namespaces go on.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The priority that comes first. Those below it follow, then the ones above it.
    pub first: i32,
    /// Of each priority the namespace after this one comes first; empty is the beginning.
    pub after: Namespace,
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
    /// How many of the claimed ones were due and nobody's.
    pub due: usize,
    /// How many of the claimed ones were those of an executor that is gone.
    pub orphaned: usize,
    /// Of [`Order::Turns`], where they have ended.
    pub last_turn: Option<Turn>,
}

/// What a row of the answer is.
mod kind {
    /// A run that somebody asks something of.
    pub(super) const ASKED: i16 = 0;
    /// A run that was due.
    pub(super) const DUE: i16 = 1;
    /// A run of an executor that is gone.
    pub(super) const ORPHANED: i16 = 2;
    /// A letter.
    pub(super) const LETTER: i16 = 3;
    /// The namespace that was looked at last, where more are there than are looked at.
    pub(super) const POSITION: i16 = 4;
}

#[derive(QueryableByName)]
struct TickRow {
    #[diesel(sql_type = SmallInt)]
    kind: i16,
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
    #[diesel(sql_type = Nullable<Integer>)]
    priority: Option<i32>,
    #[diesel(sql_type = Nullable<BigInt>)]
    turn: Option<i64>,
}

/// How many namespaces are looked at for one claim by [`Order::Turns`], at most: 0.05 to 0.1 ms each.
const VISITS: i64 = 500;

/// Of each priority the index is asked apart, so that no number of runs that wait for later is read.
const OLDEST: &str = "due AS (SELECT d.namespace, d.run_id, p.priority, NULL::bigint AS turn \
    FROM generate_series($5::integer, $6::integer, -1) AS p(priority), \
    LATERAL (SELECT namespace, run_id FROM workflow_runs WHERE priority = p.priority AND wake_at <= now() \
    AND event_format <= $4 ORDER BY wake_at LIMIT $2 FOR UPDATE SKIP LOCKED) d LIMIT $2), ";

/// Goes from one namespace to the next by the index, twice for each priority: from where the turns have ended to the
/// last one, then from the first one to there. The longest due run of a namespace says whether something in it is due.
/// What is taken from each is set in line by turns and locked in that order, until there are enough.
///
/// Ranges where an equality would do, and both columns in the order: only one index gives that, and the planner likes
/// others better, which would read whole floods.
const TURNS: &str = "visited AS (SELECT row_number() OVER () AS rank, v.priority, v.namespace, v.wake_at <= now() AS due \
    FROM (SELECT o.priority, w.namespace, w.wake_at FROM generate_series(0, 2 * ($5 - $6) + 1) AS g(n), \
    LATERAL (SELECT $6 + ($7 - $6 - g.n / 2 + $5 - $6 + 1) % ($5 - $6 + 1) AS priority, g.n % 2 AS lap) o, \
    LATERAL (WITH RECURSIVE w(namespace, wake_at) AS ((SELECT r.namespace, r.wake_at FROM workflow_runs r \
    WHERE r.priority = o.priority AND r.wake_at IS NOT NULL AND r.namespace > CASE o.lap WHEN 0 THEN $8 ELSE '' END \
    ORDER BY r.namespace, r.wake_at LIMIT 1) \
    UNION ALL SELECT n.namespace, n.wake_at FROM w, LATERAL (SELECT r.namespace, r.wake_at FROM workflow_runs r \
    WHERE r.priority = o.priority AND r.wake_at IS NOT NULL AND r.namespace > w.namespace \
    ORDER BY r.namespace, r.wake_at LIMIT 1) n WHERE o.lap = 0 OR w.namespace < $8) \
    SELECT w.namespace, w.wake_at FROM w WHERE o.lap = 0 OR w.namespace <= $8) w LIMIT $9) v), \
    spaces AS (SELECT rank, priority, namespace, count(*) OVER (PARTITION BY priority) AS count FROM visited WHERE due), \
    waiting AS (SELECT s.rank, s.priority, c.namespace, c.run_id, \
    row_number() OVER (PARTITION BY s.rank ORDER BY c.wake_at) AS place FROM spaces s, \
    LATERAL (SELECT namespace, run_id, wake_at FROM workflow_runs r WHERE r.priority = s.priority \
    AND r.namespace >= s.namespace AND r.namespace <= s.namespace AND r.wake_at <= now() AND r.event_format <= $4 \
    ORDER BY r.namespace, r.wake_at LIMIT least($2, 2 * ceil($2::double precision / s.count))) c), \
    due AS (SELECT d.namespace, d.run_id, t.priority, t.turn FROM (SELECT *, row_number() OVER \
    (ORDER BY ($7 - priority + $5 - $6 + 1) % ($5 - $6 + 1), place, rank) AS turn FROM waiting ORDER BY turn) t, \
    LATERAL (SELECT namespace, run_id FROM workflow_runs r WHERE r.namespace = t.namespace AND r.run_id = t.run_id \
    AND r.wake_at <= now() FOR UPDATE SKIP LOCKED) d LIMIT $2), ";

/// The statement, with what finds the runs that are due, and what else it tells.
fn statement(due: &str, more: &str) -> String {
    format!(
        "WITH gone AS (SELECT executor_id, NOT retired AS died FROM executors \
         WHERE executor_id <> $1 AND (retired OR lease_until <= to_timestamp(0) OR (now() < $3 AND lease_until < now()))), \
         live AS (SELECT greatest(count(*), 1) AS count FROM executors WHERE NOT retired AND lease_until >= now()), \
         {due}\
         orphaned AS (SELECT r.namespace, r.run_id, g.died FROM workflow_runs r JOIN gone g ON g.executor_id = r.executor_id \
         WHERE r.event_format <= $4 LIMIT (SELECT ceil($2::double precision / count)::bigint FROM live) \
         FOR UPDATE OF r SKIP LOCKED), \
         asked AS (SELECT r.namespace, r.run_id FROM run_inbox i \
         JOIN workflow_runs r ON r.namespace = i.namespace AND r.run_id = i.run_id \
         WHERE i.kind <> 'ADMITTED' AND r.wake_at <= now() AND r.event_format <= $4 \
         AND (r.state <> 'QUEUED' OR i.kind IN ('CANCEL', 'PAUSE')) LIMIT 100 FOR UPDATE OF r SKIP LOCKED), \
         roomy AS (SELECT namespace, run_id, {orphaned}::smallint AS kind, died, NULL::integer AS priority, \
         NULL::bigint AS turn FROM orphaned \
         UNION ALL SELECT namespace, run_id, {due_kind}::smallint, false, priority, turn FROM due LIMIT $2), \
         picked AS (SELECT namespace, run_id, {asked}::smallint AS kind, false AS died, NULL::integer AS priority, \
         NULL::bigint AS turn FROM asked UNION ALL SELECT * FROM roomy), \
         claimed AS (UPDATE workflow_runs r SET executor_id = $1, epoch = r.epoch + 1, wake_at = NULL FROM picked p \
         WHERE r.namespace = p.namespace AND r.run_id = p.run_id AND r.ended_at IS NULL \
         RETURNING p.kind, r.namespace, r.run_id, p.died, p.priority, p.turn) \
         SELECT kind, namespace, run_id, NULL::bigint AS inbox_id, NULL::text AS data, died, priority, turn FROM claimed \
         UNION ALL SELECT {letter}::smallint, i.namespace, i.run_id, i.inbox_id, i.data::text, false, NULL, NULL FROM run_inbox i \
         JOIN workflow_runs r ON r.namespace = i.namespace AND r.run_id = i.run_id WHERE r.executor_id = $1{more}",
        orphaned = kind::ORPHANED,
        due_kind = kind::DUE,
        asked = kind::ASKED,
        letter = kind::LETTER,
    )
}

/// Claims runs that are due or whose executor is gone, epoch + 1 each, and reads the letters of the executor's runs.
///
/// Of the orphans it takes at most its share, by the number of executors that are alive. A run that nobody owns and that
/// somebody asks something of, such as to be cancelled, is claimed however full the executor is; of those that have yet
/// to start only what keeps them from it.
///
/// Runs that somebody else has locked are left out. The claims are committed when this returns; what a run has written
/// is read by later statements only, for this one's snapshot is older than its locks.
///
/// # Errors
///
/// As every query.
pub async fn tick(conn: &mut AsyncPgConnection, request: TickRequest) -> Result<Ticked> {
    let capacity = i64::try_from(request.capacity).unwrap_or(i64::MAX);
    let (text, turn) = match request.order {
        Order::Oldest => (statement(OLDEST, ""), None),
        Order::Turns(turn) => {
            let position = format!(
                " UNION ALL SELECT {}::smallint, namespace, '00000000-0000-0000-0000-000000000000', NULL, NULL, false, \
                 priority, NULL FROM visited WHERE rank = $9",
                kind::POSITION
            );
            (statement(TURNS, &position), Some(turn))
        }
    };
    let mut query = diesel::sql_query(text)
        .into_boxed::<Pg>()
        .bind::<SqlUuid, _>(request.executor.uuid())
        .bind::<BigInt, _>(capacity)
        .bind::<Nullable<Timestamptz>, _>(request.take_over_until)
        .bind::<SmallInt, _>(FORMAT)
        .bind::<Integer, _>(*PRIORITIES.end())
        .bind::<Integer, _>(*PRIORITIES.start());
    let takes_turns = turn.is_some();
    if let Some(turn) = turn {
        query = query
            .bind::<Integer, _>(turn.first)
            .bind::<Text, _>(turn.after.as_str().to_owned())
            .bind::<BigInt, _>(VISITS);
    }
    let rows: Vec<TickRow> = query.load(conn).await?;
    read(rows, takes_turns)
}

fn read(rows: Vec<TickRow>, takes_turns: bool) -> Result<Ticked> {
    let mut ticked = Ticked::default();
    let (mut first, mut last, mut position) = (None, None, None);
    for row in rows {
        let key = RunKey {
            namespace: row.namespace.into(),
            run_id: RunId::new(row.run_id),
        };
        match (row.kind, row.inbox_id, row.data) {
            (kind::LETTER, Some(id), Some(data)) => {
                ticked.letters.push(Letter {
                    key,
                    id,
                    request: Request::decode(&data)?,
                });
                continue;
            }
            (kind::LETTER, ..) => {
                return Err(Error::Corrupt(format!("a letter to run {key} has no text")));
            }
            (kind::POSITION, ..) => {
                position = Some(key.namespace);
                continue;
            }
            (kind::DUE, ..) => ticked.due += 1,
            (kind::ORPHANED, ..) => ticked.orphaned += 1,
            _ => {}
        }
        if let (Some(turn), Some(priority)) = (row.turn, row.priority) {
            if first.is_none_or(|(before, _)| turn < before) {
                first = Some((turn, priority));
            }
            if last.as_ref().is_none_or(|(before, _)| turn > *before) {
                last = Some((turn, key.namespace.clone()));
            }
        }
        ticked.claimed.push(Claim {
            key,
            died: row.died,
        });
    }
    if takes_turns {
        // Where more namespaces are there than were looked at, those behind come next, whoever was served.
        let served = last.map(|(_, namespace)| namespace);
        ticked.last_turn = Some(Turn {
            first: first.map_or(*PRIORITIES.start(), |(_, priority)| priority),
            after: position.or(served).unwrap_or_else(|| "".into()),
        });
    }
    Ok(ticked)
}

#[derive(QueryableByName)]
struct Exists {
    #[diesel(sql_type = Bool)]
    exists: bool,
}

/// Whether [`Order::Turns`] can be asked for: the schema before this version's has no index for it.
///
/// # Errors
///
/// As every query.
pub async fn can_take_turns(conn: &mut AsyncPgConnection) -> Result<bool> {
    let found: Exists = diesel::sql_query(
        "SELECT to_regclass('workflow_runs_due_by_namespace') IS NOT NULL AS exists",
    )
    .get_result(conn)
    .await?;
    Ok(found.exists)
}
