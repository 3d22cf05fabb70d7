//! Handing events to the journal, and what its verdicts mean.

use std::sync::Arc;

use chrono::TimeDelta;
use tracing::{debug, warn};

use super::{Driver, Exit, Flushed, Handed, PURE_GRACE};
use crate::crash_points::reach;
use crate::journal::{Birth, Born, Move, Verdict};
use crate::run::Run;
use crate::run::event::Event;
use crate::run::state::RunState;
use crate::store::flush::{Owner, Projection};
use crate::store::inbox;
use crate::store::runs::RunRow;

/// How long a run that is handed over is said to have been due: by a clock that is a little ahead it would be due only
/// after the others have looked, and they look again a second later.
const LONG_DUE: TimeDelta = TimeDelta::minutes(1);

impl Driver {
    /// Hands over what is pending, if the journal is free for it.
    ///
    /// While `PURE` steps are in flight it waits a little: what they give then rides in the same flush.
    pub(super) fn hand_over(&mut self) {
        let leaves = self.is_free_to_leave();
        let checks = self.unsure.is_some() && self.birth.is_none();
        if self.flush.is_some() || (self.pending.is_empty() && !leaves && !checks) {
            return;
        }
        let computing = self.finish.is_some() || self.flying.values().any(|flying| flying.pure);
        let waited = self
            .pending_since
            .is_some_and(|since| since.elapsed() >= PURE_GRACE);
        if computing && !waited && !checks && self.before_end.is_none() {
            return;
        }
        self.pending_since = None;
        let events: Arc<[_]> = std::mem::take(&mut self.pending).into();
        let answered = std::mem::take(&mut self.letters.answered);
        let mut projection = projection(&self.run);
        if leaves {
            reach("drain.leaving");
            projection.owner = Owner::Parked(self.now() - LONG_DUE);
        } else if events.is_empty() {
            projection.owner = Owner::Kept;
        }
        let journal = self.parts.journal.clone();
        self.handed = Some(Handed {
            events: Arc::clone(&events),
            answered: answered.clone(),
            leaves,
            checks,
        });
        self.flush = Some(if let Some(mut birth) = self.birth.take() {
            birth.events = events;
            birth.projection = projection;
            self.newborn = self.row_of(&birth);
            Box::pin(async move {
                journal
                    .bear(birth)
                    .await
                    .map_or(Flushed::Closed, Flushed::Born)
            })
        } else {
            let folded = self.before_end.is_some().then_some(self.letters.folded);
            let entry = Move {
                key: self.key.clone(),
                epoch: self.epoch,
                before: events
                    .first()
                    .map_or_else(|| self.run.last_sequence(), |first| first.sequence - 1),
                events,
                projection,
                folded,
                answered,
            };
            Box::pin(async move {
                journal
                    .append(entry)
                    .await
                    .map_or(Flushed::Closed, Flushed::Moved)
            })
        });
    }

    /// What the row of a run says that is to be born here, unless nobody asks.
    fn row_of(&self, birth: &Birth) -> Option<Box<RunRow>> {
        let flow_id = &self.plan.revision.flow_id;
        if birth.parent.is_some() {
            return None;
        }
        // Where it cannot be told it is read.
        let row = birth.row().row(self.parts.executor, flow_id.clone());
        row.ok().map(Box::new)
    }

