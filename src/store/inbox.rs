//! What callers ask of a run, on whichever replica, until its owner has made an event of it.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::runs::parse_state;
use super::schema::run_inbox;
use super::{Error, Result, events};
use crate::ids::{ExecutorId, RunId, RunKey, StepPath};
use crate::run::event::{Failure, Recorded};
use crate::run::state::{Decision, Resolution, RunState};

/// Something that is asked of a run, or told to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// To be cancelled.
    Cancel {
        /// As the caller gave it; may be empty.
        reason: String,
        /// How long what is in flight may take to end.
        grace_ms: u64,
    },
    /// To dispatch no further step.
    Pause {
        /// As the caller gave it; may be empty.
        reason: String,
    },
    /// To go on after a pause.
    Resume,
    /// A signal.
    Signal {
        /// Its name.
        name: String,
        /// What it carries, small enough to lie beside an event.
        payload: Value,
    },
    /// A decision that a step has asked for.
    Approval(Decided),
    /// A decision about a step that cannot go on by itself.
    Resolve(Verdict),
    /// The end of a child.
    ChildEnded {
        /// Which run.
        run_id: RunId,
        /// How it ended.
        state: RunState,
        /// What went wrong, if it could not even be started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// There is a place among the open runs of its flow.
    Admitted,
}

/// What somebody decided who was asked for approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The step that asks.
    pub path: StepPath,
    /// Its attempt.
    pub attempt: u32,
    /// The event that asked: an item of a loop that is begun again asks anew, at the same path and attempt.
    pub asked_at: i64,
    /// Yes or no.
    pub decision: Decision,
    /// What was filled into the form; an object, small enough to lie beside an event.
    pub values: Value,
    /// As whoever decided gave it; may be empty.
    pub comment: String,
    /// Who decided, as the caller said.
    pub decided_by: String,
}

/// What somebody decided about a step that cannot go on by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The step.
    pub path: StepPath,
    /// Its attempt.
    pub attempt: u32,
    /// What is to become of it.
    pub resolution: Resolution,
    /// Its output, if it succeeded; small enough to lie beside an event.
    #[serde(default)]
    pub output: Value,
    /// The port that it leaves by, if it succeeded; empty for the only one.
    #[serde(default)]
    pub port: String,
    /// As whoever decided gave it; may be empty.
    #[serde(default)]
    pub comment: String,
}

impl Request {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "CANCEL",
            Self::Pause { .. } => "PAUSE",
            Self::Resume => "RESUME",
            Self::Signal { .. } => "SIGNAL",
            Self::Approval(_) => "APPROVAL",
            Self::Resolve(_) => "RESOLVE",
            Self::ChildEnded { .. } => "CHILD_ENDED",
            Self::Admitted => "ADMITTED",
        }
    }

    pub(super) fn encode(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Corrupt(error.to_string()))
    }

    pub(super) fn decode(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("inbox row: {error}")))
    }
}

/// A request with its place in the inbox.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Which run it is for.
    pub key: RunKey,
    /// Its place: the owner folds each once.
    pub id: i64,
    /// What is asked.
    pub request: Request,
}

/// What posting a letter met.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The run's state when the letter was accepted, or for good if it is final.
    pub state: RunState,
    /// The letter's id; `None` if the run had ended and nothing was posted.
    pub letter: Option<i64>,
    /// Who owns the run, if anybody does.
    pub owner: Option<ExecutorId>,
}

#[derive(QueryableByName)]
struct PostedRow {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    inbox_id: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    executor_id: Option<Uuid>,
}

