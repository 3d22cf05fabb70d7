//! What comes of an attempt.

use chrono::TimeDelta;
use serde_json::Map;

use super::Simulation;
use crate::flow::Effect;
use crate::run::event::{Awaited, StepFailed, StepOutcomeUnknown, StepSucceeded, StepWaiting};
use crate::run::scope::StepKey;
use crate::run::state::Handling;
use crate::run::tests::story::{failure, payload};

/// How an attempt ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Success,
    Wait,
    Failure,
    Doubt,
    Cut,
}

impl Simulation {
    /// An attempt ends somehow; mostly it does what it was told.
    pub(super) fn land(&mut self, key: StepKey) {
        let end = match (self.stopping, self.chance.pick(40)) {
            (_, 37) => End::Failure,
            (_, 38) if self.effect(key) == Effect::AtMostOnce => End::Doubt,
            (_, 30..=36) => End::Wait,
            (Some(_), 0..30) => End::Cut,
            (_, _) => End::Success,
        };
        let flight = self.flights.remove(&key).expect("it is in flight");
        self.story.run.landed(key);
        let path = self.story.run.path(key);
        let (attempt, started_at) = (flight.number, flight.started_at);
        match end {
            End::Success => {
                let ports = self.shape.ports(key.node);
                let port = ports[self.chance.pick(ports.len())].clone();
                self.story.record(StepSucceeded {
                    path,
                    attempt,
                    started_at,
                    port,
                    output: payload(),
                    details: Map::new(),
                    reused: None,
                });
            }
            End::Wait => {
                let time = [1, 4, 60, 100_000][self.chance.pick(4)];
                self.story.record(StepWaiting {
                    path,
                    attempt,
                    started_at,
                    until: self.story.now + TimeDelta::seconds(time),
                    awaited: Awaited::Time,
                    taken: None,
                });
            }
            End::Failure => {
                self.story.record(StepFailed {
                    path,
                    attempt,
                    started_at,
                    error: failure("HTTP_5XX"),
                    handling: Handling::FailRun,
                    force_at: self.story.now + TimeDelta::seconds(10),
                    output: None,
                });
            }
            End::Doubt => {
                self.story.record(StepOutcomeUnknown {
                    path,
                    attempt,
                    started_at,
                    error: failure("TIMEOUT"),
                });
            }
            End::Cut => {
                let cause = self.stopping.expect("only who is told to end is cut off");
                let doubt = self.effect(key) == Effect::AtMostOnce && self.chance.pick(2) == 1;
                self.cut(key, attempt, cause, doubt);
            }
        }
    }
}