    /// Takes in a verdict; an exit if the driver is done.
    pub(super) async fn flushed(&mut self, flushed: Flushed) -> Option<Exit> {
        let handed = self.handed.take()?;
        match flushed {
            Flushed::Born(born) => {
                let is_born = born == Born::Yes;
                if let Some(reply) = self.birth_reply.take() {
                    // An error says that the caller has left; the run goes on without it.
                    reply.send((born, self.newborn.take())).ok();
                }
                if is_born {
                    self.durable(&handed)
                } else {
                    Some(Exit::Unborn)
                }
            }
            Flushed::Moved(Verdict::Committed) => self.durable(&handed),
            Flushed::Moved(Verdict::LetterCame) => {
                self.take_back(&handed);
                // Boxed: few runs get one just then, and all drivers would carry its state.
                Box::pin(self.read_letters()).await;
                self.land_held();
                None
            }
            Flushed::Moved(Verdict::Fenced) => {
                debug!(run.id = %self.key, run.epoch = self.epoch, "the run belongs to somebody else");
                Some(Exit::Fenced)
            }
            Flushed::Moved(Verdict::Rejected(reason)) => Some(Exit::Rejected(reason)),
            Flushed::Closed => Some(Exit::Drained),
        }
    }

    /// The events are durable: their values go to the cache, and what waited for them begins.
    fn durable(&mut self, handed: &Handed) -> Option<Exit> {
        for recorded in handed.events.iter() {
            self.committed = recorded.sequence;
            match &recorded.event {
                Event::RunQueued(_) => {
                    if let Some(encoded) = self.input.take() {
                        self.parts
                            .payloads
                            .keep(self.key.run_id, recorded.sequence, encoded.value);
                    }
                }
                _ => {
                    if let Some(encoded) = self.outputs.remove(&recorded.sequence) {
                        self.parts
                            .payloads
                            .keep(self.key.run_id, recorded.sequence, encoded.value);
                    }
                }
            }
        }
        self.give_orders();
        if handed.leaves {
            reach("drain.left");
            return Some(Exit::Drained);
        }
        if handed.checks
            && let Some(known) = self.unsure.take()
        {
            // An error says that whoever asked has given up waiting.
            known.try_send(()).ok();
        }
        if self.before_end.is_some() && self.pending.is_empty() {
            if self.run.state().is_final() {
                return Some(Exit::Ended);
            }
            if let Some(until) = self.run.waits_until() {
                return Some(Exit::Parked(until));
            }
            // A wait of a step has ended, and the run goes on.
            self.before_end = None;
            self.land_held();
        }
        self.release_gated();
        None
    }

    /// A letter forestalls the end that was handed over: all but that event is pending again.
    fn take_back(&mut self, handed: &Handed) {
        if let Some(run) = self.before_end.take() {
            self.run = run;
        }
        let kept = handed.events.len().saturating_sub(1);
        self.pending = handed.events[..kept].to_vec();
        self.pending_since = (kept > 0).then(tokio::time::Instant::now);
        self.letters.answered.clone_from(&handed.answered);
    }

    /// Takes in what ended while an event was being written that a letter might have forestalled.
    fn land_held(&mut self) {
        for landed in std::mem::take(&mut self.held) {
            self.landed(landed);
        }
    }

    /// Folds all letters that are there, asking until the database answers.
    pub(super) async fn read_letters(&mut self) {
        loop {
            let read = async {
                let mut conn = self.parts.store.conn().await?;
                inbox::read(&mut conn, &self.key).await
            };
            match read.await {
                Ok((count, letters)) => {
                    for letter in &letters {
                        self.fold(letter);
                    }
                    self.letters.folded = count;
                    return;
                }
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, run.id = %self.key, "letters cannot be read yet");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        }
    }
}

/// What a run's row says of it.
pub(super) fn projection(run: &Run) -> Projection {
    let state = run.state();
    let error = (state == RunState::Failed).then(|| run.error()).flatten();
    let error = error.and_then(|error| serde_json::to_string(error).ok());
    let owner = match run.waits_until() {
        _ if state.is_final() => Owner::Ended,
        Some(until) => Owner::Parked(until),
        None => Owner::Kept,
    };
    Projection {
        state,
        // Of a paused run its state says what it waits for.
        wait_reason: run.wait_reason().filter(|_| state == RunState::Waiting),
        progress: run.progress(),
        usage: run.usage(),
        error,
        started_at: run.started_at(),
        ended_at: run.ended_at(),
        owner,
    }
}
