//! The applet pool: how many steps of all runs execute at once in this process.
//!
//! `PURE` steps need no slot: they are short, and the threads for CPU work bound them. A slot is taken before an
//! attempt is journaled as started, so that "started" in the history means that it really runs.
//!
//! A step that may be what kills processes takes the place for suspects besides, of which each process has one: of two
//! that may be it, the one that dies alone is the one.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    slots: Arc<Semaphore>,
    probe: Arc<Semaphore>,
    size: usize,
}

/// One attempt's place in the pool; free again on drop.
#[derive(Debug)]
pub struct Slot {
    #[expect(dead_code, reason = "held for its drop")]
    slot: OwnedSemaphorePermit,
    probe: Option<Probe>,
}

/// The one place for suspects; free again on drop.
#[derive(Debug)]
pub struct Probe(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Slot {
    /// Takes out the place for suspects, which is to be held for longer than the slot.
    pub fn take_probe(&mut self) -> Option<Probe> {
        self.probe.take()
    }
}

/// Which place an attempt takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A slot.
    Slot,
    /// A slot, and the one place for suspects.
    Probe,
}

impl Pool {
    /// A pool of so many slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            probe: Arc::new(Semaphore::new(1)),
            size: slots,
        }
    }

    /// How many slots there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many of them are taken.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.size.saturating_sub(self.slots.available_permits())
    }

    /// A place, if it is free and nobody has asked for it before.
    #[must_use]
    pub fn try_take(&self, place: Place) -> Option<Slot> {
        let probe = match place {
            Place::Slot => None,
            Place::Probe => Some(Probe(Arc::clone(&self.probe).try_acquire_owned().ok()?)),
        };
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        Some(Slot { slot, probe })
    }

    /// A place, in the order of asking.
    pub async fn take(self, place: Place) -> Slot {
        const OPEN: &str = "the pool is never closed";
        // The rarer one first: who has a slot does not wait.
        let probe = match place {
            Place::Slot => None,
            Place::Probe => Some(Probe(self.probe.acquire_owned().await.expect(OPEN))),
        };
        let slot = self.slots.acquire_owned().await.expect(OPEN);
        Slot { slot, probe }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn suspects_take_turns_while_all_others_have_their_slots() {
        let pool = Pool::new(3);
        let first = pool.try_take(Place::Probe).expect("nobody is suspected");

        assert!(pool.try_take(Place::Probe).is_none());
        let other = pool.try_take(Place::Slot).expect("a slot is free");
        let mut second = Box::pin(pool.clone().take(Place::Probe));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(pool.in_use(), 2, "who waits for its turn holds no slot");
        drop(first);

        let second = second.await;
        assert_eq!(pool.in_use(), 2);
        drop((second, other));
        assert_eq!(pool.in_use(), 0);
    }
}
