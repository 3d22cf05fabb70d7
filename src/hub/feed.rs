//! What another process tells about a run that it drives, handed to the watchers in this one.

use std::sync::Arc;

use tokio::sync::watch;

use super::channel::{Channel, Source};
use super::drafts::{Mirror, Piece};
use super::{Hub, Signal};
use crate::ids::RunKey;
use crate::run::event::{Event, Recorded};

/// The one place from which a run's watchers hear of it while it is driven elsewhere. On drop they are polled for.
#[derive(Debug)]
pub struct Feed {
    hub: Hub,
    key: RunKey,
    /// The number of the channel, so that watchers who come after the last one has left are not taken for it.
    channel: u64,
    drafts_wanted: watch::Receiver<bool>,
    mirror: Mirror,
}

/// Nobody watches the run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwatched;

impl Hub {
    /// Begins to tell of a run what another process says; `None` if nobody watches it. There must be one feed of a run
    /// at a time.
    pub(crate) fn feed(&self, key: &RunKey) -> Option<Feed> {
        let shared = self.lock();
        let channel = shared.channels.get(key)?;
        Some(Feed {
            hub: self.clone(),
            key: key.clone(),
            channel: channel.number(),
            drafts_wanted: channel.drafts_wanted(),
            mirror: Mirror::new(self.clone(), key.clone()),
        })
    }
}

impl Feed {
    /// What comes after this sequence is told from now on; watchers have been told of what is up to it.
    pub fn joined(&self, sequence: i64) {
        self.on_channel(|channel| channel.relayed_after(sequence));
    }

    /// What happens is told no longer: polls count again, until the next [`Feed::joined`].
    pub fn parted(&self) {
        self.on_channel(Channel::parted);
    }

    /// Events are committed: in order, without gaps, at least one.
    pub fn events(&mut self, events: &Arc<[Recorded]>) {
        let Some(last) = events.last().map(|event| event.sequence) else {
            return;
        };
        self.on_channel(|channel| {
            channel.told(last);
            channel.send(Signal::Events(Arc::clone(events)));
        });
        for recorded in events.iter() {
            if recorded.event.ends_drafts()
                && let Some((path, attempt)) = recorded.event.step()
            {
                self.mirror.end(path, attempt);
            }
        }
    }

    /// Events up to this sequence are committed, and are to be read from the store.
    pub fn reached(&self, sequence: i64) {
        self.on_channel(|channel| {
            channel.told(sequence);
            channel.send(Signal::Behind(sequence));
        });
    }

    /// Something was left out. Drafts that go on are shown again.
    pub fn missed(&mut self) {
        self.mirror.end_all();
        self.on_channel(|channel| channel.send(Signal::Missed));
    }

    /// A step shows more of a text.
    pub fn draft(&mut self, piece: &Piece) {
        self.mirror.show(piece);
    }

    /// Whether somebody reads drafts.
    #[must_use]
    pub fn drafts_wanted(&self) -> bool {
        *self.drafts_wanted.borrow()
    }

    /// Resolves when somebody begins to read drafts, who does so for the first time since the feed began or this was
    /// called.
    ///
    /// # Errors
    ///
    /// [`Unwatched`] as soon as nobody watches any more.
    pub async fn changed(&mut self) -> Result<(), Unwatched> {
        self.drafts_wanted.changed().await.map_err(|_| Unwatched)
    }

