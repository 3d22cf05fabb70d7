//! Tells those who watch many runs which of them have changed: one look at the database a second for each namespace that
//! is watched, however many watch, and none while nobody does.
//!
//! Every look begins where the one before has ended (see [`changes`]), so that no change is passed over, by whichever
//! process it was made. A watcher takes its place first and looks itself then: what it has not seen is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::Engine;
use crate::ids::{Namespace, RunId};
use crate::store::changes::{self, Snapshot};
use crate::store::runs::{self, RunRow};
use crate::store::{self, Store};

/// How often it is looked: what a run does meanwhile is one change.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many runs are told of at once.
const BATCH: usize = 500;
/// How many batches a watcher may be behind before it has to look for itself.
const BACKLOG: usize = 32;

/// A run whose state has changed, as it is now.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The transaction that changed it.
    pub changed_in: i64,
    /// The run.
    pub row: RunRow,
}

/// What has changed, for those who watch.
pub type Batch = Arc<[Changed]>;

/// Who watches the runs of which namespace.
#[derive(Debug, Default)]
pub(super) struct Changes {
    channels: Mutex<HashMap<Namespace, Channel>>,
    /// Somebody watches who did not before.
    watched: Notify,
}

#[derive(Debug)]
struct Channel {
    sender: broadcast::Sender<Batch>,
    /// Where the last look has ended; `None` before the first one.
    seen: Option<Snapshot>,
}

impl Engine {
    /// All changes of runs of the namespace that are committed after this has returned, and some from before.
    ///
    /// # Errors
    ///
    /// As every query.
    pub async fn changes(
        &self,
        namespace: &Namespace,
    ) -> store::Result<broadcast::Receiver<Batch>> {
        let changes = &self.inner.changes;
        let (receiver, is_first) = {
            let mut channels = changes.lock();
            let channel = channels
                .entry(namespace.clone())
                .or_insert_with(|| Channel {
                    sender: broadcast::channel(BACKLOG).0,
                    seen: None,
                });
            (channel.sender.subscribe(), channel.seen.is_none())
        };
        if is_first {
            let seen = changes::look(&mut *self.store().conn().await?).await?;
            if let Some(channel) = changes.lock().get_mut(namespace) {
                channel.seen.get_or_insert(seen);
            }
            changes.watched.notify_one();
        }
        Ok(receiver)
    }

    /// Looks for changes until the process ends.
    pub(super) fn keep_telling_changes(&self) {
        let engine = self.clone();
        let ending = self.inner.abandon.clone();
        let telling = async move { engine.tell_changes_for_ever().await };
        self.inner
            .loops
            .spawn(ending.run_until_cancelled_owned(telling));
    }

    async fn tell_changes_for_ever(&self) {
        let changes = &self.inner.changes;
        loop {
            let watched = changes.watched();
            if watched.is_empty() {
                changes.watched.notified().await;
            }
            let next = Instant::now() + INTERVAL;
            for (namespace, seen) in watched {
                if let Err(error) = self.tell_changes(&namespace, &seen).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "changes of runs could not be read and are read again"
                    );
                }
            }
            sleep_until(next).await;
        }
    }

    async fn tell_changes(&self, namespace: &Namespace, seen: &Snapshot) -> store::Result<()> {
        let (now, batches) = read(self.store(), namespace, seen).await?;
        let mut channels = self.inner.changes.lock();
        // If all have left and others have come meanwhile, they are told more than they need, and nothing less.
        let Some(channel) = channels.get_mut(namespace) else {
            return Ok(());
        };
        channel.seen = Some(now);
        for batch in batches {
            // An error says that the last watcher is just leaving.
            channel.sender.send(batch).ok();
        }
        Ok(())
    }
}

/// What has changed since, and what is seen now.
async fn read(
    store: &Store,
    namespace: &Namespace,
    seen: &Snapshot,
) -> store::Result<(Snapshot, Vec<Batch>)> {
    let mut conn = store.conn().await?;
    let (now, changed) = changes::since(&mut conn, namespace, seen).await?;
    let mut batches = Vec::new();
    for some in changed.chunks(BATCH) {
        let by_run: HashMap<RunId, i64> = some
            .iter()
            .map(|change| (change.run_id, change.changed_in))
            .collect();
        let ids: Vec<RunId> = by_run.keys().copied().collect();
        // Those that have changed again since are left to the next look.
        let rows = runs::seen(&mut conn, namespace, &ids, &now).await?;
        let batch = rows.into_iter().filter_map(|row| {
            let changed_in = *by_run.get(&row.run_id)?;
            Some(Changed { changed_in, row })
        });
        batches.push(batch.collect());
    }
    Ok((now, batches))
}

impl Changes {
    /// Where to go on for each namespace that somebody watches; the others are forgotten.
    fn watched(&self) -> Vec<(Namespace, Snapshot)> {
        let mut channels = self.lock();
        channels.retain(|_, channel| channel.sender.receiver_count() > 0);
        channels
            .iter()
            .filter_map(|(namespace, channel)| Some((namespace.clone(), channel.seen.clone()?)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, Channel>> {
        // Every change below is complete before anything could panic.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
