//! What each event changes. Nothing is decided here: decisions are fields of the events.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Run;
use super::event::{Awaited, ChildStarted, Event, Recorded, StepRetryScheduled, StepWaiting};
use super::scope::StepKey;
use super::state::{RunState, StepState, StopCause, WaitReason};
use super::step::Wait;
use super::turns::Turns;
use crate::flow::graph::Exit;
use crate::ids::StepPath;

/// An event that cannot follow those before it: the journal was not written by these rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence} ({kind}) cannot follow: {problem}")]
pub struct Mismatch {
    /// Which event.
    pub sequence: i64,
    /// Its kind.
    pub kind: &'static str,
    /// What is in the way.
    pub problem: String,
}

impl Run {
    /// Takes in one event.
    ///
    /// # Errors
    ///
    /// If the event cannot follow those before it; the run is then unusable.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), Mismatch> {
        let mismatch = |problem: String| Mismatch {
            sequence: recorded.sequence,
            kind: recorded.event.kind(),
            problem,
        };
        if recorded.sequence != self.history.last_sequence + 1 {
            return Err(mismatch(format!(
                "the last one was {}",
                self.history.last_sequence
            )));
        }
        let reopens = matches!(recorded.event, Event::RunReopened(_));
        if self.history.state.is_final() && !(reopens && self.history.state == RunState::Failed) {
            return Err(mismatch(format!("the run has {}", self.history.state)));
        }
        self.history.last_sequence = recorded.sequence;
        self.change(recorded.sequence, recorded.at, &recorded.event)
            .map_err(mismatch)
    }

    fn change(&mut self, sequence: i64, at: DateTime<Utc>, event: &Event) -> Result<(), String> {
        match event {
            Event::RunQueued(event) => {
                self.history.input = Some(event.input.clone());
                self.history.parent.clone_from(&event.parent);
                self.history.origin = event.origin.clone().map(Arc::new);
                self.history.blocked = event.blocked;
            }
            Event::RunAdmitted(_) => {
                self.history.blocked = false;
                if self.history.state == RunState::Paused {
                    self.no_longer_waits();
                } else {
                    self.goes_on();
                }
            }
            Event::RunStarted(event) => {
                self.history.state = RunState::Running;
                self.history.started_at = Some(at);
                self.history.deadline = Some(event.deadline);
            }
            Event::RunWaiting(event) => {
                // One that is paused, or has not been admitted, stays what it is: that says what it waits for.
                if !matches!(event.reason, WaitReason::Paused | WaitReason::Concurrency) {
                    self.history.state = RunState::Waiting;
                }
                self.history.wait_reason = Some(event.reason);
                self.history.waits_until = Some(event.until);
            }
            Event::RunPaused(_) => {
                self.history.state = RunState::Paused;
                self.no_longer_waits();
            }
            Event::RunResumed(_) => self.goes_on(),
            Event::RunCancelling(event) => {
                self.history.state = RunState::Cancelling;
                self.no_longer_waits();
                self.history.cancel_reason.clone_from(&event.reason);
                self.history.force_at = Some(event.force_at);
            }
            Event::RunSucceeded(event) => {
                self.history.output = Some(event.output.clone());
                self.ended(RunState::Succeeded, at);
            }
            Event::RunFailed(event) => {
                self.history.error = Some(event.error.clone());
                self.ended(RunState::Failed, at);
            }
            Event::RunCancelled(_) => self.ended(RunState::Cancelled, at),
            Event::RunReopened(event) => self.reopened(event),
            Event::RunRecovered(event) => self.recovered(event)?,
            event => return self.change_step(sequence, at, event),
        }
        Ok(())
    }

    /// The same for events that are about a step.
    fn change_step(
        &mut self,
        sequence: i64,
        at: DateTime<Utc>,
        event: &Event,
    ) -> Result<(), String> {
        match event {
            Event::RunQueued(_)
            | Event::RunAdmitted(_)
            | Event::RunStarted(_)
            | Event::RunWaiting(_)
            | Event::RunPaused(_)
            | Event::RunResumed(_)
            | Event::RunCancelling(_)
            | Event::RunSucceeded(_)
            | Event::RunFailed(_)
            | Event::RunCancelled(_)
            | Event::RunReopened(_)
            | Event::RunRecovered(_) => {}
            Event::SignalReceived(event) => self.signalled(sequence, event)?,
            Event::ApprovalResolved(event) => self.approved(sequence, event)?,
            Event::ChildEnded(event) => self.child_ended(event)?,
            Event::StepExpired(event) => {
                let key = self.open_step(&event.path)?;
                self.wake(key, super::step::Woken::Time);
            }
            Event::StepStarted(event) => {
                let key = self.open_step(&event.path)?;
                self.no_longer_awaits(key);
                self.history.running.insert(key);
                self.step_mut(key).begin(event.attempt, at);
            }
            Event::StepWaiting(event) => {
                let key = self.open_step(&event.path)?;
                self.step_waits(key, sequence, event);
            }
            Event::StepRetryScheduled(event) => {
                let key = self.open_step(&event.path)?;
                self.waits_for_retry(key, sequence, at, event);
            }
            Event::LoopStarted(event) => {
                let key = self.open_step(&event.path)?;
                self.no_longer_awaits(key);
                self.step_mut(key).begin(event.attempt, event.started_at);
                self.history.looping.insert(key);
                self.history.loops.insert(key, Turns::new(sequence, event));
                self.begin_items(key);
                self.settle_loop(key);
            }
            Event::ChildStarted(event) => {
                let key = self.open_step(&event.path)?;
                self.waits_for_child(key, sequence, event);
            }
            Event::StepSucceeded(event) => self.succeeded(sequence, at, event)?,
            Event::StepFailed(event) => self.failed(sequence, at, event)?,
            Event::StepSkipped(event) => {
                let key = self.open_step(&event.path)?;
                self.step_mut(key).state = StepState::Skipped;
                self.settle(key, Exit::Nowhere);
            }
            Event::StepCancelled(event) => {
                let key = self.open_step(&event.path)?;
                let step = self.step_mut(key);
                if event.attempt > 0 {
                    step.begin(event.attempt, at);
                }
                step.end(StepState::Cancelled, at, None);
                step.in_doubt = event.outcome_unknown;
                self.no_longer_awaits(key);
                if event.cause != StopCause::ItemFailed {
                    self.history.cut = true;
                }
                self.came_to_end(key);
            }
            Event::StepOutcomeUnknown(event) => {
                let key = self.open_step(&event.path)?;
                self.step_mut(key)
                    .end(StepState::OutcomeUnknown, at, Some(event.error.clone()));
                self.no_longer_awaits(key);
                self.history.unknown.insert(key);
            }
            Event::StepResolved(event) => self.resolved(event)?,
            Event::StepInterrupted(event) => {
                let key = self.open_step(&event.path)?;
                self.no_longer_awaits(key);
                self.step_mut(key).interrupt(at);
                self.history.ready.insert(key);
            }
            Event::StepQuarantined(event) => {
                let key = self.open_step(&event.path)?;
                self.step_mut(key)
                    .end(StepState::Quarantined, at, Some(event.error.clone()));
                self.no_longer_awaits(key);
                self.history.unknown.insert(key);
            }
        }
        Ok(())
    }

    fn waits_for_retry(
        &mut self,
        key: StepKey,
        sequence: i64,
        at: DateTime<Utc>,
        event: &StepRetryScheduled,
    ) {
        self.no_longer_awaits(key);
        self.history.waiting.insert(key, event.until);
        let wait = Wait {
            until: event.until,
            what: Awaited::Retry,
            since: sequence,
        };
        let step = self.step_mut(key);
        step.begin(event.attempt, event.started_at);
        step.wait_for_retry(wait, at, event.error.clone());
        self.charge(key, event.error.usage);
    }

    fn waits_for_child(&mut self, key: StepKey, sequence: i64, event: &ChildStarted) {
        self.no_longer_awaits(key);
        self.history.waiting.insert(key, event.until);
        let what = Awaited::Child {
            run_id: event.run_id,
        };
        let wait = Wait {
            until: event.until,
            what,
            since: sequence,
        };
        let step = self.step_mut(key);
        step.begin(event.attempt, event.started_at);
        step.wait(wait);
        step.child = Some(event.run_id);
    }

    fn step_waits(&mut self, key: StepKey, sequence: i64, event: &StepWaiting) {
        self.no_longer_awaits(key);
        let wait = Wait {
            until: event.until,
            what: event.awaited.clone(),
            since: sequence,
        };
        let step = self.step_mut(key);
        step.begin(event.attempt, event.started_at);
        step.wait(wait);
        self.history.waiting.insert(key, event.until);
        if let (Awaited::Signal { name, .. }, Some(taken)) = (&event.awaited, event.taken) {
            self.take_signal(key, name, taken);
        }
    }

    /// It goes on after a pause or a wait.
    pub(super) fn goes_on(&mut self) {
        self.history.state = if self.history.started_at.is_some() {
            RunState::Running
        } else {
            RunState::Queued
        };
        self.no_longer_waits();
    }

    pub(super) fn no_longer_waits(&mut self) {
        self.history.wait_reason = None;
        self.history.waits_until = None;
    }

    /// Takes a step out of all lists of steps that something is to be done about.
    pub(super) fn no_longer_awaits(&mut self, key: StepKey) {
        let history = &mut self.history;
        history.ready.remove(&key);
        history.unreachable.remove(&key);
        history.waiting.remove(&key);
        history.woken.remove(&key);
        history.running.remove(&key);
        history.looping.remove(&key);
        history.done_loops.remove(&key);
        history.unknown.remove(&key);
    }

    /// Ends the run. Steps that are still open are cut off with it, which happens only where the run could not be
    /// brought to its end step by step.
    fn ended(&mut self, state: RunState, at: DateTime<Utc>) {
        self.history.state = state;
        self.no_longer_waits();
        self.history.ended_at = Some(at);
        self.history.cautious = false;
        let history = &self.history;
        let mut open: Vec<StepKey> = history.running.iter().copied().collect();
        open.extend(history.waiting.keys());
        open.extend(history.woken.keys());
        open.extend(&history.looping);
        for key in open {
            self.step_mut(key).end(StepState::Cancelled, at, None);
            self.no_longer_awaits(key);
            if let Some(scope) = self.history.scopes.get_mut(&key.scope) {
                scope.unsettled -= 1;
            }
        }
    }

    pub(super) fn step_mut(&mut self, key: StepKey) -> &mut super::step::Step {
        let scope = self.history.scopes.get_mut(&key.scope);
        let scope = scope.expect("keys are made of scopes that are known");
        &mut scope.steps[key.node.at()]
    }

    /// The step of this path, if it has not come to its end.
    pub(super) fn open_step(&self, path: &StepPath) -> Result<StepKey, String> {
        let key = self.find(path).ok_or_else(|| format!("no step {path}"))?;
        let state = self.step(key).state;
        if state.is_final() {
            Err(format!("step {path} is {state}"))
        } else {
            Ok(key)
        }
    }
}
