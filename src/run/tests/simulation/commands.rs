//! What the run wants done, as the engine's driver does it.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Flight, Launch, Simulation, Task};
use crate::flow::Effect;
use crate::run::event::{
    Awaited, Event, RunCancelled, RunFailed, RunResumed, RunStarted, RunWaiting, StepCancelled,
    StepExpired, StepOutcomeUnknown, StepQuarantined, StepSkipped, StepStarted,
};
use crate::run::scope::StepKey;
use crate::run::state::{RunState, StopCause, WaitReason};
use crate::run::step::Woken;
use crate::run::tests::script::Trouble;
use crate::run::tests::story::failure;
use crate::run::{Command, PROBED_AFTER};

/// More rounds than a run of 30 nodes has things to do at once.
const MOST_ROUNDS: usize = 2_000;

impl Simulation {
    /// Does all that can be done now.
    pub(super) fn decide(&mut self, asked: &impl Fn(&Self, &[Command])) {
        for _ in 0..MOST_ROUNDS {
            self.end_probes();
            if self.before_end.is_some() || self.finishing || self.killed {
                return;
            }
            let commands = self.story.next();
            asked(self, &commands);
            let mut changed = false;
            for command in commands {
                if !self.story.run.still_wants(&command) {
                    changed = true;
                    continue;
                }
                changed |= self.execute(command);
                if self.before_end.is_some() || self.killed {
                    break;
                }
            }
            if !changed {
                return;
            }
        }
        panic!("the run always wants more: {self:?}");
    }

    fn execute(&mut self, command: Command) -> bool {
        let now = self.story.now;
        match command {
            Command::Start => {
                let deadline = now + self.run_time;
                self.story.record(RunStarted { deadline });
            }
            Command::Resume(reason) => {
                self.story.record(RunResumed { reason });
            }
            Command::Skip(key) => {
                let path = self.story.run.path(key);
                self.story.record(StepSkipped { path });
            }
            Command::Attempt {
                key,
                number,
                waited,
            } => return self.attempt(key, number, waited),
            Command::Expire(key) => {
                let path = self.story.run.path(key);
                let attempt = self.story.run.step(key).attempt();
                self.record_end(StepExpired { path, attempt });
            }
            Command::Collect(key) => self.fly_beside(key, Task::Collect),
            Command::FailLoop(key, _) => self.fails_for_good(key, "ITEM_FAILED"),
            Command::Condemn(key) => self.fails_for_good(key, "RESOLVED_AS_FAILED"),
            Command::Park(key) => {
                let lost = self.story.run.step(key).attempts.last();
                let lost = lost.expect("an attempt was lost").clone();
                self.story.record(StepOutcomeUnknown {
                    path: self.story.run.path(key),
                    attempt: lost.number,
                    started_at: lost.started_at,
                    error: failure("INTERRUPTED"),
                });
            }
            Command::Quarantine(key, _) => {
                let lost = self.story.run.step(key).attempts.last();
                let lost = lost.expect("an attempt was lost").clone();
                self.story.record(StepQuarantined {
                    path: self.story.run.path(key),
                    attempt: lost.number,
                    started_at: lost.started_at,
                    error: failure("POISON"),
                });
            }
            Command::Stop(cause) => return self.stop(cause),
            Command::StopStep(key) => return self.stop_step(key),
            Command::Abandon(key, cause) => self.abandon(key, cause),
            Command::Succeed => {
                self.finishing = true;
                if self.chance.pick(4) != 3 {
                    self.finishes();
                }
            }
            Command::Fail(error) => self.record_end(RunFailed { error }),
            Command::Cancel => {
                let reason = self.story.run.cancel_reason().to_owned();
                self.record_end(RunCancelled { reason });
            }
            Command::Wait { reason, until } => return self.rest(reason, until),
        }
        true
    }

    /// Leaves memory, unless it is not worth it; says whether the run has changed.
    fn rest(&mut self, reason: WaitReason, until: DateTime<Utc>) -> bool {
        let is_held = matches!(reason, WaitReason::Paused | WaitReason::Concurrency);
        let is_short = until - self.story.now <= TimeDelta::seconds(5);
        let has_child = reason == WaitReason::Child && self.chance.pick(2) == 1;
        if !is_held && (is_short || has_child) {
            let came = self.committed < self.story.journal.len();
            if came && self.story.run.state() == RunState::Waiting {
                self.story.record(RunResumed { reason });
                return true;
            }
            return false;
        }
        self.record_end(RunWaiting { reason, until });
        true
    }

    /// A loop fails as an item did, or a step as somebody decided.
    fn fails_for_good(&mut self, key: StepKey, reason: &'static str) {
        let step = self.story.run.step(key);
        let last = step.attempts.last().expect("it was tried");
        let (number, started_at) = (last.number, last.started_at);
        let trouble = Trouble {
            reason,
            retryable: false,
            asked: None,
        };
        self.attempt_failed(key, number, started_at, &trouble);
    }

