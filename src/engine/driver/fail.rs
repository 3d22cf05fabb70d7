//! A step that failed: tried again, passed on, or the end of its item or its run.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Map;
use uuid::Uuid;

use super::Driver;
use crate::applet::{self, Certainty, Effect};
use crate::engine::attempt::{Placed, Task};
use crate::flow::OnError;
use crate::run::STOP_GRACE;
use crate::run::event::{Failure, StepFailed, StepOutcomeUnknown, StepRetryScheduled};
use crate::run::scope::{ScopeId, StepKey};
use crate::run::state::Handling;

impl Driver {
    /// Takes in the failure of a step's last attempt, in the order of the design: another attempt, then what the node
    /// says of errors, then the item or the run fails.
    pub(super) fn failed(&mut self, key: StepKey, error: applet::Error) {
        let step = self.run.step(key);
        let number = step.attempt().max(1);
        let last = step.attempts.last();
        let started_at = last.map_or_else(|| self.now(), |last| last.started_at);
        self.attempt_failed(key, number, started_at, error);
    }

    /// Fails a step by somebody's decision.
    pub(super) fn fail_by_decision(&mut self, key: StepKey) {
        let comment = self.run.step(key).condemned.clone().unwrap_or_default();
        let message = if comment.is_empty() {
            "somebody decided that the step has failed".to_owned()
        } else {
            format!("somebody decided that the step has failed: {comment}")
        };
        let error = applet::Error::permanent("RESOLVED_AS_FAILED", message);
        self.failed(key, error);
    }

    /// The same for an attempt that may not have been journaled yet.
    pub(super) fn attempt_failed(
        &mut self,
        key: StepKey,
        number: u32,
        started_at: chrono::DateTime<chrono::Utc>,
        error: applet::Error,
    ) {
        let path = self.run.path(key);
        let effect = self.run.graph_of(key.scope).node(key.node).effect;
        if effect == Effect::AtMostOnce && error.certainty == Certainty::Unknown {
            self.record(
                StepOutcomeUnknown {
                    path,
                    attempt: number,
                    started_at,
                    error: failure(error),
                },
                None,
            );
            return;
        }
        let stopped = self.run.is_stopped(key.scope);
        if !stopped && let Some(wait) = self.retry_wait(key, effect, started_at, &error) {
            let until = self.now() + wait;
            self.record(
                StepRetryScheduled {
                    path,
                    attempt: number,
                    started_at,
                    error: failure(error),
                    until,
                },
                None,
            );
            return;
        }
        let handling = match &self.plan_node(key).node.on_error {
            Some(OnError::ErrorPort) if !stopped => Handling::ErrorPort,
            Some(OnError::Fallback(_)) if !stopped => Handling::Fallback,
            Some(OnError::DefaultOutput(_)) if !stopped => Handling::DefaultOutput,
            Some(OnError::ContinueRun) if !stopped => Handling::ContinueRun,
            _ if key.scope == ScopeId::TOP => Handling::FailRun,
            _ => Handling::FailItem,
        };
        let error = failure(error);
        match handling {
            Handling::ErrorPort | Handling::Fallback | Handling::DefaultOutput => {
                self.pass_on(key, number, error, handling);
            }
            Handling::FailRun | Handling::ContinueRun | Handling::FailItem => {
                self.fail_for_good(key, number, started_at, error, handling, None);
            }
        }
    }

    /// Has made what goes on from a step that has failed for good.
    fn pass_on(&mut self, key: StepKey, number: u32, error: Failure, handling: Handling) {
        let mut assignment = self.assign(key, number, Task::PassOn(error, handling), None);
        assignment.number = number;
        self.launch(assignment);
    }

    pub(super) fn fail_for_good(
        &mut self,
        key: StepKey,
        attempt: u32,
        started_at: chrono::DateTime<chrono::Utc>,
        error: Failure,
        handling: Handling,
        output: Option<Placed>,
    ) {
        let path = self.run.path(key);
        let force_at = self.now() + STOP_GRACE;
        let text = output.as_ref().and_then(Placed::beside);
        let info = output.as_ref().map(|output| output.info.clone());
        self.items.remove(&key);
        let sequence = self.record(
            StepFailed {
                path,
                attempt,
                started_at,
                error,
                handling,
                force_at,
                output: info,
            },
            text,
        );
        if let Some(output) = output {
            self.outputs.insert(sequence, output.encoded);
        }
    }

    /// How long to wait before another attempt, if there is to be one.
    fn retry_wait(
        &self,
        key: StepKey,
        effect: Effect,
        started_at: chrono::DateTime<chrono::Utc>,
        error: &applet::Error,
    ) -> Option<TimeDelta> {
        let policy = self.plan_node(key).node.retry.as_ref()?;
        let named = |reasons: &[String]| reasons.iter().any(|reason| reason == error.reason);
        // The applet says of an AT_MOST_ONCE step that it may be tried again only where nothing was sent.
        let safe = effect == Effect::AtMostOnce && named(&policy.safe_on);
        if !(error.retryable || safe) || named(&policy.non_retryable_reasons) {
            return None;
        }
        let asked = error
            .details
            .get("retry_after_seconds")
            .and_then(serde_json::Value::as_u64)
            .map(Duration::from_secs);
        let step = self.run.step(key);
        let wait = policy.next_wait(step.failures() + 1, chance(), asked)?;
        let wait = TimeDelta::from_std(wait).ok()?;
        let begun = step.tried_since().unwrap_or(started_at);
        let total = policy
            .total_timeout
            .and_then(|total| TimeDelta::from_std(total).ok());
        let too_late = total.is_some_and(|total| self.now() + wait >= begun + total);
        (!too_late).then_some(wait)
    }
}

/// Any number from 0 to 1.
fn chance() -> f64 {
    let (_, random) = Uuid::new_v4().as_u64_pair();
    f64::from((random & 0xffff_ffff) as u32) / f64::from(u32::MAX)
}

/// What the history keeps of an error: bounded, and as Postgres can store it.
pub(in crate::engine) fn failure(error: applet::Error) -> Failure {
    let mut details = serde_json::Value::Object(error.details);
    let kept = crate::value::settle_output(&mut details, MAX_DETAILS_BYTES).is_ok();
    let details = match details {
        serde_json::Value::Object(details) if kept => details,
        _ => Map::new(),
    };
    Failure {
        reason: error.reason.to_owned(),
        message: storable(&error.message),
        details,
        usage: error.usage,
    }
}

/// The most bytes of what a failure tells beside its message.
const MAX_DETAILS_BYTES: u64 = 64 * 1024;

/// A message as it can be stored: without U+0000, and of a bounded length.
fn storable(message: &str) -> String {
    const MOST: usize = 4_096;
    message
        .chars()
        .filter(|&character| character != '\0')
        .take(MOST)
        .collect()
}
