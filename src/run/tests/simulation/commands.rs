//! What the run wants done, as the engine's driver does it.

use chrono::TimeDelta;

use super::{Flight, Simulation};
use crate::flow::Effect;
use crate::run::Command;
use crate::run::event::{
    RunCancelled, RunFailed, RunResumed, RunStarted, RunSucceeded, RunWaiting, StepCancelled,
    StepOutcomeUnknown, StepSkipped, StepStarted,
};
use crate::run::scope::StepKey;
use crate::run::state::StopCause;
use crate::run::tests::story::{failure, payload};

/// More rounds than a run of 30 nodes has things to do.
const MOST_ROUNDS: usize = 500;

impl Simulation {
    /// Does all that can be done now.
    pub(super) fn decide(&mut self, asked: &impl Fn(&Self, &[Command])) {
        for _ in 0..MOST_ROUNDS {
            if self.before_end.is_some() {
                return;
            }
            let commands = self.story.next();
            asked(self, &commands);
            let mut changed = false;
            for command in commands {
                changed |= self.execute(command);
            }
            if !changed {
                return;
            }
        }
        panic!("the run always wants more: {:?}", self.story.next());
    }

    fn execute(&mut self, command: Command) -> bool {
        let now = self.story.now;
        match command {
            Command::Start => {
                let deadline = now + self.run_time;
                self.story.record(RunStarted { deadline });
            }
            Command::Resume(reason) => {
                self.story.record(RunResumed { reason });
            }
            Command::Skip(key) => {
                let path = self.story.run.path(key);
                self.story.record(StepSkipped { path });
            }
            Command::Attempt {
                key,
                number,
                waited,
            } => return self.attempt(key, number, waited),
            Command::Park(key) => {
                let lost = self.story.run.step(key).attempts.last();
                let lost = lost.expect("an attempt was lost").clone();
                self.story.record(StepOutcomeUnknown {
                    path: self.story.run.path(key),
                    attempt: lost.number,
                    started_at: lost.started_at,
                    error: failure("INTERRUPTED"),
                });
            }
            Command::Stop(cause) => return self.stop(cause),
            Command::Abandon(key, cause) => {
                let flight = self.flights.remove(&key);
                self.story.run.landed(key);
                let last = self.story.run.step(key).attempt();
                let number = flight.map_or(last, |flight| flight.number);
                let outcome_unknown = self.story.run.cut_leaves_doubt(key);
                self.cut(key, number, cause, outcome_unknown);
            }
            Command::Expire(_)
            | Command::Collect(_)
            | Command::FailLoop(..)
            | Command::Condemn(_)
            | Command::StopStep(_) => unreachable!("{command:?}"),
            Command::Succeed => self.record_end(RunSucceeded { output: payload() }),
            Command::Fail(error) => self.record_end(RunFailed { error }),
            Command::Cancel => {
                let reason = self.story.run.cancel_reason().to_owned();
                self.record_end(RunCancelled { reason });
            }
            Command::Wait { reason, until } => {
                if until - now <= TimeDelta::seconds(5) {
                    return false;
                }
                self.record_end(RunWaiting { reason, until });
            }
        }
        true
    }

    fn attempt(&mut self, key: StepKey, number: u32, waited: bool) -> bool {
        if !self.has_room() {
            return false;
        }
        let is_pure = self.effect(key) == Effect::Pure;
        let gate = if is_pure || waited {
            self.story.run.last_sequence()
        } else {
            self.story.record(StepStarted {
                path: self.story.run.path(key),
                attempt: number,
            })
        };
        let step = self.story.run.step(key);
        let going_on = step.attempts.last().filter(|last| last.number == number);
        let flight = Flight {
            number,
            started_at: going_on.map_or(self.story.now, |attempt| attempt.started_at),
            gate: Some(gate),
            waited,
        };
        let doubled = self.flights.insert(key, flight);
        assert!(doubled.is_none(), "a step is in flight twice");
        self.story.run.launched(key);
        let committed = self.story.journal[self.committed - 1].sequence;
        if is_pure || gate <= committed {
            self.launch(key);
        }
        if is_pure && self.chance.pick(3) == 0 {
            // It had nothing to wait for, and is done before the next command.
            self.land(key);
        }
        true
    }

    /// Tells all attempts to end; those that have not begun will not.
    fn stop(&mut self, cause: StopCause) -> bool {
        if self.stopping.replace(cause).is_some() {
            return false;
        }
        let gated: Vec<(StepKey, u32)> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.gate.is_some())
            .map(|(&key, flight)| (key, flight.number))
            .collect();
        for (key, number) in gated {
            self.flights.remove(&key);
            self.story.run.landed(key);
            self.cut(key, number, cause, false);
        }
        true
    }

    pub(super) fn cut(
        &mut self,
        key: StepKey,
        attempt: u32,
        cause: StopCause,
        outcome_unknown: bool,
    ) {
        let last = self.story.run.step(key).attempts.last();
        let last = last.filter(|last| last.number == attempt);
        self.story.record(StepCancelled {
            path: self.story.run.path(key),
            attempt,
            started_at: last.map(|last| last.started_at),
            cause,
            outcome_unknown,
            approval: false,
        });
    }
}
