//! The applet pool: how many steps of all runs execute at once in this process.
//!
//! `PURE` steps need no slot: they are short, and the threads for CPU work bound them. A slot is taken before an
//! attempt is journaled as started, so that "started" in the history means that it really runs.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    slots: Arc<Semaphore>,
    size: usize,
}

/// One attempt's place in the pool; free again on drop.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Pool {
    /// A pool of so many slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
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

    /// A slot, if one is free and nobody has asked before.
    #[must_use]
    pub fn try_slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok().map(Slot)
    }

    /// A slot, in the order of asking.
    pub async fn slot(self) -> Slot {
        Slot(
            self.slots
                .acquire_owned()
                .await
                .expect("the pool is never closed"),
        )
    }
}
