//! Cancelling a run, on whichever replica it is.

use std::time::Duration;

use super::{Engine, Error};
use crate::crash_points::reach;
use crate::ids::RunKey;
use crate::run::state::RunState;
use crate::store::inbox::{self, Letter, Request};
use crate::store::runs;

/// How long the answer waits for the run's own word; the request is durable in any case.
const PATIENCE: Duration = Duration::from_millis(1_500);

impl Engine {
    /// Asks a run to end, and gives its state: `CANCELLING` or `CANCELLED`.
    ///
    /// The request is durable when this returns and wins over any later end. Attempts in flight may go on for `grace`.
    /// A repeated call gives the same answer.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], [`Error::RunDone`] if it has succeeded or failed, or the store's own.
    pub async fn cancel(
        &self,
        key: &RunKey,
        reason: String,
        grace: Duration,
    ) -> Result<RunState, Error> {
        let state = self.state(key).await?;
        if state.is_final() || state == RunState::Cancelling {
            return cancelled(key, state);
        }
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Cancel { reason, grace_ms };
        let mut conn = self.store().conn().await?;
        let posted = inbox::post(&mut conn, key, &request).await?;
        drop(conn);
        let posted = posted.ok_or(Error::RunNotFound(key.run_id))?;
        let Some(id) = posted.letter else {
            return cancelled(key, posted.state);
        };
        reach("cancel.posted");
        self.deliver(Letter {
            key: key.clone(),
            id,
            request,
        });
        match tokio::time::timeout(PATIENCE, self.turned(key)).await {
            Ok(state) => cancelled(key, state?),
            Err(_) => Ok(RunState::Cancelling),
        }
    }

    /// The run's state once it has taken the request in.
    async fn turned(&self, key: &RunKey) -> Result<RunState, Error> {
        let mut pause = Duration::from_millis(2);
        loop {
            let state = self.state(key).await?;
            if state.is_final() || state == RunState::Cancelling {
                return Ok(state);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    async fn state(&self, key: &RunKey) -> Result<RunState, Error> {
        let mut conn = self.store().conn().await?;
        let row = runs::find(&mut conn, key).await?;
        row.map(|row| row.state)
            .ok_or(Error::RunNotFound(key.run_id))
    }
}

fn cancelled(key: &RunKey, state: RunState) -> Result<RunState, Error> {
    match state {
        RunState::Cancelling | RunState::Cancelled => Ok(state),
        state => Err(Error::RunDone {
            id: key.run_id,
            state,
        }),
    }
}