    fn on_channel(&self, change: impl FnOnce(&mut Channel)) {
        if let Some(channel) = self.hub.lock().channels.get_mut(&self.key)
            && channel.number() == self.channel
        {
            change(channel);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.on_channel(|channel| {
            channel.parted();
            channel.comes_from(Source::Polls);
        });
    }
}

impl Event {
    /// Whether nothing is added after it to what the attempt of its step shows.
    #[must_use]
    pub(crate) fn ends_drafts(&self) -> bool {
        self.step().is_some() && !matches!(self, Self::StepStarted(_) | Self::SignalReceived(_))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::Utc;

    use super::*;
    use crate::hub::drafts::{Author, Kind};
    use crate::ids::{Namespace, NodeId, RunId, StepPath};
    use crate::run::event::RunCancelled;

    const SOON: Duration = Duration::from_secs(5);

    fn key() -> RunKey {
        RunKey {
            namespace: Namespace::default_namespace(),
            run_id: RunId::new(uuid::Uuid::now_v7()),
        }
    }

    fn cancelled(sequence: i64) -> Arc<[Recorded]> {
        let event = RunCancelled {
            reason: String::new(),
        };
        Arc::new([Recorded {
            sequence,
            at: Utc::now(),
            event: event.into(),
            payload: None,
        }])
    }

    fn piece(offset: u64, text: &str) -> Piece {
        let node_id = NodeId::from("ask");
        Piece {
            author: Author {
                path: StepPath::from(&node_id),
                node_id,
                attempt: 1,
                epoch: 1,
            },
            kind: Kind::Output,
            edition: 0,
            offset,
            text: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_poll_says_nothing_that_the_relay_tells_in_time() {
        let (hub, key) = (Hub::new(10), key());
        let mut watcher = hub.subscribe(&key).expect("one fits");
        let mut feed = hub.feed(&key).expect("it is watched");

        hub.behind(&key, 3);
        feed.joined(3);
        hub.behind(&key, 4);
        feed.events(&cancelled(4));
        hub.behind(&key, 5);
        assert!(matches!(watcher.find_next(), Some(Signal::Behind(3))));
        assert!(matches!(watcher.find_next(), Some(Signal::Events(_))));
        assert!(watcher.find_next().is_none());

        // The relay has had the time between two polls.
        hub.behind(&key, 5);
        assert!(matches!(watcher.find_next(), Some(Signal::Behind(5))));
    }

    #[tokio::test]
    async fn watchers_learn_whether_they_are_relayed() {
        let (hub, key) = (Hub::new(10), key());
        let mut watcher = hub.subscribe(&key).expect("one fits");
        assert!(!watcher.is_relayed(Duration::ZERO).await);

        let feed = hub.feed(&key).expect("it is watched");
        feed.joined(1);
        assert!(watcher.is_relayed(SOON).await);

        drop(feed);
        assert!(!watcher.is_relayed(SOON).await);
    }

    #[tokio::test]
    async fn a_feed_ends_with_the_last_watcher_and_is_nothing_to_the_next() {
        let (hub, key) = (Hub::new(10), key());
        let watcher = hub.subscribe(&key).expect("one fits");
        let mut feed = hub.feed(&key).expect("it is watched");
        assert!(!feed.drafts_wanted());

        hub.want_drafts(&key);
        assert_eq!(feed.changed().await, Ok(()));
        assert!(feed.drafts_wanted());
        drop(watcher);
        assert_eq!(feed.changed().await, Err(Unwatched));

        let mut next = hub.subscribe(&key).expect("one fits");
        feed.joined(7);
        feed.reached(8);
        assert!(next.find_next().is_none());
        assert!(!next.is_relayed(Duration::ZERO).await);
        assert_eq!(hub.take_fresh(), [key]);
    }

    #[tokio::test]
    async fn drafts_that_come_twice_are_shown_once() {
        let (hub, key) = (Hub::new(10), key());
        let mut watcher = hub.subscribe_with_drafts(&key).expect("one fits");
        let mut reader = watcher.take_drafts().expect("they were asked for");
        let mut feed = hub.feed(&key).expect("it is watched");
        let shown = |reader: &mut crate::hub::drafts::Reader| {
            let piece = reader.find_next(None)?;
            reader.shown(&piece);
            Some((piece.offset, piece.text))
        };

        feed.draft(&piece(0, "Hel"));
        assert_eq!(shown(&mut reader), Some((0, "Hel".to_owned())));
        feed.missed();
        feed.draft(&piece(0, "Hello"));
        assert_eq!(shown(&mut reader), Some((3, "lo".to_owned())));

        let anew = Piece {
            edition: 1,
            ..piece(0, "")
        };
        feed.draft(&anew);
        assert_eq!(shown(&mut reader), Some((0, String::new())));
        let later = Piece {
            edition: 1,
            ..piece(9, "day")
        };
        feed.draft(&later);
        assert_eq!(shown(&mut reader), Some((9, "day".to_owned())));
        assert_eq!(shown(&mut reader), None);

        drop((feed, reader, watcher));
        assert_eq!(hub.shelves(), 0);
    }
}
