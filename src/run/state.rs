//! The states of runs and steps, and why something waits or ended.

use serde::{Deserialize, Serialize};

macro_rules! named_states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the database, in events and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one of this name.
            #[must_use]
            pub fn find(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_states!(
    /// Where a run stands.
    RunState {
        /// Accepted and durable; no step has been dispatched.
        Queued = "QUEUED",
        /// Steps execute or are about to.
        Running = "RUNNING",
        /// Nothing executes until a time or somebody's decision.
        Waiting = "WAITING",
        /// No further step is dispatched until somebody resumes it.
        Paused = "PAUSED",
        /// Somebody cancelled it; what is in flight comes to its end.
        Cancelling = "CANCELLING",
        /// Ended with an output.
        Succeeded = "SUCCEEDED",
        /// Ended with an error.
        Failed = "FAILED",
        /// Ended because somebody cancelled it.
        Cancelled = "CANCELLED",
    }
);

impl RunState {
    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Waiting | Self::Paused | Self::Cancelling => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

named_states!(
    /// Where a step stands.
    StepState {
        /// Its inputs have not all been decided.
        Pending = "PENDING",
        /// An attempt is in flight.
        Running = "RUNNING",
        /// Until its time comes.
        Waiting = "WAITING",
        /// Has its output.
        Succeeded = "SUCCEEDED",
        /// Gave up.
        Failed = "FAILED",
        /// Nothing reached it.
        Skipped = "SKIPPED",
        /// Cut off because the run came to an end.
        Cancelled = "CANCELLED",
        /// It is not known whether its last attempt took effect, and it may not be repeated by itself.
        OutcomeUnknown = "OUTCOME_UNKNOWN",
        /// It killed the process too often.
        Quarantined = "QUARANTINED",
    }
);

impl StepState {
    /// Whether it executes, waits or is in doubt: begun, and not at its end.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        match self {
            Self::Running | Self::Waiting | Self::OutcomeUnknown | Self::Quarantined => true,
            Self::Pending | Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled => {
                false
            }
        }
    }

    /// Whether nothing can follow within the run.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending
            | Self::Running
            | Self::Waiting
            | Self::OutcomeUnknown
            | Self::Quarantined => false,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled => true,
        }
    }
}

named_states!(
    /// What a waiting run, or a waiting step, waits for.
    WaitReason {
        /// A time that a step named.
        Delay = "DELAY",
        /// Somebody's decision on a step whose outcome is unknown.
        OutcomeUnknown = "OUTCOME_UNKNOWN",
        /// The time of a step's next attempt.
        Retry = "RETRY",
        /// A signal.
        Signal = "SIGNAL",
        /// Somebody's approval.
        Approval = "APPROVAL",
        /// The end of a child run.
        Child = "CHILD",
        /// A place among the open runs of its flow.
        Concurrency = "CONCURRENCY",
        /// Somebody's word that the run may go on.
        Paused = "PAUSED",
    }
);

named_states!(
    /// Why what was in flight is cut off.
    StopCause {
        /// Somebody cancelled the run.
        RunCancelled = "RUN_CANCELLED",
        /// Another step failed the run.
        RunFailed = "RUN_FAILED",
        /// The run's time is up.
        RunTimeout = "RUN_TIMEOUT",
        /// Another step failed the item of a loop, or the whole loop.
        ItemFailed = "ITEM_FAILED",
    }
);

named_states!(
    /// What follows from a step's last failure.
    Handling {
        /// The run fails.
        FailRun = "FAIL_RUN",
        /// The failure leaves by the port `error`.
        ErrorPort = "ERROR_PORT",
        /// The fallback node runs in its place.
        Fallback = "FALLBACK",
        /// The default output goes on in place of the output.
        DefaultOutput = "DEFAULT_OUTPUT",
        /// The run goes on without the output.
        ContinueRun = "CONTINUE_RUN",
        /// The item of the loop that the step is in fails.
        FailItem = "FAIL_ITEM",
    }
);

named_states!(
    /// What follows when an item of a loop fails.
    OnItemError {
        /// The loop fails.
        Fail = "FAIL",
        /// The error stands in the list in place of the item's output.
        Collect = "COLLECT",
        /// The item is left out of the list.
        Skip = "SKIP",
    }
);

named_states!(
    /// What somebody decides who is asked for approval.
    Decision {
        /// Yes.
        Approved = "APPROVED",
        /// No.
        Rejected = "REJECTED",
    }
);

named_states!(
    /// What somebody decides about a step that cannot go on by itself.
    Resolution {
        /// It succeeded, with an output that is given.
        Succeeded = "SUCCEEDED",
        /// It is to be tried again.
        Retry = "RETRY",
        /// It failed.
        Failed = "FAILED",
    }
);
