//! Flows under their names: create, list, update, hide.
//!
//! A flow that was deleted keeps its row, which its runs refer to, and is found by none of these queries.

mod list;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::schema::flows;
use super::{Error, Result, revisions};
use crate::flow::Definition;
use crate::ids::{FlowId, FlowKey, Namespace};
pub use list::{After, Filter, Order, Summary, list};

/// What is known of a flow, without its graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The flow's key inside the database.
    pub flow_key: FlowKey,
    /// The flow's name in its namespace.
    pub flow_id: FlowId,
    /// What people call it; may be empty.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// The client's own marks.
    pub labels: BTreeMap<String, String>,
    /// The number of the newest revision.
    pub latest_revision: i32,
    /// Raised by each write that changes anything.
    pub version: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When anything in it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Head {
    /// What a client sends back to write only what it has read. Another one after each change, and for a flow that
    /// was created again under the same id.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.flow_key, self.version)
    }
}

fn etag(flow_key: FlowKey, version: i64) -> String {
    format!("{:x}-{version:x}", flow_key.0)
}

/// What a client wants a flow to be: already validated.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Its name in its namespace.
    pub flow_id: &'a FlowId,
    /// What people call it.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// The client's own marks.
    pub labels: &'a BTreeMap<String, String>,
    /// The graph and what governs it.
    pub definition: &'a Definition,
    /// Hash of the definition, by [`crate::flow::hash::content_hash`].
    pub content_hash: [u8; 32],
}

/// What an update does when no flow has the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenMissing {
    /// It creates the flow.
    Create,
    /// It fails with [`Error::FlowNotFound`].
    Refuse,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = flows, check_for_backend(diesel::pg::Pg))]
