//! What surrounds a run: who could take it, who owns it, what it was asked and has not taken in.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Result;
use super::schema::{executors, run_inbox, workflow_runs};
use crate::ids::{ExecutorId, RunKey};

/// An executor as the database knows it.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Which one.
    pub id: ExecutorId,
    /// Where other replicas reach it; empty if they cannot.
    pub address: String,
    /// The highest event format that it reads.
    pub event_format: i16,
    /// Until when its runs are its own.
    pub lease_until: DateTime<Utc>,
    /// Whether it has ended in order.
    pub retired: bool,
}

impl Executor {
    /// Whether its lease lasts at this time.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        !self.retired && self.lease_until >= now
    }
}

/// What surrounds a run.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// All executors that were not removed yet.
    pub executors: Vec<Executor>,
    /// The highest format among the run's events.
    pub event_format: i16,
    /// Letters that no owner has made an event of.
    pub letters: i64,
    /// When the oldest of them was posted.
    pub oldest_letter_at: Option<DateTime<Utc>>,
}

/// What surrounds this run.
///
/// # Errors
///
/// As every query.
pub async fn of(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<Circumstances> {
    let (namespace, run) = (key.namespace.as_str(), key.run_id.uuid());
    let rows: Vec<(Uuid, String, i16, DateTime<Utc>, bool)> = executors::table
        .select((
            executors::executor_id,
            executors::address,
            executors::event_format,
            executors::lease_until,
            executors::retired,
        ))
        .order(executors::started_at)
        .load(conn)
        .await?;
    let event_format: Option<i16> = workflow_runs::table
        .filter(workflow_runs::namespace.eq(namespace))
        .filter(workflow_runs::run_id.eq(run))
        .select(workflow_runs::event_format)
        .first(conn)
        .await
        .optional()?;
    let (letters, oldest_letter_at): (i64, Option<DateTime<Utc>>) = run_inbox::table
        .filter(run_inbox::namespace.eq(namespace))
        .filter(run_inbox::run_id.eq(run))
        .select((
            diesel::dsl::count_star(),
            diesel::dsl::min(run_inbox::created_at),
        ))
        .first(conn)
        .await?;
    let executor = |(id, address, event_format, lease_until, retired)| Executor {
        id: ExecutorId::new(id),
        address,
        event_format,
        lease_until,
        retired,
    };
    Ok(Circumstances {
        executors: rows.into_iter().map(executor).collect(),
        event_format: event_format.unwrap_or(1),
        letters,
        oldest_letter_at,
    })
}
