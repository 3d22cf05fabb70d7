//! What the run wants done: journaled, started, stopped.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use super::{Driver, Flying, Message, SHORT_WAIT};
use crate::applet::{Effect, References};
use crate::engine::attempt::{Assignment, Source, fly};
use crate::flow::graph::NodeIndex;
use crate::ids::NodeId;
use crate::run::Command;
use crate::run::event::{
    Failure, RunCancelled, RunFailed, RunResumed, RunStarted, RunWaiting, StepCancelled,
    StepOutcomeUnknown, StepSkipped, StepStarted,
};
use crate::run::state::{StepState, StopCause};

impl Driver {
    /// Does all that can be done now, until only something from outside helps.
    pub(super) fn decide(&mut self) {
        while self.before_end.is_none() && self.finish.is_none() {
            let now = self.now();
            self.decided_at = now;
            let commands = self.run.next(now);
            let mut changed = false;
            for command in commands {
                changed |= self.execute(command, now);
            }
            if !changed {
                break;
            }
        }
        // A slot that nobody took up belongs to the other runs.
        self.spare_slot = None;
    }

    /// Does one thing; says whether the run has changed.
    fn execute(&mut self, command: Command, now: DateTime<Utc>) -> bool {
        match command {
            Command::Start => {
                let longest = self.parts.settings.max_run_time;
                let bound = self
                    .plan
                    .policy()
                    .run_timeout
                    .map_or(longest, |timeout| timeout.min(longest));
                let bound = TimeDelta::from_std(bound).unwrap_or(TimeDelta::days(30));
                self.record(
                    RunStarted {
                        deadline: now + bound,
                    },
                    None,
                );
            }
            Command::Resume(reason) => {
                self.record(RunResumed { reason }, None);
            }
            Command::Skip(node) => {
                self.record(
                    StepSkipped {
                        path: self.run.path(node),
                    },
                    None,
                );
            }
            Command::Attempt {
                node,
                number,
                waited,
            } => return self.attempt(node, number, waited),
            Command::Park(node) => {
                let error = Failure {
                    reason: "INTERRUPTED".to_owned(),
                    message: "the process ended during the attempt, and the step may not be repeated by itself"
                        .to_owned(),
                    details: Map::new(),
                };
                let step = self.run.step(node);
                let started_at = step
                    .attempts
                    .last()
                    .map_or(now, |attempt| attempt.started_at);
                let (path, attempt) = (self.run.path(node), step.attempt());
                self.record(
                    StepOutcomeUnknown {
                        path,
                        attempt,
                        started_at,
                        error,
                    },
                    None,
                );
            }
            Command::Stop(cause) => return self.stop(cause),
            Command::Abandon(node, cause) => self.abandon(node, cause),
            Command::Succeed => self.finish(),
            Command::Fail(error) => self.record_end(RunFailed { error }, None),
            Command::Cancel => {
                let reason = self.run.cancel_reason().to_owned();
                self.record_end(RunCancelled { reason }, None);
            }
            Command::Wait { reason, until } => {
                let short = TimeDelta::from_std(SHORT_WAIT).unwrap_or_default();
                if until - now <= short || self.draining {
                    return false;
                }
                self.record_end(RunWaiting { reason, until }, None);
            }
        }
        true
    }

    /// Starts an attempt, or has it wait for its slot or for the journal; says whether the run has changed.
    fn attempt(&mut self, node: NodeIndex, number: u32, waited: bool) -> bool {
        if self.draining || self.flying.len() >= self.plan.parallel_steps() {
            return false;
        }
        if self.run.graph().node(node).effect == Effect::Pure {
            let assignment = self.assign(node, number, waited, None);
            self.launch(assignment);
            return true;
        }
        let Some(slot) = self
            .spare_slot
            .take()
            .or_else(|| self.parts.pool.try_slot())
        else {
            self.slot_request
                .get_or_insert_with(|| Box::pin(self.parts.pool.clone().slot()));
            return false;
        };
        let gate = if waited {
            self.run.last_sequence()
        } else {
            self.record(
                StepStarted {
                    path: self.run.path(node),
                    attempt: number,
                },
                None,
            )
        };
        let assignment = self.assign(node, number, waited, Some(slot));
        self.gated.push((gate, assignment));
        self.release_gated();
        true
    }

    /// All that an attempt needs; from now on it counts as in flight.
    fn assign(
        &mut self,
        node: NodeIndex,
        number: u32,
        waited: bool,
        slot: Option<crate::engine::pool::Slot>,
    ) -> Assignment {
        let stop = CancellationToken::new();
        let effect = self.run.graph().node(node).effect;
        let flying = Flying {
            number,
            pure: effect == Effect::Pure,
            stop: stop.clone(),
            abort: None,
        };
        self.flying.insert(node, flying);
        self.run.launched(node);
        let delivered = self.run.delivered(node);
        let results = match &self.plan.node(node).prepared {
            Ok(prepared) => self.referenced(prepared.references()),
            Err(_) => Vec::new(),
        };
        let started_at = match self.run.step(node).attempts.last() {
            Some(attempt) if attempt.number == number => attempt.started_at,
            _ => self.now(),
        };
        Assignment {
            key: self.key.clone(),
            epoch: self.epoch,
            plan: Arc::clone(&self.plan),
            node,
            path: self.run.path(node),
            number,
            waited,
            started_at,
            input: self.run_input(),
            delivered: self.sources(delivered),
            results: self.sources(results),
            cancelled: stop,
            slot,
        }
    }

