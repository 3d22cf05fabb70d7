//! All that can be in the history of a run.
//!
//! Every decision is a field of an event: `apply` interprets what it reads and decides nothing again, so that a newer
//! binary with a mended rule does not change a run in flight. What an older binary could not read raises [`FORMAT`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use super::fact::{
    Asked, Awaited, ChunkKey, Failure, Given, Origin, Parent, PayloadInfo, Reused, RunError,
};
use super::state::{Decision, Handling, OnItemError, Resolution, RunState, StopCause, WaitReason};
use crate::ids::{FlowId, RunId, StepPath};
use crate::usage::Usage;

/// The highest event format that this binary writes and reads. A run's row carries the highest one in its history, and
/// executors claim only what they can read.
pub const FORMAT: i16 = 3;

/// The lowest [`FORMAT`] that knows of runs that are recovered, of attempts that a drain has cut off, and of quarantine. While an
/// executor lives that reads less, none of these is written.
pub const RECOVERY_FORMAT: i16 = 3;

/// An event at its place in a run's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// 1, 2, 3 … without gaps.
    pub sequence: i64,
    /// When it happened, by the database's clock as the writer knew it.
    pub at: DateTime<Utc>,
    /// What happened.
    pub event: Event,
    /// The payload kept beside the event, as JSON text; `None` if there is none, if it lies in chunks, or if the
    /// reader did not ask for it.
    pub payload: Option<Arc<str>>,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }),+ $(,)?) => {
        /// Something that happened in a run.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event {
            $($(#[$doc])* $variant($variant)),+
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            pub struct $variant { $($(#[$field_doc])* pub $field: $type),* }

            impl From<$variant> for Event {
                fn from(event: $variant) -> Self {
                    Self::$variant(event)
                }
            }
        )+

        impl Event {
            /// The names of all kinds of event.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// The name of its kind, as it stands in the database and on the wire.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind),+ }
            }

            /// Its fields as JSON text.
            #[must_use]
            pub fn encode(&self) -> String {
                match self {
                    $(Self::$variant(event) => serde_json::to_string(event)),+
                }
                .expect("events hold text keys only, which always encode")
            }

            /// The event of this kind with these fields.
            ///
            /// # Errors
            ///
            /// If this binary knows no such kind or the fields are not that kind's.
            pub fn decode(kind: &str, data: &str) -> Result<Self, String> {
                match kind {
                    $($kind => serde_json::from_str(data).map(Self::$variant).map_err(|error| format!("{kind}: {error}")),)+
                    other => Err(format!("unknown kind of event {other:?}")),
                }
            }
        }
    };
}

events! {
    /// The run is durable; its input is the payload.
    RunQueued = "run_queued" {
        /// The run's input.
        input: PayloadInfo,
        /// The step that waits for it, if it is a child.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
        /// The run whose outputs it may use, if it is a fork.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
        /// Whether it has to be admitted before it starts: its flow's limit of open runs is reached.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        blocked: bool,
    },
    /// The run may start: there is a place among the open runs of its flow.
    RunAdmitted = "run_admitted" {},
    /// No further step is dispatched until somebody resumes the run.
    RunPaused = "run_paused" {
        /// As the caller gave it; may be empty.
        reason: String,
    },
    /// The run, which had failed, goes on: what succeeded is kept, what failed is tried again.
    RunReopened = "run_reopened" {
        /// When the run's time is up now.
        deadline: DateTime<Utc>,
    },
    /// The run was taken over from an executor that died. From here on it goes cautiously: each attempt is durable before it
    /// begins, whatever its effect, until the run ends.
    RunRecovered = "run_recovered" {
        /// Steps whose attempt was open when the executor died, and may be what killed it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lost: Vec<StepPath>,
    },
    /// Somebody sent the run a signal, whose payload is the payload.
    SignalReceived = "signal_received" {
        /// Its name.
        name: String,
        /// The signal's payload.
        payload: PayloadInfo,
        /// The step that takes it; without one it is kept for the first that asks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<StepPath>,
    },
    /// The first steps are dispatched.
    RunStarted = "run_started" {
        /// When the run's time is up, waits included.
        deadline: DateTime<Utc>,
    },
    /// Nothing executes: the run leaves memory.
    RunWaiting = "run_waiting" {
        /// What it waits for.
        reason: WaitReason,
        /// When it is looked at again at the latest.
        until: DateTime<Utc>,
    },
    /// The run goes on after a wait.
    RunResumed = "run_resumed" {
        /// What it had waited for.
        reason: WaitReason,
    },
    /// Somebody cancelled the run.
    RunCancelling = "run_cancelling" {
        /// As the caller gave it; may be empty.
        reason: String,
        /// When what is still in flight is given up.
        force_at: DateTime<Utc>,
    },
    /// The run ended with its output as the payload.
    RunSucceeded = "run_succeeded" {
        /// The run's output.
        output: PayloadInfo,
    },
    /// The run ended with an error.
    RunFailed = "run_failed" {
        /// What went wrong.
        error: RunError,
    },
    /// The run ended because somebody cancelled it.
    RunCancelled = "run_cancelled" {
        /// As the caller gave it; may be empty.
        reason: String,
    },
    /// An attempt begins: durable before its applet runs. `PURE` steps have no such event.
    StepStarted = "step_started" {
        /// Which step.
        path: StepPath,
        /// Counted from 1.
        attempt: u32,
    },
    /// The step has nothing to do until a time.
    StepWaiting = "step_waiting" {
        /// Which step.
        path: StepPath,
        /// The attempt that waits.
        attempt: u32,
        /// When it began.
        started_at: DateTime<Utc>,
        /// When it goes on at the latest.
        until: DateTime<Utc>,
        /// What it waits for.
        #[serde(default, skip_serializing_if = "Awaited::is_time")]
        awaited: Awaited,
        /// The event of the signal that it takes, where that came before it asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken: Option<i64>,
    },
    /// The attempt failed and another one follows.
    StepRetryScheduled = "step_retry_scheduled" {
        /// Which step.
        path: StepPath,
        /// The attempt that failed.
        attempt: u32,
        /// When it began.
        started_at: DateTime<Utc>,
        /// What went wrong.
        error: Failure,
        /// When the next one begins.
        until: DateTime<Utc>,
    },
    /// A wait for a signal or an approval is over because its time is.
    StepExpired = "step_expired" {
        /// Which step.
        path: StepPath,
        /// The attempt that waited.
        attempt: u32,
    },
    /// Somebody decided what a step asked approval for; the decision as an object is the payload.
    ApprovalResolved = "approval_resolved" {
        /// Which step.
        path: StepPath,
        /// The attempt that asked.
        attempt: u32,
        /// Yes or no.
        decision: Decision,
        /// Who decided, as the caller said.
        decided_by: String,
        /// `{decision, values, comment, decided_by}`.
        payload: PayloadInfo,
    },
    /// Somebody decided about a step that could not go on by itself.
    StepResolved = "step_resolved" {
        /// Which step.
        path: StepPath,
        /// The attempt that it is about.
        attempt: u32,
        /// What was decided; what follows from it are events of their own.
        resolution: Resolution,
        /// As whoever decided gave it; may be empty.
        comment: String,
    },
    /// The step's body runs for each item of a list, which is the payload.
    LoopStarted = "loop_started" {
        /// Which step.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// When it began.
        started_at: DateTime<Utc>,
        /// The list of items.
        items: PayloadInfo,
        /// How many there are.
        count: u32,
        /// The most that are under way at once.
        concurrency: u32,
        /// What follows when one fails.
        on_item_error: OnItemError,
        /// Whether items were left out because there were too many.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// The step starts a run of another flow and waits for its end; the child's input is the payload.
    ChildStarted = "child_started" {
        /// Which step.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// When it began.
        started_at: DateTime<Utc>,
        /// The child: a run of this id, which is started once this event is durable.
        run_id: RunId,
        /// The flow that it runs.
        flow_id: FlowId,
        /// That flow's key.
        flow_key: i64,
        /// The revision.
        revision: i32,
        /// The child's input.
        input: PayloadInfo,
        /// When this run's time is up, and the child's with it.
        until: DateTime<Utc>,
    },
    /// The child of a step has come to its end.
    ChildEnded = "child_ended" {
        /// Which step.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// Which child.
        run_id: RunId,
        /// How it ended.
        state: RunState,
        /// What went wrong, if it could not even be started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// The step has its output, which is the payload.
    StepSucceeded = "step_succeeded" {
        /// Which step.
        path: StepPath,
        /// The attempt that made it.
        attempt: u32,
        /// When the attempt began.
        started_at: DateTime<Utc>,
        /// The port that the output leaves by; empty for the only one.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        port: String,
        /// The step's output.
        output: PayloadInfo,
        /// What happened on the way.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        details: Map<String, Value>,
        /// What the attempt has used.
        #[serde(default, skip_serializing_if = "Usage::is_empty")]
        usage: Usage,
        /// Where the output was taken from, if it was not computed here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reused: Option<Reused>,
    },
    /// The step gave up. What it passes on all the same is the payload.
    StepFailed = "step_failed" {
        /// Which step.
        path: StepPath,
        /// The last attempt.
        attempt: u32,
        /// When that attempt began.
        started_at: DateTime<Utc>,
        /// What went wrong.
        error: Failure,
        /// What follows from it.
        handling: Handling,
        /// When what else is in flight is given up.
        force_at: DateTime<Utc>,
        /// What goes on from it: to the port `error`, to the fallback node, or in place of the output.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<PayloadInfo>,
    },
    /// Nothing reached the step: all edges into it are dead.
    StepSkipped = "step_skipped" {
        /// Which step.
        path: StepPath,
    },
    /// The step was cut off because the run comes to its end.
    StepCancelled = "step_cancelled" {
        /// Which step.
        path: StepPath,
        /// The attempt that was in flight.
        attempt: u32,
        /// When that attempt began; `None` if none had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<DateTime<Utc>>,
        /// Why.
        cause: StopCause,
        /// Whether the attempt may have taken effect outside and must not be taken for undone.
        outcome_unknown: bool,
        /// Whether it had asked for an approval, which nobody need give any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        approval: bool,
    },
    /// It is not known whether the attempt took effect, and the step may not be repeated by itself.
    StepOutcomeUnknown = "step_outcome_unknown" {
        /// Which step.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// When it began.
        started_at: DateTime<Utc>,
        /// How it was lost.
        error: Failure,
    },
    /// The attempt was cut off because its process ends in order, which counts for nothing: the step is to be tried again.
    StepInterrupted = "step_interrupted" {
        /// Which step.
        path: StepPath,
        /// The attempt.
        attempt: u32,
    },
    /// Attempts at the step have died with their process too often: it is not tried again by itself.
    StepQuarantined = "step_quarantined" {
        /// Which step.
        path: StepPath,
        /// The attempt that died last.
        attempt: u32,
        /// When that began.
        started_at: DateTime<Utc>,
        /// Why it is put aside.
        error: Failure,
    },
}

impl Event {
    /// The step that it is about, and the attempt, where it is about one.
    #[must_use]
    pub fn step(&self) -> Option<(&StepPath, u32)> {
        match self {
            Self::RunQueued(_)
            | Self::RunStarted(_)
            | Self::RunWaiting(_)
            | Self::RunResumed(_)
            | Self::RunAdmitted(_)
            | Self::RunPaused(_)
            | Self::RunReopened(_)
            | Self::RunRecovered(_)
            | Self::RunCancelling(_)
            | Self::RunSucceeded(_)
            | Self::RunFailed(_)
            | Self::RunCancelled(_) => None,
            Self::SignalReceived(event) => event.path.as_ref().map(|path| (path, 0)),
            Self::StepStarted(event) => Some((&event.path, event.attempt)),
            Self::StepRetryScheduled(event) => Some((&event.path, event.attempt)),
            Self::StepExpired(event) => Some((&event.path, event.attempt)),
            Self::ApprovalResolved(event) => Some((&event.path, event.attempt)),
            Self::StepResolved(event) => Some((&event.path, event.attempt)),
            Self::LoopStarted(event) => Some((&event.path, event.attempt)),
            Self::ChildStarted(event) => Some((&event.path, event.attempt)),
            Self::ChildEnded(event) => Some((&event.path, event.attempt)),
            Self::StepWaiting(event) => Some((&event.path, event.attempt)),
            Self::StepSucceeded(event) => Some((&event.path, event.attempt)),
            Self::StepFailed(event) => Some((&event.path, event.attempt)),
            Self::StepSkipped(event) => Some((&event.path, 0)),
            Self::StepCancelled(event) => Some((&event.path, event.attempt)),
            Self::StepOutcomeUnknown(event) => Some((&event.path, event.attempt)),
            Self::StepInterrupted(event) => Some((&event.path, event.attempt)),
            Self::StepQuarantined(event) => Some((&event.path, event.attempt)),
        }
    }

    /// Whether nothing can follow it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::RunSucceeded(_) | Self::RunFailed(_) | Self::RunCancelled(_)
        )
    }

    /// The payload that belongs to it: a run's input or output, a step's output.
    #[must_use]
    pub fn payload_info(&self) -> Option<&PayloadInfo> {
        match self {
            Self::RunQueued(event) => Some(&event.input),
            Self::RunSucceeded(event) => Some(&event.output),
            Self::StepSucceeded(event) => Some(&event.output),
            Self::StepFailed(event) => event.output.as_ref(),
            Self::SignalReceived(event) => Some(&event.payload),
            Self::ApprovalResolved(event) => Some(&event.payload),
            Self::LoopStarted(event) => Some(&event.items),
            Self::ChildStarted(event) => Some(&event.input),
            _ => None,
        }
    }

    /// The lowest [`FORMAT`] that can read it.
    #[must_use]
    pub fn format(&self) -> i16 {
        let since_the_first = match self {
            Self::RunQueued(event) => {
                event.parent.is_none() && event.origin.is_none() && !event.blocked
            }
            Self::RunStarted(_)
            | Self::RunCancelling(_)
            | Self::RunSucceeded(_)
            | Self::RunFailed(_)
            | Self::RunCancelled(_)
            | Self::StepStarted(_)
            | Self::StepSkipped(_)
            | Self::StepOutcomeUnknown(_) => true,
            Self::RunWaiting(event) => is_old_reason(event.reason),
            Self::RunResumed(event) => is_old_reason(event.reason),
            Self::StepWaiting(event) => event.awaited.is_time(),
            Self::StepSucceeded(event) => event.reused.is_none(),
            Self::StepFailed(event) => event.handling == Handling::FailRun,
            Self::StepCancelled(event) => event.cause != StopCause::ItemFailed && !event.approval,
            Self::RunAdmitted(_)
            | Self::RunPaused(_)
            | Self::RunReopened(_)
            | Self::SignalReceived(_)
            | Self::StepRetryScheduled(_)
            | Self::StepExpired(_)
            | Self::ApprovalResolved(_)
            | Self::StepResolved(_)
            | Self::LoopStarted(_)
            | Self::ChildStarted(_)
            | Self::ChildEnded(_) => false,
            Self::RunRecovered(_) | Self::StepInterrupted(_) | Self::StepQuarantined(_) => {
                return RECOVERY_FORMAT;
            }
        };
        if since_the_first { 1 } else { 2 }
    }
}

const fn is_old_reason(reason: WaitReason) -> bool {
    matches!(reason, WaitReason::Delay | WaitReason::OutcomeUnknown)
}
