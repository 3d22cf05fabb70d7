//! One node in one run, and what has become of it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::event::{Failure, PayloadInfo};
use super::state::StepState;

/// One node in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Where it stands.
    pub state: StepState,
    /// All attempts so far, oldest first; the last one is the current one.
    pub attempts: Vec<Attempt>,
    /// When it goes on, while it waits.
    pub until: Option<DateTime<Utc>>,
    /// What it gave, once it succeeded.
    pub output: Option<Output>,
    /// What happened on the way to the output.
    pub details: Map<String, Value>,
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
            until: None,
            output: None,
            details: Map::new(),
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

    /// When the step came to its end.
    #[must_use]
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        if self.state.is_final() {
            self.attempts.last().and_then(|attempt| attempt.ended_at)
        } else {
            None
        }
    }

    /// Begins the attempt of this number, or goes on with it.
    ///
    /// An earlier one that is still open was lost with its process.
    pub(super) fn begin(&mut self, number: u32, at: DateTime<Utc>) {
        if self.attempt() == number {
            return;
        }
        if let Some(lost) = self.attempts.last_mut()
            && lost.ended_at.is_none()
        {
            lost.ended_at = Some(at);
            lost.error = Some(Failure {
                reason: "INTERRUPTED".to_owned(),
                message: "the process ended during the attempt".to_owned(),
                details: Map::new(),
            });
            lost.state = StepState::Failed;
        }
        self.attempts.push(Attempt {
            number,
            started_at: at,
            ended_at: None,
            state: StepState::Running,
            error: None,
        });
        self.state = StepState::Running;
    }

    /// Has the current attempt, and with it the step, wait until a time.
    pub(super) fn wait(&mut self, until: DateTime<Utc>) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.state = StepState::Waiting;
        }
        self.until = Some(until);
        self.state = StepState::Waiting;
    }

    /// Ends the current attempt, and with it the step, in this state.
    pub(super) fn end(&mut self, state: StepState, at: DateTime<Utc>, error: Option<Failure>) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.ended_at = Some(at);
            attempt.state = state;
            attempt.error = error;
        }
        self.until = None;
        self.state = state;
    }
}
