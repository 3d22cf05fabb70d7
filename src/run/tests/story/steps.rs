//! What happens to steps.

use chrono::TimeDelta;
use serde_json::Map;
use uuid::Uuid;

use super::{Story, failure, payload};
use crate::ids::{FlowId, RunId};
use crate::run::FAR;
use crate::run::event::{
    ApprovalResolved, Asked, Awaited, ChildEnded, ChildStarted, Event, LoopStarted, RunRecovered,
    SignalReceived, StepCancelled, StepExpired, StepFailed, StepInterrupted, StepOutcomeUnknown,
    StepQuarantined, StepResolved, StepRetryScheduled, StepSkipped, StepStarted, StepSucceeded,
    StepWaiting,
};
use crate::run::state::{Decision, Handling, OnItemError, Resolution, RunState, StopCause};
use crate::usage::Usage;

impl Story {
    /// The number of the attempt that is under way, or else of the next one.
    fn number(&self, path: &str) -> u32 {
        let step = self.run.step(self.step(path));
        let open = step.attempts.last().filter(|it| it.ended_at.is_none());
        open.map_or(step.attempt() + 1, |open| open.number)
    }

    /// An attempt begins, and is in this process.
    pub fn starts(&mut self, path: &str) {
        self.run.launched(self.step(path));
        let attempt = self.run.step(self.step(path)).attempt() + 1;
        let path = path.into();
        self.record(StepStarted { path, attempt });
    }

    /// The process dies, and another one goes on.
    pub fn dies(&mut self) {
        self.crash(self.journal.len());
        let lost = self.run.lost().map(|key| self.run.path(key)).collect();
        self.record(RunRecovered { lost });
    }

