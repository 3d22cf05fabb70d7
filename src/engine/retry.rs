//! Opening a failed run again.

use std::sync::Arc;

use super::control::Refused;
use super::{Engine, Error};
use crate::crash_points::reach;
use crate::ids::RunKey;
use crate::run::event::{Recorded, RunReopened};
use crate::run::state::RunState;
use crate::store::reopening;

impl Engine {
    /// Opens a run that has failed, so that what failed is tried again and what succeeded is kept.
    ///
    /// It is durable when this returns, and whoever has room takes the run up. Of calls at the same time one succeeds.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], [`Refused::NotFailed`], [`Refused::IsChild`], or the store's own.
    pub async fn retry(&self, key: &RunKey) -> Result<(), Error> {
        let row = self.row(key).await?;
        if let Some(parent) = row.parent {
            let id = key.run_id;
            return Err(Refused::IsChild { id, parent }.into());
        }
        if row.state != RunState::Failed {
            return Err(not_failed(key, row.state));
        }
        let parts = &self.inner.parts;
        let plan = parts
            .plans
            .get(&key.namespace, row.flow_key, row.revision)
            .await?;
        // Another executor's clock may have been ahead when the run ended.
        let at = row
            .ended_at
            .map_or(parts.clock.now(), |ended| ended.max(parts.clock.now()));
        let deadline = at + plan.time_to_run(parts.settings.max_run_time);
        let reopened = Recorded {
            sequence: row.last_sequence + 1,
            at,
            event: RunReopened { deadline }.into(),
            payload: None,
        };
        let mut conn = self.store().conn().await?;
        let done = reopening::reopen(&mut conn, key, &reopened).await?;
        drop(conn);
        if !done {
            return Err(not_failed(key, self.row(key).await?.state));
        }
        reach("retry.reopened");
        let events: Arc<[Recorded]> = Arc::new([reopened]);
        self.inner.hub.publish(key, &events);
        self.inner.tick_soon.notify_one();
        Ok(())
    }
}

fn not_failed(key: &RunKey, state: RunState) -> Error {
    let id = key.run_id;
    Refused::NotFailed { id, state }.into()
}
