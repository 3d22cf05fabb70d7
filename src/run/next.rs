//! What a run wants done next. The driver journals each decision and does the work.

use chrono::{DateTime, Utc};

use super::Run;
use super::event::{Failure, RunError};
use super::state::{RunState, StepState, StopCause, WaitReason};
use crate::flow::Effect;
use crate::flow::graph::NodeIndex;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Journal that the run starts.
    Start,
    /// Journal that the run goes on after its wait.
    Resume(WaitReason),
    /// Journal that this step is skipped: nothing can reach it.
    Skip(NodeIndex),
    /// Run an attempt of this step.
    Attempt {
        /// Which step.
        node: NodeIndex,
        /// The number of the attempt.
        number: u32,
        /// Whether the step's wait is over and its attempt goes on.
        waited: bool,
    },
    /// Journal that the outcome of this step's lost attempt is unknown.
    Park(NodeIndex),
    /// Tell the attempts in flight to end.
    Stop(StopCause),
    /// Journal that this step is cut off: it waits, was lost, or did not end in time.
    Abandon(NodeIndex, StopCause),
    /// Journal that the run succeeded.
    Succeed,
    /// Journal that the run failed with this error.
    Fail(RunError),
    /// Journal that the run was cancelled.
    Cancel,
    /// Nothing can be done before this time; the run may leave memory.
    Wait {
        /// What for.
        reason: WaitReason,
        /// When at the latest something is to be done.
        until: DateTime<Utc>,
    },
}

/// Whether the run is coming to an early end, and why.
enum Ending {
    Cancelled,
    Failed(RunError, StopCause),
}

/// How long attempts in flight may go on after the run failed.
pub const STOP_GRACE: chrono::TimeDelta = chrono::TimeDelta::seconds(10);

impl Run {
    /// Everything that can be done at this time, given what is in flight.
    ///
    /// Steps that are in flight are not named again, so it may be asked after each event. An empty answer means that
    /// something in flight, or [`Run::wakes_at`], has to come first.
    #[must_use]
    pub fn next(&self, now: DateTime<Utc>) -> Vec<Command> {
        if self.history.state.is_final() || self.history.last_sequence == 0 {
            return Vec::new();
        }
        if let Some(ending) = self.ending(now) {
            return self.bring_to_end(now, &ending);
        }
        if self.history.state == RunState::Queued {
            return vec![Command::Start];
        }
        let mut commands: Vec<Command> = self
            .history
            .unreachable
            .iter()
            .map(|&node| Command::Skip(node))
            .collect();
        commands.extend(self.ready_steps(now));
        if commands.is_empty() && self.in_flight.is_empty() {
            commands.push(self.when_idle());
        } else if let (RunState::Waiting, Some(reason)) =
            (self.history.state, self.history.wait_reason)
        {
            commands.insert(0, Command::Resume(reason));
        }
        commands
    }

    /// The next time after `asked_at` at which [`Run::next`] has something new to say without any event.
    ///
    /// `asked_at` is when it was last asked. What was due by then has been said, also if it could not be done yet
    /// (no place is free, attempts are still ending): no time makes that new, so that nobody wakes up for it.
    #[must_use]
    pub fn wakes_at(&self, asked_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.history.state.is_final() {
            return None;
        }
        let waits = self
            .history
            .waiting
            .iter()
            .filter(|(node, _)| !self.in_flight.contains(node));
        let stop = if self.in_flight.is_empty() {
            None
        } else {
            self.gives_up_at()
        };
        waits
            .map(|(_, &until)| until)
            .chain(self.history.deadline)
            .chain(stop)
            .filter(|&at| at > asked_at)
            .min()
    }

    /// When attempts in flight are given up: the grace of a cancel or of a failure.
    fn gives_up_at(&self) -> Option<DateTime<Utc>> {
        self.history
            .force_at
            .or_else(|| self.history.deadline.map(|deadline| deadline + STOP_GRACE))
    }

