//! Whether the database can be worked with, and what is taken on meanwhile: admission stops before anything grows.
//!
//! Two things tell: the renewal of the lease, and the journal's lanes. While either fails, runs that are here go on as
//! far as they can with what they have, and keep what they have to write; nothing new is taken on.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::driver::Delivered;
use super::plan::Plan;
use super::start::Newborn;
use super::{Engine, Error};
use crate::{store, value};

/// The most bytes of runs that are being started at once: what is not durable yet is in memory.
const MOST_BYTES: usize = 256 << 20;
/// What a run that is being started costs beside its input, in bytes.
const BASE_BYTES: u64 = 8 << 10;
/// How exactly bytes are counted.
const GRAIN: usize = 1 << 10;
/// How long the database may be away before somebody who waits for a start is told so.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of what has yet to become durable fits into memory.
#[derive(Debug)]
pub(super) struct Intake {
    room: Semaphore,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            room: Semaphore::new(MOST_BYTES / GRAIN),
        }
    }
}

impl Intake {
    /// Room for so many bytes, if there is any.
    fn find_room(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let grains = (BASE_BYTES + bytes) / GRAIN as u64;
        let most = (MOST_BYTES / GRAIN) as u64;
        let grains = u32::try_from(grains.min(most)).unwrap_or(u32::MAX);
        self.room.try_acquire_many(grains).ok()
    }
}

impl Engine {
    /// Tells [`Engine::reachable`] what renewals and lanes say, until the process ends.
    pub(super) fn keep_watching_the_database(&self) {
        let engine = self.clone();
        let watching = async move {
            let mut renewing = engine.inner.renewing.subscribe();
            let mut lanes = engine.inner.parts.journal.in_trouble();
            loop {
                let reachable = *renewing.borrow_and_update() && *lanes.borrow_and_update() == 0;
                let changed = |was: &mut bool| std::mem::replace(was, reachable) != reachable;
                if engine.inner.reachable.send_if_modified(changed) {
                    if reachable {
                        tracing::info!("the database takes what is to be written");
                    } else {
                        tracing::warn!("the database takes nothing: no new work is taken on");
                    }
                }
                let changed = tokio::select! {
                    changed = renewing.changed() => changed,
                    changed = lanes.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        let ending = self.inner.abandon.clone();
        self.inner
            .loops
            .spawn(ending.run_until_cancelled_owned(watching));
    }

    /// Brings a run into being that a caller wants, who is told soon if there is no database to write it to: it is
    /// not started then, unless it was written all the same.
    pub(super) async fn take_in(
        &self,
        plan: Arc<Plan>,
        newborn: Newborn,
    ) -> Result<Delivered, Error> {
        let bytes = value::measure(&newborn.input, u64::MAX).map_or(0, |measure| measure.bytes);
        let room = self.inner.intake.find_room(bytes);
        let _room = room.ok_or(Error::TooMuchStarting { limit: MOST_BYTES })?;
        let given_up = newborn.given_up.clone().drop_guard();
        tokio::select! {
            born = self.bring_forth(plan, newborn) => {
                if born.is_ok() {
                    given_up.disarm();
                }
                born
            }
            () = self.database_gone() => Err(away().into()),
        }
    }

    /// Waits until the database has been away for a while.
    async fn database_gone(&self) {
        let mut reachable = self.reachable();
        loop {
            if reachable.wait_for(|reachable| !reachable).await.is_err() {
                return pending().await;
            }
            if timeout(PATIENCE, reachable.wait_for(|reachable| *reachable))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// What callers are told while there is no database to write to.
pub(super) fn away() -> store::Error {
    store::Error::no_answer("what the database was asked last")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_started_is_bounded_in_bytes_and_room_comes_back() {
        let intake = Intake::default();
        let large = 64 << 20;

        let taken: Vec<_> = (0..4).map_while(|_| intake.find_room(large)).collect();
        assert_eq!(taken.len(), 3, "the fourth would go beyond the bound");
        assert!(intake.find_room(1 << 20).is_some(), "a smaller one fits");
        drop(taken);
        assert!(intake.find_room(large).is_some());
        assert!(
            intake.find_room(u64::MAX / 2).is_some(),
            "one that is larger than all room gets all of it"
        );
    }
}
