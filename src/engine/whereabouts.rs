//! Where runs are driven that somebody watches here: in this process, in another one, or nowhere for now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel_async::AsyncPgConnection;
use tokio::sync::{mpsc, watch};

use super::Engine;
use super::driver::Message;
use crate::ids::{ExecutorId, RunKey};
use crate::store::runs::{self, Position};
use crate::store::{self};

/// How long after a poll none is made: ticks may come one after the other, where there is much to claim.
const SPACING: Duration = Duration::from_millis(250);

/// All runs that are watched here and driven elsewhere, or by nobody, as the last poll has found them.
pub(crate) type Positions = Arc<[Position]>;

/// What is known of runs that are driven elsewhere.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    positions: watch::Sender<Positions>,
    polled: Mutex<Option<Instant>>,
}

impl Whereabouts {
    /// Whether it is time for a poll, which is counted as made then.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut polled = self.polled.lock().unwrap_or_else(PoisonError::into_inner);
        let due = polled.is_none_or(|last| now.duration_since(last) >= SPACING);
        if due {
            *polled = Some(now);
        }
        due
    }
}

/// A run that this process drives.
#[derive(Debug)]
pub(crate) struct Drive(mpsc::Sender<Message>);

impl Drive {
    /// Resolves when the run is driven here no longer. What its driver has committed was handed to the hub before.
    pub(crate) async fn ended(&self) {
        self.0.closed().await;
    }
}

impl Engine {
    /// The run, if this process drives it.
    pub(crate) fn find_drive(&self, key: &RunKey) -> Option<Drive> {
        self.open().get(key).cloned().map(Drive)
    }

    /// Who this process is.
    pub(crate) fn executor(&self) -> ExecutorId {
        self.inner.parts.executor
    }

    /// What each poll has found, all of it at once.
    pub(crate) fn positions(&self) -> watch::Receiver<Positions> {
        self.inner.whereabouts.positions.subscribe()
    }

    /// Finds out at once where these runs are, and tells their watchers how far they have come. Runs that are driven
    /// here, or that do not exist, are left out.
    ///
    /// # Errors
    ///
    /// As every query.
    pub(crate) async fn locate(&self, keys: Vec<RunKey>) -> store::Result<Vec<Position>> {
        let elsewhere = self.elsewhere(keys);
        if elsewhere.is_empty() {
            return Ok(Vec::new());
        }
        let mut conn = self.store().conn().await?;
        self.tell_positions(&mut conn, &elsewhere).await
    }

    /// Tells watchers here how far runs have come that are driven elsewhere, or by nobody; not more often than makes sense.
    pub(super) async fn poll_watched(&self, conn: &mut AsyncPgConnection) -> store::Result<()> {
        if !self.inner.whereabouts.is_due() {
            return Ok(());
        }
        let elsewhere = self.elsewhere(self.inner.hub.watched());
        let found = if elsewhere.is_empty() {
            Vec::new()
        } else {
            self.tell_positions(conn, &elsewhere).await?
        };
        let positions = &self.inner.whereabouts.positions;
        if !(found.is_empty() && positions.borrow().is_empty()) {
            positions.send_replace(found.into());
        }
        Ok(())
    }

    async fn tell_positions(
        &self,
        conn: &mut AsyncPgConnection,
        keys: &[RunKey],
    ) -> store::Result<Vec<Position>> {
        let found = runs::positions(conn, keys).await?;
        for position in &found {
            self.inner.hub.behind(&position.key, position.last_sequence);
        }
        Ok(found)
    }

    fn elsewhere(&self, mut keys: Vec<RunKey>) -> Vec<RunKey> {
        let open = self.open();
        keys.retain(|key| !open.contains_key(key));
        keys
    }

    /// Works in the background until this process has nothing more to do with its runs: after the last driver has ended.
    pub(crate) fn keep(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ending = self.inner.abandon.clone();
        let task = async move {
            // There is nothing to be done when it is cut off.
            ending.run_until_cancelled_owned(task).await;
        };
        self.inner.loops.spawn(task);
    }
}
