//! Revisions: the graphs of flows, which never change.

mod rows;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use self::rows::{EdgeRow, NodeRow, Row};
use self::rows::{edge, effect_text, milliseconds, node, on_conflict_text, whole};
use super::flows::Head;
use super::schema::{flow_edges, flow_nodes, flow_revisions};
use super::{Error, Result};
use crate::flow::{Definition, Edge, Node, Revision, document};
use crate::ids::{FlowId, FlowKey, Namespace};

pub(super) use self::rows::hash_from;

/// A revision as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Counted from 1.
    pub number: i32,
    /// Hash of its graph.
    pub content_hash: [u8; 32],
    /// How many nodes it has.
    pub node_count: i32,
    /// How many edges it has.
    pub edge_count: i32,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}

/// A revision with all that is in it.
#[derive(Clone, Debug)]
pub struct Full {
    /// All but the graph.
    pub summary: Summary,
    /// The graph and what governs it.
    pub definition: Definition,
}

/// A flow with its graph: that of `revision`, or of the latest one.
///
/// All else is as it is now. What a concurrent update writes is seen as a whole or not at all, because the graph is
/// read by its number.
///
/// # Errors
///
/// [`Error::FlowNotFound`], [`Error::RevisionNotFound`].
pub async fn get_flow(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_id: &FlowId,
    revision: Option<i32>,
) -> Result<(Head, Full)> {
    let head = super::flows::get_head(conn, namespace, flow_id).await?;
    let number = revision.unwrap_or(head.latest_revision);
    let full = find_full(conn, namespace, head.flow_key, number).await?;
    let full = full.ok_or_else(|| Error::RevisionNotFound {
        flow_id: flow_id.clone(),
        revision: number,
        latest: head.latest_revision,
    })?;
    Ok((head, full))
}

/// A revision for a run of it: also of a flow that was deleted meanwhile, whose name is then empty.
///
/// # Errors
///
/// [`Error::Corrupt`] if it holds what this version does not know.
pub async fn find_revision(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    number: i32,
) -> Result<Option<Revision>> {
    let Some(full) = find_full(conn, namespace, flow_key, number).await? else {
        return Ok(None);
    };
    let mut ids = super::flows::ids(conn, namespace, &[flow_key]).await?;
    Ok(Some(Revision {
        flow_key,
        flow_id: ids.remove(&flow_key).unwrap_or_else(|| FlowId::new("")),
        number,
        definition: full.definition,
    }))
}

/// A page of a flow's revisions, newest first: at most `limit`, those below `before`.
///
/// Revisions that are stored between two pages are not seen, since they come before the first.
///
/// # Errors
///
/// Only what the database fails with.
pub async fn list(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<Summary>> {
    let mut query = flow_revisions::table
        .filter(flow_revisions::namespace.eq(namespace.as_str()))
        .filter(flow_revisions::flow_key.eq(flow_key.0))
        .order(flow_revisions::revision.desc())
        .select(Row::as_select())
        .limit(limit)
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(flow_revisions::revision.lt(before));
    }
    query.load(conn).await?.iter().map(Row::summary).collect()
}

/// Hash of a revision's graph; revisions never change, so neither does the answer.
///
/// # Errors
///
/// Only what the database fails with.
pub async fn find_hash(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    number: i32,
) -> Result<Option<[u8; 32]>> {
    flow_revisions::table
        .find((namespace.as_str(), flow_key.0, number))
        .select(flow_revisions::content_hash)
        .first::<Vec<u8>>(conn)
        .await
        .optional()?
        .map(|hash| hash_from(&hash))
        .transpose()
}

async fn find_full(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    number: i32,
) -> Result<Option<Full>> {
    let row = flow_revisions::table
        .find((namespace.as_str(), flow_key.0, number))
        .select(Row::as_select())
        .first(conn)
        .await
        .optional()?;
    let Some(row) = row else {
        return Ok(None);
    };
    let nodes = flow_nodes::table
        .filter(flow_nodes::namespace.eq(namespace.as_str()))
        .filter(flow_nodes::flow_key.eq(flow_key.0))
        .filter(flow_nodes::revision.eq(number))
        .order(flow_nodes::ordinal)
        .select(NodeRow::as_select())
        .load(conn)
        .await?;
    let edges = flow_edges::table
        .filter(flow_edges::namespace.eq(namespace.as_str()))
        .filter(flow_edges::flow_key.eq(flow_key.0))
        .filter(flow_edges::revision.eq(number))
        .order(flow_edges::ordinal)
        .select(EdgeRow::as_select())
        .load(conn)
        .await?;
    let summary = row.summary()?;
    // Nodes go with their revision, so that fewer mean a hand that was not ours.
    if nodes.len() != usize::try_from(row.node_count).unwrap_or_default()
        || edges.len() != usize::try_from(row.edge_count).unwrap_or_default()
    {
        return Err(Error::Corrupt(format!(
            "revision {number} of flow key {} has {} nodes and {} edges, not {} and {}",
            flow_key.0,
            nodes.len(),
            edges.len(),
            row.node_count,
            row.edge_count
        )));
    }
    Ok(Some(Full {
        summary,
        definition: Definition {
            nodes: nodes.into_iter().map(node).collect::<Result<_>>()?,
            edges: edges.into_iter().map(edge).collect(),
            policy: row.policy()?,
            input_schema: row.input_schema,
        },
    }))
}

