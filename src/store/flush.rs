//! The journal's statement: moves the projection of many runs and appends their events, each run behind its fence.
//!
//! One statement, one round trip, one transaction. A run whose fence does not hold moves nothing and appends nothing;
//! its neighbours are written. The values travel as arrays, so that the text, and with it the prepared statement, is
//! the same for every batch; only a batch that changes what somebody is asked
//! to approve, or in which something was metered, has a longer one.

pub(super) mod approvals;
mod metered;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use self::approvals::Approvals;
use self::metered::Metered;
use super::changes::CHANGED_NOW;
use super::lane::{Encoded, Lane};
use super::{Error, Result};
use crate::ids::{ExecutorId, RunId, RunKey};
use crate::run::event::Recorded;
use crate::run::state::{RunState, WaitReason};
use crate::usage::Usage;

/// What a flush makes of one run's row.
#[derive(Clone, Debug)]
pub struct Projection {
    /// The state after the last event.
    pub state: RunState,
    /// What it waits for, if it waits.
    pub wait_reason: Option<WaitReason>,
    /// Top-level steps that have come to their end.
    pub progress: u32,
    /// What all its steps have used; never less than before.
    pub usage: Usage,
    /// What ended it, as JSON text, if it failed.
    pub error: Option<String>,
    /// When its first steps were dispatched, if they were.
    pub started_at: Option<DateTime<Utc>>,
    /// When it came to its end, if it did.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether the run stays with its owner, and else when somebody has to look at it; a final run has no owner.
    pub owner: Owner,
}

/// Whose the run is after a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It stays with the executor that writes.
    Kept,
    /// It belongs to nobody, until somebody claims it at this time.
    Parked(DateTime<Utc>),
    /// It belongs to nobody for good.
    Ended,
}

impl Owner {
    pub(super) fn wake_at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Parked(at) => Some(at),
            Self::Kept | Self::Ended => None,
        }
    }
}

/// One run's part in a flush.
#[derive(Clone, Debug)]
pub struct Move<'a> {
    /// Which run.
    pub key: &'a RunKey,
    /// The epoch under which the executor owns it.
    pub epoch: i64,
    /// The sequence of the run's last event before these.
    pub before: i64,
    /// In order, without gaps; may be empty.
    pub events: &'a [Recorded],
    /// What the row becomes.
    pub projection: &'a Projection,
    /// How many inbox rows the owner has folded: checked where the flush parks or ends the run, so that nothing that
    /// was acknowledged is passed over.
    pub folded: Option<i64>,
    /// Inbox rows that the events answer; they are deleted.
    pub answered: &'a [i64],
}

impl Move<'_> {
    pub(super) fn after(&self) -> i64 {
        self.events
            .last()
            .map_or(self.before, |event| event.sequence)
    }
}

/// Writes what the moves say and gives the runs whose fence held.
///
/// A concurrent writer of the same run makes this one wait for its row; afterwards the fence decides.
///
/// # Errors
///
/// Nothing was written, unless the class is [`super::Class::Lost`]: then it is unknown.
pub async fn write(
    lane: &mut Lane,
    executor: ExecutorId,
    moves: &[Move<'_>],
) -> Result<Vec<RunId>> {
    let rows = lane.load_encoded(encode(executor, moves)?).await?;
    rows.iter()
        .map(|row| Ok(RunId::new(row.try_get::<_, Uuid>(0).map_err(Error::from)?)))
        .collect()
}

/// The statement that [`write()`] sends.
///
/// # Errors
///
/// If a value cannot be encoded.
pub fn encode(executor: ExecutorId, moves: &[Move<'_>]) -> Result<Encoded> {
    Encoded::of(&Statement::new(executor, moves))
}

/// Events of several runs as columns, as `unnest` takes them.
#[derive(Default)]
pub(super) struct EventColumns<'a> {
    namespace: Vec<&'a str>,
    run_id: Vec<Uuid>,
    sequence: Vec<i64>,
    epoch: Vec<i64>,
    at: Vec<DateTime<Utc>>,
    kind: Vec<&'static str>,
    data: Vec<String>,
    payload: Vec<Option<&'a str>>,
}

impl<'a> EventColumns<'a> {
    pub(super) fn push(&mut self, key: &'a RunKey, epoch: i64, events: &'a [Recorded]) {
        for event in events {
            self.namespace.push(key.namespace.as_str());
            self.run_id.push(key.run_id.uuid());
            self.sequence.push(event.sequence);
            self.epoch.push(epoch);
            self.at.push(event.at);
            self.kind.push(event.event.kind());
            self.data.push(event.event.encode());
            self.payload.push(event.payload.as_deref());
        }
    }

    /// `INSERT` of the events of those runs that `runs` (a name in the statement) has let through.
    pub(super) fn insert<'b>(
        &'b self,
        runs: &str,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO run_events (namespace, run_id, sequence, epoch, at, kind, data, payload) \
             SELECT e.namespace, e.run_id, e.sequence, e.epoch, e.at, e.kind, e.data::json, e.payload::json FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.namespace)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.run_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.sequence)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.epoch)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.kind)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.data)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.payload)?;
        // `IS TRUE` keeps it from becoming a join, for which the planner might compare each event with each run: so it
        // looks each event up in a table of hashes.
        out.push_sql(") AS e(namespace, run_id, sequence, epoch, at, kind, data, payload) WHERE (e.run_id IN (SELECT run_id FROM ");
        out.push_sql(runs);
        out.push_sql(")) IS TRUE");
        Ok(())
    }
}

/// The highest format among events.
pub(super) fn format_of(events: &[Recorded]) -> i16 {
    events
        .iter()
        .map(|event| event.event.format())
        .max()
        .unwrap_or(1)
}

