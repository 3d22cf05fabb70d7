//! What comes of an attempt.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Map;
use uuid::Uuid;

use super::{Simulation, Task};
use crate::flow::{Effect, OnError};
use crate::ids::{FlowId, RunId};
use crate::run::event::{
    Asked, Awaited, ChildStarted, LoopStarted, StepFailed, StepOutcomeUnknown, StepRetryScheduled,
    StepSucceeded, StepWaiting,
};
use crate::run::scope::{ScopeId, StepKey};
use crate::run::state::{Handling, StopCause};
use crate::run::tests::script::{End, Trouble, Wait};
use crate::run::tests::story::{failure, payload};
use crate::run::{FAR, STOP_GRACE};
use crate::usage::Usage;

impl Simulation {
    /// An attempt ends as the script says, or because it was told to.
    pub(super) fn land(&mut self, key: StepKey) {
        let flight = self.flights.remove(&key).expect("it is in flight");
        self.story.run.landed(key);
        let was_told = self.told.remove(&key) || self.stopping.is_some();
        let step = self.story.run.find_step(key);
        if step.is_none_or(|step| step.state.is_final())
            || self.story.run.scope(key.scope).is_closed()
        {
            return;
        }
        let (number, started_at) = (flight.number, flight.started_at);
        if was_told && self.chance.pick(4) != 3 {
            let is_once = self.effect(key) == Effect::AtMostOnce;
            let doubt = is_once && self.chance.pick(2) == 1;
            self.obeys(key, number, doubt);
            return;
        }
        let act = self.act(key);
        match flight.task {
            Task::PassOn(_, handling) => self.fail(key, number, started_at, &flight.task, handling),
            Task::Collect => {
                let outcomes = self.story.run.turns(key).expect("it is a loop").outcomes();
                let outcomes = outcomes.cloned().collect();
                let path = self.story.run.path(key).to_string();
                self.collected.insert(path, outcomes);
                self.ends(key, number, started_at, act.collect);
            }
            Task::Run(None) if act.wait.is_some() => {
                let wait = act.wait.expect("it was just looked at");
                self.waits(key, number, started_at, wait);
            }
            Task::Run(_) => match (act.end, self.manner(key).turns) {
                (End::Success(_), Some((concurrency, on_item_error))) => {
                    let path = self.story.run.path(key);
                    self.story.record(LoopStarted {
                        count: self.script.items(path.as_str()),
                        path,
                        attempt: number,
                        started_at,
                        items: payload(),
                        concurrency,
                        on_item_error,
                        truncated: false,
                    });
                }
                (end, _) => self.ends(key, number, started_at, end),
            },
        }
    }

    fn obeys(&mut self, key: StepKey, number: u32, doubt: bool) {
        let of_item = if self.story.run.is_stopped(key.scope) {
            StopCause::ItemFailed
        } else {
            StopCause::RunCancelled
        };
        let cause = self.stopping.unwrap_or(of_item);
        self.cut(key, number, cause, doubt);
    }

    fn ends(&mut self, key: StepKey, attempt: u32, started_at: DateTime<Utc>, end: End) {
        let path = self.story.run.path(key);
        match end {
            End::Success(port) => {
                self.story.record(StepSucceeded {
                    path,
                    attempt,
                    started_at,
                    port,
                    output: payload(),
                    details: Map::new(),
                    usage: Usage::default(),
                    reused: None,
                });
            }
            End::Failure(trouble) => self.attempt_failed(key, attempt, started_at, &trouble),
            End::Doubt(_) => {
                self.story.record(StepOutcomeUnknown {
                    path,
                    attempt,
                    started_at,
                    error: failure("TIMEOUT"),
                });
            }
        }
    }

