//! What callers and children ask of a run, made into events as the engine does.

use chrono::TimeDelta;
use serde_json::Map;

use super::{Applets, Simulation};
use crate::ids::{RunId, StepPath};
use crate::run::event::{
    ApprovalResolved, Awaited, ChildEnded, Failure, RunAdmitted, RunCancelling, RunPaused,
    RunResumed, SignalReceived, StepResolved, StepSucceeded,
};
use crate::run::scope::StepKey;
use crate::run::state::{Decision, Resolution, RunState, StepState, WaitReason};
use crate::run::step::INTERRUPTED;
use crate::run::tests::script::{End, Wait};
use crate::run::tests::story::{failure, payload};
use crate::usage::Usage;

/// What somebody asks.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    Cancel,
    Pause,
    Resume,
    Admitted,
    Signal(String),
    Approval(StepPath, u32, Decision),
    Resolve(StepPath, u32, Resolution, String),
    ChildEnded(RunId, RunState, Option<Failure>),
}

impl Simulation {
    /// Somebody asks something, maybe what makes no sense at this time.
    pub(super) fn somebody_writes(&mut self) {
        let awaited = self.awaited_letters();
        let letter = match self.chance.pick(24) {
            14 => Letter::Cancel,
            15..=17 => Letter::Pause,
            18 => Letter::Resume,
            19 => Letter::Admitted,
            20 => Letter::Signal("go".to_owned()),
            21 => self.signal_for_some_step(),
            22 => Letter::Approval("n0".into(), 1, Decision::Rejected),
            _ if awaited.is_empty() => return,
            _ => awaited[self.chance.pick(awaited.len())].clone(),
        };
        self.post(letter);
    }

    /// A signal that a step asks for, or may ask for later.
    fn signal_for_some_step(&mut self) -> Letter {
        let keys: Vec<StepKey> = (self.story.run.history().scopes.iter())
            .flat_map(|(&scope, it)| it.steps().map(move |(node, _)| StepKey { scope, node }))
            .collect();
        let key = keys[self.chance.pick(keys.len())];
        Letter::Signal(self.story.run.path(key).to_string())
    }

    /// What is sure to come, because the run waits for it and nothing else ends that.
    pub(super) fn awaited_letters(&self) -> Vec<Letter> {
        let run = &self.story.run;
        let mut letters = Vec::new();
        if run.state() == RunState::Paused {
            letters.push(Letter::Resume);
        }
        if run.is_blocked() {
            letters.push(Letter::Admitted);
        }
        for (key, wait) in run.waiting() {
            let act = || self.act(key);
            let path = run.path(key);
            match &wait.what {
                Awaited::Signal { name, .. } => {
                    let comes = matches!(act().wait, Some(Wait::Signal(_, _, true)));
                    if comes && run.find_awaiting_signal(name).is_some() {
                        letters.push(Letter::Signal(name.clone()));
                    }
                }
                Awaited::Approval(_) => {
                    if let Some(Wait::Approval(_, true)) = act().wait {
                        let number = run.step(key).attempt();
                        letters.push(Letter::Approval(path, number, Decision::Approved));
                    }
                }
                Awaited::Child { run_id } => letters.extend(self.end_of_child(key, *run_id)),
                Awaited::Time | Awaited::Retry => {}
            }
        }
        for &key in run.unknown() {
            let (resolution, port) = self.resolution(key);
            let number = run.step(key).attempt();
            letters.push(Letter::Resolve(run.path(key), number, resolution, port));
        }
        letters
    }

    /// A child exists once the event that says so is durable, and ends as the script says, or as it was told.
    fn end_of_child(&self, key: StepKey, run_id: RunId) -> Option<Letter> {
        let step = self.story.run.step(key);
        let since = step.wait.as_ref()?.since;
        let told = self.told_children.get(&run_id);
        let told = told.is_some_and(|at| *at <= self.durable());
        if since > self.durable() || (told && self.applets == Applets::Stubborn) {
            return None;
        }
        let (state, error) = match self.act(key).wait {
            _ if told => (RunState::Cancelled, None),
            Some(Wait::Child(state, false)) => (state, None),
            Some(Wait::Child(state, true)) => (state, Some(failure("REVISION_LOST"))),
            other => panic!("a step waits for a child that the script does not know: {other:?}"),
        };
        Some(Letter::ChildEnded(run_id, state, error))
    }

