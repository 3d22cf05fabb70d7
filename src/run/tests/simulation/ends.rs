//! Events that a letter may forestall: the run's end, its leave from memory, the end of a wait.

use chrono::TimeDelta;

use super::Simulation;
use super::letters::Letter;
use crate::run::FAR;
use crate::run::event::{RunReopened, RunSucceeded};
use crate::run::state::{RunState, WaitReason};
use crate::run::tests::story::payload;

/// More often nobody tries a failed run again.
const MOST_REOPENED: usize = 6;

impl Simulation {
    /// The run's output has been made.
    pub(super) fn finishes(&mut self) {
        self.finishing = false;
        self.record_end(RunSucceeded { output: payload() });
    }

    /// A letter came before that event was written: the run takes the event back.
    pub(super) fn is_forestalled(&mut self) {
        let before = self.before_end.take().expect("the run is at an end");
        self.story.take_back(before);
        self.committed = self.committed.min(self.story.journal.len());
        self.somebody_writes();
    }

    /// That event is written.
    pub(super) fn end_is_durable(&mut self) {
        let all = self.story.journal.len();
        self.commit(all);
        self.before_end = None;
        if self.story.run.state() == RunState::Failed {
            if self.reopened < MOST_REOPENED && self.chance.pick(3) == 1 {
                self.is_reopened();
            }
        } else if !self.story.run.state().is_final() && self.story.run.waits_until().is_some() {
            self.is_parked();
        }
    }

    fn is_reopened(&mut self) {
        self.reopened += 1;
        self.story.now += TimeDelta::seconds([5, 5_000_000][self.chance.pick(2)]);
        let deadline = self.story.now + self.run_time;
        self.story.record(RunReopened { deadline });
        self.is_adopted(self.story.journal.len());
    }

    /// The run belongs to nobody, until it is due or somebody writes to it.
    fn is_parked(&mut self) {
        let reason = self.story.run.wait_reason();
        let until = self.story.run.waits_until().expect("it is parked");
        self.is_adopted(self.story.journal.len());
        let is_due_by_itself = until < FAR;
        match self.chance.pick(8) {
            5 if is_due_by_itself => self.story.now += (until - self.story.now) / 2,
            6 => self.somebody_writes(),
            7 if is_due_by_itself => self.story.now = self.story.now.max(until),
            _ => match (reason, self.awaited_letters().into_iter().next()) {
                (Some(WaitReason::Paused), _) => self.post(Letter::Resume),
                (_, Some(letter)) => self.post(letter),
                (_, None) => self.story.now = self.story.now.max(until),
            },
        }
        self.adopted_at = self.story.now;
    }
}
