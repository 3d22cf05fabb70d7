//! A run and its journal, told event by event.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Map;

use crate::flow::graph::Graph;
use crate::run::event::{
    Awaited, Event, Failure, PayloadInfo, Recorded, RunCancelling, RunQueued, RunStarted,
    RunWaiting, StepCancelled, StepFailed, StepOutcomeUnknown, StepSkipped, StepStarted,
    StepSucceeded, StepWaiting,
};
use crate::run::scope::StepKey;
use crate::run::state::{Handling, StepState, StopCause, WaitReason};
use crate::run::{Command, History, Mismatch, Run};

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

    /// The node of this id.
    pub fn step(&self, id: &str) -> StepKey {
        StepKey::top(self.run.graph().find(id).unwrap())
    }

    /// Where the step of this node stands.
    pub fn state(&self, id: &str) -> StepState {
        self.run.step(self.step(id)).state
    }

    /// The command to run a first attempt of this node.
    pub fn first_attempt(&self, id: &str) -> Command {
        Command::Attempt {
            key: self.step(id),
            number: 1,
            waited: false,
        }
    }

    /// The first attempt begins, and is in this process.
    pub fn starts(&mut self, id: &str) {
        self.run.launched(self.step(id));
        self.record(StepStarted {
            path: id.into(),
            attempt: 1,
        });
    }

    /// The first attempt succeeds.
    pub fn succeeds(&mut self, id: &str, port: &str) {
        self.run.landed(self.step(id));
        self.record(StepSucceeded {
            path: id.into(),
            attempt: 1,
            started_at: self.now,
            port: port.to_owned(),
            output: payload(),
            details: Map::new(),
            reused: None,
        });
    }

    /// The first attempt fails, and with it the run; what is in flight has ten seconds.
    pub fn fails(&mut self, id: &str) {
        self.run.landed(self.step(id));
        self.record(StepFailed {
            path: id.into(),
            attempt: 1,
            started_at: self.now,
            error: failure("HTTP_5XX"),
            handling: Handling::FailRun,
            force_at: self.now + TimeDelta::seconds(10),
            output: None,
        });
    }

    /// The first attempt has nothing to do for a time.
    pub fn waits(&mut self, id: &str, time: TimeDelta) {
        self.run.landed(self.step(id));
        self.record(StepWaiting {
            path: id.into(),
            attempt: 1,
            started_at: self.now,
            until: self.now + time,
            awaited: Awaited::Time,
            taken: None,
        });
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

    /// Nothing can reach the step.
    pub fn is_skipped(&mut self, id: &str) {
        self.record(StepSkipped { path: id.into() });
    }

    /// The first attempt is cut off.
    pub fn is_cut(&mut self, id: &str, cause: StopCause) {
        self.run.landed(self.step(id));
        self.record(StepCancelled {
            path: id.into(),
            attempt: 1,
            started_at: Some(self.now),
            cause,
            outcome_unknown: false,
            approval: false,
        });
    }

    /// It is not known what came of the first attempt.
    pub fn is_in_doubt(&mut self, id: &str) {
        self.run.landed(self.step(id));
        self.record(StepOutcomeUnknown {
            path: id.into(),
            attempt: 1,
            started_at: self.now,
            error: failure("INTERRUPTED"),
        });
    }
}
