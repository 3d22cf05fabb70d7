//! What has to be so still when a run is written whose flow was looked up before.

use diesel::prelude::*;

use super::Result;
use crate::ids::{FlowKey, Namespace};
use crate::store::lane::Lane;
use crate::store::schema::flows;

/// What a flow has to be still when one of its runs is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proviso {
    /// Anything: it was looked up for this start.
    #[default]
    None,
    /// Not deleted.
    Live,
    /// Not deleted, with the run's revision as its latest.
    Latest,
}

impl Proviso {
    /// As the statement knows it.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Live => 1,
            Self::Latest => 2,
        }
    }

    /// Whether it holds for a run of this revision.
    ///
    /// # Errors
    ///
    /// As every statement.
    pub async fn holds(
        self,
        lane: &mut Lane,
        namespace: &Namespace,
        flow_key: FlowKey,
        revision: i32,
    ) -> Result<bool> {
        if self == Self::None {
            return Ok(true);
        }
        let query = flows::table
            .filter(flows::namespace.eq(namespace.as_str()))
            .filter(flows::flow_key.eq(flow_key.0))
            .filter(flows::deleted_at.is_null())
            .select(flows::latest_revision);
        let rows = lane.load(&query).await?;
        let Some(row) = rows.first() else {
            return Ok(false);
        };
        let latest: i32 = row.try_get(0)?;
        Ok(self == Self::Live || latest == revision)
    }
}
