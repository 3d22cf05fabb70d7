//! What each event changes. Nothing is decided here: decisions are fields of the events.

use chrono::{DateTime, Utc};

use super::event::{Event, Recorded, RunError, StepFailed, StepSucceeded};
use super::state::{Handling, RunState, StepState};
use super::step::Output;
use super::{EdgeState, Run};
use crate::flow::graph::NodeIndex;
use crate::ids::StepPath;

/// An event that cannot follow those before it: the journal was not written by these rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence} ({kind}) cannot follow: {problem}")]
pub struct Mismatch {
    /// Which event.
    pub sequence: i64,
    /// Its kind.
    pub kind: &'static str,
    /// What is in the way.
    pub problem: String,
}

impl Run {
    /// Takes in one event.
    ///
    /// # Errors
    ///
    /// If the event cannot follow those before it; the run is then unusable.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), Mismatch> {
        let mismatch = |problem: String| Mismatch {
            sequence: recorded.sequence,
            kind: recorded.event.kind(),
            problem,
        };
        if recorded.sequence != self.history.last_sequence + 1 {
            return Err(mismatch(format!(
                "the last one was {}",
                self.history.last_sequence
            )));
        }
        if self.history.state.is_final() {
            return Err(mismatch(format!("the run has {}", self.history.state)));
        }
        self.history.last_sequence = recorded.sequence;
        self.change(recorded.sequence, recorded.at, &recorded.event)
            .map_err(mismatch)
    }

    fn change(&mut self, sequence: i64, at: DateTime<Utc>, event: &Event) -> Result<(), String> {
        match event {
            Event::RunQueued(event) => self.history.input = Some(event.input.clone()),
            Event::RunStarted(event) => {
                self.history.state = RunState::Running;
                self.history.started_at = Some(at);
                self.history.deadline = Some(event.deadline);
            }
            Event::RunWaiting(event) => {
                self.history.state = RunState::Waiting;
                self.history.wait_reason = Some(event.reason);
                self.history.waits_until = Some(event.until);
            }
            Event::RunResumed(_) => {
                self.history.state = RunState::Running;
                self.no_longer_waits();
            }
            Event::RunCancelling(event) => {
                self.history.state = RunState::Cancelling;
                self.no_longer_waits();
                self.history.cancel_reason.clone_from(&event.reason);
                self.history.force_at = Some(event.force_at);
            }
            Event::RunSucceeded(event) => {
                self.history.output = Some(event.output.clone());
                self.ended(RunState::Succeeded, at);
            }
            Event::RunFailed(event) => {
                self.history.error = Some(event.error.clone());
                self.ended(RunState::Failed, at);
            }
            Event::RunCancelled(_) => self.ended(RunState::Cancelled, at),
            Event::StepStarted(event) => {
                let node = self.open_step(&event.path)?;
                self.history.ready.remove(&node);
                self.history.running.insert(node);
                self.history.steps[node.at()].begin(event.attempt, at);
            }
            Event::StepWaiting(event) => {
                let node = self.open_step(&event.path)?;
                self.history.ready.remove(&node);
                self.history.running.remove(&node);
                self.history.waiting.insert(node, event.until);
                let step = &mut self.history.steps[node.at()];
                step.begin(event.attempt, event.started_at);
                step.wait(event.until);
            }
            Event::StepSucceeded(event) => self.succeeded(sequence, at, event)?,
            Event::StepFailed(event) => self.failed(at, event)?,
            Event::StepSkipped(event) => {
                let node = self.open_step(&event.path)?;
                self.history.steps[node.at()].state = StepState::Skipped;
                self.settle(node, None);
            }
            Event::StepCancelled(event) => {
                let node = self.open_step(&event.path)?;
                self.history.steps[node.at()].begin(event.attempt, at);
                self.history.steps[node.at()].end(StepState::Cancelled, at, None);
                self.leave(node);
                self.history.settled += 1;
            }
            Event::StepOutcomeUnknown(event) => {
                let node = self.open_step(&event.path)?;
                self.history.steps[node.at()].end(
                    StepState::OutcomeUnknown,
                    at,
                    Some(event.error.clone()),
                );
                self.leave(node);
                self.history.unknown += 1;
            }
        }
        Ok(())
    }

    fn succeeded(
        &mut self,
        sequence: i64,
        at: DateTime<Utc>,
        event: &StepSucceeded,
    ) -> Result<(), String> {
        let node = self.open_step(&event.path)?;
        let step = &mut self.history.steps[node.at()];
        step.begin(event.attempt, event.started_at);
        step.end(StepState::Succeeded, at, None);
        step.output = Some(Output {
            info: event.output.clone(),
            sequence,
            port: event.port.clone(),
        });
        step.details.clone_from(&event.details);
        self.settle(node, Some(&event.port));
        Ok(())
    }

    fn failed(&mut self, at: DateTime<Utc>, event: &StepFailed) -> Result<(), String> {
        let node = self.open_step(&event.path)?;
        let step = &mut self.history.steps[node.at()];
        step.begin(event.attempt, event.started_at);
        step.end(StepState::Failed, at, Some(event.error.clone()));
        self.leave(node);
        self.history.settled += 1;
        match event.handling {
            Handling::FailRun => {
                let error = RunError {
                    failure: event.error.clone(),
                    path: Some(event.path.clone()),
                    attempt: event.attempt,
                };
                self.history.failing.get_or_insert(error);
                self.history.force_at.get_or_insert(event.force_at);
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends a step and decides its outgoing edges: those of `port` are live, all others dead; without a port all are.
    fn settle(&mut self, node: NodeIndex, port: Option<&str>) {
        self.leave(node);
        self.history.settled += 1;
        let graph = std::sync::Arc::clone(&self.graph);
        for &index in &graph.node(node).outgoing {
            let edge = graph.edge(index);
            let target = &mut self.history.steps[edge.target.at()];
            target.undecided -= 1;
            // An edge without a port is its source's only one, whatever that is called.
            if port.is_some_and(|port| edge.port.is_empty() || port == &*edge.port) {
                self.history.edges[index.at()] = EdgeState::Live;
                target.delivered += 1;
            } else {
                self.history.edges[index.at()] = EdgeState::Dead;
            }
            if target.undecided == 0 {
                let decided = if target.delivered > 0 {
                    &mut self.history.ready
                } else {
                    &mut self.history.unreachable
                };
                decided.insert(edge.target);
            }
        }
    }

    /// Takes a step out of all lists of steps that something is to be done about.
    fn leave(&mut self, node: NodeIndex) {
        if self.history.steps[node.at()].state != StepState::OutcomeUnknown
            && self.history.unknown > 0
        {
            // A step that was unknown until now has been decided.
            self.history.unknown = self.count_unknown();
        }
        self.history.ready.remove(&node);
        self.history.unreachable.remove(&node);
        self.history.waiting.remove(&node);
        self.history.running.remove(&node);
    }

    fn count_unknown(&self) -> u32 {
        let unknown = self
            .history
            .steps
            .iter()
            .filter(|step| step.state == StepState::OutcomeUnknown)
            .count();
        u32::try_from(unknown).unwrap_or(u32::MAX)
    }

    fn no_longer_waits(&mut self) {
        self.history.wait_reason = None;
        self.history.waits_until = None;
    }

    /// Ends the run. Steps that are still open are cut off with it, which happens only where the run could not be
    /// brought to its end step by step.
    fn ended(&mut self, state: RunState, at: DateTime<Utc>) {
        self.history.state = state;
        self.no_longer_waits();
        self.history.ended_at = Some(at);
        let open: Vec<NodeIndex> = self
            .history
            .running
            .iter()
            .chain(self.history.waiting.keys())
            .copied()
            .collect();
        for node in open {
            self.history.steps[node.at()].end(StepState::Cancelled, at, None);
            self.leave(node);
        }
    }

    /// The step of this path, if it has not come to its end.
    fn open_step(&self, path: &StepPath) -> Result<NodeIndex, String> {
        let node = self
            .graph
            .find(path.as_str())
            .ok_or_else(|| format!("no step {path}"))?;
        let state = self.step(node).state;
        if state.is_final() {
            Err(format!("step {path} is {state}"))
        } else {
            Ok(node)
        }
    }
}