/// Writes a revision with its nodes and edges, in three statements whatever their number.
///
/// Runs in the caller's transaction, which has the flow's row locked or just made.
pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    number: i32,
    definition: &Definition,
    content_hash: [u8; 32],
) -> Result<()> {
    let Definition {
        nodes,
        edges,
        input_schema,
        policy,
    } = definition;
    // The foreign keys of edges are checked one by one, by a plan that the session keeps. Made while the tables are small
    // it would read all nodes for each edge, which takes seconds for a large graph.
    conn.batch_execute("SET LOCAL enable_seqscan = off").await?;
    diesel::insert_into(flow_revisions::table)
        .values((
            flow_revisions::namespace.eq(namespace.as_str()),
            flow_revisions::flow_key.eq(flow_key.0),
            flow_revisions::revision.eq(number),
            flow_revisions::content_hash.eq(content_hash.as_slice()),
            flow_revisions::input_schema.eq(input_schema),
            flow_revisions::run_timeout_ms.eq(policy.run_timeout.map(milliseconds)),
            flow_revisions::max_parallel_steps.eq(policy.max_parallel_steps.map(whole)),
            flow_revisions::max_open_runs.eq(policy.max_open_runs.map(whole)),
            flow_revisions::concurrency_key.eq(&policy.concurrency_key),
            flow_revisions::on_conflict.eq(policy.on_conflict.map(on_conflict_text)),
            flow_revisions::node_count.eq(count(nodes.len())),
            flow_revisions::edge_count.eq(count(edges.len())),
        ))
        .execute(conn)
        .await?;
    insert_nodes(conn, namespace, flow_key, number, nodes).await?;
    insert_edges(conn, namespace, flow_key, number, edges).await
}

/// Columns travel as arrays: one short statement with 13 values, where rows of their own would make 12,000 values of
/// a text that is parsed anew each time. diesel's language has no unnest.
async fn insert_nodes(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    number: i32,
    nodes: &[Node],
) -> Result<()> {
    let column = |of: &dyn Fn(&Node) -> String| nodes.iter().map(of).collect::<Vec<String>>();
    diesel::sql_query(
        "INSERT INTO flow_nodes (namespace, flow_key, revision, ordinal, node_id, kind, position_x, position_y, \
                                 data, display_name, timeout_ms, effect, retry, on_error) \
         SELECT $1, $2, $3, t.ordinal - 1, t.node_id, t.kind, t.x, t.y, t.data, t.display_name, t.timeout_ms, \
                t.effect, t.retry, t.on_error \
         FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13) WITH ORDINALITY \
              AS t (node_id, kind, x, y, data, display_name, timeout_ms, effect, retry, on_error, ordinal)",
    )
    .bind::<Text, _>(namespace.as_str())
    .bind::<BigInt, _>(flow_key.0)
    .bind::<Integer, _>(number)
    .bind::<Array<Text>, _>(column(&|node| node.id.to_string()))
    .bind::<Array<Text>, _>(column(&|node| node.kind.clone()))
    .bind::<Array<Double>, _>(nodes.iter().map(|n| n.position.x).collect::<Vec<_>>())
    .bind::<Array<Double>, _>(nodes.iter().map(|n| n.position.y).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(nodes.iter().map(|n| &n.data).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(column(&|node| node.display_name.clone()))
    .bind::<Array<Nullable<BigInt>>, _>(
        nodes
            .iter()
            .map(|node| node.timeout.map(milliseconds))
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Text>>, _>(
        nodes
            .iter()
            .map(|node| node.effect.map(effect_text))
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Jsonb>>, _>(
        nodes
            .iter()
            .map(|node| node.retry.as_ref().map(document::write_retry))
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Jsonb>>, _>(
        nodes
            .iter()
            .map(|node| node.on_error.as_ref().map(document::write_on_error))
            .collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_edges(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    flow_key: FlowKey,
    number: i32,
    edges: &[Edge],
) -> Result<()> {
    let column = |of: &dyn Fn(&Edge) -> String| edges.iter().map(of).collect::<Vec<String>>();
    diesel::sql_query(
        "INSERT INTO flow_edges (namespace, flow_key, revision, ordinal, edge_id, source, target, source_handle, \
                                 target_handle, animated) \
         SELECT $1, $2, $3, t.ordinal - 1, t.edge_id, t.source, t.target, t.source_handle, t.target_handle, t.animated \
         FROM unnest($4, $5, $6, $7, $8, $9) WITH ORDINALITY \
              AS t (edge_id, source, target, source_handle, target_handle, animated, ordinal)",
    )
    .bind::<Text, _>(namespace.as_str())
    .bind::<BigInt, _>(flow_key.0)
    .bind::<Integer, _>(number)
    .bind::<Array<Text>, _>(column(&|edge| edge.id.clone()))
    .bind::<Array<Text>, _>(column(&|edge| edge.source.to_string()))
    .bind::<Array<Text>, _>(column(&|edge| edge.target.to_string()))
    .bind::<Array<Text>, _>(column(&|edge| edge.source_handle.clone()))
    .bind::<Array<Text>, _>(column(&|edge| edge.target_handle.clone()))
    .bind::<Array<Bool>, _>(edges.iter().map(|edge| edge.animated).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

fn count(length: usize) -> i32 {
    i32::try_from(length).expect("limits of a graph are far below 2^31")
}
