//! A client that wants its run cancelled if it leaves before the run ends.

use std::time::Duration;

use crate::engine::Engine;
use crate::ids::RunKey;

/// How long attempts in flight may go on then.
const GRACE: Duration = Duration::from_secs(10);

/// Cancels a run when it is dropped, unless the client stays or the process is what ends.
#[derive(Debug)]
pub struct Departure {
    watched: Option<(Engine, RunKey)>,
}

impl Departure {
    /// From now on the client must not leave.
    #[must_use]
    pub fn of(engine: Engine, key: RunKey) -> Self {
        Self {
            watched: Some((engine, key)),
        }
    }

    /// The client was there to the end.
    pub fn stays(mut self) {
        self.watched = None;
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        let Some((engine, key)) = self.watched.take() else {
            return;
        };
        if engine.draining().is_cancelled() {
            // The connection was cut by this process: the run goes on, and the client may watch it elsewhere.
            return;
        }
        engine.watches().clone().spawn(async move {
            let reason = "the client that executed it has left".to_owned();
            if let Err(error) = engine.cancel(&key, reason, GRACE).await {
                tracing::debug!(error = &error as &dyn std::error::Error, run.id = %key, "not cancelled");
            }
        });
    }
}
