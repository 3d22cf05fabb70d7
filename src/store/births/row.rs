//! What the row of a run says that has just come into being, for whoever has written it and so need not read it.

use super::{Birth, FIRST_EPOCH};
use crate::ids::{ExecutorId, FlowId};
use crate::store::flush::Owner;
use crate::store::runs::RunRow;
use crate::store::{Error, Result};

impl Birth<'_> {
    /// The row that it makes in the hands of this executor, as a read would give it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if its labels or its error cannot be decoded.
    pub fn row(&self, executor: ExecutorId, flow_id: FlowId) -> Result<RunRow> {
        let undecodable = |error| Error::Corrupt(format!("a run that is to be: {error}"));
        let error = self.projection.error.as_deref();
        Ok(RunRow {
            run_id: self.key.run_id,
            flow_id: Some(flow_id),
            flow_key: self.flow_key,
            revision: self.revision,
            state: self.projection.state,
            wait_reason: self.projection.wait_reason,
            priority: self.priority,
            labels: serde_json::from_str(self.labels).map_err(undecodable)?,
            request_id: self.request.map(|request| request.id.clone()),
            owner: (self.projection.owner == Owner::Kept).then_some(executor),
            epoch: FIRST_EPOCH,
            last_sequence: self.events.last().map_or(0, |event| event.sequence),
            wake_at: self.projection.owner.wake_at(),
            total_steps: i32::try_from(self.total_steps).unwrap_or(i32::MAX),
            progress: i32::try_from(self.projection.progress).unwrap_or(i32::MAX),
            usage: self.projection.usage,
            error: error
                .map(serde_json::from_str)
                .transpose()
                .map_err(undecodable)?,
            parent: self.parent.map(|parent| parent.run_id),
            forked_from: self.forked_from,
            concurrency_key: self.concurrency_key.map(str::to_owned),
            admitted: self.admitted,
            created_at: self.created_at,
            started_at: self.projection.started_at,
            ended_at: self.projection.ended_at,
        })
    }
}
