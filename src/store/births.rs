//! The statement that brings runs into being: many at once, each with its first events, each request id once.
//!
//! Request ids are facts that cross runs: they are taken in one sorted order, in lanes of their own, so that they never
//! wait within a flush of step events.

mod proviso;
mod row;

use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

pub use self::proviso::Proviso;
use super::changes::CHANGED_NOW;
use super::flush::approvals::Approvals;
use super::flush::{EventColumns, Owner, Projection, format_of};
use super::lane::Lane;
use super::{Error, Result};
use crate::ids::{ExecutorId, FlowKey, RunId, RunKey};
use crate::run::event::{Parent, Recorded};
use crate::run::state::WaitReason;

/// The priorities that a run can have: higher ones go first.
pub const PRIORITIES: RangeInclusive<i32> = -10..=10;

/// How long a request id is remembered.
pub const REQUEST_TTL: TimeDelta = TimeDelta::hours(24);

/// A run that is to be.
#[derive(Clone, Debug)]
pub struct Birth<'a> {
    /// Which run.
    pub key: &'a RunKey,
    /// The flow, by its key.
    pub flow_key: FlowKey,
    /// The revision that it is pinned to.
    pub revision: i32,
    /// The client's marks, as JSON text.
    pub labels: &'a str,
    /// One of [`PRIORITIES`].
    pub priority: i32,
    /// The client's name for the request, if it gave one, and the hash of what it sent.
    pub request: Option<&'a Request>,
    /// Top-level steps.
    pub total_steps: u32,
    /// The step that waits for it, if it is a child.
    pub parent: Option<&'a Parent>,
    /// The run that it was forked from, if it is a fork.
    pub forked_from: Option<RunId>,
    /// What it counts under for its flow's limit of open runs, if that has one.
    pub concurrency_key: Option<&'a str>,
    /// Whether it may run by that limit.
    pub admitted: bool,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// From sequence 1 on.
    pub events: &'a [Recorded],
    /// What the row says after these events.
    pub projection: &'a Projection,
    /// What the flow has to be still for the run to come into being.
    pub proviso: Proviso,
}

/// The client's name for a request to start a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Unique in the namespace for [`REQUEST_TTL`].
    pub id: String,
    /// SHA-256 over the request as it was sent.
    pub body_hash: [u8; 32],
}

/// The epoch in which a run is born: that of its first owner.
pub const FIRST_EPOCH: i64 = 1;

/// Writes the runs and gives those that came into being: the others' request ids were taken, or their provisos did not
/// hold.
///
/// A concurrent start with the same request id makes this one wait until the other is durable or gone. No request id
/// may stand twice in one call.
///
/// # Errors
///
/// Nothing was written, unless the class is [`super::Class::Lost`]: then it is unknown.
pub async fn write(
    lane: &mut Lane,
    executor: ExecutorId,
    births: &[Birth<'_>],
) -> Result<Vec<RunId>> {
    let rows = lane.load(&Statement::new(executor, births)).await?;
    rows.iter()
        .map(|row| Ok(RunId::new(row.try_get::<_, Uuid>(0).map_err(Error::from)?)))
        .collect()
}

/// Writes one run on a connection that may be within a transaction; says whether it came into being, and not that its
/// request id was taken.
///
/// # Errors
///
/// As every query.
pub(super) async fn write_one(
    conn: &mut AsyncPgConnection,
    executor: ExecutorId,
    birth: Birth<'_>,
) -> Result<bool> {
    let births = [birth];
    let born: Vec<Uuid> = Statement::new(executor, &births).load(conn).await?;
    Ok(!born.is_empty())
}

#[derive(Default)]
struct Statement<'a> {
    executor: Uuid,
    format: Vec<i16>,
    parent_run_id: Vec<Option<Uuid>>,
    parent_path: Vec<Option<&'a str>>,
    forked_from: Vec<Option<Uuid>>,
    concurrency_key: Vec<Option<&'a str>>,
    admitted: Vec<bool>,
    proviso: Vec<i16>,
    namespace: Vec<&'a str>,
    run_id: Vec<Uuid>,
    flow_key: Vec<i64>,
    revision: Vec<i32>,
    state: Vec<&'static str>,
    wait_reason: Vec<Option<&'static str>>,
    priority: Vec<i32>,
    labels: Vec<&'a str>,
    request_id: Vec<Option<&'a str>>,
    body_hash: Vec<Option<&'a [u8]>>,
    expires_at: Vec<DateTime<Utc>>,
    kept: Vec<bool>,
    last_sequence: Vec<i64>,
    wake_at: Vec<Option<DateTime<Utc>>>,
    total_steps: Vec<i32>,
    progress: Vec<i32>,
    error: Vec<Option<&'a str>>,
    created_at: Vec<DateTime<Utc>>,
    started_at: Vec<Option<DateTime<Utc>>>,
    ended_at: Vec<Option<DateTime<Utc>>>,
    events: EventColumns<'a>,
    approvals: Option<Approvals<'a>>,
}

