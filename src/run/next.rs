//! What a run wants done next. The driver journals each decision and does the work.

use chrono::{DateTime, Utc};

use super::Run;
use super::caution::QUARANTINED_AFTER;
use super::event::{Awaited, Failure, RunError};
use super::scope::StepKey;
use super::state::{RunState, StepState, StopCause, WaitReason};
use crate::flow::Effect;
use crate::usage::Usage;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Journal that the run starts.
    Start,
    /// Journal that the run goes on after its wait.
    Resume(WaitReason),
    /// Journal that this step is skipped: nothing can reach it.
    Skip(StepKey),
    /// Run an attempt of this step.
    Attempt {
        /// Which step.
        key: StepKey,
        /// The number of the attempt.
        number: u32,
        /// Whether the step's wait is over and its attempt goes on.
        waited: bool,
    },
    /// Journal that the time of this step's wait is over, unless somebody's word comes first.
    Expire(StepKey),
    /// Make this loop's output of what its items gave.
    Collect(StepKey),
    /// Have this loop fail as one of its items did.
    FailLoop(StepKey, RunError),
    /// Have this step fail because somebody decided that it has.
    Condemn(StepKey),
    /// Journal that the outcome of this step's lost attempt is unknown.
    Park(StepKey),
    /// Journal that this step is put aside: attempts at it have died with their process this many times.
    Quarantine(StepKey, u32),
    /// Tell the attempts in flight, and children, to end.
    Stop(StopCause),
    /// Tell the attempt of this step, or its child, to end: its item has failed.
    StopStep(StepKey),
    /// Journal that this step is cut off: it waits, was lost, or did not end in time.
    Abandon(StepKey, StopCause),
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
        match self.history.state {
            RunState::Paused if self.in_flight.is_empty() => return self.rest(WaitReason::Paused),
            RunState::Paused => return Vec::new(),
            _ if self.history.blocked => return self.rest(WaitReason::Concurrency),
            RunState::Queued => return vec![Command::Start],
            _ => {}
        }
        let mut commands: Vec<Command> = self
            .history
            .unreachable
            .iter()
            .filter(|key| self.failing_around(key.scope).is_none())
            .map(|&key| Command::Skip(key))
            .collect();
        commands.extend(self.cuts(now));
        commands.extend(self.loop_ends());
        commands.extend(self.ready_steps(now));
        if commands.is_empty() && self.in_flight.is_empty() {
            commands.push(self.when_idle());
        }
        let rests = matches!(commands[..], [Command::Wait { .. }]);
        if let (false, RunState::Waiting, Some(reason)) =
            (rests, self.history.state, self.history.wait_reason)
        {
            commands.insert(0, Command::Resume(reason));
        }
        commands
    }

    /// Whether a command is still to be obeyed once others have been that were given with it: what came of those may
    /// have failed the item or the run that it is about.
    #[must_use]
    pub fn still_wants(&self, command: &Command) -> bool {
        let is_open = |key: StepKey| {
            let step = self.find_step(key);
            step.is_some_and(|step| !step.state.is_final())
        };
        let goes_on = |key: StepKey| {
            is_open(key) && !self.scope(key.scope).is_closed() && !self.is_stopped(key.scope)
        };
        match *command {
            Command::Skip(key)
            | Command::Attempt { key, .. }
            | Command::Expire(key)
            | Command::Collect(key)
            | Command::FailLoop(key, _)
            | Command::Condemn(key)
            | Command::Park(key)
            | Command::Quarantine(key, _) => goes_on(key),
            Command::StopStep(key) | Command::Abandon(key, _) => is_open(key),
            Command::Start
            | Command::Resume(_)
            | Command::Stop(_)
            | Command::Succeed
            | Command::Fail(_)
            | Command::Cancel
            | Command::Wait { .. } => true,
        }
    }

    /// Waits for somebody's word and nothing else.
    fn rest(&self, reason: WaitReason) -> Vec<Command> {
        let until = self.far();
        vec![Command::Wait { reason, until }]
    }

    /// When there is nothing to wait for by itself: the run's own end.
    fn far(&self) -> DateTime<Utc> {
        let parent = self.history.parent.as_ref();
        let deadline = self.history.deadline;
        deadline
            .or_else(|| parent.map(|parent| parent.deadline))
            .unwrap_or(FAR)
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
            .filter(|(key, _)| !self.in_flight.contains(key))
            .map(|(_, &until)| until)
            .filter(|_| self.history.state != RunState::Paused);
        let stop = if self.is_idle() {
            None
        } else {
            self.gives_up_at()
        };
        let failing = self.open_and_failing().filter_map(|key| {
            let failing = self.failing_around(key.scope)?;
            Some(failing.force_at)
        });
        waits
            .chain(self.history.deadline)
            .chain(stop)
            .chain(failing)
            .filter(|&at| at > asked_at)
            .min()
    }

    /// Whether nothing is in flight, and no child has to end first.
    fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
            && !self
                .waiting()
                .any(|(_, wait)| matches!(wait.what, Awaited::Child { .. }))
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
            usage: Usage::default(),
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

    fn bring_to_end(&self, now: DateTime<Utc>, why: &Ending) -> Vec<Command> {
        let cause = match why {
            Ending::Cancelled => StopCause::RunCancelled,
            Ending::Failed(_, cause) => *cause,
        };
        let forced = self.gives_up_at().is_some_and(|at| at <= now);
        let mut open: Vec<StepKey> = self.open().collect();
        open.sort_unstable();
        open.dedup();
        let mut commands: Vec<Command> = Vec::new();
        let mut ending = false;
        for key in open {
            if forced || self.ends_at_once(key) {
                commands.push(Command::Abandon(key, cause));
            } else {
                ending = true;
            }
        }
        if ending {
            if let Some(reason) = self.history.wait_reason {
                // Its end takes a while, through which it belongs to somebody.
                commands.insert(0, Command::Resume(reason));
            }
            commands.push(Command::Stop(cause));
        } else if commands.is_empty() {
            // Loops last, inner ones first: their items are gone.
            let loops = self.history.looping.iter().rev();
            commands.extend(loops.map(|&key| Command::Abandon(key, cause)));
        }
        if commands.is_empty() {
            commands.push(match why {
                Ending::Cancelled => Command::Cancel,
                Ending::Failed(error, _) => Command::Fail(error.clone()),
            });
        }
        commands
    }

    /// Steps that execute or wait, and attempts in this process; loops are not among them, but what is in them is.
    fn open(&self) -> impl Iterator<Item = StepKey> {
        let history = &self.history;
        let listed = history.running.iter().chain(history.waiting.keys());
        let known = |key: &StepKey| {
            self.find_step(*key)
                .is_some_and(|step| !step.state.is_final())
        };
        listed
            .chain(history.woken.keys())
            .chain(&self.in_flight)
            .copied()
            .filter(move |key| known(key) && !self.history.looping.contains(key))
    }

    /// Whether a step that is to be cut off has nothing to end first: no attempt in this process, and no child.
    fn ends_at_once(&self, key: StepKey) -> bool {
        let has_child = self.find_step(key).and_then(|step| step.wait.as_ref());
        let has_child = has_child.is_some_and(|wait| matches!(wait.what, Awaited::Child { .. }));
        let waits_for_child = has_child && self.history.waiting.contains_key(&key);
        !(waits_for_child || self.in_flight.contains(&key))
    }

    /// Open steps of items that have failed, or of loops that have.
    fn open_and_failing(&self) -> impl Iterator<Item = StepKey> {
        let none = self.history.failing_scopes.is_empty() && self.history.failing_loops.is_empty();
        let open = (!none).then(|| self.open().chain(self.history.unknown.iter().copied()));
        open.into_iter()
            .flatten()
            .filter(|key| self.failing_around(key.scope).is_some())
    }

    /// What is to be cut off because its item or its loop has failed.
    fn cuts(&self, now: DateTime<Utc>) -> Vec<Command> {
        let mut cuts: Vec<Command> = Vec::new();
        for key in self.open_and_failing() {
            let failing = self.failing_around(key.scope);
            let forced = failing.is_some_and(|failing| failing.force_at <= now);
            let cut = if forced || self.ends_at_once(key) {
                Command::Abandon(key, StopCause::ItemFailed)
            } else {
                Command::StopStep(key)
            };
            if !cuts.contains(&cut) {
                cuts.push(cut);
            }
        }
        cuts
    }

    /// Loops of which no item is under way any more.
    fn loop_ends(&self) -> impl Iterator<Item = Command> {
        let done = self.history.done_loops.iter();
        done.filter(|key| !self.in_flight.contains(key))
            .map(|&key| {
                let error = self.turns(key).and_then(super::turns::Turns::error);
                match error {
                    _ if self.failing_around(key.scope).is_some() => {
                        Command::Abandon(key, StopCause::ItemFailed)
                    }
                    Some(error) => Command::FailLoop(key, error.clone()),
                    None => Command::Collect(key),
                }
            })
    }

    fn ready_steps(&self, now: DateTime<Utc>) -> impl Iterator<Item = Command> {
        let idle = |key: &StepKey| {
            !self.in_flight.contains(key) && self.failing_around(key.scope).is_none()
        };
        let ready = self.history.ready.iter().copied();
        let ready = ready.filter(idle).map(|key| self.attempt(key));
        let lost = self.history.running.iter().copied();
        let lost = lost.filter(idle).map(|key| {
            if self.step(key).condemned.is_some() {
                return Command::Condemn(key);
            }
            match self.graph_of(key.scope).node(key.node).effect {
                Effect::AtMostOnce => Command::Park(key),
                Effect::Pure | Effect::Idempotent => match self.deaths(key) {
                    QUARANTINED_AFTER.. => Command::Quarantine(key, self.deaths(key)),
                    _ => self.attempt(key),
                },
            }
        });
        let due = self.history.waiting.iter();
        let due = due
            .filter(move |(key, until)| **until <= now && idle(key))
            .filter_map(|(&key, _)| {
                let wait = self.find_step(key)?.wait.as_ref()?;
                match wait.what {
                    Awaited::Time => Some(self.go_on(key)),
                    Awaited::Retry => Some(self.attempt(key)),
                    Awaited::Signal { .. } | Awaited::Approval { .. } => Some(Command::Expire(key)),
                    // The run's own time is up with it.
                    Awaited::Child { .. } => None,
                }
            });
        let woken = self.history.woken.keys().copied();
        let woken = woken.filter(idle).map(|key| self.go_on(key));
        ready.chain(lost).chain(due).chain(woken)
    }

    fn attempt(&self, key: StepKey) -> Command {
        Command::Attempt {
            key,
            number: self.step(key).attempt() + 1,
            waited: false,
        }
    }

    fn go_on(&self, key: StepKey) -> Command {
        Command::Attempt {
            key,
            number: self.step(key).attempt(),
            waited: true,
        }
    }

    /// Nothing is in flight and nothing is ready: the run waits for a time, for a decision, or is done.
    fn when_idle(&self) -> Command {
        let far = self.history.deadline.unwrap_or(FAR);
        if self.history.waiting.is_empty() && self.history.unknown.is_empty() {
            return Command::Succeed;
        }
        let waiting = self.history.waiting.iter();
        let first = waiting.min_by_key(|(key, until)| (**until, **key));
        let Some((&key, &until)) = first else {
            let reason = WaitReason::OutcomeUnknown;
            return Command::Wait { reason, until: far };
        };
        let wait = self.find_step(key).and_then(|step| step.wait.as_ref());
        let reason = wait.map_or(WaitReason::Delay, super::step::Wait::reason);
        let until = until.min(far);
        Command::Wait { reason, until }
    }

    /// Whether an attempt that is cut off now may have taken effect outside: it was of an `AT_MOST_ONCE` step, and not
    /// of a loop that is under way, whose items answer for themselves.
    #[must_use]
    pub fn cut_leaves_doubt(&self, key: StepKey) -> bool {
        self.graph_of(key.scope).node(key.node).effect == Effect::AtMostOnce
            && !self.history.looping.contains(&key)
            && matches!(
                self.step(key).state,
                StepState::Running | StepState::OutcomeUnknown
            )
    }
}

/// Later than any run may last; as far ahead as the database's calendar goes without trouble.
pub const FAR: DateTime<Utc> = DateTime::from_timestamp_nanos(i64::MAX);
