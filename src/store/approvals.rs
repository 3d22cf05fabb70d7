//! Approvals that somebody is asked for right now; the flush that moves their run keeps them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::inbox::{self, Decided, Request};
use super::schema::{approvals, flows, workflow_runs};
use super::{Error, Result};
use crate::ids::{FlowId, FlowKey, Namespace, RunId, RunKey, StepPath};
use crate::run::state::Decision;

/// Something that somebody is asked to decide.
#[derive(Clone, Debug)]
pub struct Approval {
    /// The run that waits.
    pub run_id: RunId,
    /// Its flow, unless that was deleted.
    pub flow_id: Option<FlowId>,
    /// The step that asks.
    pub path: StepPath,
    /// Its attempt.
    pub attempt: u32,
    /// A few words.
    pub title: String,
    /// What there is to know; may be empty.
    pub description: String,
    /// JSON schema of the values that a decision carries; any object without one.
    pub form_schema: Option<Value>,
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
    /// When it is decided without anybody, if it is.
    pub expires_at: Option<DateTime<Utc>>,
    /// What is decided then; without one the wait expires.
    pub default_decision: Option<Decision>,
    /// The event that asked: names this question, and no later one of the same step.
    pub asked_at: i64,
}

/// Which approvals a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of runs of this flow.
    pub flow_key: Option<FlowKey>,
    /// Only of this run.
    pub run_id: Option<RunId>,
    /// Only those behind this place: where the page before has ended.
    pub after: Option<(DateTime<Utc>, RunId, StepPath)>,
}

type Columns = (
    (Uuid, Option<String>, String, i32, String, String),
    (
        Option<Value>,
        DateTime<Utc>,
        Option<DateTime<Utc>>,
        Option<String>,
        String,
    ),
);

/// `SELECT` of the columns of [`Approval`], of runs that are open.
macro_rules! rows {
    () => {
        approvals::table
            .inner_join(
                workflow_runs::table.on(workflow_runs::namespace
                    .eq(approvals::namespace)
                    .and(workflow_runs::run_id.eq(approvals::run_id))
                    .and(workflow_runs::ended_at.is_null())),
            )
            .left_join(
                flows::table.on(flows::namespace
                    .eq(approvals::namespace)
                    .and(flows::flow_key.eq(approvals::flow_key))
                    .and(flows::deleted_at.is_null())),
            )
            .select((
                (
                    approvals::run_id,
                    flows::flow_id.nullable(),
                    approvals::step_path,
                    approvals::attempt,
                    approvals::title,
                    approvals::description,
                ),
                (
                    approvals::form_schema,
                    approvals::requested_at,
                    approvals::expires_at,
                    approvals::default_decision,
                    approvals::etag,
                ),
            ))
    };
}

/// At most `limit` approvals of runs that are open, oldest first, then by run and step.
///
/// # Errors
///
/// As every query.
pub async fn list(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Approval>> {
    let mut query = rows!()
        .filter(approvals::namespace.eq(namespace.as_str()))
        .order((
            approvals::requested_at,
            approvals::run_id,
            approvals::step_path,
        ))
        .limit(limit)
        .into_boxed();
    if let Some(flow_key) = filter.flow_key {
        query = query.filter(approvals::flow_key.eq(flow_key.0));
    }
    if let Some(run_id) = filter.run_id {
        query = query.filter(approvals::run_id.eq(run_id.uuid()));
    }
    if let Some((at, run_id, path)) = &filter.after {
        // The first condition finds the place in the index.
        query = query.filter(approvals::requested_at.ge(*at)).filter(
            approvals::requested_at
                .gt(*at)
                .or(approvals::run_id.gt(run_id.uuid()))
                .or(approvals::run_id
                    .eq(run_id.uuid())
                    .and(approvals::step_path.gt(path.as_str().to_owned()))),
        );
    }
    let columns: Vec<Columns> = query.load(conn).await?;
    columns.into_iter().map(row).collect()
}

/// What a step asks right now, if it asks something and its run is open.
///
/// # Errors
///
/// As every query.
pub async fn find(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    path: &StepPath,
) -> Result<Option<Approval>> {
    let columns: Option<Columns> = rows!()
        .filter(approvals::namespace.eq(key.namespace.as_str()))
        .filter(approvals::run_id.eq(key.run_id.uuid()))
        .filter(approvals::step_path.eq(path.as_str()))
        .order(approvals::attempt.desc())
        .first(conn)
        .await
        .optional()?;
    columns.map(row).transpose()
}

/// Posts a decision and takes the question off the list; gives the letter, or `None` if nobody asks that any more.
///
/// One transaction, with the run's row locked first: of two callers one finds the question gone, and where it expires at
/// the same time either this comes first and the expiry's fence fails, or the expiry has taken it off the list.
///
/// # Errors
///
/// As every query; nothing was decided.
pub async fn decide(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
    decided: &Decided,
) -> Result<Option<i64>> {
    let request = Request::Approval(decided.clone());
    conn.transaction(async |conn| {
        let run = inbox::lock(conn, key).await?;
        if run.is_none_or(|run| run.state.is_final()) {
            return Ok(None);
        }
        let taken = diesel::delete(
            approvals::table
                .filter(approvals::namespace.eq(key.namespace.as_str()))
                .filter(approvals::run_id.eq(key.run_id.uuid()))
                .filter(approvals::step_path.eq(decided.path.as_str()))
                .filter(approvals::etag.eq(decided.asked_at.to_string())),
        )
        .execute(conn)
        .await?;
        if taken == 0 {
            return Ok(None);
        }
        Ok(inbox::post(conn, key, &request)
            .await?
            .and_then(|posted| posted.letter))
    })
    .await
}

/// Takes all that a run asks off the list, inside a transaction that ends what belongs to it.
///
/// # Errors
///
/// As every query.
pub(super) async fn forget(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<()> {
    diesel::delete(
        approvals::table
            .filter(approvals::namespace.eq(key.namespace.as_str()))
            .filter(approvals::run_id.eq(key.run_id.uuid())),
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn row((names, rest): Columns) -> Result<Approval> {
    let (run_id, flow_id, path, attempt, title, description) = names;
    let (form_schema, requested_at, expires_at, default_decision, etag) = rest;
    let corrupt = |what: &str| Error::Corrupt(format!("approval of run {run_id}: {what}"));
    let default_decision = default_decision
        .map(|name| Decision::find(&name).ok_or_else(|| corrupt("unknown default decision")))
        .transpose()?;
    Ok(Approval {
        run_id: RunId::new(run_id),
        flow_id: flow_id.map(FlowId::from),
        path: StepPath::from(path),
        attempt: u32::try_from(attempt).map_err(|_| corrupt("negative attempt"))?,
        title,
        description,
        form_schema,
        requested_at,
        expires_at,
        default_decision,
        asked_at: etag.parse().map_err(|_| corrupt("malformed etag"))?,
    })
}
