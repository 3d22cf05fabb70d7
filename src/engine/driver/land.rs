//! What came of an attempt, and what callers ask: made into events.

use chrono::TimeDelta;
use serde_json::Map;

use super::Driver;
use crate::applet::{self, Certainty, Effect};
use crate::engine::attempt::{End, Landed};
use crate::run::STOP_GRACE;
use crate::run::event::{
    Failure, RunCancelling, StepFailed, StepOutcomeUnknown, StepSucceeded, StepWaiting,
};
use crate::run::state::{Handling, RunState, StopCause};
use crate::store::inbox::{Letter, Request};

impl Driver {
    /// Takes in an attempt that has come to its end.
    pub(super) fn landed(&mut self, landed: Landed) {
        let Landed {
            node,
            number,
            started_at,
            end,
        } = landed;
        let known = self
            .flying
            .get(&node)
            .is_some_and(|flying| flying.number == number);
        if !known {
            // It was given up before it ended: its step has been decided without it.
            return;
        }
        self.flying.remove(&node);
        self.run.landed(node);
        let path = self.run.path(node);
        match end {
            End::Output {
                encoded,
                info,
                port,
                details,
            } => {
                let payload = info.chunks.is_none().then(|| encoded.text.clone());
                let event = StepSucceeded {
                    path,
                    attempt: number,
                    started_at,
                    port,
                    output: info,
                    details,
                };
                self.record(event, payload);
                self.outputs.insert(node, encoded);
            }
            End::WaitUntil(until) => {
                self.record(
                    StepWaiting {
                        path,
                        attempt: number,
                        started_at,
                        until,
                    },
                    None,
                );
            }
            End::Cancelled { outcome_unknown } => {
                let cause = self.stopping.unwrap_or(StopCause::RunCancelled);
                self.cut(node, number, cause, outcome_unknown);
            }
            End::Failed(error) => {
                let at_most_once = self.run.graph().node(node).effect == Effect::AtMostOnce;
                if at_most_once && error.certainty == Certainty::Unknown {
                    self.record(
                        StepOutcomeUnknown {
                            path,
                            attempt: number,
                            started_at,
                            error: failure(error),
                        },
                        None,
                    );
                } else {
                    let force_at = self.now() + STOP_GRACE;
                    let handling = Handling::FailRun;
                    let error = failure(error);
                    self.record(
                        StepFailed {
                            path,
                            attempt: number,
                            started_at,
                            error,
                            handling,
                            force_at,
                        },
                        None,
                    );
                }
            }
        }
    }

    /// Makes an event of what a caller asks; the next flush deletes the letter.
    pub(super) fn fold(&mut self, letter: &Letter) {
        if !self.letters.seen.insert(letter.id) {
            return;
        }
        self.letters.folded += 1;
        self.letters.answered.push(letter.id);
        match &letter.request {
            Request::Cancel { reason, grace_ms } => {
                let state = self.run.state();
                if state == RunState::Cancelling || state.is_final() {
                    return;
                }
                let grace =
                    TimeDelta::milliseconds(i64::try_from(*grace_ms).unwrap_or(i64::MAX / 2));
                let force_at = self.now() + grace;
                self.finish = None;
                // What a failure stopped goes on being stopped, now for this cause.
                self.stopping = None;
                self.record(
                    RunCancelling {
                        reason: reason.clone(),
                        force_at,
                    },
                    None,
                );
            }
        }
    }
}

/// What the history keeps of an error: bounded, and as Postgres can store it.
pub(super) fn failure(error: applet::Error) -> Failure {
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
