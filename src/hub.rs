//! Hands committed events to the watchers in this process.
//!
//! A watcher that is slow loses signals here and nothing else: it sees by the sequence that something is missing and
//! reads it from the store. So nobody who watches can hold up a run or another watcher.
//!
//! [`drafts`] are what steps show while they work: no events, and nowhere kept. A [`feed`] brings both of a run that
//! another process drives.

mod channel;
pub mod drafts;
pub mod feed;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Notify, watch};

use self::channel::{Channel, Source};
use self::drafts::{Reader, Shelf};
use crate::ids::RunKey;
use crate::run::event::Recorded;

/// Something that a watcher is told.
#[derive(Clone, Debug)]
pub enum Signal {
    /// Events that are committed, in order and without gaps.
    Events(Arc<[Recorded]>),
    /// The run has events up to this sequence, written elsewhere: read them from the store.
    Behind(i64),
    /// Signals were lost: read from the store what is missing.
    Missed,
}

/// A handle to the hub; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    shared: Arc<Mutex<Shared>>,
    /// There is something in `Shared::fresh`.
    looked_for: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Shared {
    channels: HashMap<RunKey, Channel>,
    /// How many channels there have been.
    opened: u64,
    /// Watched runs of which it is not known yet who drives them.
    fresh: HashSet<RunKey>,
    shelves: HashMap<RunKey, Arc<Shelf>>,
    watchers: usize,
    limit: usize,
}

/// There are as many watchers as this process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} watches are open in this process, which is its limit")]
pub struct TooMany(pub usize);

impl Hub {
    /// A hub for at most `limit` watchers at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let shared = Shared {
            limit,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            looked_for: Arc::default(),
        }
    }

    /// Begins to watch a run: what is committed from now on is signalled.
    ///
    /// # Errors
    ///
    /// When there are too many watchers already.
    pub fn subscribe(&self, key: &RunKey) -> Result<Subscription, TooMany> {
        let mut shared = self.lock();
        if shared.watchers >= shared.limit {
            return Err(TooMany(shared.limit));
        }
        shared.watchers += 1;
        if !shared.channels.contains_key(key) {
            shared.opened += 1;
            let channel = Channel::new(shared.opened);
            shared.channels.insert(key.clone(), channel);
            shared.fresh.insert(key.clone());
            self.looked_for.notify_one();
        }
        let channel = &shared.channels[key];
        let (receiver, source) = (channel.subscribe(), channel.source());
        Ok(Subscription {
            key: key.clone(),
            receiver: Some(receiver),
            source,
            drafts: None,
            hub: self.clone(),
        })
    }

    /// The same with what the run's steps show while they work: see [`Subscription::take_drafts`], and
    /// [`Hub::want_drafts`] for a run that may be driven elsewhere.
    ///
    /// # Errors
    ///
    /// When there are too many watchers already.
    pub fn subscribe_with_drafts(&self, key: &RunKey) -> Result<Subscription, TooMany> {
        let mut subscription = self.subscribe(key)?;
        subscription.drafts = Some(self.read_drafts(key));
        Ok(subscription)
    }

    /// Begins to watch something else than one run, which counts all the same.
    ///
    /// # Errors
    ///
    /// When there are too many watchers already.
    pub fn take_place(&self) -> Result<Place, TooMany> {
        let mut shared = self.lock();
        if shared.watchers >= shared.limit {
            return Err(TooMany(shared.limit));
        }
        shared.watchers += 1;
        Ok(Place { hub: self.clone() })
    }

    /// Tells the watchers of a run about events that are committed.
    pub fn publish(&self, key: &RunKey, events: &Arc<[Recorded]>) {
        if let Some(channel) = self.lock().channels.get(key) {
            channel.send(Signal::Events(Arc::clone(events)));
        }
    }

    /// Tells the watchers of a run how far it has come elsewhere; not what a feed brings in time.
    pub fn behind(&self, key: &RunKey, last_sequence: i64) {
        if let Some(channel) = self.lock().channels.get_mut(key) {
            channel.polled(last_sequence);
        }
    }

    /// Asks for what the steps of a watched run show, also where another process drives it.
    pub fn want_drafts(&self, key: &RunKey) {
        if let Some(channel) = self.lock().channels.get(key) {
            channel.want_drafts();
        }
    }

    /// All runs that somebody watches.
    #[must_use]
    pub fn watched(&self) -> Vec<RunKey> {
        self.lock().channels.keys().cloned().collect()
    }

    /// Resolves when it may have to be found out who drives a run that is watched; one at a time may wait for that.
    pub(crate) async fn looked_for(&self) {
        self.looked_for.notified().await;
    }

    /// The watched runs of which that has to be found out. Each is given once.
    pub(crate) fn take_fresh(&self) -> Vec<RunKey> {
        self.lock().fresh.drain().collect()
    }

    /// Has it found out again who drives a run, if somebody watches it still.
    pub(crate) fn look_again(&self, key: &RunKey) {
        let mut shared = self.lock();
        if shared.channels.contains_key(key) {
            shared.fresh.insert(key.clone());
            self.looked_for.notify_one();
        }
    }

    /// Notes that nothing but polling brings what happens in a run that is driven elsewhere.
    pub(crate) fn only_polled(&self, key: &RunKey) {
        if let Some(channel) = self.lock().channels.get(key) {
            channel.comes_from(Source::Polls);
        }
    }

    /// Begins to read what the steps of a run show while they work in this process.
    #[must_use]
    pub(crate) fn read_drafts(&self, key: &RunKey) -> Reader {
        let mut shared = self.lock();
        let shelf = shared.shelf(key);
        // It counts as a reader before anybody can find the shelf idle.
        Reader::new(self.clone(), key.clone(), shelf)
    }

    /// Where the drafts of a run stand.
    fn shelf(&self, key: &RunKey) -> Arc<Shelf> {
        self.lock().shelf(key)
    }

    /// Removes the shelf of a run, if nobody writes or reads there any more.
    fn tidy(&self, key: &RunKey, shelf: Arc<Shelf>) {
        let mut shared = self.lock();
        drop(shelf);
        if let Some(shelf) = shared.shelves.get(key)
            && shelf.is_idle()
            && Arc::strong_count(shelf) == 1
        {
            shared.shelves.remove(key);
        }
    }

    #[cfg(test)]
    fn shelves(&self) -> usize {
        self.lock().shelves.len()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Every change below is complete before anything could panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn shelf(&mut self, key: &RunKey) -> Arc<Shelf> {
        let shelf = self.shelves.entry(key.clone());
        Arc::clone(shelf.or_insert_with(|| Arc::new(Shelf::new())))
    }
}