    /// Nodes that succeeded among those that a step's templates read.
    fn referenced(&self, references: &References) -> Vec<NodeIndex> {
        let succeeded = |node: &NodeIndex| self.run.step(*node).state == StepState::Succeeded;
        match references {
            References::Nodes(ids) => ids
                .iter()
                .filter_map(|id| self.run.graph().find(id.as_str()))
                .filter(succeeded)
                .collect(),
            References::All => self
                .run
                .graph()
                .nodes()
                .map(|(index, _)| index)
                .filter(succeeded)
                .collect(),
        }
    }

    fn sources(&self, nodes: Vec<NodeIndex>) -> Vec<(NodeId, Source)> {
        nodes
            .into_iter()
            .filter_map(|node| {
                Some((
                    self.run.graph().node(node).id.clone(),
                    self.output_of(node)?,
                ))
            })
            .collect()
    }

    /// Where a step's output is; `None` if it has none.
    pub(super) fn output_of(&self, node: NodeIndex) -> Option<Source> {
        if let Some(encoded) = self.outputs.get(&node) {
            return Some(Source::Ready(Arc::clone(&encoded.value)));
        }
        let output = self.run.step(node).output.as_ref()?;
        Some(Source::Stored(output.sequence, output.info.clone()))
    }

    fn run_input(&self) -> Source {
        match (&self.input, self.run.input()) {
            (Some(encoded), _) => Source::Ready(Arc::clone(&encoded.value)),
            (None, Some(info)) => Source::Stored(1, info.clone()),
            (None, None) => unreachable!("a run begins with its input"),
        }
    }

    /// Lets an attempt begin. What it can do without waiting is done here and now.
    fn launch(&mut self, assignment: Assignment) {
        let node = assignment.node;
        let mut flight = Box::pin(fly(Arc::clone(&self.parts), assignment));
        if let Some(landed) = (&mut flight).now_or_never() {
            self.landed(landed);
            return;
        }
        let abort = self.attempts.spawn(flight);
        if let Some(flying) = self.flying.get_mut(&node) {
            flying.abort = Some(abort);
        }
    }

    /// Whether an attempt waits for nothing but a firm lease.
    pub(super) fn is_held_by_lease(&self) -> bool {
        self.gated.iter().any(|(gate, _)| *gate <= self.committed) && !self.parts.lease.is_firm()
    }

    /// Lets those attempts begin whose start is durable, as long as the runs are surely ours.
    pub(super) fn release_gated(&mut self) {
        if self.gated.is_empty() || !self.parts.lease.is_firm() {
            return;
        }
        let committed = self.committed;
        let (free, gated) = std::mem::take(&mut self.gated)
            .into_iter()
            .partition(|(gate, _)| *gate <= committed);
        self.gated = gated;
        for (_, assignment) in free {
            self.launch(assignment);
        }
    }

    /// Tells all attempts to end; those that have not begun will not. Says whether the run has changed.
    fn stop(&mut self, cause: StopCause) -> bool {
        if self.stopping.replace(cause).is_some() {
            return false;
        }
        self.slot_request = None;
        for (_, assignment) in std::mem::take(&mut self.gated) {
            self.flying.remove(&assignment.node);
            self.run.landed(assignment.node);
            self.cut(assignment.node, assignment.number, cause, false);
        }
        for flying in self.flying.values() {
            flying.stop.cancel();
        }
        true
    }

    /// Journals that a step is cut off, and drops its attempt if it has one here.
    fn abandon(&mut self, node: NodeIndex, cause: StopCause) {
        let flying = self.flying.remove(&node);
        self.run.landed(node);
        let number = flying
            .as_ref()
            .map_or_else(|| self.run.step(node).attempt(), |flying| flying.number);
        if let Some(abort) = flying.and_then(|flying| flying.abort) {
            abort.abort();
        }
        // One whose start was not durable yet has not begun, and must not.
        let waiting = self.gated.len();
        self.gated.retain(|(_, assignment)| assignment.node != node);
        let had_begun = self.gated.len() == waiting;
        let outcome_unknown = had_begun && self.run.cut_leaves_doubt(node);
        self.cut(node, number, cause, outcome_unknown);
    }

    pub(super) fn cut(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        cause: StopCause,
        outcome_unknown: bool,
    ) {
        let path = self.run.path(node);
        let last = self.run.step(node).attempts.last();
        let started_at = last
            .filter(|last| last.number == attempt)
            .map(|last| last.started_at);
        self.record(
            StepCancelled {
                path,
                attempt,
                started_at,
                cause,
                outcome_unknown,
            },
            None,
        );
    }

    /// Starts nothing more. What may be repeated is dropped; what may not is waited for.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.slot_request = None;
        let repeatable: Vec<NodeIndex> = self
            .flying
            .keys()
            .copied()
            .filter(|&node| self.run.graph().node(node).effect != Effect::AtMostOnce)
            .collect();
        for node in repeatable {
            if let Some(abort) = self.flying.remove(&node).and_then(|flying| flying.abort) {
                abort.abort();
            }
            self.gated.retain(|(_, assignment)| assignment.node != node);
            self.run.landed(node);
        }
        self.mailbox.close();
        while let Ok(Message::Letter(_)) = self.mailbox.try_recv() {
            // It stays in the inbox, for the next owner.
        }
    }
}