struct Row {
    flow_key: i64,
    flow_id: String,
    name: String,
    description: String,
    labels: Value,
    latest_revision: i32,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Head {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            flow_key: FlowKey(row.flow_key),
            labels: labels_from(row.labels, &row.flow_id)?,
            flow_id: FlowId::new(row.flow_id),
            name: row.name,
            description: row.description,
            latest_revision: row.latest_revision,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn labels_from(value: Value, flow_id: &str) -> Result<BTreeMap<String, String>> {
    serde_json::from_value(value)
        .map_err(|error| Error::Corrupt(format!("the labels of flow {flow_id}: {error}")))
}

fn labels_to(labels: &BTreeMap<String, String>) -> Value {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Stores a new flow as revision 1, all of it or nothing.
///
/// Of two callers with the same id the later one waits for the earlier one's commit and then fails.
///
/// # Errors
///
/// [`Error::FlowExists`] if the id is taken.
pub async fn create(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    content: Content<'_>,
) -> Result<Head> {
    conn.transaction(async |conn| {
        insert(conn, namespace, content)
            .await?
            .ok_or_else(|| Error::FlowExists(content.flow_id.clone()))
    })
    .await
}

/// Makes a flow what `content` says: a new revision if its hash differs from the latest one's, a new version if
/// anything differs, and nothing if nothing does. All of it or nothing.
///
/// Callers that update the same flow do so one after the other. Who expects an etag expects a flow, so that none is
/// created then.
///
/// # Errors
///
/// [`Error::EtagMismatch`] if the flow is no longer the one expected, [`Error::FlowNotFound`].
pub async fn update(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    content: Content<'_>,
    expected: Option<&str>,
    when_missing: WhenMissing,
) -> Result<Head> {
    let missing = || Error::FlowNotFound(content.flow_id.clone());
    // Between "there is none" and "create it" another caller may create it; the next look then finds that one.
    for _ in 0..3 {
        let head = conn
            .transaction(async |conn| {
                let current = lock(conn, namespace, content.flow_id).await?;
                if let Some(current) = current {
                    check_etag(&current, expected)?;
                    return replace(conn, namespace, current, content).await.map(Some);
                }
                if expected.is_some() || when_missing == WhenMissing::Refuse {
                    return Err(missing());
                }
                insert(conn, namespace, content).await
            })
            .await?;
        if let Some(head) = head {
            return Ok(head);
        }
    }
    // Somebody creates and deletes the flow faster than it can be looked at.
    Err(missing())
}

/// Hides a flow: no query of this module finds it any more, its id is free, and its runs go on with their revisions.
///
/// Whether runs are open is the caller's question; a run that is being started meanwhile starts.
///
/// # Errors
///
/// [`Error::FlowNotFound`], also for the second of two callers, and [`Error::EtagMismatch`].
pub async fn delete(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_id: &FlowId,
    expected: Option<&str>,
) -> Result<FlowKey> {
    conn.transaction(async |conn| {
        let current = lock(conn, namespace, flow_id)
            .await?
            .ok_or_else(|| Error::FlowNotFound(flow_id.clone()))?;
        check_etag(&current, expected)?;
        diesel::update(flows::table.find((namespace.as_str(), current.flow_key.0)))
            .set((
                flows::deleted_at.eq(diesel::dsl::now),
                flows::version.eq(flows::version + 1),
            ))
            .execute(conn)
            .await?;
        Ok(current.flow_key)
    })
    .await
}

/// A flow without its graph, as it is now.
///
/// # Errors
///
/// [`Error::Corrupt`] if its labels are no texts.
pub async fn find_head(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_id: &FlowId,
) -> Result<Option<Head>> {
    live(namespace, flow_id)
        .select(Row::as_select())
        .first(conn)
        .await
        .optional()?
        .map(Head::try_from)
        .transpose()
}

/// A flow without its graph, as it is now.
///
/// # Errors
///
/// [`Error::FlowNotFound`].
pub async fn get_head(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_id: &FlowId,
) -> Result<Head> {
    find_head(conn, namespace, flow_id)
        .await?
        .ok_or_else(|| Error::FlowNotFound(flow_id.clone()))
}

/// A flow's key and the number of its newest revision, as they are now: by one index, for the start of a run.
///
/// # Errors
///
/// Only what the database fails with.
pub async fn find_latest(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_id: &FlowId,
) -> Result<Option<(FlowKey, i32)>> {
    let found: Option<(i64, i32)> = live(namespace, flow_id)
        .select((flows::flow_key, flows::latest_revision))
        .first(conn)
        .await
        .optional()?;
    Ok(found.map(|(key, revision)| (FlowKey(key), revision)))
}

/// The ids of these flows, by key; those that were deleted are left out.
///
/// # Errors
///
/// Only what the database fails with.
pub async fn ids(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_keys: &[FlowKey],
) -> Result<BTreeMap<FlowKey, FlowId>> {
    let keys: Vec<i64> = flow_keys.iter().map(|key| key.0).collect();
    let rows: Vec<(i64, String)> = flows::table
        .filter(flows::namespace.eq(namespace.as_str()))
        .filter(flows::flow_key.eq_any(keys))
        .filter(flows::deleted_at.is_null())
        .select((flows::flow_key, flows::flow_id))
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(key, id)| (FlowKey(key), FlowId::new(id)))
        .collect())
}

/// Compares the version that a caller expects with the one that there is.
///
/// # Errors
///
/// [`Error::EtagMismatch`] if they differ.
pub fn check_etag(current: &Head, expected: Option<&str>) -> Result<()> {
    match expected {
        Some(given) if given != current.etag() => Err(Error::EtagMismatch {
            flow_id: current.flow_id.clone(),
            given: given.to_owned(),
            current: current.etag(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// The rows of an id: at most one, by the unique index.
#[diesel::dsl::auto_type(no_type_alias)]
fn live<'a>(namespace: &'a Namespace, flow_id: &'a FlowId) -> _ {
    let namespace: &'a str = namespace.as_str();
    let flow_id: &'a str = flow_id.as_str();
    flows::table
        .filter(flows::namespace.eq(namespace))
        .filter(flows::flow_id.eq(flow_id))
        .filter(flows::deleted_at.is_null())
}

/// The row, locked until the transaction ends.
async fn lock(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_id: &FlowId,
) -> Result<Option<Head>> {
    live(namespace, flow_id)
        .select(Row::as_select())
        .for_update()
        .first(conn)
        .await
        .optional()?
        .map(Head::try_from)
        .transpose()
}

/// A new flow with its first revision, or `None` if the id is taken.
async fn insert(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    content: Content<'_>,
) -> Result<Option<Head>> {
    let row = diesel::insert_into(flows::table)
        .values((
            flows::namespace.eq(namespace.as_str()),
            flows::flow_id.eq(content.flow_id.as_str()),
            flows::name.eq(content.name),
            flows::description.eq(content.description),
            flows::labels.eq(labels_to(content.labels)),
            flows::latest_revision.eq(1),
            flows::version.eq(1_i64),
        ))
        .on_conflict((flows::namespace, flows::flow_id))
        .filter_target(flows::deleted_at.is_null())
        .do_nothing()
        .returning(Row::as_returning())
        .get_result(conn)
        .await
        .optional()?;
    let Some(row) = row else {
        return Ok(None);
    };
    let head = Head::try_from(row)?;
    let (definition, hash) = (content.definition, content.content_hash);
    revisions::insert(conn, namespace, head.flow_key, 1, definition, hash).await?;
    Ok(Some(head))
}

/// Writes what differs between a locked flow and what it is to be.
async fn replace(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    current: Head,
    content: Content<'_>,
) -> Result<Head> {
    let (key, latest) = (current.flow_key, current.latest_revision);
    let (definition, hash) = (content.definition, content.content_hash);
    let same_graph = revisions::find_hash(conn, namespace, key, latest).await? == Some(hash);
    let same_words = current.name == content.name
        && current.description == content.description
        && current.labels == *content.labels;
    if same_graph && same_words {
        return Ok(current);
    }
    let revision = if same_graph {
        latest
    } else {
        revisions::insert(conn, namespace, key, latest + 1, definition, hash).await?;
        latest + 1
    };
    diesel::update(flows::table.find((namespace.as_str(), key.0)))
        .set((
            flows::name.eq(content.name),
            flows::description.eq(content.description),
            flows::labels.eq(labels_to(content.labels)),
            flows::latest_revision.eq(revision),
            flows::version.eq(flows::version + 1),
            // The time of the statement: that of the transaction may lie before the change that it waited for.
            flows::updated_at.eq(diesel::dsl::sql("clock_timestamp()")),
        ))
        .returning(Row::as_returning())
        .get_result(conn)
        .await?
        .try_into()
}
