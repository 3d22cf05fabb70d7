//! The rows of revisions, nodes and edges, and what they say.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;

use super::Summary;
use crate::flow::{
    Edge, Effect, Node, OnConflict, OnError, Policy, Position, RetryPolicy, Violation, document,
};
use crate::ids::NodeId;
use crate::store::schema::{flow_edges, flow_nodes, flow_revisions};
use crate::store::{Error, Result};

#[derive(Queryable, Selectable)]
#[diesel(table_name = flow_revisions, check_for_backend(diesel::pg::Pg))]
pub(super) struct Row {
    pub(super) revision: i32,
    pub(super) content_hash: Vec<u8>,
    pub(super) node_count: i32,
    pub(super) edge_count: i32,
    pub(super) created_at: DateTime<Utc>,
    pub(super) input_schema: Option<Value>,
    pub(super) run_timeout_ms: Option<i64>,
    pub(super) max_parallel_steps: Option<i32>,
    pub(super) max_open_runs: Option<i32>,
    pub(super) concurrency_key: String,
    pub(super) on_conflict: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = flow_nodes, check_for_backend(diesel::pg::Pg))]
pub(super) struct NodeRow {
    pub(super) node_id: String,
    pub(super) kind: String,
    pub(super) position_x: f64,
    pub(super) position_y: f64,
    pub(super) data: Value,
    pub(super) display_name: String,
    pub(super) timeout_ms: Option<i64>,
    pub(super) effect: Option<String>,
    pub(super) retry: Option<Value>,
    pub(super) on_error: Option<Value>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = flow_edges, check_for_backend(diesel::pg::Pg))]
pub(super) struct EdgeRow {
    pub(super) edge_id: String,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) source_handle: String,
    pub(super) target_handle: String,
    pub(super) animated: bool,
}

impl Row {
    pub(super) fn summary(&self) -> Result<Summary> {
        Ok(Summary {
            number: self.revision,
            content_hash: hash_from(&self.content_hash)?,
            node_count: self.node_count,
            edge_count: self.edge_count,
            created_at: self.created_at,
        })
    }

    pub(super) fn policy(&self) -> Result<Policy> {
        let count = |stored: Option<i32>, name: &str| -> Result<Option<u32>> {
            let count = stored.map(u32::try_from).transpose();
            count.map_err(|_| Error::Corrupt(format!("a negative {name}")))
        };
        let on_conflict = self.on_conflict.as_deref().map(on_conflict_from);
        Ok(Policy {
            run_timeout: self.run_timeout_ms.map(duration).transpose()?,
            max_parallel_steps: count(self.max_parallel_steps, "max_parallel_steps")?,
            max_open_runs: count(self.max_open_runs, "max_open_runs")?,
            concurrency_key: self.concurrency_key.clone(),
            on_conflict: on_conflict.transpose()?,
        })
    }
}

pub(super) fn node(row: NodeRow) -> Result<Node> {
    Ok(Node {
        id: NodeId::new(row.node_id),
        kind: row.kind,
        position: Position {
            x: row.position_x,
            y: row.position_y,
        },
        data: row.data,
        display_name: row.display_name,
        timeout: row.timeout_ms.map(duration).transpose()?,
        effect: row.effect.as_deref().map(effect_from).transpose()?,
        retry: row.retry.as_ref().map(retry_from).transpose()?,
        on_error: row.on_error.as_ref().map(on_error_from).transpose()?,
    })
}

fn retry_from(stored: &Value) -> Result<RetryPolicy> {
    document::read_retry(stored).map_err(|found| unreadable("retry", &found))
}

fn on_error_from(stored: &Value) -> Result<OnError> {
    document::read_on_error(stored)
        .map_err(|found| unreadable("on_error", &found))?
        .ok_or_else(|| Error::Corrupt("a node has an empty on_error".to_owned()))
}

fn unreadable(name: &str, found: &[Violation]) -> Error {
    let first = found.first();
    let text = first.map_or_else(String::new, |one| {
        format!("{} {}", one.field, one.description)
    });
    Error::Corrupt(format!("a node has a {name} that cannot be read: {text}"))
}

pub(super) fn edge(row: EdgeRow) -> Edge {
    Edge {
        id: row.edge_id,
        source: NodeId::new(row.source),
        target: NodeId::new(row.target),
        source_handle: row.source_handle,
        target_handle: row.target_handle,
        animated: row.animated,
    }
}

pub(in crate::store) fn hash_from(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| Error::Corrupt(format!("a hash of {} bytes", bytes.len())))
}

pub(super) fn effect_text(effect: Effect) -> &'static str {
    match effect {
        Effect::Pure => "PURE",
        Effect::Idempotent => "IDEMPOTENT",
        Effect::AtMostOnce => "AT_MOST_ONCE",
    }
}

fn effect_from(text: &str) -> Result<Effect> {
    match text {
        "PURE" => Ok(Effect::Pure),
        "IDEMPOTENT" => Ok(Effect::Idempotent),
        "AT_MOST_ONCE" => Ok(Effect::AtMostOnce),
        other => Err(Error::Corrupt(format!("a node has the effect {other:?}"))),
    }
}

pub(super) fn on_conflict_text(action: OnConflict) -> &'static str {
    match action {
        OnConflict::Queue => "QUEUE",
        OnConflict::Reject => "REJECT",
        OnConflict::CancelRunning => "CANCEL_RUNNING",
    }
}

fn on_conflict_from(text: &str) -> Result<OnConflict> {
    match text {
        "QUEUE" => Ok(OnConflict::Queue),
        "REJECT" => Ok(OnConflict::Reject),
        "CANCEL_RUNNING" => Ok(OnConflict::CancelRunning),
        other => Err(Error::Corrupt(format!(
            "a flow has the action {other:?} on conflict"
        ))),
    }
}

/// Validation keeps what is stored as an integer far below 2^31.
pub(super) fn whole(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Whole milliseconds: validation has rounded to them.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration(milliseconds: i64) -> Result<Duration> {
    u64::try_from(milliseconds)
        .map(Duration::from_millis)
        .map_err(|_| Error::Corrupt(format!("a duration of {milliseconds} ms")))
}