    /// The process ends in order, and cuts this step's attempt off.
    pub fn is_interrupted(&mut self, path: &str) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        let path = path.into();
        self.record(StepInterrupted { path, attempt });
        self.crash(self.journal.len());
    }

    /// Attempts have died too often.
    pub fn is_quarantined(&mut self, path: &str) {
        self.record(StepQuarantined {
            path: path.into(),
            attempt: self.number(path),
            started_at: self.now,
            error: failure("POISON"),
        });
    }

    /// The attempt succeeds.
    pub fn succeeds(&mut self, path: &str, port: &str) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        self.record(StepSucceeded {
            path: path.into(),
            attempt,
            started_at: self.now,
            port: port.to_owned(),
            output: payload(),
            details: Map::new(),
            usage: Usage::default(),
            reused: None,
        });
    }

    /// The attempt fails, and with it the run; what is in flight has ten seconds.
    pub fn fails(&mut self, path: &str) {
        self.fails_with(path, Handling::FailRun);
    }

    /// The attempt fails for good, and this follows.
    pub fn fails_with(&mut self, path: &str, handling: Handling) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        self.record(StepFailed {
            path: path.into(),
            attempt,
            started_at: self.now,
            error: failure("HTTP_5XX"),
            handling,
            force_at: self.now + TimeDelta::seconds(10),
            output: Some(payload()),
        });
    }

    /// The attempt fails, and another one follows.
    pub fn is_to_be_tried_again(&mut self, path: &str, wait: TimeDelta) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        self.record(StepRetryScheduled {
            path: path.into(),
            attempt,
            started_at: self.now,
            error: failure("HTTP_5XX"),
            until: self.now + wait,
        });
    }

    /// The attempt has nothing to do for a time.
    pub fn waits(&mut self, path: &str, time: TimeDelta) {
        self.awaits(path, Awaited::Time, Some(time));
    }

    /// The attempt waits for a signal, which may have come before.
    pub fn awaits_signal(&mut self, path: &str, name: &str, bound: Option<TimeDelta>) {
        let name = name.to_owned();
        let expires = bound.is_some();
        self.awaits(path, Awaited::Signal { name, expires }, bound);
    }

    /// The attempt waits for somebody's decision.
    pub fn asks(&mut self, path: &str, bound: Option<TimeDelta>) {
        let asked = Asked {
            title: "May it go on?".to_owned(),
            description: String::new(),
            form_schema: None,
            default_decision: None,
            expires: bound.is_some(),
        };
        self.awaits(path, Awaited::Approval(Box::new(asked)), bound);
    }

    fn awaits(&mut self, path: &str, awaited: Awaited, bound: Option<TimeDelta>) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        let taken = match &awaited {
            Awaited::Signal { name, .. } => self.run.find_kept_signal(name),
            _ => None,
        };
        let far = self.run.deadline().unwrap_or(FAR);
        self.record(StepWaiting {
            path: path.into(),
            attempt,
            started_at: self.now,
            until: bound.map_or(far, |bound| self.now + bound),
            awaited,
            taken,
        });
    }

    /// Somebody sends a signal.
    pub fn is_signalled(&mut self, name: &str) {
        let taker = self.run.find_awaiting_signal(name);
        self.record(SignalReceived {
            name: name.to_owned(),
            payload: payload(),
            path: taker.map(|key| self.run.path(key)),
        });
    }

    /// Somebody decides.
    pub fn is_decided(&mut self, path: &str, decision: Decision) {
        let attempt = self.number(path);
        self.record(ApprovalResolved {
            path: path.into(),
            attempt,
            decision,
            decided_by: "anna".to_owned(),
            payload: payload(),
        });
    }

    /// The time of a wait is over.
    pub fn expires(&mut self, path: &str) {
        let attempt = self.number(path);
        let path = path.into();
        self.record(StepExpired { path, attempt });
    }

    /// The attempt starts a child.
    pub fn calls(&mut self, path: &str) -> RunId {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        let run_id = RunId::new(Uuid::from_u128(7));
        self.record(ChildStarted {
            path: path.into(),
            attempt,
            started_at: self.now,
            run_id,
            flow_id: FlowId::new("other"),
            flow_key: 1,
            revision: 1,
            input: payload(),
            until: self.run.deadline().unwrap_or(FAR),
        });
        run_id
    }

    /// The child comes to its end.
    pub fn child_ends(&mut self, run_id: RunId, state: RunState) {
        let key = self.run.find_awaiting_child(run_id).unwrap();
        self.record(ChildEnded {
            path: self.run.path(key),
            attempt: self.run.step(key).attempt(),
            run_id,
            state,
            error: None,
        });
    }

    /// The attempt begins a loop over so many items, so many at once.
    pub fn loops(&mut self, path: &str, count: u32, concurrency: u32, on_item_error: OnItemError) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        self.record(LoopStarted {
            path: path.into(),
            attempt,
            started_at: self.now,
            items: payload(),
            count,
            concurrency,
            on_item_error,
            truncated: false,
        });
    }

    /// Nothing can reach the step.
    pub fn is_skipped(&mut self, path: &str) {
        self.record(StepSkipped { path: path.into() });
    }

    /// The attempt is cut off.
    pub fn is_cut(&mut self, path: &str, cause: StopCause) {
        self.is_cut_off(path, cause, false);
    }

    /// The same, where it may have taken effect all the same.
    pub fn is_cut_in_doubt(&mut self, path: &str, cause: StopCause) {
        self.is_cut_off(path, cause, true);
    }

    fn is_cut_off(&mut self, path: &str, cause: StopCause, outcome_unknown: bool) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        self.record(StepCancelled {
            path: path.into(),
            attempt,
            started_at: Some(self.now),
            cause,
            outcome_unknown,
            approval: false,
        });
    }

    /// It is not known what came of the attempt.
    pub fn is_in_doubt(&mut self, path: &str) {
        let attempt = self.number(path);
        self.run.landed(self.step(path));
        self.record(StepOutcomeUnknown {
            path: path.into(),
            attempt,
            started_at: self.now,
            error: failure("TIMEOUT"),
        });
    }

    /// Somebody decides what is to become of a step that is in doubt.
    pub fn is_resolved(&mut self, path: &str, resolution: Resolution) {
        let attempt = self.run.step(self.step(path)).attempt();
        self.record(StepResolved {
            path: path.into(),
            attempt,
            resolution,
            comment: "asked by phone".to_owned(),
        });
    }

    /// How often something of this kind has happened to the step.
    pub fn count(&self, kind: &str, path: &str) -> usize {
        let is_it = |event: &Event| {
            event.kind() == kind && event.step().is_some_and(|(of, _)| of.as_str() == path)
        };
        self.journal.iter().filter(|it| is_it(&it.event)).count()
    }
}
