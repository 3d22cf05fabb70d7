//! Which revision a start means.
//!
//! What a flow's latest revision was when somebody looked serves the starts that follow, on the proviso that it is so
//! still when the run is written: the statement that writes it checks that. So most starts read nothing before they
//! write, and none goes by what was true before it came.

use std::sync::Arc;

use quick_cache::sync::Cache;

use super::plan::Plan;
use super::{Engine, Error, Start};
use crate::ids::{FlowId, FlowKey, Namespace};
use crate::store::births::Proviso;
use crate::store::{self, flows};

/// Of how many flows it is remembered what their latest revision was.
const REMEMBERED: usize = 10_000;

/// The latest revisions of flows, as they were when somebody looked.
#[derive(Debug)]
pub(super) struct Latest(Cache<(Namespace, FlowId), (FlowKey, i32)>);

impl Default for Latest {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

/// What a start means.
pub(super) struct Meant {
    /// The revision, ready to run.
    pub(super) plan: Arc<Plan>,
    /// What has to be so still when the run is written.
    pub(super) proviso: Proviso,
}

impl Engine {
    /// What the start means by what is remembered of its flow; `None` if that has to be looked up.
    pub(super) async fn remembered(&self, start: &Start) -> Result<Option<Meant>, Error> {
        let flow = (start.namespace.clone(), start.flow_id.clone());
        let Some((flow_key, latest)) = self.inner.latest.0.get(&flow) else {
            return Ok(None);
        };
        let (revision, proviso) = match start.revision {
            0 => (latest, Proviso::Latest),
            older if (1..=latest).contains(&older) => (older, Proviso::Live),
            _ => return Ok(None),
        };
        let plans = &self.inner.parts.plans;
        let plan = match plans.get(&start.namespace, flow_key, revision).await {
            Ok(plan) => plan,
            // Where it is gone its flow is gone too.
            Err(store::Error::Corrupt(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Where open runs are counted the run is not written by the journal.
        let counted = plan.open_runs().is_some();
        Ok((!counted).then_some(Meant { plan, proviso }))
    }

    /// What the start means by what the database says now.
    pub(super) async fn look_up(&self, start: &Start) -> Result<Meant, Error> {
        let mut conn = self.store().conn().await?;
        let found = flows::find_latest(&mut conn, &start.namespace, &start.flow_id).await?;
        drop(conn);
        let flow = (start.namespace.clone(), start.flow_id.clone());
        let Some((flow_key, latest)) = found else {
            self.inner.latest.0.remove(&flow);
            return Err(store::Error::FlowNotFound(start.flow_id.clone()).into());
        };
        self.inner.latest.0.insert(flow, (flow_key, latest));
        let revision = if start.revision == 0 {
            latest
        } else {
            start.revision
        };
        if !(1..=latest).contains(&revision) {
            let flow_id = start.flow_id.clone();
            return Err(store::Error::RevisionNotFound {
                flow_id,
                revision,
                latest,
            }
            .into());
        }
        let plans = &self.inner.parts.plans;
        let plan = plans.get(&start.namespace, flow_key, revision).await?;
        let proviso = Proviso::None;
        Ok(Meant { plan, proviso })
    }
}
