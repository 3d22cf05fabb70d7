//! A run and its journal, told event by event.

mod steps;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Map;

use crate::flow::graph::Graph;
use crate::run::event::{
    Event, Failure, PayloadInfo, Recorded, RunCancelling, RunFailed, RunPaused, RunQueued,
    RunReopened, RunResumed, RunStarted, RunWaiting,
};
use crate::run::scope::StepKey;
use crate::run::state::{StepState, WaitReason};
use crate::run::{Command, History, Mismatch, Run};
use crate::usage::Usage;

/// A run, its journal, and what time it is.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub run: Run,
    pub journal: Vec<Recorded>,
    /// What the run looked like after each event, if that is kept.
    pub histories: Option<Vec<History>>,
    pub now: DateTime<Utc>,
}

/// Some payload.
pub(super) fn payload() -> PayloadInfo {
    PayloadInfo {
        size_bytes: 2,
        sha256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a".to_owned(),
        chunks: None,
    }
}

/// A failure with this reason.
pub(super) fn failure(reason: &str) -> Failure {
    Failure {
        reason: reason.to_owned(),
        message: "it did not work".to_owned(),
        details: Map::new(),
        usage: Usage::default(),
    }
}

impl Story {
    /// A run that is queued.
    pub fn queued(graph: Arc<Graph>) -> Self {
        Self::born(graph, false)
    }

    /// A run that is queued and may not start before it is admitted.
    pub fn blocked(graph: Arc<Graph>) -> Self {
        Self::born(graph, true)
    }

    fn born(graph: Arc<Graph>, blocked: bool) -> Self {
        let mut story = Self {
            run: Run::new(graph),
            journal: Vec::new(),
            histories: None,
            now: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
        };
        story.record(RunQueued {
            input: payload(),
            parent: None,
            origin: None,
            blocked,
        });
        story
    }

    /// A run that has started and whose time is up after an hour.
    pub fn started(graph: Arc<Graph>) -> Self {
        let mut story = Self::queued(graph);
        let deadline = story.now + TimeDelta::hours(1);
        story.record(RunStarted { deadline });
        story
    }

    /// Applies an event and keeps it; gives its sequence.
    pub fn record(&mut self, event: impl Into<Event>) -> i64 {
        self.try_record(event).unwrap()
    }

    /// The same, where it may be refused.
    pub fn try_record(&mut self, event: impl Into<Event>) -> Result<i64, Mismatch> {
        let recorded = Recorded {
            sequence: self.run.last_sequence() + 1,
            at: self.now,
            event: event.into(),
            payload: None,
        };
        self.run.apply(&recorded)?;
        self.journal.push(recorded);
        if let Some(histories) = &mut self.histories {
            histories.push(self.run.history().clone());
        }
        Ok(self.run.last_sequence())
    }

    /// Forgets all but what is durable: the first `kept` events.
    pub fn crash(&mut self, kept: usize) {
        self.journal.truncate(kept);
        if let Some(histories) = &mut self.histories {
            histories.truncate(kept);
        }
        self.run = Run::fold(Arc::clone(self.run.graph()), &self.journal).unwrap();
    }

    /// Takes back the last event, before which the run was this.
    pub fn take_back(&mut self, before: Run) {
        self.run = before;
        self.journal.pop();
        if let Some(histories) = &mut self.histories {
            histories.pop();
        }
    }

    /// Lets time pass.
    pub fn after(&mut self, time: TimeDelta) -> &mut Self {
        self.now += time;
        self
    }

    /// What the run wants done.
    pub fn next(&self) -> Vec<Command> {
        self.run.next(self.now)
    }

    /// The step of this path.
    pub fn step(&self, path: &str) -> StepKey {
        self.run.find(&path.into()).unwrap()
    }

    /// Where the step of this path stands.
    pub fn state(&self, path: &str) -> StepState {
        self.run.step(self.step(path)).state
    }

    /// The command to run this attempt of a step.
    pub fn attempt(&self, path: &str, number: u32) -> Command {
        Command::Attempt {
            key: self.step(path),
            number,
            waited: false,
        }
    }

    /// The command to run a first attempt of this step.
    pub fn first_attempt(&self, path: &str) -> Command {
        self.attempt(path, 1)
    }

    /// The command to go on with an attempt of which the wait is over.
    pub fn going_on(&self, path: &str) -> Command {
        Command::Attempt {
            key: self.step(path),
            number: self.run.step(self.step(path)).attempt(),
            waited: true,
        }
    }

    /// The run leaves memory and is taken up again from its journal.
    pub fn parks(&mut self, reason: WaitReason, until: DateTime<Utc>) {
        self.record(RunWaiting { reason, until });
        self.crash(self.journal.len());
    }

    /// Somebody cancels the run; what is in flight has ten seconds.
    pub fn is_cancelled(&mut self) {
        self.record(RunCancelling {
            reason: "not needed".to_owned(),
            force_at: self.now + TimeDelta::seconds(10),
        });
    }

    /// Somebody has the run dispatch nothing more.
    pub fn is_paused(&mut self) {
        let reason = "lunch".to_owned();
        self.record(RunPaused { reason });
    }

    /// Somebody has the run go on after a pause.
    pub fn is_resumed(&mut self) {
        let reason = WaitReason::Paused;
        self.record(RunResumed { reason });
    }

    /// The run fails as it asked to, and somebody has it tried again.
    pub fn is_tried_again(&mut self) {
        let [Command::Fail(error)] = &self.next()[..] else {
            panic!("the run has not failed: {:?}", self.next());
        };
        let error = error.clone();
        self.record(RunFailed { error });
        let deadline = self.now + TimeDelta::hours(1);
        self.record(RunReopened { deadline });
        self.crash(self.journal.len());
    }
}
