//! What applets and the world around a run do: a pure function of a step's path and of how often it has been tried, so
//! that the order in which things happen makes no difference to what comes of them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::shapes::Manner;
use crate::flow::Effect;
use crate::run::state::{Resolution, RunState, StepState};
use crate::run::step::{INTERRUPTED, Step};

/// After so many tries whatever failed before succeeds.
const HEALED: u32 = 5;

/// Which of all possible worlds it is.
#[derive(Clone, Copy)]
pub(super) struct Script {
    seed: u16,
    /// From 0, where nothing fails or waits, to 4.
    trouble: usize,
}

/// What one try at a step does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Act {
    /// What it waits for first.
    pub wait: Option<Wait>,
    /// How it ends; for a loop, whether it begins.
    pub end: End,
    /// How a loop's output is made of what its items gave.
    pub collect: End,
}

/// What a try waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wait {
    /// So many seconds.
    Delay(i64),
    /// A signal of this name, at most so long, which somebody sends or nobody does.
    Signal(String, Option<i64>, bool),
    /// A decision, at most so long, which somebody takes or nobody does.
    Approval(Option<i64>, bool),
    /// A child run that ends so, or that cannot even be started.
    Child(RunState, bool),
}

/// How a try ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// With an output by this port.
    Success(String),
    /// With a failure.
    Failure(Trouble),
    /// Nobody knows how, until somebody decides.
    Doubt(Resolution),
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    pub reason: &'static str,
    /// Whether the applet says that it may be tried again.
    pub retryable: bool,
    /// How long the other side asked to wait.
    pub asked: Option<u64>,
}

impl Trouble {
    /// How long to wait before another attempt after so many that failed, if there is to be one.
    pub fn wait(&self, manner: &Manner, effect: Effect, failures: u32) -> Option<TimeDelta> {
        let policy = manner.retry.as_ref()?;
        let named = |reasons: &[String]| reasons.iter().any(|reason| reason == self.reason);
        let safe = effect == Effect::AtMostOnce && named(&policy.safe_on);
        if !(self.retryable || safe) || named(&policy.non_retryable_reasons) {
            return None;
        }
        let asked = self.asked.map(Duration::from_secs);
        let wait = policy.next_wait(failures + 1, 0.5, asked)?;
        Some(TimeDelta::from_std(wait).unwrap())
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "script {} of trouble {}", self.seed, self.trouble)
    }
}

pub(super) fn any_script() -> impl Strategy<Value = Script> {
    (any::<u16>(), 0..=4_usize).prop_map(|(seed, trouble)| Script { seed, trouble })
}

/// How often a step has been tried: attempts that were lost with their process or cut off do not count.
pub(super) fn tries(step: &Step) -> u32 {
    let tried = step.attempts.iter().filter(|attempt| {
        let error = attempt.error.as_ref();
        matches!(attempt.state, StepState::Failed | StepState::OutcomeUnknown)
            && error.is_some_and(|error| error.reason != INTERRUPTED)
    });
    u32::try_from(tried.count()).unwrap()
}

impl Script {
    /// What a try does, counted from 0.
    pub fn act(self, path: &str, tries: u32, manner: &Manner, effect: Effect) -> Act {
        let mut dice = self.dice((path, tries));
        let ways = manner.ways();
        let port = ways[dice.roll(ways.len())].clone();
        let wait = dice.happens(8 * self.trouble).then(|| dice.wait(path));
        let end = match wait {
            Some(Wait::Child(RunState::Succeeded, false)) => End::Success(port.clone()),
            Some(Wait::Child(state, _)) => End::Failure(Trouble {
                reason: "CHILD_FAILED",
                retryable: state != RunState::Cancelled,
                asked: None,
            }),
            _ if tries < HEALED && dice.happens(7 * self.trouble) => End::Failure(dice.trouble()),
            _ if effect == Effect::AtMostOnce
                && tries < HEALED
                && dice.happens(6 * self.trouble) =>
            {
                End::Doubt(Resolution::ALL[dice.roll(3)])
            }
            _ => End::Success(port.clone()),
        };
        let collect = if tries < HEALED && dice.happens(2 * self.trouble) {
            End::Failure(dice.trouble())
        } else {
            End::Success(port)
        };
        let wait = wait.filter(|wait| tries < HEALED || !matches!(wait, Wait::Child(..)));
        let end = if tries < HEALED { end } else { collect.clone() };
        Act { wait, end, collect }
    }

    /// How many items the loop of this path has.
    pub fn items(self, path: &str) -> u32 {
        u32::try_from(self.dice((path, "items")).roll(7)).unwrap()
    }

    fn dice(self, of: impl Hash) -> Dice {
        let mut hasher = DefaultHasher::new();
        (self.seed, of).hash(&mut hasher);
        Dice {
            state: hasher.finish(),
        }
    }
}

/// Numbers that follow from what the dice was made of.
struct Dice {
    state: u64,
}

impl Dice {
    fn roll(&mut self, of: usize) -> usize {
        // The generator of Knuth's MMIX, whose upper bits are the better ones.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let of = u64::try_from(of).unwrap();
        usize::try_from((self.state >> 33) % of).unwrap()
    }

    fn happens(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }

    fn wait(&mut self, path: &str) -> Wait {
        let bounds = [None, Some(2), Some(60), Some(100_000)];
        match self.roll(8) {
            0..=2 => Wait::Delay([1, 4, 60, 100_000][self.roll(4)]),
            3 | 4 => {
                let name = if self.roll(2) == 0 { path } else { "go" };
                let bound = bounds[self.roll(4)];
                // Once in a while nobody sends what nothing but the end of the run's time ends.
                let sent = self.roll(if bound.is_some() { 2 } else { 12 }) > 0;
                Wait::Signal(name.to_owned(), bound, sent)
            }
            5 => {
                let bound = bounds[self.roll(4)];
                let decided = self.roll(if bound.is_some() { 2 } else { 12 }) > 0;
                Wait::Approval(bound, decided)
            }
            _ => match self.roll(5) {
                0 => Wait::Child(RunState::Failed, false),
                1 => Wait::Child(RunState::Cancelled, false),
                2 => Wait::Child(RunState::Failed, true),
                _ => Wait::Child(RunState::Succeeded, false),
            },
        }
    }

    fn trouble(&mut self) -> Trouble {
        Trouble {
            reason: ["HTTP_5XX", "HTTP_4XX", "BROKEN"][self.roll(3)],
            retryable: self.roll(3) > 0,
            asked: (self.roll(8) == 0).then_some(20),
        }
    }
}
