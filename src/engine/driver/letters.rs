//! What callers ask of a run: made into events; the next flush deletes the letters.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::Driver;
use crate::crash_points::reach;
use crate::engine::payloads::Encoded;
use crate::ids::StepPath;
use crate::run::event::{
    ApprovalResolved, Awaited, ChildEnded, RunAdmitted, RunCancelling, RunPaused, RunResumed,
    SignalReceived, StepResolved, StepSucceeded,
};
use crate::run::scope::StepKey;
use crate::run::state::{Resolution, RunState, StepState, WaitReason};
use crate::store::inbox::{Decided, Letter, Request, Verdict};
use crate::usage::Usage;

impl Driver {
    /// Makes events of what a caller asks. What no longer fits the run is passed over: it has been answered by what the
    /// run has become.
    pub(super) fn fold(&mut self, letter: &Letter) {
        if !self.letters.seen.insert(letter.id) {
            return;
        }
        self.letters.folded += 1;
        self.letters.answered.push(letter.id);
        let state = self.run.state();
        if state.is_final() {
            return;
        }
        match &letter.request {
            Request::Cancel { reason, grace_ms } => {
                self.cancel(reason, *grace_ms);
                reach("cancel.folded");
            }
            Request::Pause { reason } => {
                if !matches!(state, RunState::Cancelling | RunState::Paused) {
                    self.finish = None;
                    let reason = reason.clone();
                    self.record(RunPaused { reason }, None);
                }
            }
            Request::Resume => {
                if state == RunState::Paused {
                    let reason = WaitReason::Paused;
                    self.record(RunResumed { reason }, None);
                }
            }
            Request::Signal { name, payload } => {
                let taker = self.run.find_awaiting_signal(name);
                let path = taker.map(|key| self.run.path(key));
                let encoded = Encoded::new(Arc::new(payload.clone()));
                let (name, payload) = (name.clone(), encoded.info.clone());
                let event = SignalReceived {
                    name,
                    payload,
                    path,
                };
                self.record_with(event, encoded);
            }
            Request::Approval(decided) => self.decided(decided),
            Request::Resolve(verdict) => self.resolve(verdict),
            Request::ChildEnded {
                run_id,
                state,
                error,
            } => {
                if let Some(key) = self.run.find_awaiting_child(*run_id) {
                    let (path, attempt) = (self.run.path(key), self.run.step(key).attempt());
                    let event = ChildEnded {
                        path,
                        attempt,
                        run_id: *run_id,
                        state: *state,
                        error: error.clone(),
                    };
                    self.record(event, None);
                }
            }
            Request::Admitted => {
                if self.run.is_blocked() {
                    self.record(RunAdmitted {}, None);
                }
            }
        }
        reach("letter.folded");
    }

    fn cancel(&mut self, reason: &str, grace_ms: u64) {
        if self.run.state() == RunState::Cancelling {
            return;
        }
        let grace = TimeDelta::milliseconds(i64::try_from(grace_ms).unwrap_or(i64::MAX / 2));
        let force_at = self.now() + grace;
        self.finish = None;
        // What a failure stopped goes on being stopped, now for this cause.
        self.stopping = None;
        self.record(
            RunCancelling {
                reason: reason.to_owned(),
                force_at,
            },
            None,
        );
    }

    fn decided(&mut self, decided: &Decided) {
        let Some(key) = self.step_at(&decided.path, decided.attempt) else {
            return;
        };
        let wait = self.run.step(key).wait.as_ref();
        let asks = wait.is_some_and(|wait| {
            matches!(wait.what, Awaited::Approval(_)) && wait.since == decided.asked_at
        });
        if !asks || self.run.woken(key).is_some() {
            return;
        }
        let object = json!({
            "decision": decided.decision,
            "values": decided.values,
            "comment": decided.comment,
            "decided_by": decided.decided_by,
        });
        let encoded = Encoded::new(Arc::new(object));
        let event = ApprovalResolved {
            path: decided.path.clone(),
            attempt: decided.attempt,
            decision: decided.decision,
            decided_by: decided.decided_by.clone(),
            payload: encoded.info.clone(),
        };
        self.record_with(event, encoded);
    }

    fn resolve(&mut self, verdict: &Verdict) {
        let Some(key) = self.step_at(&verdict.path, verdict.attempt) else {
            return;
        };
        let step = self.run.step(key);
        if !matches!(
            step.state,
            StepState::OutcomeUnknown | StepState::Quarantined
        ) {
            return;
        }
        let last = step.attempts.last();
        let started_at = last.map_or_else(|| self.now(), |last| last.started_at);
        let (path, attempt) = (verdict.path.clone(), verdict.attempt);
        self.record(
            StepResolved {
                path: path.clone(),
                attempt,
                resolution: verdict.resolution,
                comment: verdict.comment.clone(),
            },
            None,
        );
        match verdict.resolution {
            // The run says so itself, also if this process ends first.
            Resolution::Retry | Resolution::Failed => {}
            Resolution::Succeeded => {
                let encoded = Encoded::new(Arc::new(verdict.output.clone()));
                let mut details = Map::new();
                details.insert("resolved".to_owned(), Value::Bool(true));
                let event = StepSucceeded {
                    path,
                    attempt,
                    started_at,
                    port: verdict.port.clone(),
                    output: encoded.info.clone(),
                    details,
                    usage: Usage::default(),
                    reused: None,
                };
                self.record_with(event, encoded);
            }
        }
    }

    /// The step of this path, if this is its last attempt.
    fn step_at(&self, path: &StepPath, attempt: u32) -> Option<StepKey> {
        let key = self.run.find(path)?;
        (self.run.step(key).attempt() == attempt).then_some(key)
    }

    /// Records an event whose payload is small enough to lie beside it.
    fn record_with(&mut self, event: impl Into<crate::run::event::Event>, encoded: Encoded) {
        let sequence = self.record(event, Some(Arc::clone(&encoded.text)));
        self.outputs.insert(sequence, encoded);
    }
}
