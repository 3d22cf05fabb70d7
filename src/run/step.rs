//! One node in one run, and what has become of it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::event::{Awaited, Failure, PayloadInfo, Reused};
use super::state::{Decision, Handling, RunState, StepState, WaitReason};
use crate::ids::RunId;
use crate::usage::Usage;

/// One node in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Where it stands.
    pub state: StepState,
    /// All attempts so far, oldest first; the last one is the current one.
    pub attempts: Vec<Attempt>,
    /// What it waits for, while it waits.
    pub wait: Option<Wait>,
    /// What it gave: its output once it succeeded, else what its failure passes on.
    pub output: Option<Output>,
    /// What happened on the way to the output.
    pub details: Map<String, Value>,
    /// What it has used, all attempts together; of a loop, what its items have.
    pub usage: Usage,
    /// What followed from its failure, once it failed for good.
    pub handling: Option<Handling>,
    /// Whether its last attempt was cut off and may have taken effect all the same.
    pub in_doubt: bool,
    /// The child run of its last attempt, if that started one.
    pub child: Option<RunId>,
    /// What somebody said who decided that it has failed, until that is journaled.
    pub condemned: Option<String>,
    /// Where its output was taken from, if it did not run.
    pub reused: Option<Reused>,
    /// How many durable attempts have died with their process, since somebody last decided about the step.
    pub(super) deaths: u32,
    /// The number of the attempt that was counted last.
    pub(super) died_at: u32,
    /// How many attempts there were before its run was tried again: its retry policy begins anew after them.
    pub(super) tried_before: u32,
    /// How many attempts there were before somebody decided that it is tried again: the time for all of its attempts
    /// begins anew after them.
    pub(super) timed_after: u32,
    /// Edges into it of which nothing is known yet.
    pub(super) undecided: u32,
    /// Edges into it that delivered.
    pub(super) delivered: u32,
}

/// One try at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it came to its end; `None` while it lasts.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended; `RUNNING` or `WAITING` while it lasts.
    pub state: StepState,
    /// What went wrong, if something did.
    pub error: Option<Failure>,
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// When it goes on at the latest.
    pub until: DateTime<Utc>,
    /// What it waits for.
    pub what: Awaited,
    /// Since which event.
    pub since: i64,
}

impl Wait {
    /// What it waits for, as a reason.
    #[must_use]
    pub fn reason(&self) -> WaitReason {
        match self.what {
            Awaited::Time => WaitReason::Delay,
            Awaited::Retry => WaitReason::Retry,
            Awaited::Signal { .. } => WaitReason::Signal,
            Awaited::Approval { .. } => WaitReason::Approval,
            Awaited::Child { .. } => WaitReason::Child,
        }
    }

    /// Whether its time ends it by an event of its own, because somebody's word may come at the same moment.
    #[must_use]
    pub fn expires(&self) -> bool {
        matches!(self.what, Awaited::Signal { .. } | Awaited::Approval { .. })
    }
}

/// What ended a step's wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Woken {
    /// Its time.
    Time,
    /// A signal: the event that holds its payload.
    Signal(i64, PayloadInfo),
    /// A decision, and the event that holds it as an object.
    Approval(Decision, i64, PayloadInfo),
    /// The end of a child run.
    Child {
        /// Which run.
        run_id: RunId,
        /// How it ended.
        state: RunState,
        /// What went wrong, if it could not even be started.
        error: Option<Failure>,
    },
}

/// What is kept in memory of a finished step: the output itself is loaded when somebody needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Size, hash and place.
    pub info: PayloadInfo,
    /// The event that holds it.
    pub sequence: i64,
    /// The port that it left by; empty for the only one.
    pub port: String,
}

impl Step {
    /// A step of which nothing is known, with so many edges into it.
    pub(super) fn pending(incoming: usize) -> Self {
        Self {
            state: StepState::Pending,
            attempts: Vec::new(),
            wait: None,
            output: None,
            details: Map::new(),
            usage: Usage::default(),
            handling: None,
            in_doubt: false,
            child: None,
            condemned: None,
            reused: None,
            deaths: 0,
            died_at: 0,
            tried_before: 0,
            timed_after: 0,
            undecided: u32::try_from(incoming).unwrap_or(u32::MAX),
            delivered: 0,
        }
    }

