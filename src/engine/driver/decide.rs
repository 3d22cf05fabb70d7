//! What the run wants done: journaled, started, stopped.

use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use serde_json::Map;
use tracing::warn;

use super::{Driver, Probing, SHORT_WAIT};
use crate::applet::{self, Effect};
use crate::engine::attempt::{Assignment, Task, fly};
use crate::engine::pool::{Place, Slot};
use crate::run::event::{
    Failure, RunCancelled, RunFailed, RunResumed, RunStarted, RunWaiting, StepExpired,
    StepOutcomeUnknown, StepQuarantined, StepSkipped, StepStarted,
};
use crate::run::scope::StepKey;
use crate::run::state::{RunState, WaitReason};
use crate::run::step::{INTERRUPTED, Woken};
use crate::run::{Command, PROBED_AFTER};
use crate::usage::Usage;

/// How many events may wait to be handed to the journal before the run starts nothing more.
const MOST_PENDING: usize = 1_024;
/// How many bytes of values may wait to be durable, if they are many.
const MOST_PENDING_BYTES: usize = 8 << 20;

impl Driver {
    /// Does all that can be done now, until only something from outside helps.
    pub(super) fn decide(&mut self) {
        while self.before_end.is_none() && self.finish.is_none() {
            let now = self.now();
            self.decided_at = now;
            let commands = self.run.next(now);
            let mut changed = false;
            for command in commands {
                if !self.run.still_wants(&command) {
                    // What came of those before it has failed its item or the run.
                    changed = true;
                    continue;
                }
                changed |= self.execute(command, now);
                if self.before_end.is_some() {
                    // What else there is to do may look different once that event stands.
                    break;
                }
            }
            if !changed {
                break;
            }
        }
        self.places.give_back();
    }

    /// Does one thing; says whether the run has changed.
    fn execute(&mut self, command: Command, now: DateTime<Utc>) -> bool {
        match command {
            Command::Start => self.start(now),
            Command::Resume(reason) => {
                self.record(RunResumed { reason }, None);
            }
            Command::Skip(key) => {
                let path = self.run.path(key);
                self.record(StepSkipped { path }, None);
            }
            Command::Attempt {
                key,
                number,
                waited,
            } => return self.attempt(key, number, waited),
            Command::Expire(key) => {
                let (path, attempt) = (self.run.path(key), self.run.step(key).attempt());
                self.record_end(StepExpired { path, attempt }, None);
            }
            Command::Collect(key) => {
                let collection = self.collection(key);
                self.fly_beside(key, Task::Collect(collection));
            }
            Command::FailLoop(key, error) => {
                let path = error.path.as_ref().map(ToString::to_string);
                let message = format!("an item failed: {}", error.failure.message);
                let error = applet::Error::permanent("ITEM_FAILED", message)
                    .with_detail("code", error.failure.reason)
                    .with_detail("step_path", path)
                    .with_detail("attempt", error.attempt)
                    .with_detail("details", error.failure.details);
                self.failed(key, error);
            }
            Command::Condemn(key) => self.fail_by_decision(key),
            Command::Park(key) => self.park(key, now),
            Command::Quarantine(key, deaths) => self.quarantine(key, deaths, now),
            Command::Stop(cause) => return self.stop(cause),
            Command::StopStep(key) => return self.stop_step(key),
            Command::Abandon(key, cause) => self.abandon(key, cause),
            Command::Succeed => self.finish(),
            Command::Fail(error) => self.record_end(RunFailed { error }, None),
            Command::Cancel => {
                let reason = self.run.cancel_reason().to_owned();
                self.record_end(RunCancelled { reason }, None);
            }
            Command::Wait { reason, until } => return self.rest(reason, until, now),
        }
        true
    }

    fn start(&mut self, now: DateTime<Utc>) {
        let longest = self.parts.settings.max_run_time;
        let deadline = now + self.plan.time_to_run(longest);
        let parents = self.run.parent().map(|parent| parent.deadline);
        let deadline = parents.map_or(deadline, |parents| deadline.min(parents));
        self.record(RunStarted { deadline }, None);
    }

    /// Leaves memory, unless it is not worth it; says whether the run has changed.
    fn rest(&mut self, reason: WaitReason, until: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        if self.lingers(reason, until - now) {
            if self.run.state() == RunState::Waiting && !self.pending.is_empty() {
                // It was parked, and what a letter has brought must not park it again while it stays here.
                self.record(RunResumed { reason }, None);
                return true;
            }
            return false;
        }
        self.record_end(RunWaiting { reason, until }, None);
        true
    }

    /// Whether a wait is spent in memory.
    fn lingers(&mut self, reason: WaitReason, wait: TimeDelta) -> bool {
        if matches!(reason, WaitReason::Paused | WaitReason::Concurrency) {
            // Only somebody's word ends it, and nothing may resume it meanwhile.
            return false;
        }
        if wait <= TimeDelta::from_std(SHORT_WAIT).unwrap_or_default() {
            return true;
        }
        if self.unborn.load(Ordering::Relaxed) > 0 {
            self.idle_since = Some(tokio::time::Instant::now());
            return true;
        }
        // Most children are done soon, and tell their parent here and now.
        reason == WaitReason::Child
            && self
                .idle_since
                .get_or_insert_with(tokio::time::Instant::now)
                .elapsed()
                < SHORT_WAIT
    }