/// Posts a letter to a run that has not ended; gives `None` if there is no such run.
///
/// The same transaction counts it on the run's row and makes the wake-up of a run that nobody owns due: a flush that
/// parks or ends the run at the same time fails its fence and looks again, so what was acknowledged is never passed
/// over.
///
/// # Errors
///
/// As every query.
pub async fn post(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    request: &Request,
) -> Result<Option<Posted>> {
    let data = request.encode()?;
    let row: Option<PostedRow> = diesel::sql_query(
        "WITH open AS (UPDATE workflow_runs SET inbox_count = inbox_count + 1, \
         wake_at = CASE WHEN executor_id IS NULL THEN least(wake_at, now()) END \
         WHERE namespace = $1 AND run_id = $2 AND ended_at IS NULL RETURNING state, executor_id), \
         posted AS (INSERT INTO run_inbox (namespace, run_id, kind, data) SELECT $1, $2, $3, $4::json FROM open RETURNING inbox_id) \
         SELECT state, inbox_id, executor_id FROM open, posted \
         UNION ALL SELECT state, NULL, NULL FROM workflow_runs \
         WHERE namespace = $1 AND run_id = $2 AND NOT EXISTS (SELECT 1 FROM open)",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .bind::<Text, _>(request.kind())
    .bind::<Text, _>(data)
    .get_result(conn)
    .await
    .optional()?;
    row.map(|row| {
        Ok(Posted {
            state: parse_state(&row.state)?,
            letter: row.inbox_id,
            owner: row.executor_id.map(ExecutorId::new),
        })
    })
    .transpose()
}

#[derive(QueryableByName)]
struct LetterRow {
    #[diesel(sql_type = BigInt)]
    inbox_count: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    inbox_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    data: Option<String>,
}

/// The letters of one run, and how many were ever posted: read at one moment, so that the two fit together.
///
/// # Errors
///
/// As every query.
pub async fn read(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<(i64, Vec<Letter>)> {
    let rows: Vec<LetterRow> = diesel::sql_query(
        "SELECT r.inbox_count, i.inbox_id, i.data::text AS data FROM workflow_runs r \
         LEFT JOIN run_inbox i ON i.namespace = r.namespace AND i.run_id = r.run_id \
         WHERE r.namespace = $1 AND r.run_id = $2 ORDER BY i.inbox_id",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .load(conn)
    .await?;
    let count = rows.iter().map(|row| row.inbox_count).next().unwrap_or(0);
    let mut letters = Vec::new();
    for row in rows {
        if let (Some(id), Some(data)) = (row.inbox_id, row.data) {
            letters.push(Letter {
                key: key.clone(),
                id,
                request: Request::decode(&data)?,
            });
        }
    }
    Ok((count, letters))
}

/// A run whose row is locked: until the transaction ends nobody else changes it or writes its history.
#[derive(Clone, Copy, Debug)]
pub struct Locked {
    /// Where it stands.
    pub state: RunState,
    /// Sequence of its last event.
    pub last_sequence: i64,
}

#[derive(QueryableByName)]
struct LockedRow {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    last_sequence: i64,
}

/// Locks a run's row until the transaction ends; `None` if there is no such run. Waits for a flush that holds it.
///
/// # Errors
///
/// As every query.
pub async fn lock(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<Option<Locked>> {
    let row: Option<LockedRow> = diesel::sql_query(
        "SELECT state, last_sequence FROM workflow_runs WHERE namespace = $1 AND run_id = $2 FOR NO KEY UPDATE",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .get_result(conn)
    .await
    .optional()?;
    row.map(|row| {
        Ok(Locked {
            state: parse_state(&row.state)?,
            last_sequence: row.last_sequence,
        })
    })
    .transpose()
}

/// Posts a letter if `fits` says so of what has happened after the event `since`, and of the letters that wait; gives
/// `None` if it does not, if the run has ended or if there is none.
///
/// Nothing else happens to the run while `fits` is asked: of two callers, the second one sees the letter of the first.
///
/// # Errors
///
/// As every query; [`Error::Corrupt`] for an event that this binary cannot read. Nothing was posted.
pub async fn post_if(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    request: &Request,
    since: i64,
    fits: impl FnOnce(&[Recorded], &[Letter]) -> bool + Send,
) -> Result<Option<i64>> {
    conn.transaction(async |conn| {
        let Some(run) = lock(conn, key).await? else {
            return Ok(None);
        };
        let news = run.last_sequence - since;
        let news = events::page(conn, key, since, news, events::Payloads::Left).await?;
        let (_, letters) = read(conn, key).await?;
        if !fits(&news, &letters) {
            return Ok(None);
        }
        Ok(post(conn, key, request)
            .await?
            .and_then(|posted| posted.letter))
    })
    .await
}

/// Whether the run has yet to take this letter in.
///
/// # Errors
///
/// As every query.
pub async fn is_waiting(conn: &mut AsyncPgConnection, key: &RunKey, letter: i64) -> Result<bool> {
    let waiting = run_inbox::table
        .filter(run_inbox::namespace.eq(key.namespace.as_str()))
        .filter(run_inbox::run_id.eq(key.run_id.uuid()))
        .filter(run_inbox::inbox_id.eq(letter));
    Ok(diesel::select(diesel::dsl::exists(waiting))
        .get_result(conn)
        .await?)
}
