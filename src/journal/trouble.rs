//! Whether the journal gets anything written: what admission and health go by.
//!
//! A lane that tries in vain for a while says so, and takes it back with the first batch that is written. A row that
//! the database refuses, or that somebody has locked, is no trouble: others are written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long a lane tries in vain before it says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many lanes have tried in vain for a while; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    lanes: Arc<watch::Sender<usize>>,
}

impl Trouble {
    /// The number, and each change of it.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.lanes.subscribe()
    }

    /// One lane's account of its attempts.
    pub(super) fn account(&self) -> Account {
        Account {
            trouble: self.clone(),
            since: None,
            is_told: false,
        }
    }
}

/// What one lane's attempts have come to.
#[derive(Debug)]
pub(super) struct Account {
    trouble: Trouble,
    /// When the first of the attempts began that were all in vain.
    since: Option<Instant>,
    is_told: bool,
}

impl Account {
    /// The database did what was asked, or nothing is to be asked any more: then the next attempt tells.
    pub(super) fn settled(&mut self) {
        self.since = None;
        if std::mem::take(&mut self.is_told) {
            self.trouble.lanes.send_modify(|lanes| *lanes -= 1);
        }
    }

    /// An attempt that began then was in vain, and not for what was to be written.
    pub(super) fn failed(&mut self, began: Instant) {
        let since = *self.since.get_or_insert(began);
        if !self.is_told && since.elapsed() >= PATIENCE {
            self.is_told = true;
            self.trouble.lanes.send_modify(|lanes| *lanes += 1);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.settled();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lane_is_in_trouble_after_a_while_in_vain_and_until_something_is_written() {
        let trouble = Trouble::default();
        let (mut account, lanes) = (trouble.account(), trouble.watch());

        account.failed(Instant::now());
        assert_eq!(*lanes.borrow(), 0, "a connection may break");
        tokio::time::advance(PATIENCE).await;
        account.failed(Instant::now());
        account.failed(Instant::now());
        assert_eq!(*lanes.borrow(), 1);

        account.settled();
        assert_eq!(*lanes.borrow(), 0);
        let began = Instant::now();
        tokio::time::advance(PATIENCE).await;
        account.failed(began);
        assert_eq!(*lanes.borrow(), 1, "one attempt that took long says it all");
        drop(account);
        assert_eq!(*lanes.borrow(), 0);
    }
}