impl<'a> Statement<'a> {
    fn new(executor: ExecutorId, births: &'a [Birth<'a>]) -> Self {
        let mut columns = Self {
            executor: executor.uuid(),
            ..Self::default()
        };
        for birth in births {
            columns.namespace.push(birth.key.namespace.as_str());
            columns.run_id.push(birth.key.run_id.uuid());
            columns.format.push(format_of(birth.events));
            let parent = birth.parent.map(|parent| parent.run_id.uuid());
            columns.parent_run_id.push(parent);
            let path = birth.parent.map(|parent| parent.path.as_str());
            columns.parent_path.push(path);
            columns.forked_from.push(birth.forked_from.map(RunId::uuid));
            columns.concurrency_key.push(birth.concurrency_key);
            columns.admitted.push(birth.admitted);
            columns.proviso.push(birth.proviso.number());
            columns.flow_key.push(birth.flow_key.0);
            columns.revision.push(birth.revision);
            columns.state.push(birth.projection.state.as_str());
            columns
                .wait_reason
                .push(birth.projection.wait_reason.map(WaitReason::as_str));
            columns.priority.push(birth.priority);
            columns.labels.push(birth.labels);
            columns
                .request_id
                .push(birth.request.map(|request| request.id.as_str()));
            columns
                .body_hash
                .push(birth.request.map(|request| request.body_hash.as_slice()));
            columns.expires_at.push(birth.created_at + REQUEST_TTL);
            columns.kept.push(birth.projection.owner == Owner::Kept);
            columns
                .last_sequence
                .push(birth.events.last().map_or(0, |event| event.sequence));
            columns.wake_at.push(birth.projection.owner.wake_at());
            columns
                .total_steps
                .push(i32::try_from(birth.total_steps).unwrap_or(i32::MAX));
            columns
                .progress
                .push(i32::try_from(birth.projection.progress).unwrap_or(i32::MAX));
            columns.error.push(birth.projection.error.as_deref());
            columns.created_at.push(birth.created_at);
            columns.started_at.push(birth.projection.started_at);
            columns.ended_at.push(birth.projection.ended_at);
            columns.events.push(birth.key, FIRST_EPOCH, birth.events);
        }
        let events = births.iter().map(|birth| (birth.key.run_id, birth.events));
        columns.approvals = Approvals::changed_by(events);
        columns
    }
}