/// One watcher's place at the hub; leaves it on drop.
#[derive(Debug)]
pub struct Subscription {
    key: RunKey,
    receiver: Option<broadcast::Receiver<Signal>>,
    source: watch::Receiver<Source>,
    drafts: Option<Reader>,
    hub: Hub,
}

impl Subscription {
    /// What the run's steps show, if that was asked for; it is kept for this watcher until it is taken and dropped.
    #[must_use]
    pub fn take_drafts(&mut self) -> Option<Reader> {
        self.drafts.take()
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        let Some(receiver) = &mut self.receiver else {
            return std::future::pending().await;
        };
        match receiver.recv().await {
            Ok(signal) => signal,
            // The sender outlives its receivers, so that it cannot be closed.
            Err(RecvError::Lagged(_) | RecvError::Closed) => Signal::Missed,
        }
    }

    /// A signal that is there already.
    pub(crate) fn find_next(&mut self) -> Option<Signal> {
        match self.receiver.as_mut()?.try_recv() {
            Ok(signal) => Some(signal),
            Err(TryRecvError::Lagged(_)) => Some(Signal::Missed),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// Whether what happens in a run that is driven elsewhere comes from where it is driven, as soon as that is known
    /// and after `patience` at the latest.
    pub async fn is_relayed(&mut self, patience: Duration) -> bool {
        let known = self.source.wait_for(|source| *source != Source::Unknown);
        match tokio::time::timeout(patience, known).await {
            Ok(Ok(source)) => *source == Source::Relay,
            // Nobody has found it out.
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.receiver = None;
        let mut shared = self.hub.lock();
        shared.watchers -= 1;
        if shared
            .channels
            .get(&self.key)
            .is_some_and(Channel::is_deserted)
        {
            shared.channels.remove(&self.key);
            shared.fresh.remove(&self.key);
        }
    }
}

/// One watcher of something else than one run: counted until it is dropped.
#[derive(Debug)]
pub struct Place {
    hub: Hub,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.lock().watchers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::channel::BACKLOG;
    use super::*;
    use crate::ids::{Namespace, RunId};

    fn key() -> RunKey {
        RunKey {
            namespace: Namespace::default_namespace(),
            run_id: RunId::new(uuid::Uuid::now_v7()),
        }
    }

    #[tokio::test]
    async fn a_watcher_that_is_too_slow_is_told_that_it_missed_something() {
        let hub = Hub::new(10);
        let key = key();
        let mut slow = hub.subscribe(&key).expect("one fits");

        for sequence in 0..=BACKLOG {
            hub.behind(&key, i64::try_from(sequence).expect("small"));
        }

        assert!(matches!(slow.next().await, Signal::Missed));
        assert!(matches!(slow.next().await, Signal::Behind(1)));
    }

    #[test]
    fn the_last_watcher_that_leaves_takes_the_channel_along() {
        let hub = Hub::new(1);
        let key = key();
        let first = hub.subscribe(&key).expect("one fits");

        assert_eq!(hub.subscribe(&key).err(), Some(TooMany(1)));
        assert_eq!(hub.watched(), vec![key]);
        drop(first);

        assert!(hub.watched().is_empty());
    }
}