    /// The number of the last attempt; 0 if there was none.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempts.last().map_or(0, |attempt| attempt.number)
    }

    /// When the first attempt began.
    #[must_use]
    pub fn started_at(&self) -> Option<DateTime<Utc>> {
        self.attempts.first().map(|attempt| attempt.started_at)
    }

    /// When the first of those attempts began that its retry policy bounds together: of all, or of those since somebody
    /// decided that it is tried again.
    #[must_use]
    pub fn tried_since(&self) -> Option<DateTime<Utc>> {
        let mut attempts = self.attempts.iter();
        let first = attempts.find(|attempt| attempt.number > self.timed_after);
        first.map(|attempt| attempt.started_at)
    }

    /// When the step came to its end.
    #[must_use]
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        if self.state.is_final() {
            self.attempts.last().and_then(|attempt| attempt.ended_at)
        } else {
            None
        }
    }

    /// Whether what it gave counts as the node's output: it succeeded, or a default stands in for it.
    #[must_use]
    pub fn gave_output(&self) -> bool {
        self.state == StepState::Succeeded || self.handling == Some(Handling::DefaultOutput)
    }

    /// Whether templates can read what it gave as `results.<node>.output`.
    #[must_use]
    pub fn gave_result(&self) -> bool {
        self.gave_output() || self.handling == Some(Handling::ErrorPort)
    }

    /// How many attempts have failed by themselves, and not by the end of their process, since the run was last tried
    /// again.
    #[must_use]
    pub fn failures(&self) -> u32 {
        let failed = self.attempts.iter().filter(|attempt| {
            attempt.state == StepState::Failed
                && attempt.number > self.tried_before
                && attempt
                    .error
                    .as_ref()
                    .is_some_and(|error| error.reason != INTERRUPTED)
        });
        u32::try_from(failed.count()).unwrap_or(u32::MAX)
    }

    /// Begins the attempt of this number, or goes on with it.
    ///
    /// An earlier one that is still open was lost with its process.
    pub(super) fn begin(&mut self, number: u32, at: DateTime<Utc>) {
        if self.attempt() == number {
            // What it waited for is over, and must not be taken for what it waits for.
            self.wait = None;
            if let Some(open) = self.attempts.last_mut()
                && open.ended_at.is_none()
            {
                open.state = StepState::Running;
                self.state = StepState::Running;
            }
            return;
        }
        if let Some(lost) = self.attempts.last_mut()
            && lost.ended_at.is_none()
        {
            lost.ended_at = Some(at);
            lost.error = Some(interrupted("the process ended during the attempt"));
            lost.state = StepState::Failed;
        }
        self.attempts.push(Attempt {
            number,
            started_at: at,
            ended_at: None,
            state: StepState::Running,
            error: None,
        });
        self.wait = None;
        self.child = None;
        self.state = StepState::Running;
    }

    /// Has the current attempt, and with it the step, wait.
    pub(super) fn wait(&mut self, wait: Wait) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.state = StepState::Waiting;
        }
        self.wait = Some(wait);
        self.state = StepState::Waiting;
    }

    /// Ends the current attempt and has the step wait for its next one.
    pub(super) fn wait_for_retry(&mut self, wait: Wait, at: DateTime<Utc>, error: Failure) {
        self.end(StepState::Failed, at, Some(error));
        self.wait = Some(wait);
        self.state = StepState::Waiting;
    }

    /// Ends the current attempt, and with it the step, in this state.
    pub(super) fn end(&mut self, state: StepState, at: DateTime<Utc>, error: Option<Failure>) {
        if let Some(attempt) = self.attempts.last_mut()
            && attempt.ended_at.is_none()
        {
            attempt.ended_at = Some(at);
            attempt.state = state;
            attempt.error = error;
        }
        self.wait = None;
        self.condemned = None;
        self.state = state;
    }

    /// Ends the current attempt, which counts for nothing, and makes it a step that has yet to be tried again.
    pub(super) fn interrupt(&mut self, at: DateTime<Utc>) {
        let error = interrupted("the process ended in order during the attempt");
        self.end(StepState::Failed, at, Some(error));
        self.state = StepState::Pending;
    }

    /// Makes it a step that has yet to be tried, with its attempts so far.
    pub(super) fn reopen(&mut self) {
        self.state = StepState::Pending;
        self.wait = None;
        self.output = None;
        self.details = Map::new();
        self.handling = None;
        self.in_doubt = false;
        self.child = None;
        self.deaths = 0;
        self.tried_before = self.attempt();
        self.timed_after = self.attempt();
    }
}

/// The reason of an attempt that ended with its process.
pub const INTERRUPTED: &str = "INTERRUPTED";

fn interrupted(message: &str) -> Failure {
    Failure {
        reason: INTERRUPTED.to_owned(),
        message: message.to_owned(),
        details: Map::new(),
        usage: Usage::default(),
    }
}