impl QueryId for Statement<'_> {
    // There are two texts.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = SqlUuid;
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH batch AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.namespace)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.run_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.flow_key)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.revision)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.state)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.wait_reason)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.priority)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.labels)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.request_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Binary>>, _>(&self.body_hash)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.expires_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.kept)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.last_sequence)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.wake_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.total_steps)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.progress)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.error)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.created_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.started_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.ended_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&self.format)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<SqlUuid>>, _>(&self.parent_run_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.parent_path)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<SqlUuid>>, _>(&self.forked_from)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.concurrency_key)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.admitted)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&self.proviso)?;
        out.push_sql(
            ") AS b(namespace, run_id, flow_key, revision, state, wait_reason, priority, labels, request_id, body_hash, \
             expires_at, kept, last_sequence, wake_at, total_steps, progress, error, created_at, started_at, ended_at, \
             event_format, parent_run_id, parent_path, forked_from, \
             concurrency_key, admitted, proviso) WHERE b.proviso = 0 OR EXISTS (SELECT FROM flows f \
             WHERE f.namespace = b.namespace AND f.flow_key = b.flow_key AND f.deleted_at IS NULL \
             AND (b.proviso = 1 OR f.latest_revision = b.revision))), \
             taken AS (INSERT INTO start_requests AS s (namespace, request_id, body_hash, run_id, expires_at) \
             SELECT namespace, request_id, body_hash, run_id, expires_at FROM batch WHERE request_id IS NOT NULL \
             ORDER BY namespace, request_id \
             ON CONFLICT (namespace, request_id) DO UPDATE SET body_hash = excluded.body_hash, run_id = excluded.run_id, \
             expires_at = excluded.expires_at WHERE s.expires_at <= now() RETURNING run_id), \
             born AS (INSERT INTO workflow_runs (namespace, run_id, flow_key, revision, state, wait_reason, priority, labels, \
             request_id, executor_id, epoch, last_sequence, event_format, wake_at, total_steps, progress, error, created_at, \
             started_at, ended_at, parent_run_id, parent_path, told, forked_from, concurrency_key, admitted, \
             changed_in) \
             SELECT namespace, run_id, flow_key, revision, state, wait_reason, priority, labels::jsonb, request_id, \
             CASE WHEN kept THEN ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.executor)?;
        out.push_sql(" END, ");
        out.push_bind_param::<BigInt, _>(&FIRST_EPOCH)?;
        out.push_sql(
            ", last_sequence, event_format, wake_at, total_steps, progress, error::jsonb, created_at, started_at, ended_at, \
             parent_run_id, parent_path, parent_run_id IS NULL, forked_from, concurrency_key, admitted, ",
        );
        out.push_sql(CHANGED_NOW);
        out.push_sql(
            " FROM batch WHERE request_id IS NULL OR run_id IN (SELECT run_id FROM taken) ORDER BY run_id \
             RETURNING namespace, run_id",
        );
        if self.approvals.is_some() {
            out.push_sql(", flow_key");
        }
        out.push_sql("), written AS (");
        self.events.insert("born", &mut out)?;
        out.push_sql(")");
        if let Some(approvals) = &self.approvals {
            approvals.change("born", &mut out)?;
        }
        out.push_sql(" SELECT run_id FROM born");
        Ok(())
    }
}

/// Which run a request id has started, and with what request; on a connection of the pool.
///
/// # Errors
///
/// As every query.
pub async fn find_request_on(
    conn: &mut AsyncPgConnection,
    namespace: &str,
    request_id: &str,
) -> Result<Option<(RunId, Vec<u8>)>> {
    use super::schema::start_requests::dsl;

    let found: Option<(Uuid, Vec<u8>)> = dsl::start_requests
        .filter(
            dsl::namespace
                .eq(namespace)
                .and(dsl::request_id.eq(request_id)),
        )
        .filter(dsl::expires_at.gt(diesel::dsl::now))
        .select((dsl::run_id, dsl::body_hash))
        .first(conn)
        .await
        .optional()?;
    Ok(found.map(|(run, hash)| (RunId::new(run), hash)))
}

/// Which run a request id has started, and with what request.
///
/// `None` where the id is free or its time is over.
///
/// # Errors
///
/// As every statement.
pub async fn find_request(
    lane: &mut Lane,
    namespace: &str,
    request_id: &str,
) -> Result<Option<(RunId, Vec<u8>)>> {
    use super::schema::start_requests::dsl;

    let query = dsl::start_requests
        .filter(
            dsl::namespace
                .eq(namespace)
                .and(dsl::request_id.eq(request_id)),
        )
        .filter(dsl::expires_at.gt(diesel::dsl::now))
        .select((dsl::run_id, dsl::body_hash));
    let rows = lane.load(&query).await?;
    rows.as_slice()
        .first()
        .map(|row| {
            Ok((
                RunId::new(row.try_get::<_, Uuid>(0).map_err(Error::from)?),
                row.try_get::<_, Vec<u8>>(1).map_err(Error::from)?,
            ))
        })
        .transpose()
}
