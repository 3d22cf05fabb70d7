//! What the watchers of one run have in common.

use tokio::sync::{broadcast, watch};

use super::Signal;

/// How many signals a watcher may be behind before it has to read from the store.
pub(super) const BACKLOG: usize = 64;

/// Where signals come from of a run that this process does not drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nobody has found out yet who drives it.
    Unknown,
    /// The database is asked now and then.
    Polls,
    /// The process that drives it tells what happens.
    Relay,
}

/// The way to all watchers of a run; there as long as there are any.
#[derive(Debug)]
pub(super) struct Channel {
    /// Tells it from others of the same run, before and after.
    number: u64,
    signals: broadcast::Sender<Signal>,
    source: watch::Sender<Source>,
    drafts_wanted: watch::Sender<bool>,
    relayed: Option<Progress>,
}

/// How far a run has come that is relayed.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// By what the relay has brought.
    told: i64,
    /// By the last poll.
    polled: i64,
}

impl Channel {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            signals: broadcast::Sender::new(BACKLOG),
            source: watch::Sender::new(Source::Unknown),
            drafts_wanted: watch::Sender::new(false),
            relayed: None,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    pub(super) fn source(&self) -> watch::Receiver<Source> {
        self.source.subscribe()
    }

    /// Whether somebody reads drafts: set once, and gone with the channel.
    pub(super) fn drafts_wanted(&self) -> watch::Receiver<bool> {
        self.drafts_wanted.subscribe()
    }

    pub(super) fn want_drafts(&self) {
        self.drafts_wanted
            .send_if_modified(|wanted| !std::mem::replace(wanted, true));
    }

    pub(super) fn is_deserted(&self) -> bool {
        self.signals.receiver_count() == 0
    }

    pub(super) fn send(&self, signal: Signal) {
        // An error says that the last watcher is just leaving.
        self.signals.send(signal).ok();
    }

    pub(super) fn comes_from(&self, source: Source) {
        self.source.send_replace(source);
    }

    /// From now on a relay brings what comes after this sequence.
    pub(super) fn relayed_after(&mut self, sequence: i64) {
        self.relayed = Some(Progress {
            told: sequence,
            polled: sequence,
        });
        self.comes_from(Source::Relay);
    }

    /// The relay has told about events up to this sequence.
    pub(super) fn told(&mut self, sequence: i64) {
        if let Some(progress) = &mut self.relayed {
            progress.told = progress.told.max(sequence);
        }
    }

    /// Nothing comes from the relay for now.
    pub(super) fn parted(&mut self) {
        self.relayed = None;
    }

    /// A poll has found the run at this sequence.
    ///
    /// A relay has the time until the next poll to tell of it: what it brings comes in order with the drafts, which
    /// are shown before the event that ends their attempt.
    pub(super) fn polled(&mut self, last_sequence: i64) {
        if let Some(progress) = &mut self.relayed {
            let in_time = progress.told >= progress.polled;
            progress.polled = last_sequence;
            if in_time {
                return;
            }
        }
        self.send(Signal::Behind(last_sequence));
    }
}
