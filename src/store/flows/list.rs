//! Lists of flows: pages by keyset, which cost the same however far one has paged.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Head, Row, labels_to};
use crate::ids::{FlowId, Namespace};
use crate::store::schema::{flow_revisions, flows};
use crate::store::{Result, revisions};

/// A flow as lists show it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// All but the graph.
    pub head: Head,
    /// Hash of the latest revision's graph.
    pub content_hash: [u8; 32],
    /// How many nodes the latest revision has.
    pub node_count: i32,
    /// How many edges the latest revision has.
    pub edge_count: i32,
}

/// Which flows a list shows: those that satisfy all of it.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// All of these labels, with these values.
    pub labels: BTreeMap<String, String>,
    /// Created at or after this time.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

/// What comes first in a list; equal times are ordered by id, in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    #[default]
    CreatedDescending,
    /// The oldest.
    CreatedAscending,
    /// The one that was changed last.
    UpdatedDescending,
}

/// The flow after which a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// The time by which the list is ordered (microseconds count).
    pub at: DateTime<Utc>,
    /// Its id.
    pub flow_id: FlowId,
}

impl Order {
    /// Where the page after `head` begins.
    #[must_use]
    pub fn after(self, head: &Head) -> After {
        let at = match self {
            Self::CreatedDescending | Self::CreatedAscending => head.created_at,
            Self::UpdatedDescending => head.updated_at,
        };
        let flow_id = head.flow_id.clone();
        After { at, flow_id }
    }
}

/// A page of a namespace's flows: at most `limit`, those after `after`.
///
/// By keyset: what is created or deleted between two pages may or may not be seen, anything else is seen once, but
/// in the order of changes a flow that is changed may be seen again.
///
/// # Errors
///
/// [`Error::Corrupt`](crate::store::Error::Corrupt) if a flow's labels are no texts.
pub async fn list(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    filter: &Filter,
    order: Order,
    after: Option<&After>,
    limit: i64,
) -> Result<Vec<Summary>> {
    let latest = flow_revisions::namespace
        .eq(flows::namespace)
        .and(flow_revisions::flow_key.eq(flows::flow_key))
        .and(flow_revisions::revision.eq(flows::latest_revision));
    let mut query = flows::table
        .inner_join(flow_revisions::table.on(latest))
        .filter(flows::namespace.eq(namespace.as_str()))
        .filter(flows::deleted_at.is_null())
        .select((
            Row::as_select(),
            flow_revisions::content_hash,
            flow_revisions::node_count,
            flow_revisions::edge_count,
        ))
        .limit(limit)
        .into_boxed();
    if !filter.labels.is_empty() {
        query = query.filter(flows::labels.contains(labels_to(&filter.labels)));
    }
    if let Some(from) = filter.created_after {
        query = query.filter(flows::created_at.ge(from));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(flows::created_at.lt(before));
    }
    // "At or beyond the time, and beyond the pair" says the same as a comparison of rows, which diesel does not have,
    // and lets the index begin at the right place.
    query = match order {
        Order::CreatedDescending => {
            if let Some(After { at, flow_id }) = after {
                query = query.filter(flows::created_at.le(*at)).filter(
                    flows::created_at
                        .lt(*at)
                        .or(flows::flow_id.lt(flow_id.as_str())),
                );
            }
            query.order((flows::created_at.desc(), flows::flow_id.desc()))
        }
        Order::CreatedAscending => {
            if let Some(After { at, flow_id }) = after {
                query = query.filter(flows::created_at.ge(*at)).filter(
                    flows::created_at
                        .gt(*at)
                        .or(flows::flow_id.gt(flow_id.as_str())),
                );
            }
            query.order((flows::created_at.asc(), flows::flow_id.asc()))
        }
        Order::UpdatedDescending => {
            if let Some(After { at, flow_id }) = after {
                query = query.filter(flows::updated_at.le(*at)).filter(
                    flows::updated_at
                        .lt(*at)
                        .or(flows::flow_id.lt(flow_id.as_str())),
                );
            }
            query.order((flows::updated_at.desc(), flows::flow_id.desc()))
        }
    };
    let rows: Vec<(Row, Vec<u8>, i32, i32)> = query.load(conn).await?;
    rows.into_iter()
        .map(|(row, hash, node_count, edge_count)| {
            Ok(Summary {
                head: row.try_into()?,
                content_hash: revisions::hash_from(&hash)?,
                node_count,
                edge_count,
            })
        })
        .collect()
}
