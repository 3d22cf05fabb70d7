//! The projection of runs: what lists, dashboards and requests read of them.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::changes::Snapshot;
use super::schema::{executors, flows, workflow_runs};
use super::{Error, Result};
use crate::ids::{ExecutorId, FlowId, FlowKey, Namespace, RunId, RunKey};
use crate::run::event::RunError;
use crate::run::state::{RunState, WaitReason};
use crate::usage::Usage;

/// What the projection says of a run.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Which run.
    pub run_id: RunId,
    /// Its flow, unless that was deleted.
    pub flow_id: Option<FlowId>,
    /// Its flow's key.
    pub flow_key: FlowKey,
    /// The revision that it is pinned to.
    pub revision: i32,
    /// Where it stands.
    pub state: RunState,
    /// What it waits for, if it waits.
    pub wait_reason: Option<WaitReason>,
    /// -10 to 10: higher ones go first.
    pub priority: i32,
    /// The client's marks: an object of texts.
    pub labels: Value,
    /// The client's name for the request that started it.
    pub request_id: Option<String>,
    /// Who owns it, if anybody does.
    pub owner: Option<ExecutorId>,
    /// Raised at each change of owner.
    pub epoch: i64,
    /// Sequence of its last event.
    pub last_sequence: i64,
    /// When somebody looks at it, if nobody owns it.
    pub wake_at: Option<DateTime<Utc>>,
    /// Top-level steps.
    pub total_steps: i32,
    /// Those that have come to their end.
    pub progress: i32,
    /// What all its steps have used.
    pub usage: Usage,
    /// What ended it, if it failed.
    pub error: Option<RunError>,
    /// The run whose step waits for it, if it is a child.
    pub parent: Option<RunId>,
    /// The run that it was forked from, if it is a fork.
    pub forked_from: Option<RunId>,
    /// What it counts under for its flow's limit of open runs, if that has one.
    pub concurrency_key: Option<String>,
    /// Whether it may run by that limit.
    pub admitted: bool,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When its first steps were dispatched.
    pub started_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Which runs a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this flow.
    pub flow_key: Option<FlowKey>,
    /// Only in one of these states; all if empty.
    pub states: Vec<RunState>,
    /// Only with all of these labels: an object of texts.
    pub labels: Option<Value>,
    /// Only accepted at this time or later.
    pub created_after: Option<DateTime<Utc>>,
    /// Only accepted before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// Only older than this run: where the page before has ended.
    pub older_than: Option<RunId>,
}

