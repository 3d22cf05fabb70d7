//! All that can be in the history of a run.
//!
//! Every decision is a field of an event: `apply` interprets what it reads and decides nothing again, so that a newer
//! binary with a mended rule does not change a run in flight. What an older binary could not read raises [`FORMAT`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state::{Handling, StopCause, WaitReason};
use crate::ids::StepPath;

/// The highest event format that this binary writes and reads. A run's row carries the highest one in its history, and
/// executors claim only what they can read.
pub const FORMAT: i16 = 1;

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

/// What is known of a payload without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadInfo {
    /// Length of its JSON text.
    pub size_bytes: u64,
    /// SHA-256 of its JSON text, in hexadecimal digits.
    pub sha256: String,
    /// Where its chunks lie; `None` if it is kept beside the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<ChunkKey>,
}

/// Where the chunks of a payload lie within their run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkKey {
    /// Whose output it is; empty for the run's own input and output.
    pub path: String,
    /// The attempt that made it; for the run's own: 0 is the input, 1 the output.
    pub attempt: u32,
    /// The epoch in which it was written: one that was fenced meanwhile harms nobody.
    pub epoch: i64,
}

/// What went wrong in a step or a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Named reason, for programs.
    pub reason: String,
    /// For people.
    pub message: String,
    /// More of it: an answer's status, the path that was missing.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// What ended a run as failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunError {
    /// The failure itself.
    #[serde(flatten)]
    pub failure: Failure,
    /// The step that failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<StepPath>,
    /// Its attempt; 0 if no step failed.
    #[serde(default)]
    pub attempt: u32,
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
        /// When it goes on.
        until: DateTime<Utc>,
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
    },
    /// The step gave up.
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
            | Self::RunCancelling(_)
            | Self::RunSucceeded(_)
            | Self::RunFailed(_)
            | Self::RunCancelled(_) => None,
            Self::StepStarted(event) => Some((&event.path, event.attempt)),
            Self::StepWaiting(event) => Some((&event.path, event.attempt)),
            Self::StepSucceeded(event) => Some((&event.path, event.attempt)),
            Self::StepFailed(event) => Some((&event.path, event.attempt)),
            Self::StepSkipped(event) => Some((&event.path, 0)),
            Self::StepCancelled(event) => Some((&event.path, event.attempt)),
            Self::StepOutcomeUnknown(event) => Some((&event.path, event.attempt)),
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
            _ => None,
        }
    }
}
