//! The journal: the only writer of run history.
//!
//! What the runs of this process have to write is collected while the flush before is on its way, and written by one
//! statement that checks each run's fence. Runs are spread over lanes by id; a lane has one connection and one flush in
//! flight. There is no timer: an idle lane writes at once, a busy one writes bigger batches. Whoever waits, and the
//! hub's watchers, are told after the commit and never before.

mod aside;
mod birth;
mod lane;
mod moves;
mod trouble;

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::birth::{Birth, Born};
pub use self::moves::{Move, Verdict};
use self::trouble::Trouble;
use crate::hub::Hub;
use crate::ids::{ExecutorId, RunKey};
use crate::store::Store;

/// How many entries may wait for a lane: each run has at most one, so this bounds memory, not runs.
const QUEUE: usize = 1_024;

/// A handle to the journal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    moves: Vec<mpsc::Sender<Posted<Move>>>,
    births: Vec<mpsc::Sender<Posted<Birth>>>,
    trouble: Trouble,
}

/// An entry with the place that its verdict goes to.
struct Posted<E: lane::Entry> {
    entry: E,
    reply: oneshot::Sender<E::Verdict>,
}

/// The journal has been closed: what was not answered may or may not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal is closed")]
pub struct Closed;

impl Journal {
    /// Opens so many lanes for the runs of this executor, and half as many for new runs.
    ///
    /// They end when the handles are gone and all is written, or at `abandon`, which leaves unanswered what is not.
    #[must_use]
    pub fn open(
        store: &Store,
        hub: &Hub,
        executor: ExecutorId,
        lanes: usize,
        tasks: &TaskTracker,
        abandon: &CancellationToken,
    ) -> Self {
        let trouble = Trouble::default();
        let begin = Begin {
            trouble: &trouble,
            store,
            hub,
            executor,
            tasks,
            abandon,
        };
        Self {
            moves: (0..lanes.max(1)).map(|_| begin.lane()).collect(),
            births: (0..lanes.div_ceil(2).max(1))
                .map(|_| begin.lane())
                .collect(),
            trouble,
        }
    }

    /// How many lanes have tried in vain for more than a second, and each change of that: as long as there are any,
    /// what is taken on is not written.
    #[must_use]
    pub fn in_trouble(&self) -> watch::Receiver<usize> {
        self.trouble.watch()
    }

    /// Appends events to a run that this executor owns, and gives the verdict once it is known.
    ///
    /// A run has at most one entry under way: the next one is written after the verdict on this one.
    ///
    /// # Errors
    ///
    /// When the journal was closed.
    pub async fn append(&self, entry: Move) -> Result<Verdict, Closed> {
        let lane = &self.moves[place(&entry.key, self.moves.len())];
        post(lane, entry).await
    }

    /// Brings a run into being, and gives the verdict once it is known.
    ///
    /// # Errors
    ///
    /// When the journal was closed.
    pub async fn bear(&self, entry: Birth) -> Result<Born, Closed> {
        let lane = &self.births[place(&entry.key, self.births.len())];
        post(lane, entry).await
    }
}

/// What every lane begins with.
struct Begin<'a> {
    trouble: &'a Trouble,
    store: &'a Store,
    hub: &'a Hub,
    executor: ExecutorId,
    tasks: &'a TaskTracker,
    abandon: &'a CancellationToken,
}

impl Begin<'_> {
    /// Begins a lane, and gives the way to it.
    fn lane<E: lane::Entry>(&self) -> mpsc::Sender<Posted<E>> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let lane = lane::Lane::new(
            self.store.clone(),
            self.hub.clone(),
            self.executor,
            queue,
            self.trouble.account(),
        );
        let running = self.abandon.clone().run_until_cancelled_owned(lane.run());
        self.tasks.spawn(running);
        sender
    }
}

async fn post<E: lane::Entry>(
    lane: &mpsc::Sender<Posted<E>>,
    entry: E,
) -> Result<E::Verdict, Closed> {
    let (reply, verdict) = oneshot::channel();
    lane.send(Posted { entry, reply })
        .await
        .map_err(|_| Closed)?;
    verdict.await.map_err(|_| Closed)
}

/// A run's lane.
fn place(key: &RunKey, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.run_id.hash(&mut hasher);
    usize::try_from(hasher.finish() % lanes as u64).expect("smaller than the number of lanes")
}