type Columns = (
    (
        Uuid,
        Option<String>,
        i64,
        i32,
        String,
        Option<String>,
        i32,
        Value,
        Option<String>,
        Option<Uuid>,
    ),
    (i64, i64, Option<DateTime<Utc>>, i32, i32, Option<Value>),
    (DateTime<Utc>, Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    (Option<Uuid>, Option<Uuid>, Option<String>, bool),
    (i64, i64, i64),
);

/// `SELECT` of the columns of [`RunRow`], with the flow's name where it still has one.
macro_rules! rows {
    () => {
        workflow_runs::table
            .left_join(
                flows::table.on(flows::namespace
                    .eq(workflow_runs::namespace)
                    .and(flows::flow_key.eq(workflow_runs::flow_key))
                    .and(flows::deleted_at.is_null())),
            )
            .select((
                (
                    workflow_runs::run_id,
                    flows::flow_id.nullable(),
                    workflow_runs::flow_key,
                    workflow_runs::revision,
                    workflow_runs::state,
                    workflow_runs::wait_reason,
                    workflow_runs::priority,
                    workflow_runs::labels,
                    workflow_runs::request_id,
                    workflow_runs::executor_id,
                ),
                (
                    workflow_runs::epoch,
                    workflow_runs::last_sequence,
                    workflow_runs::wake_at,
                    workflow_runs::total_steps,
                    workflow_runs::progress,
                    workflow_runs::error,
                ),
                (
                    workflow_runs::created_at,
                    workflow_runs::started_at,
                    workflow_runs::ended_at,
                ),
                (
                    workflow_runs::parent_run_id,
                    workflow_runs::forked_from,
                    workflow_runs::concurrency_key,
                    workflow_runs::admitted,
                ),
                (
                    workflow_runs::input_tokens,
                    workflow_runs::output_tokens,
                    workflow_runs::cost_micro_usd,
                ),
            ))
    };
}

/// One run; `None` if the namespace has none of this id.
///
/// # Errors
///
/// As every query.
pub async fn find(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<Option<RunRow>> {
    let columns: Option<Columns> = rows!()
        .filter(workflow_runs::namespace.eq(key.namespace.as_str()))
        .filter(workflow_runs::run_id.eq(key.run_id.uuid()))
        .first(conn)
        .await
        .optional()?;
    columns.map(row).transpose()
}

/// At most `limit` runs, newest first.
///
/// # Errors
///
/// As every query.
pub async fn list(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<RunRow>> {
    let mut query = rows!()
        .filter(workflow_runs::namespace.eq(namespace.as_str()))
        .order(workflow_runs::run_id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(flow_key) = filter.flow_key {
        query = query.filter(workflow_runs::flow_key.eq(flow_key.0));
    }
    if !filter.states.is_empty() {
        query = query
            .filter(workflow_runs::state.eq_any(filter.states.iter().map(|state| state.as_str())));
    }
    if let Some(labels) = &filter.labels {
        query = query.filter(
            workflow_runs::labels
                .contains(labels)
                .and(workflow_runs::labels.ne(Value::Object(serde_json::Map::new()))),
        );
    }
    if let Some(after) = filter.created_after {
        // The ids find the place, the times decide: an id knows the millisecond only.
        query = query
            .filter(workflow_runs::run_id.ge(first_id_at(after)))
            .filter(workflow_runs::created_at.ge(after));
    }
    if let Some(before) = filter.created_before {
        query = query
            .filter(workflow_runs::run_id.lt(first_id_at(before + TimeDelta::milliseconds(1))))
            .filter(workflow_runs::created_at.lt(before));
    }
    if let Some(run) = filter.older_than {
        query = query.filter(workflow_runs::run_id.lt(run.uuid()));
    }
    let columns: Vec<Columns> = query.load(conn).await?;
    columns.into_iter().map(row).collect()
}

/// These runs as far as `snapshot` sees their last change of state; in no order, the others left out.
///
/// # Errors
///
/// As every query.
pub async fn seen(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    runs: &[RunId],
    snapshot: &Snapshot,
) -> Result<Vec<RunRow>> {
    let columns: Vec<Columns> = rows!()
        .filter(workflow_runs::namespace.eq(namespace.as_str()))
        .filter(workflow_runs::run_id.eq_any(runs.iter().map(|run| run.uuid())))
        .filter(
            // What is later than all there is comes of a database that this one was restored from.
            sql::<Bool>("(workflow_runs.changed_in >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint \
                 OR pg_visible_in_snapshot(workflow_runs.changed_in::text::xid8, ")
                .bind::<Text, _>(snapshot.text())
                .sql("::pg_snapshot))"),
        )
        .load(conn)
        .await?;
    columns.into_iter().map(row).collect()
}

/// The smallest run id of this time: ids are ordered by the millisecond in which their run was accepted.
#[must_use]
pub fn first_id_at(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(u128::from(millis.min((1 << 48) - 1)) << 80)
}

/// Ids of a flow's runs that have not ended, oldest first, at most `limit`.
///
/// A run that starts at the same time may be missed.
///
/// # Errors
///
/// As every query.
pub async fn open_of_flow(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    limit: i64,
) -> Result<Vec<RunId>> {
    let ids: Vec<Uuid> = workflow_runs::table
        .filter(workflow_runs::namespace.eq(namespace.as_str()))
        .filter(workflow_runs::flow_key.eq(flow_key.0))
        .filter(workflow_runs::ended_at.is_null())
        .order(workflow_runs::run_id)
        .limit(limit)
        .select(workflow_runs::run_id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(RunId::new).collect())
}

/// The newest run of each of these flows: its id, state and time, by the flow's key.
///
/// # Errors
///
/// As every query.
pub async fn last_of_flows(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_keys: &[FlowKey],
) -> Result<Vec<(FlowKey, RunId, RunState, DateTime<Utc>)>> {
    let mut last = Vec::with_capacity(flow_keys.len());
    for key in flow_keys {
        let newest: Option<(Uuid, String, DateTime<Utc>)> = workflow_runs::table
            .filter(workflow_runs::namespace.eq(namespace.as_str()))
            .filter(workflow_runs::flow_key.eq(key.0))
            .order(workflow_runs::run_id.desc())
            .select((
                workflow_runs::run_id,
                workflow_runs::state,
                workflow_runs::created_at,
            ))
            .first(conn)
            .await
            .optional()?;
        if let Some((id, state, created_at)) = newest {
            last.push((*key, RunId::new(id), parse_state(&state)?, created_at));
        }
    }
    Ok(last)
}

/// How far a run has come, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which run.
    pub key: RunKey,
    /// Sequence of its last event.
    pub last_sequence: i64,
    /// Who owns it, if anybody does.
    pub owner: Option<ExecutorId>,
    /// Where its owner is reached, if that is alive; empty if it cannot be reached.
    pub address: Option<String>,
}

/// Where these runs are: what a replica that does not own them polls for its watchers. Runs that are gone are left out.
///
/// # Errors
///
/// As every query.
pub async fn positions(conn: &mut AsyncPgConnection, runs: &[RunKey]) -> Result<Vec<Position>> {
    type Row = (String, Uuid, i64, Option<Uuid>, Option<String>);
    let alive = executors::retired
        .eq(false)
        .and(executors::lease_until.gt(diesel::dsl::now));
    let owner = executors::executor_id
        .nullable()
        .eq(workflow_runs::executor_id);
    let rows: Vec<Row> = workflow_runs::table
        .left_join(executors::table.on(owner.and(alive)))
        .filter(workflow_runs::namespace.eq_any(runs.iter().map(|run| run.namespace.as_str())))
        .filter(workflow_runs::run_id.eq_any(runs.iter().map(|run| run.run_id.uuid())))
        .select((
            workflow_runs::namespace,
            workflow_runs::run_id,
            workflow_runs::last_sequence,
            workflow_runs::executor_id,
            executors::address.nullable(),
        ))
        .load(conn)
        .await?;
    let position = |(namespace, run_id, last_sequence, owner, address): Row| Position {
        key: RunKey {
            namespace: namespace.into(),
            run_id: RunId::new(run_id),
        },
        last_sequence,
        owner: owner.map(ExecutorId::new),
        address,
    };
    Ok(rows.into_iter().map(position).collect())
}

pub(super) fn parse_state(text: &str) -> Result<RunState> {
    RunState::find(text).ok_or_else(|| Error::Corrupt(format!("unknown state of a run {text:?}")))
}

fn row((names, place, times, relations, used): Columns) -> Result<RunRow> {
    let (
        run_id,
        flow_id,
        flow_key,
        revision,
        state,
        wait_reason,
        priority,
        labels,
        request_id,
        owner,
    ) = names;
    let (epoch, last_sequence, wake_at, total_steps, progress, error) = place;
    let wait_reason = wait_reason
        .map(|text| {
            WaitReason::find(&text)
                .ok_or_else(|| Error::Corrupt(format!("unknown wait reason {text:?}")))
        })
        .transpose()?;
    let error = error
        .map(|value| {
            serde_json::from_value(value)
                .map_err(|error| Error::Corrupt(format!("error of a run: {error}")))
        })
        .transpose()?;
    Ok(RunRow {
        run_id: RunId::new(run_id),
        flow_id: flow_id.map(FlowId::from),
        flow_key: FlowKey(flow_key),
        revision,
        state: parse_state(&state)?,
        wait_reason,
        priority,
        labels,
        request_id,
        owner: owner.map(ExecutorId::new),
        epoch,
        last_sequence,
        wake_at,
        total_steps,
        progress,
        usage: Usage {
            input_tokens: used.0.unsigned_abs(),
            output_tokens: used.1.unsigned_abs(),
            cost_micro_usd: used.2.unsigned_abs(),
        },
        error,
        parent: relations.0.map(RunId::new),
        forked_from: relations.1.map(RunId::new),
        concurrency_key: relations.2,
        admitted: relations.3,
        created_at: times.0,
        started_at: times.1,
        ended_at: times.2,
    })
}