    fn attempt(&mut self, key: StepKey, number: u32, waited: bool) -> bool {
        if !self.has_room() {
            return false;
        }
        let woken = self.story.run.woken(key).cloned();
        let woken = waited.then(|| woken.unwrap_or(Woken::Time));
        let is_child = matches!(woken, Some(Woken::Child { .. }));
        let cautious = self.story.run.is_cautious() && !waited;
        let is_free = (self.effect(key) == Effect::Pure && !cautious) || is_child;
        let probes = !waited && self.story.run.deaths(key) >= PROBED_AFTER;
        if probes && self.is_probing() {
            return false;
        }
        let gate = if is_free || waited {
            self.story.run.last_sequence()
        } else {
            self.story.record(StepStarted {
                path: self.story.run.path(key),
                attempt: number,
            })
        };
        self.fly(key, number, Task::Run(woken), gate);
        if probes {
            self.probes.insert(key, None);
        }
        if is_free || gate <= self.durable() {
            self.launch(key);
        }
        if is_free && self.chance.pick(3) == 0 && !self.killed {
            // It had nothing to wait for, and is done before the next command.
            self.land(key);
        }
        true
    }

    /// Work for a step that is none of its applet's needs no place and no durable start.
    pub(super) fn fly_beside(&mut self, key: StepKey, task: Task) {
        let number = self.story.run.step(key).attempt().max(1);
        self.fly(key, number, task, 0);
        self.launch(key);
        if self.chance.pick(2) == 0 {
            self.land(key);
        }
    }

    pub(super) fn fly(&mut self, key: StepKey, number: u32, task: Task, gate: i64) {
        let step = self.story.run.step(key);
        assert!(!step.state.is_final(), "a decided step is let go: {self:?}");
        let going_on = step.attempts.last().filter(|last| last.number == number);
        let flight = Flight {
            number,
            started_at: going_on.map_or(self.story.now, |attempt| attempt.started_at),
            gate: Some(gate),
            task,
        };
        let doubled = self.flights.insert(key, flight);
        assert!(doubled.is_none(), "a step is in flight twice: {self:?}");
        self.story.run.launched(key);
    }

    pub(super) fn launch(&mut self, key: StepKey) {
        let flight = self.flights.get_mut(&key).expect("it was assigned");
        flight.gate = None;
        if let Task::Run(None) = &flight.task {
            let path = self.story.run.path(key);
            let number = flight.number;
            let begun = self.story.journal[..self.committed].iter().any(|it| {
                matches!(&it.event, Event::StepStarted(event) if event.path == path && event.attempt == number)
            });
            let is_free = self.effect(key) == Effect::Pure && !self.story.run.is_cautious();
            assert!(
                begun || is_free,
                "{path} begins before that is durable: {self:?}"
            );
            self.killed |= self.poison.as_deref() == Some(path.as_str());
        }
        let flight = &self.flights[&key];
        if let Task::Run(woken) = &flight.task {
            let (number, waited) = (flight.number, woken.is_some());
            self.launches.push(Launch {
                path: self.story.run.path(key).to_string(),
                number,
                effect: self.effect(key),
                waited,
            });
        }
    }

    /// Tells all attempts and children to end; attempts that have not begun will not.
    fn stop(&mut self, cause: StopCause) -> bool {
        if self.stopping.replace(cause).is_some() {
            return false;
        }
        let gated = self.flights.iter().filter(|(_, it)| it.gate.is_some());
        let gated: Vec<StepKey> = gated.map(|(&key, _)| key).collect();
        for key in gated {
            self.cut_gated(key, cause);
        }
        let waiting: Vec<StepKey> = self.story.run.waiting().map(|(key, _)| key).collect();
        for key in waiting {
            self.cancel_child(key);
        }
        true
    }

    fn stop_step(&mut self, key: StepKey) -> bool {
        if !self.told.insert(key) {
            return false;
        }
        let flight = self.flights.get(&key);
        if flight.is_some_and(|flight| flight.gate.is_some()) {
            self.cut_gated(key, StopCause::ItemFailed);
            return true;
        }
        self.cancel_child(key);
        false
    }

    fn cut_gated(&mut self, key: StepKey, cause: StopCause) {
        let flight = self.flights.remove(&key).expect("it was assigned");
        self.story.run.landed(key);
        self.cut(key, flight.number, cause, false);
    }

    fn cancel_child(&mut self, key: StepKey) {
        let step = self.story.run.find_step(key);
        let wait = step.and_then(|step| step.wait.as_ref());
        if let Some(Awaited::Child { run_id }) = wait.map(|wait| &wait.what) {
            let since = self.story.run.last_sequence();
            self.told_children.entry(*run_id).or_insert(since);
        }
    }

    fn abandon(&mut self, key: StepKey, cause: StopCause) {
        let flight = self.flights.remove(&key);
        self.story.run.landed(key);
        self.cancel_child(key);
        let last = self.story.run.step(key).attempt();
        let number = flight.as_ref().map_or(last, |flight| flight.number);
        let had_begun = flight.is_none_or(|flight| flight.gate.is_none());
        let outcome_unknown = had_begun && self.story.run.cut_leaves_doubt(key);
        self.cut(key, number, cause, outcome_unknown);
    }

    pub(super) fn cut(
        &mut self,
        key: StepKey,
        attempt: u32,
        cause: StopCause,
        outcome_unknown: bool,
    ) {
        let step = self.story.run.step(key);
        let last = step.attempts.last();
        let last = last.filter(|last| last.number == attempt);
        let wait = step.wait.as_ref().map(|wait| &wait.what);
        let approval = matches!(wait, Some(Awaited::Approval(_)));
        self.story.record(StepCancelled {
            path: self.story.run.path(key),
            attempt,
            started_at: last.map(|last| last.started_at),
            cause,
            outcome_unknown,
            approval,
        });
    }
}