#[derive(Default)]
struct Statement<'a> {
    executor: Uuid,
    runs: i64,
    namespace: Vec<&'a str>,
    run_id: Vec<Uuid>,
    epoch: Vec<i64>,
    before: Vec<i64>,
    after: Vec<i64>,
    state: Vec<&'static str>,
    wait_reason: Vec<Option<&'static str>>,
    progress: Vec<i32>,
    error: Vec<Option<&'a str>>,
    started_at: Vec<Option<DateTime<Utc>>>,
    ended_at: Vec<Option<DateTime<Utc>>>,
    kept: Vec<bool>,
    wake_at: Vec<Option<DateTime<Utc>>>,
    folded: Vec<Option<i64>>,
    answered_run: Vec<Uuid>,
    answered_id: Vec<i64>,
    events: EventColumns<'a>,
    format: Vec<i16>,
    usage: Vec<Usage>,
    metered: Option<Metered>,
    approvals: Option<Approvals<'a>>,
}

impl<'a> Statement<'a> {
    fn new(executor: ExecutorId, moves: &'a [Move<'a>]) -> Self {
        let mut columns = Self {
            executor: executor.uuid(),
            runs: i64::try_from(moves.len()).unwrap_or(i64::MAX),
            ..Self::default()
        };
        let mut sorted: Vec<&Move<'_>> = moves.iter().collect();
        // All writers lock rows in the same order.
        sorted.sort_unstable_by_key(|one| one.key.run_id);
        for one in sorted {
            let run = one.key.run_id.uuid();
            columns.namespace.push(one.key.namespace.as_str());
            columns.run_id.push(run);
            columns.epoch.push(one.epoch);
            columns.format.push(format_of(one.events));
            columns.before.push(one.before);
            columns.after.push(one.after());
            columns.state.push(one.projection.state.as_str());
            columns
                .wait_reason
                .push(one.projection.wait_reason.map(WaitReason::as_str));
            columns
                .progress
                .push(i32::try_from(one.projection.progress).unwrap_or(i32::MAX));
            columns.usage.push(one.projection.usage);
            columns.error.push(one.projection.error.as_deref());
            columns.started_at.push(one.projection.started_at);
            columns.ended_at.push(one.projection.ended_at);
            columns.kept.push(one.projection.owner == Owner::Kept);
            columns.wake_at.push(one.projection.owner.wake_at());
            columns.folded.push(one.folded);
            columns
                .answered_run
                .extend(one.answered.iter().map(|_| run));
            columns.answered_id.extend(one.answered);
            columns.events.push(one.key, one.epoch, one.events);
        }
        columns.metered = Metered::of(&columns.usage);
        columns.approvals =
            Approvals::changed_by(moves.iter().map(|one| (one.key.run_id, one.events)));
        columns
    }
}

impl QueryId for Statement<'_> {
    // There are four texts.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH moved AS (UPDATE workflow_runs r SET last_sequence = b.after, state = b.state, wait_reason = b.wait_reason, ");
        // Only where watchers of many runs have something to tell: the index on it is left alone by all other flushes.
        out.push_sql("changed_in = CASE WHEN r.state = b.state AND r.wait_reason IS NOT DISTINCT FROM b.wait_reason THEN r.changed_in ELSE ");
        out.push_sql(CHANGED_NOW);
        out.push_sql(" END, ");
        out.push_sql("progress = b.progress, error = b.error::jsonb, started_at = b.started_at, ended_at = b.ended_at, ");
        out.push_sql("executor_id = CASE WHEN b.kept THEN r.executor_id END, wake_at = b.wake_at, event_format = greatest(r.event_format, b.format)");
        if self.metered.is_some() {
            out.push_sql(Metered::SET);
        }
        // The limit is no limit: by it the planner expects one row, and so looks each run up by the primary key rather than
        // join a whole index with the batch (see `PLANNING` of the lanes).
        out.push_sql(" FROM (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.namespace)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.run_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.epoch)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.before)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.after)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.state)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.wait_reason)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.progress)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.error)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.started_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.ended_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.kept)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.wake_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.folded)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&self.format)?;
        if let Some(metered) = &self.metered {
            metered.bind(&mut out)?;
        }
        out.push_sql(
            ") AS b(namespace, run_id, epoch, before, after, state, wait_reason, progress, error, started_at, ended_at, kept, wake_at, folded, format",
        );
        if self.metered.is_some() {
            out.push_sql(Metered::NAMES);
        }
        out.push_sql(") LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.runs)?;
        // `IS NOT DISTINCT FROM` is `=` here, only that it takes no index: by that of the owner all runs of this process
        // would be read, with what is left of those that have ended.
        out.push_sql(
            ") b WHERE r.namespace = b.namespace AND r.run_id = b.run_id AND r.epoch = b.epoch AND r.last_sequence = b.before \
             AND r.ended_at IS NULL AND (b.folded IS NULL OR r.inbox_count = b.folded) AND r.executor_id IS NOT DISTINCT FROM ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.executor)?;
        out.push_sql(" RETURNING r.namespace, r.run_id");
        if self.approvals.is_some() {
            out.push_sql(", r.flow_key");
        }
        out.push_sql("), written AS (");
        self.events.insert("moved", &mut out)?;
        out.push_sql("), answered AS (DELETE FROM run_inbox i USING unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.answered_run)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.answered_id)?;
        out.push_sql(
            ") AS a(run_id, inbox_id) JOIN moved m ON m.run_id = a.run_id \
             WHERE i.namespace = m.namespace AND i.run_id = a.run_id AND i.inbox_id = a.inbox_id)",
        );
        if let Some(approvals) = &self.approvals {
            approvals.change("moved", &mut out)?;
        }
        out.push_sql(" SELECT run_id FROM moved");
        Ok(())
    }
}