    fn waits(&mut self, key: StepKey, attempt: u32, started_at: DateTime<Utc>, wait: Wait) {
        let path = self.story.run.path(key);
        let far = self.story.run.deadline().unwrap_or(FAR);
        let after = |bound: i64| self.story.now + TimeDelta::seconds(bound);
        let (awaited, until, taken) = match wait {
            Wait::Delay(time) => (Awaited::Time, after(time), None),
            Wait::Signal(name, bound, _) => {
                let taken = self.story.run.find_kept_signal(&name);
                let expires = bound.is_some();
                let until = bound.map_or(far, after);
                (Awaited::Signal { name, expires }, until, taken)
            }
            Wait::Approval(bound, _) => {
                let asked = Asked {
                    title: "May it go on?".to_owned(),
                    description: String::new(),
                    form_schema: None,
                    default_decision: None,
                    expires: bound.is_some(),
                };
                let until = bound.map_or(far, after);
                (Awaited::Approval(Box::new(asked)), until, None)
            }
            Wait::Child(..) => {
                let sequence = self.story.run.last_sequence() + 1;
                // Ids of children that were never durable are never used again, and these are told apart by their place.
                let sequence = u128::try_from(sequence).expect("it is positive");
                let now =
                    u128::try_from(self.story.now.timestamp_millis()).expect("it is positive");
                self.story.record(ChildStarted {
                    path,
                    attempt,
                    started_at,
                    run_id: RunId::new(Uuid::from_u128(now << 64 | sequence)),
                    flow_id: FlowId::new("other"),
                    flow_key: 1,
                    revision: 1,
                    input: payload(),
                    until: far,
                });
                return;
            }
        };
        self.story.record(StepWaiting {
            path,
            attempt,
            started_at,
            until,
            awaited,
            taken,
        });
    }

    /// Another attempt, then what the node says of errors, then the item or the run fails.
    pub(super) fn attempt_failed(
        &mut self,
        key: StepKey,
        attempt: u32,
        started_at: DateTime<Utc>,
        trouble: &Trouble,
    ) {
        let stopped = self.story.run.is_stopped(key.scope);
        let manner = self.manner(key);
        let wait = trouble.wait(
            manner,
            self.effect(key),
            self.story.run.step(key).failures(),
        );
        if let (false, Some(wait)) = (stopped, wait) {
            self.story.record(StepRetryScheduled {
                path: self.story.run.path(key),
                attempt,
                started_at,
                error: failure(trouble.reason),
                until: self.story.now + wait,
            });
            return;
        }
        let handling = match &manner.on_error {
            Some(OnError::ErrorPort) if !stopped => Handling::ErrorPort,
            Some(OnError::Fallback(_)) if !stopped => Handling::Fallback,
            Some(OnError::DefaultOutput(_)) if !stopped => Handling::DefaultOutput,
            Some(OnError::ContinueRun) if !stopped => Handling::ContinueRun,
            _ if key.scope == ScopeId::TOP => Handling::FailRun,
            _ => Handling::FailItem,
        };
        let task = Task::PassOn(failure(trouble.reason), handling);
        match handling {
            Handling::ErrorPort | Handling::Fallback | Handling::DefaultOutput => {
                // An attempt of a `PURE` step is not in the journal yet; its number is.
                self.fly(key, attempt, task, 0);
                self.launch(key);
                if self.chance.pick(2) == 0 {
                    self.land(key);
                }
            }
            _ => self.fail(key, attempt, started_at, &task, handling),
        }
    }

    fn fail(
        &mut self,
        key: StepKey,
        attempt: u32,
        started_at: DateTime<Utc>,
        task: &Task,
        handling: Handling,
    ) {
        let Task::PassOn(error, _) = task else {
            unreachable!("only a failure is passed on");
        };
        let passes_on = matches!(
            handling,
            Handling::ErrorPort | Handling::Fallback | Handling::DefaultOutput
        );
        self.story.record(StepFailed {
            path: self.story.run.path(key),
            attempt,
            started_at,
            error: error.clone(),
            handling,
            force_at: self.story.now + STOP_GRACE,
            output: passes_on.then(payload),
        });
    }
}
