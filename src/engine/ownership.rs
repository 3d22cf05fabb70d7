//! Which runs are ours: the claims, and what happens to a run when its driver ends.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use serde_json::Map;
use tokio::sync::mpsc;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::Engine;
use super::children::Order;
use super::driver::{self, Adopted, Driver, Exit, Message};
use super::start::MAILBOX;
use crate::crash_points::reach;
use crate::ids::RunKey;
use crate::journal::{Move, Verdict};
use crate::run::event::{Failure, Recorded, RunError, RunFailed};
use crate::run::state::RunState;
use crate::store::executors::{self, Claim, TickRequest};
use crate::store::flush::{Owner, Projection};
use crate::store::runs::RunRow;
use crate::store::{self, partitions, runs, signals};
use crate::usage::Usage;

/// How often runs are claimed and letters read, and a little less often: about once a second.
const TICK: Duration = Duration::from_millis(950);
/// By how much less often at most, another time each time, so that replicas do not come in step.
const JITTER: Duration = Duration::from_millis(100);
/// The first tick after so long does the chores of the next second too.
const SECOND: Duration = Duration::from_millis(900);
/// The shortest time from one tick to the next, whoever asks for it; never shorter than the tick itself took.
const SPACING: Duration = Duration::from_millis(20);
/// Every so many ticks what has expired is removed.
const SWEEP_EVERY: u64 = 60;
/// Every so many ticks it is looked for what processes that have died left over: children, and places among open runs.
const LEFT_OVER_EVERY: u64 = 10;
/// Every so many ticks it is looked for runs that cannot be claimed because somebody holds their rows.
const HELD_EVERY: u64 = 10;
/// Every so many ticks it is made sure that history has room ahead.
const PARTITIONS_EVERY: u64 = 3_600;
/// How many request ids are forgotten by one statement.
const SWEEP_LIMIT: i64 = 10_000;

impl Engine {
    /// Claims runs and reads letters, once a second and whenever somebody asks for it.
    pub(super) fn keep_ticking(&self) {
        let engine = self.clone();
        let ending = self.inner.abandon.clone();
        let ticking = async move { engine.tick_until_draining().await };
        self.inner
            .loops
            .spawn(ending.run_until_cancelled_owned(ticking));
    }

