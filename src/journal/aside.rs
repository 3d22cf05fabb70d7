//! Entries that cannot be written now although others can: tried again one by one, beside what comes after them.

use std::time::Duration;

use tokio::time::Instant;

use super::Posted;
use super::lane::Entry;

/// The waits between attempts at one entry: doubled from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What was put aside. Each run has at most one entry under way, so that open runs bound it.
pub(super) struct Aside<E: Entry> {
    waiting: Vec<Waiting<E>>,
    /// The wait that the entry under way had, if it comes from here.
    last_wait: Option<Duration>,
}

struct Waiting<E: Entry> {
    posted: Posted<E>,
    due: Instant,
    wait: Duration,
}

impl<E: Entry> Aside<E> {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            last_wait: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts an entry aside; for longer each time.
    pub(super) fn put(&mut self, posted: Posted<E>) {
        let wait = self
            .last_wait
            .take()
            .map_or(WAITS.0, |wait| (wait * 2).min(WAITS.1));
        self.waiting.push(Waiting {
            posted,
            due: Instant::now() + wait,
            wait,
        });
    }

    /// When the first one is due; never while there is none.
    pub(super) async fn due(&self) {
        match self.waiting.iter().map(|waiting| waiting.due).min() {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// The one that is due first, if it is due.
    pub(super) fn take(&mut self) -> Option<Posted<E>> {
        self.last_wait = None;
        let now = Instant::now();
        let due = self.waiting.iter().enumerate();
        let (at, _) = due
            .filter(|(_, waiting)| waiting.due <= now)
            .min_by_key(|(_, waiting)| waiting.due)?;
        let taken = self.waiting.swap_remove(at);
        self.last_wait = Some(taken.wait);
        Some(taken.posted)
    }
}
