//! What follows when a step comes to its end: its ways out are decided, and the item or the run with them.

use chrono::{DateTime, Utc};

use super::Run;
use super::event::{Failure, RunError, StepFailed, StepResolved, StepSucceeded};
use super::scope::{EdgeState, ScopeId, StepKey};
use super::state::{Handling, Resolution, StepState};
use super::step::Output;
use crate::flow::graph::Exit;
use crate::usage::Usage;

impl Run {
    pub(super) fn succeeded(
        &mut self,
        sequence: i64,
        at: DateTime<Utc>,
        event: &StepSucceeded,
    ) -> Result<(), String> {
        let key = self.open_step(&event.path)?;
        let step = self.step_mut(key);
        step.begin(event.attempt, event.started_at);
        step.end(StepState::Succeeded, at, None);
        step.output = Some(Output {
            info: event.output.clone(),
            sequence,
            port: event.port.clone(),
        });
        step.details.clone_from(&event.details);
        step.reused.clone_from(&event.reused);
        self.charge(key, event.usage);
        self.close_loop(key);
        self.settle(key, Exit::By(&event.port));
        Ok(())
    }

    pub(super) fn failed(
        &mut self,
        sequence: i64,
        at: DateTime<Utc>,
        event: &StepFailed,
    ) -> Result<(), String> {
        let key = self.open_step(&event.path)?;
        let step = self.step_mut(key);
        step.begin(event.attempt, event.started_at);
        step.end(StepState::Failed, at, Some(event.error.clone()));
        step.handling = Some(event.handling);
        step.output = event.output.clone().map(|info| Output {
            info,
            sequence,
            port: String::new(),
        });
        self.charge(key, event.error.usage);
        let error = RunError {
            // It is counted with its step.
            failure: Failure {
                usage: Usage::default(),
                ..event.error.clone()
            },
            path: Some(event.path.clone()),
            attempt: event.attempt,
        };
        match event.handling {
            Handling::FailRun => {
                self.history.failing.get_or_insert(error);
                self.history.force_at.get_or_insert(event.force_at);
                self.no_longer_awaits(key);
                self.came_to_end(key);
            }
            Handling::FailItem => {
                self.no_longer_awaits(key);
                let scope = self.history.scopes.get_mut(&key.scope);
                if let Some(scope) = scope {
                    scope.unsettled -= 1;
                }
                self.fail_item(key.scope, error, event.force_at);
            }
            handled => {
                self.close_loop(key);
                let exit = match handled {
                    Handling::ErrorPort => Exit::Error,
                    Handling::Fallback => Exit::Fallback,
                    Handling::DefaultOutput => Exit::By(""),
                    _ => Exit::Nowhere,
                };
                self.settle(key, exit);
            }
        }
        Ok(())
    }

    /// Somebody decided about a step that could not go on by itself. What follows from a success or a failure are
    /// events of their own.
    pub(super) fn resolved(&mut self, event: &StepResolved) -> Result<(), String> {
        let key = self.open_step(&event.path)?;
        let state = self.step(key).state;
        if !matches!(state, StepState::OutcomeUnknown | StepState::Quarantined) {
            return Err(format!("step {} is {state}", event.path));
        }
        self.no_longer_awaits(key);
        let step = self.step_mut(key);
        step.deaths = 0;
        match event.resolution {
            Resolution::Retry => {
                step.state = StepState::Pending;
                step.timed_after = step.attempt();
                self.history.ready.insert(key);
            }
            Resolution::Succeeded | Resolution::Failed => {
                // The attempt is open again, for the event that ends it.
                if let Some(attempt) = step.attempts.last_mut() {
                    attempt.ended_at = None;
                    attempt.error = None;
                    attempt.state = StepState::Running;
                }
                step.state = StepState::Running;
                if event.resolution == Resolution::Failed {
                    step.condemned = Some(event.comment.clone());
                }
                self.history.running.insert(key);
            }
        }
        Ok(())
    }

    /// Counts what an attempt has used: for its step, for the loops that it is in, and for the run.
    pub(super) fn charge(&mut self, key: StepKey, usage: Usage) {
        if usage.is_empty() {
            return;
        }
        self.history.usage.add(usage);
        let mut at = Some(key);
        while let Some(key) = at {
            self.step_mut(key).usage.add(usage);
            at = self.scope(key.scope).place().map(|place| place.of);
        }
    }

    /// Ends a step and decides its ways out by how it was left.
    pub(super) fn settle(&mut self, key: StepKey, exit: Exit<'_>) {
        self.no_longer_awaits(key);
        let Some(scope) = self.history.scopes.get_mut(&key.scope) else {
            return;
        };
        let graph = std::sync::Arc::clone(&scope.graph);
        for &index in &graph.node(key.node).outgoing {
            let edge = graph.edge(index);
            let target = &mut scope.steps[edge.target.at()];
            target.undecided -= 1;
            if edge.way.is_taken(exit) {
                scope.edges[index.at()] = EdgeState::Live;
                target.delivered += 1;
            } else {
                scope.edges[index.at()] = EdgeState::Dead;
            }
            if target.undecided == 0 {
                let decided = if target.delivered > 0 {
                    &mut self.history.ready
                } else {
                    &mut self.history.unreachable
                };
                decided.insert(StepKey {
                    scope: key.scope,
                    node: edge.target,
                });
            }
        }
        self.came_to_end(key);
    }

    /// Counts a step that has come to its end, and closes the item that it is in if it was the last.
    pub(super) fn came_to_end(&mut self, key: StepKey) {
        let Some(scope) = self.history.scopes.get_mut(&key.scope) else {
            return;
        };
        scope.unsettled -= 1;
        if key.scope != ScopeId::TOP {
            self.close_if_done(key.scope);
        }
    }
}