    /// A tick that is under way is not cut off: what it claims would have no driver to give it back.
    async fn tick_until_draining(&self) {
        // Ticks that come between are for claims and letters alone.
        let (mut seconds, mut next_second) = (0, Instant::now());
        for count in 0_u64.. {
            if self.inner.draining.is_cancelled() {
                return;
            }
            let began = Instant::now();
            let chores = (began >= next_second).then_some(seconds);
            if chores.is_some() {
                seconds += 1;
                next_second = began + SECOND;
            }
            let more = self.tick(chores).await.unwrap_or_else(|error| {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "a tick failed and is repeated"
                );
                self.inner.stranded.begin();
                false
            });
            let (took, ended) = (began.elapsed(), Instant::now());
            let jitter = self.jitter(count);
            if more {
                // The others want some too.
                tokio::time::sleep((SPACING + jitter / 2).max(took)).await;
                continue;
            }
            let now = self.inner.parts.clock.now();
            let pause = self.inner.wakes.pause(now, TICK + jitter);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.inner.tick_soon.notified() => {
                    let pause = took.max(SPACING);
                    tokio::time::sleep(pause.saturating_sub(ended.elapsed())).await;
                }
                () = self.inner.draining.cancelled() => {}
            }
        }
    }

    /// Up to [`JITTER`], another one each time and in each executor.
    fn jitter(&self, count: u64) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.inner.parts.executor, count).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 1_024).unwrap_or(0);
        JITTER * share / 1_024
    }

    /// Claims and reads letters, and once a second does its turn of the chores; gives whether there may be more to claim.
    async fn tick(&self, chores: Option<u64>) -> store::Result<bool> {
        let parts = &self.inner.parts;
        let free = parts
            .settings
            .max_open_runs
            .saturating_sub(self.open().len());
        let mut conn = parts.store.conn().await?;
        let right = parts.lease.may_take_over_for();
        let right = right.and_then(|left| TimeDelta::from_std(left).ok());
        let take_over_until = right.map(|left| parts.clock.now() + left);
        let next = self.inner.claiming.next(free);
        let request = TickRequest {
            executor: parts.executor,
            capacity: next.capacity,
            take_over_until,
            order: next.order.clone(),
        };
        let ticked = executors::tick(&mut conn, request).await?;
        let more = self.inner.claiming.learn(&next, &ticked);
        for claim in ticked.claimed {
            reach(if claim.died {
                "takeover.claimed"
            } else {
                "claim.claimed"
            });
            self.adopt(claim);
        }
        for letter in ticked.letters {
            let mailbox = self.open().get(&letter.key).cloned();
            if let Some(mailbox) = mailbox {
                // A full mailbox is tried again at the next tick.
                drop(mailbox.try_send(Message::Letter(letter)));
            } else {
                debug!(run.id = %letter.key, "a letter came for a run that has just left");
            }
        }
        self.adopt_stranded(&mut conn).await?;
        self.poll_watched(&mut conn).await?;
        if let Some(count) = chores {
            self.do_chores(&mut conn, count, take_over_until).await?;
        }
        Ok(more)
    }

    /// What is due each so many ticks.
    async fn do_chores(
        &self,
        conn: &mut AsyncPgConnection,
        count: u64,
        take_over_until: Option<DateTime<Utc>>,
    ) -> store::Result<()> {
        let parts = &self.inner.parts;
        if count % LEFT_OVER_EVERY == LEFT_OVER_EVERY - 1 {
            self.sweep_children(conn).await?;
        }
        if count % LEFT_OVER_EVERY == LEFT_OVER_EVERY / 2 {
            self.sweep_queues(conn).await?;
        }
        if count.is_multiple_of(SWEEP_EVERY) {
            executors::bury(conn).await?;
            executors::forget_requests(conn, SWEEP_LIMIT).await?;
            signals::forget_requests(conn, SWEEP_LIMIT).await?;
            self.inner.stranded.begin();
        }
        if count % HELD_EVERY == 2 {
            for held in executors::held(conn, parts.executor, take_over_until).await? {
                warn!(
                    run.id = %held.key,
                    run.orphaned = held.orphaned,
                    postgres.pid = held.pid,
                    "a run cannot be claimed: a transaction holds its row"
                );
            }
        }
        if count % PARTITIONS_EVERY == PARTITIONS_EVERY - 1 {
            partitions::ensure(conn, parts.clock.now(), parts.settings.partition_width).await?;
        }
        Ok(())
    }

    /// Drives a run that was claimed, once its history is read; repeats that until the database answers.
    pub(super) fn adopt(&self, claim: Claim) {
        let Claim { key, died } = claim;
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        if self.open().insert(key.clone(), mailbox).is_some() {
            // Its driver is about to find out that its fence is gone.
            debug!(run.id = %key, "a run was claimed while its driver was still here");
        }
        let engine = self.clone();
        let task = async move {
            let mut messages = Some(messages);
            while let Some(inbox) = messages.take() {
                match driver::adopt(Arc::clone(&engine.inner.parts), &key, died, inbox).await {
                    Ok(Adopted::Driver(driver)) => {
                        reach("adopt.read");
                        info!(run.id = %key, "the run goes on here");
                        return engine.see_through(key, driver).await;
                    }
                    Ok(Adopted::Gone) => break,
                    Ok(Adopted::Broken {
                        reason,
                        message,
                        row,
                    }) => {
                        error!(run.id = %key, reason, message, "the run cannot go on");
                        engine.fail_outright(&key, &row, reason, message).await;
                        if let Some(counted) = row.concurrency_key {
                            let namespace = key.namespace.clone();
                            engine.inner.parts.order(Order::Admit(namespace, counted));
                        }
                        break;
                    }
                    Err(error) => {
                        warn!(error = &error as &dyn std::error::Error, run.id = %key, "the run cannot be read yet");
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        let (mailbox, again) = mpsc::channel(MAILBOX);
                        engine.open().insert(key.clone(), mailbox);
                        messages = (!engine.inner.draining.is_cancelled()).then_some(again);
                    }
                }
            }
            engine.forget(&key);
        };
        self.inner
            .drivers
            .spawn(self.inner.abandon.clone().run_until_cancelled_owned(task));
    }

    /// Drives a run in a task of its own.
    pub(super) fn drive(&self, key: RunKey, driver: Box<Driver>) {
        let engine = self.clone();
        let task = async move { engine.see_through(key, driver).await };
        self.inner
            .drivers
            .spawn(self.inner.abandon.clone().run_until_cancelled_owned(task));
    }

    async fn see_through(&self, key: RunKey, mut driver: Box<Driver>) {
        if self.inner.draining.is_cancelled() {
            // It came too late to be told.
            driver.drain();
        }
        let span = info_span!("run", run.id = %key);
        let is_child = driver.is_child();
        let (counted, was_blocked) = (driver.counted_as(), driver.is_blocked());
        let exit = AssertUnwindSafe(driver.drive())
            .catch_unwind()
            .instrument(span)
            .await;
        let ended = !matches!(
            exit,
            Ok(Exit::Parked(_) | Exit::Fenced | Exit::Unborn | Exit::Drained)
        );
        // One that was blocked may have been paused, and be in line again.
        let moves_up = ended || (was_blocked && matches!(exit, Ok(Exit::Parked(_))));
        let draining = self.inner.draining.is_cancelled();
        if draining && matches!(exit, Ok(Exit::Parked(_) | Exit::Drained)) {
            // What was due meanwhile, or has been handed back, is for the others.
            self.inner.parts.notifier.something_to_claim();
        }
        match exit {
            Ok(Exit::Parked(until)) => self.inner.wakes.note(until),
            Ok(Exit::Ended | Exit::Fenced | Exit::Unborn | Exit::Drained) => {}
            Ok(Exit::Rejected(reason)) => self.fail_now(&key, "JOURNAL_REJECTED", reason).await,
            Err(_) => {
                error!(run.id = %key, "the driver of the run panicked, which is a bug");
                self.fail_now(
                    &key,
                    "ENGINE_BUG",
                    "the engine met a bug in this run".to_owned(),
                )
                .await;
            }
        }
        self.forget(&key);
        if self.inner.claiming.is_short() {
            self.inner.tick_soon.notify_one();
        }
        if ended && is_child {
            self.inner.parts.order(Order::Tell(key.clone()));
        }
        if let Some(counted) = counted.filter(|_| moves_up) {
            self.inner.parts.order(Order::Admit(key.namespace, counted));
        }
    }

    /// Forgets a driver that has ended; one that has taken its place meanwhile stays.
    fn forget(&self, key: &RunKey) {
        let mut open = self.open();
        if open.get(key).is_some_and(mpsc::Sender::is_closed) {
            open.remove(key);
        }
    }

    /// Fails a run from what its row says, for its driver is gone.
    async fn fail_now(&self, key: &RunKey, reason: &'static str, message: String) {
        loop {
            let read = async {
                let mut conn = self.store().conn().await?;
                runs::find(&mut conn, key).await
            };
            match read.await {
                Ok(Some(row)) if row.owner == Some(self.inner.parts.executor) => {
                    return self.fail_outright(key, &row, reason, message).await;
                }
                Ok(_) => return,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, run.id = %key, "the run cannot be failed yet");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Ends a run with one event that needs nothing but its row: what is open in it is cut off.
    async fn fail_outright(
        &self,
        key: &RunKey,
        row: &RunRow,
        reason: &'static str,
        message: String,
    ) {
        let now = self.inner.parts.clock.now();
        let failure = Failure {
            reason: reason.to_owned(),
            message,
            details: Map::new(),
            usage: Usage::default(),
        };
        let error = RunError {
            failure,
            path: None,
            attempt: 0,
        };
        let projection = Projection {
            state: RunState::Failed,
            wait_reason: None,
            progress: u32::try_from(row.progress).unwrap_or(0),
            usage: Usage::default(),
            error: serde_json::to_string(&error).ok(),
            started_at: row.started_at,
            ended_at: Some(now),
            owner: Owner::Ended,
        };
        let event = RunFailed { error }.into();
        let recorded = Recorded {
            sequence: row.last_sequence + 1,
            at: now,
            event,
            payload: None,
        };
        let entry = Move {
            key: key.clone(),
            epoch: row.epoch,
            before: row.last_sequence,
            events: Arc::new([recorded]),
            projection,
            folded: None,
            answered: Vec::new(),
        };
        match self.inner.parts.journal.append(entry).await {
            Ok(Verdict::Committed) => {}
            Ok(Verdict::Rejected(why)) => {
                error!(run.id = %key, why, "not even the failure of the run can be stored");
            }
            Ok(Verdict::Fenced | Verdict::LetterCame) | Err(_) => {
                debug!(run.id = %key, "the run is somebody else's to fail");
            }
        }
    }
}