    /// An attempt that was lost with its process is tried again, so that a crash makes no difference; of others the
    /// script knows what somebody decides.
    fn resolution(&self, key: StepKey) -> (Resolution, String) {
        let last = self.story.run.step(key).attempts.last();
        let error = last.and_then(|last| last.error.as_ref());
        if error.is_none_or(|error| [INTERRUPTED, "POISON"].contains(&&*error.reason)) {
            return (Resolution::Retry, String::new());
        }
        let port = match self.act(key).collect {
            End::Success(port) => port,
            _ => self.manner(key).ways()[0].clone(),
        };
        match self.act(key).end {
            End::Doubt(resolution) => (resolution, port),
            _ => (Resolution::Retry, port),
        }
    }

    /// Makes events of what somebody asks. A run that is about to leave takes that back first.
    pub(super) fn post(&mut self, letter: Letter) {
        assert!(
            self.before_end.is_none(),
            "it is read once the end is taken back"
        );
        let state = self.story.run.state();
        match letter {
            Letter::Cancel => self.is_cancelled(),
            Letter::Pause => {
                if !matches!(state, RunState::Cancelling | RunState::Paused) {
                    self.finishing = false;
                    let reason = "lunch".to_owned();
                    self.story.record(RunPaused { reason });
                }
            }
            Letter::Resume => {
                if state == RunState::Paused {
                    let reason = WaitReason::Paused;
                    self.story.record(RunResumed { reason });
                }
            }
            Letter::Admitted => {
                if self.story.run.is_blocked() {
                    self.story.record(RunAdmitted {});
                }
            }
            Letter::Signal(name) => {
                let taker = self.story.run.find_awaiting_signal(&name);
                let path = taker.map(|key| self.story.run.path(key));
                let payload = payload();
                self.story.record(SignalReceived {
                    name,
                    payload,
                    path,
                });
            }
            Letter::Approval(path, attempt, decision) => self.is_decided(path, attempt, decision),
            Letter::Resolve(path, attempt, resolution, port) => {
                self.is_resolved(&path, attempt, resolution, port);
            }
            Letter::ChildEnded(run_id, state, error) => {
                if let Some(key) = self.story.run.find_awaiting_child(run_id) {
                    self.story.record(ChildEnded {
                        path: self.story.run.path(key),
                        attempt: self.story.run.step(key).attempt(),
                        run_id,
                        state,
                        error,
                    });
                }
            }
        }
    }

    fn is_cancelled(&mut self) {
        if self.story.run.state() == RunState::Cancelling {
            return;
        }
        self.finishing = false;
        self.stopping = None;
        let grace = [10, 0, 1, 600][self.chance.pick(4)];
        self.story.record(RunCancelling {
            reason: "not needed".to_owned(),
            force_at: self.story.now + TimeDelta::seconds(grace),
        });
    }

    fn is_decided(&mut self, path: StepPath, attempt: u32, decision: Decision) {
        let Some(key) = self.step_at(&path, attempt) else {
            return;
        };
        let run = &self.story.run;
        let wait = run.step(key).wait.as_ref();
        let asks = wait.is_some_and(|wait| matches!(wait.what, Awaited::Approval(_)));
        if asks && run.woken(key).is_none() {
            self.story.record(ApprovalResolved {
                path,
                attempt,
                decision,
                decided_by: "somebody".to_owned(),
                payload: payload(),
            });
        }
    }

    fn is_resolved(&mut self, path: &StepPath, attempt: u32, resolution: Resolution, port: String) {
        let Some(key) = self.step_at(path, attempt) else {
            return;
        };
        let step = self.story.run.step(key);
        if !matches!(
            step.state,
            StepState::OutcomeUnknown | StepState::Quarantined
        ) {
            return;
        }
        let started_at = step.attempts.last().expect("it was tried").started_at;
        self.story.record(StepResolved {
            path: path.clone(),
            attempt,
            resolution,
            comment: "asked by phone".to_owned(),
        });
        if self.poison.as_deref() == Some(path.as_str()) {
            // Whoever decided has mended it.
            self.poison = None;
        }
        if resolution == Resolution::Succeeded {
            self.story.record(StepSucceeded {
                path: path.clone(),
                attempt,
                started_at,
                port,
                output: payload(),
                details: Map::new(),
                usage: Usage::default(),
                reused: None,
            });
        }
    }

    fn step_at(&self, path: &StepPath, attempt: u32) -> Option<StepKey> {
        let key = self.story.run.find(path)?;
        (self.story.run.step(key).attempt() == attempt).then_some(key)
    }
}
