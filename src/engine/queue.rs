//! The queue of runs that find no place in memory, and its bounds: how many may wait for their start, in a namespace and
//! in all.
//!
//! The database counts, up to the bound and no more than a twentieth of the time; what this process lets in meanwhile is
//! added. So the bound is exact for one process, and several may pass it together by what they let in during the time
//! between two counts: twenty times what a count takes, some milliseconds while the queue is short and about half a
//! second at 100,000 runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use crate::ids::Namespace;
use crate::store::queue::{self, Queued};
use crate::store::{self, Store};

/// How much longer a count is used than it took.
const FACTOR: u32 = 20;
/// The longest that one is used: without its index the database counts slowly.
const LONGEST: Duration = Duration::from_mins(1);
/// How many namespaces' counts are kept before old ones are forgotten.
const KEPT: usize = 1_000;

/// Which bound of the queue is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// That of all namespaces together.
    All,
    /// That of each namespace.
    OfNamespace(Namespace),
}

/// The queue is full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{queued} runs wait for their start, the most are {limit}")]
pub struct Full {
    /// Which bound is reached.
    pub bound: Bound,
    /// The most runs.
    pub limit: u64,
    /// How many wait, counted up to the bound.
    pub queued: u64,
}

/// The gate of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    most: Queued,
    counts: Arc<Mutex<Counts>>,
    /// Held while the database counts: others wait for the same answer.
    counting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    namespaces: HashMap<Namespace, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// What the database has counted.
    counted: u64,
    /// Those who were let in here since, or of whom it was not known yet whether they were counted.
    since: u64,
    /// Those who were let in here and are not known to be written.
    unwritten: u64,
    fresh_until: Option<Instant>,
}

impl Count {
    fn value(&self) -> u64 {
        self.counted + self.since
    }

    fn is_fresh(&self) -> bool {
        self.fresh_until.is_some_and(|until| Instant::now() < until)
    }

    fn enter(&mut self) {
        self.since += 1;
        self.unwritten += 1;
    }
}

/// A place in the queue, held until the run is written or it is known that it will not be.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Mutex<Counts>>,
    namespace: Namespace,
}

impl Place {
    /// Gives the place back at once: the run does not wait, or will not be. To be called once.
    pub(super) fn give_back(&self) {
        let mut counts = locked(&self.counts);
        counts.all.since = counts.all.since.saturating_sub(1);
        if let Some(count) = counts.namespaces.get_mut(&self.namespace) {
            count.since = count.since.saturating_sub(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = locked(&self.counts);
        counts.all.unwritten = counts.all.unwritten.saturating_sub(1);
        if let Some(count) = counts.namespaces.get_mut(&self.namespace) {
            count.unwritten = count.unwritten.saturating_sub(1);
        }
    }
}

fn locked(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    // Every change is complete before anything could panic.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// A queue with these bounds.
    pub(super) fn new(most: Queued) -> Self {
        Self {
            most,
            counts: Arc::default(),
            counting: tokio::sync::Mutex::default(),
        }
    }

    /// Gives a place in the queue, or says that it is full.
    pub(super) async fn enter(&self, store: &Store, namespace: &Namespace) -> Result<Place, Error> {
        if let Some(entered) = self.enter_by_last_count(namespace) {
            return Ok(entered?);
        }
        let _turn = self.counting.lock().await;
        if let Some(entered) = self.enter_by_last_count(namespace) {
            return Ok(entered?);
        }
        self.count(store, namespace).await?;
        Ok(self.pass(&mut locked(&self.counts), namespace)?)
    }

    /// Decides by what is known, if that is new enough.
    fn enter_by_last_count(&self, namespace: &Namespace) -> Option<Result<Place, Full>> {
        let mut counts = locked(&self.counts);
        let known = counts
            .namespaces
            .get(namespace)
            .is_some_and(Count::is_fresh);
        (known && counts.all.is_fresh()).then(|| self.pass(&mut counts, namespace))
    }

    fn pass(&self, counts: &mut Counts, namespace: &Namespace) -> Result<Place, Full> {
        let of_namespace = counts.namespaces.entry(namespace.clone()).or_default();
        let full = |bound, limit, queued| Full {
            bound,
            limit,
            queued,
        };
        if of_namespace.value() >= self.most.of_namespace {
            let bound = Bound::OfNamespace(namespace.clone());
            return Err(full(bound, self.most.of_namespace, of_namespace.value()));
        }
        if counts.all.value() >= self.most.of_all {
            return Err(full(Bound::All, self.most.of_all, counts.all.value()));
        }
        of_namespace.enter();
        counts.all.enter();
        Ok(Place {
            counts: Arc::clone(&self.counts),
            namespace: namespace.clone(),
        })
    }

    /// Has the database count.
    async fn count(&self, store: &Store, namespace: &Namespace) -> store::Result<()> {
        // Those whose rows may or may not be counted are counted here: rather one too many.
        let (all, of_namespace) = {
            let counts = locked(&self.counts);
            let of_namespace = counts.namespaces.get(namespace);
            (
                counts.all.unwritten,
                of_namespace.map_or(0, |count| count.unwritten),
            )
        };
        let mut conn = store.conn().await?;
        let began = Instant::now();
        let counted = queue::count(&mut conn, namespace, self.most).await?;
        let fresh_for = (began.elapsed() * FACTOR).min(LONGEST);
        let fresh_until = Some(Instant::now() + fresh_for);
        let mut counts = locked(&self.counts);
        if counts.namespaces.len() >= KEPT {
            counts
                .namespaces
                .retain(|_, count| count.unwritten > 0 || count.is_fresh());
        }
        counts.all.counted = counted.of_all;
        counts.all.since = all;
        counts.all.fresh_until = fresh_until;
        let count = counts.namespaces.entry(namespace.clone()).or_default();
        count.counted = counted.of_namespace;
        count.since = of_namespace;
        count.fresh_until = fresh_until;
        Ok(())
    }
}
