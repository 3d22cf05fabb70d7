//! Telling other replicas that something is there for them, and hearing it from them: hints that save up to a tick.
//!
//! What is to be told is collected for some milliseconds and told by one statement, at most some twenty times a second,
//! outside the journal. A hint that is heard only makes the tick come at once. Whatever fails here, polling finds the
//! same within a tick; with notifications turned off nothing else happens.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{debug, info};

use super::Engine;
use crate::ids::{ExecutorId, RunKey};
use crate::store::notify::{self, News};
use crate::store::{self, Store};

/// How long what is to be told is collected.
const COLLECT: Duration = Duration::from_millis(5);
/// The shortest time between two statements that tell.
const SPACING: Duration = Duration::from_millis(50);
/// How long such a statement may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most runs that one statement tells of: the owners of others find out by their tick.
const MOST: usize = 2_000;
/// The waits before listening again: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the others are to be told.
#[derive(Debug)]
pub(super) struct Notifier {
    is_on: bool,
    news: Mutex<Collected>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Collected {
    claims: bool,
    asked: HashSet<RunKey>,
}

impl Notifier {
    /// Nothing to tell yet; nothing ever, if notifications are off.
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            news: Mutex::default(),
            some: Notify::new(),
        }
    }

    /// Something can be claimed by whoever has room.
    pub(super) fn something_to_claim(&self) {
        self.add(|news| news.claims = true);
    }

    /// Something was asked of a run that is not here: its owner is told.
    pub(super) fn asked_of(&self, run: &RunKey) {
        self.add(|news| {
            if news.asked.len() < MOST {
                news.asked.insert(run.clone());
            }
        });
    }

    fn add(&self, add: impl FnOnce(&mut Collected)) {
        if self.is_on {
            add(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
            self.some.notify_one();
        }
    }

    /// Tells what was collected.
    pub(super) async fn tell(&self, store: &Store, by: ExecutorId) {
        let collected =
            std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
        let news = News {
            claims: collected.claims,
            asked: collected.asked.into_iter().collect(),
        };
        if news.is_empty() {
            return;
        }
        let telling = async {
            let mut conn = store.conn().await?;
            notify::tell(&mut conn, by, &news).await
        };
        let told = tokio::time::timeout(PATIENCE, telling).await;
        let told = told.unwrap_or_else(|_| Err(store::Error::no_answer("a notification")));
        if let Err(error) = told {
            debug!(
                error = &error as &dyn std::error::Error,
                "the other replicas were not told, and find out by their tick"
            );
        }
    }
}

impl Engine {
    /// Tells the others what drivers and callers here have for them.
    pub(super) fn keep_notifying(&self) {
        let parts = &self.inner.parts;
        if !parts.notifier.is_on {
            return;
        }
        let parts = parts.clone();
        let telling = async move {
            loop {
                parts.notifier.some.notified().await;
                tokio::time::sleep(COLLECT).await;
                parts.notifier.tell(&parts.store, parts.executor).await;
                tokio::time::sleep(SPACING).await;
            }
        };
        let ending = self.inner.abandon.clone();
        self.inner
            .loops
            .spawn(ending.run_until_cancelled_owned(telling));
    }

    /// Hears what the others have for this executor, on a connection of its own.
    pub(super) fn keep_listening(&self) {
        if !self.inner.parts.notifier.is_on {
            return;
        }
        let engine = self.clone();
        let listening = async move { engine.listen_for_ever().await };
        let ending = self.inner.draining.clone();
        self.inner
            .loops
            .spawn(ending.run_until_cancelled_owned(listening));
    }

    async fn listen_for_ever(&self) {
        let parts = &self.inner.parts;
        let mut pause = BACKOFF.0;
        loop {
            match parts.store.listen(parts.executor).await {
                Ok(mut listener) => {
                    pause = BACKOFF.0;
                    // What was told before is found by a tick.
                    self.inner.tick_soon.notify_one();
                    while listener.hint().await.is_some() {
                        self.inner.tick_soon.notify_one();
                    }
                    info!("notifications are not heard until the connection is made again");
                }
                Err(error) => debug!(
                    error = &error as &dyn std::error::Error,
                    "notifications cannot be heard yet"
                ),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }
}