    fn park(&mut self, key: StepKey, now: DateTime<Utc>) {
        let error = Failure {
            reason: INTERRUPTED.to_owned(),
            message:
                "the process ended during the attempt, and the step may not be repeated by itself"
                    .to_owned(),
            details: Map::new(),
            usage: Usage::default(),
        };
        let started_at = self.last_began_at(key, now);
        let (path, attempt) = (self.run.path(key), self.run.step(key).attempt());
        self.record(
            StepOutcomeUnknown {
                path,
                attempt,
                started_at,
                error,
            },
            None,
        );
    }

    /// Puts a step aside that kills its process, until somebody decides about it.
    fn quarantine(&mut self, key: StepKey, deaths: u32, now: DateTime<Utc>) {
        let started_at = self.last_began_at(key, now);
        let (path, attempt) = (self.run.path(key), self.run.step(key).attempt());
        warn!(run.id = %self.key, step.path = %path, step.deaths = deaths, "a step is put aside: its process has died during it again and again");
        let mut details = Map::new();
        details.insert("deaths".to_owned(), deaths.into());
        let error = Failure {
            reason: "POISON".to_owned(),
            message: format!("{deaths} attempts at the step have ended with their process"),
            details,
            usage: Usage::default(),
        };
        self.record(
            StepQuarantined {
                path,
                attempt,
                started_at,
                error,
            },
            None,
        );
    }

    fn last_began_at(&self, key: StepKey, now: DateTime<Utc>) -> DateTime<Utc> {
        let last = self.run.step(key).attempts.last();
        last.map_or(now, |attempt| attempt.started_at)
    }

    /// Starts an attempt, or has it wait for its slot or for the journal; says whether the run has changed.
    fn attempt(&mut self, key: StepKey, number: u32, waited: bool) -> bool {
        if self.is_ahead_of_the_journal() || self.flying.len() >= self.plan.parallel_steps() {
            return false;
        }
        if let Some(changed) = self.take_recorded(key, number, waited) {
            return changed;
        }
        let woken = waited.then(|| self.run.woken(key).cloned().unwrap_or(Woken::Time));
        let is_child = matches!(woken, Some(Woken::Child { .. }));
        let pure = self.run.graph_of(key.scope).node(key.node).effect == Effect::Pure;
        if is_child || (pure && (waited || !self.run.is_cautious())) {
            let assignment = self.assign(key, number, Task::Run(woken), None);
            self.launch(assignment);
            return true;
        }
        let mut slot = match self.place(key, waited) {
            None => None,
            Some(place) => match self.places.take(&self.parts.pool, place) {
                None => return false,
                taken => taken,
            },
        };
        if let Some(probe) = slot.as_mut().and_then(Slot::take_probe) {
            self.probes.insert(key, Probing::new(probe));
        }
        let gate = if waited {
            self.run.last_sequence()
        } else {
            self.record(
                StepStarted {
                    path: self.run.path(key),
                    attempt: number,
                },
                None,
            )
        };
        let assignment = self.assign(key, number, Task::Run(woken), slot);
        if let Some(flying) = self.flying.get_mut(&key) {
            // It waits for the flush, which therefore must not wait for it.
            flying.pure = false;
        }
        self.gated.push((gate, assignment));
        self.release_gated();
        true
    }

    /// Whether so much waits to be durable that no further attempt begins: while nothing can be written, a run must not
    /// grow in memory without end.
    fn is_ahead_of_the_journal(&self) -> bool {
        if self.pending.len() >= MOST_PENDING {
            return true;
        }
        // Few values are no matter: each has its own bound.
        let waiting = self.outputs.values();
        self.outputs.len() > 16
            && waiting.map(|output| output.text.len()).sum::<usize>() >= MOST_PENDING_BYTES
    }

    /// The place of the pool that an attempt takes, if it takes one.
    pub(super) fn place(&self, key: StepKey, waited: bool) -> Option<Place> {
        let effect = self.run.graph_of(key.scope).node(key.node).effect;
        if !waited && self.run.deaths(key) >= PROBED_AFTER {
            Some(Place::Probe)
        } else if effect == Effect::Pure {
            None
        } else {
            Some(Place::Slot)
        }
    }

    /// Does work for a step that is none of its applet's: it needs no place and no durable start.
    pub(super) fn fly_beside(&mut self, key: StepKey, task: Task) {
        let number = self.run.step(key).attempt().max(1);
        let assignment = self.assign(key, number, task, None);
        self.launch(assignment);
    }

    /// Lets an attempt begin. What it can do without waiting is done here and now.
    pub(super) fn launch(&mut self, assignment: Assignment) {
        let step = assignment.step;
        let mut flight = Box::pin(fly(std::sync::Arc::clone(&self.parts), assignment));
        if let Some(landed) = (&mut flight).now_or_never() {
            if self.before_end.is_some() {
                self.held.push(landed);
            } else {
                self.landed(landed);
            }
            return;
        }
        let abort = self.attempts.spawn(flight);
        if let Some(flying) = self.flying.get_mut(&step) {
            flying.abort = Some(abort);
        }
    }

    /// Whether an attempt waits for nothing but a firm lease.
    pub(super) fn is_held_by_lease(&self) -> bool {
        self.gated.iter().any(|(gate, _)| *gate <= self.committed) && !self.parts.lease.is_firm()
    }

    /// Lets those attempts begin whose start is durable, as long as the runs are surely ours.
    pub(super) fn release_gated(&mut self) {
        if self.gated.is_empty() || self.unsure.is_some() || !self.parts.lease.is_firm() {
            return;
        }
        let committed = self.committed;
        let (free, gated) = std::mem::take(&mut self.gated)
            .into_iter()
            .partition(|(gate, _)| *gate <= committed);
        self.gated = gated;
        for (_, assignment) in free {
            self.launch(assignment);
        }
    }
}