    fn ending(&self, now: DateTime<Utc>) -> Option<Ending> {
        if self.history.state == RunState::Cancelling {
            return Some(Ending::Cancelled);
        }
        if let Some(error) = &self.history.failing {
            return Some(Ending::Failed(error.clone(), StopCause::RunFailed));
        }
        let deadline = self.history.deadline.filter(|&deadline| deadline <= now)?;
        let failure = Failure {
            reason: "RUN_TIMEOUT".to_owned(),
            message: format!("the run was not done by {}", deadline.to_rfc3339()),
            details: serde_json::Map::new(),
        };
        Some(Ending::Failed(
            RunError {
                failure,
                path: None,
                attempt: 0,
            },
            StopCause::RunTimeout,
        ))
    }

    fn bring_to_end(&self, now: DateTime<Utc>, ending: &Ending) -> Vec<Command> {
        let cause = match ending {
            Ending::Cancelled => StopCause::RunCancelled,
            Ending::Failed(_, cause) => *cause,
        };
        let forced = self.gives_up_at().is_some_and(|at| at <= now);
        let open = self
            .history
            .running
            .iter()
            .chain(self.history.waiting.keys())
            .chain(&self.in_flight);
        let mut abandoned: Vec<NodeIndex> = open
            .copied()
            .filter(|node| forced || !self.in_flight.contains(node))
            .collect();
        abandoned.sort_unstable();
        abandoned.dedup();
        let mut commands: Vec<Command> = abandoned
            .into_iter()
            .map(|node| Command::Abandon(node, cause))
            .collect();
        if !forced && !self.in_flight.is_empty() {
            commands.push(Command::Stop(cause));
        } else if commands.is_empty() {
            commands.push(match ending {
                Ending::Cancelled => Command::Cancel,
                Ending::Failed(error, _) => Command::Fail(error.clone()),
            });
        }
        commands
    }

    fn ready_steps(&self, now: DateTime<Utc>) -> impl Iterator<Item = Command> {
        let idle = |node: &NodeIndex| !self.in_flight.contains(node);
        let ready = self
            .history
            .ready
            .iter()
            .copied()
            .filter(idle)
            .map(|node| self.attempt(node));
        let lost = self
            .history
            .running
            .iter()
            .copied()
            .filter(idle)
            .map(|node| match self.graph.node(node).effect {
                Effect::Pure | Effect::Idempotent => self.attempt(node),
                Effect::AtMostOnce => Command::Park(node),
            });
        let due = self
            .history
            .waiting
            .iter()
            .filter(move |(node, until)| **until <= now && idle(node));
        let woken = due.map(|(&node, _)| Command::Attempt {
            node,
            number: self.step(node).attempt(),
            waited: true,
        });
        ready.chain(lost).chain(woken)
    }

    fn attempt(&self, node: NodeIndex) -> Command {
        Command::Attempt {
            node,
            number: self.step(node).attempt() + 1,
            waited: false,
        }
    }

    /// Nothing is in flight and nothing is ready: the run waits for a time, for a decision, or is done.
    fn when_idle(&self) -> Command {
        let far = self.history.deadline.unwrap_or(DateTime::<Utc>::MAX_UTC);
        if self.history.waiting.is_empty() && self.history.unknown == 0 {
            return Command::Succeed;
        }
        let until = self
            .history
            .waiting
            .values()
            .min()
            .copied()
            .unwrap_or(far)
            .min(far);
        let reason = if self.history.waiting.is_empty() {
            WaitReason::OutcomeUnknown
        } else {
            WaitReason::Delay
        };
        Command::Wait { reason, until }
    }

    /// Whether an attempt that is cut off now may have taken effect outside: it was of an `AT_MOST_ONCE` step.
    #[must_use]
    pub fn cut_leaves_doubt(&self, node: NodeIndex) -> bool {
        self.graph.node(node).effect == Effect::AtMostOnce
            && self.step(node).state == StepState::Running
    }
}
