//! A driver that does as the engine's does, in a random world.
//!
//! What applets, children and callers do follows from a [`Script`]; in which order things happen, how long they take,
//! what crashes and what somebody asks of the run, follows from chance, which is a list of numbers. Where the list has
//! come to its end all goes well: the journal commits, attempts end, what somebody is waited for comes, time passes.
//! So each simulation ends, and one that fails shrinks to few surprises.

mod chance;
mod commands;
mod deaths;
mod ends;
mod landing;
mod letters;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

pub(super) use self::chance::{Chance, any_chance, any_numbers};
use super::script::{Act, Script, tries};
use super::shapes::{Manner, Shape};
use super::story::Story;
use crate::flow::Effect;
use crate::ids::RunId;
use crate::run::event::{Event, Failure};
use crate::run::scope::StepKey;
use crate::run::state::{Handling, StopCause};
use crate::run::step::Woken;
use crate::run::turns::ItemOutcome;
use crate::run::{Command, Run};

/// More turns than any run of these needs.
const MOST_TURNS: usize = 3_000;

/// What attempts and children do once they are told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applets {
    /// They end sooner or later.
    Obedient,
    /// They go on for ever.
    Stubborn,
}

/// A run with everything around it.
pub(super) struct Simulation {
    pub story: Story,
    pub shape: Shape,
    pub script: Script,
    /// Attempts that were let go, in order.
    pub launches: Vec<Launch>,
    /// What loops made their outputs of, by path.
    pub collected: BTreeMap<String, Vec<ItemOutcome>>,
    /// When the run was last taken up from its journal.
    pub adopted_at: DateTime<Utc>,
    /// How often it was tried again after it had failed.
    pub reopened: usize,
    /// A step that kills the process whenever it begins; nothing else does then.
    pub poison: Option<String>,
    /// How often the process has died.
    pub crashes: usize,
    /// Whether the process ends without the poison too.
    pub is_mortal: bool,
    /// Whether the poison has begun.
    killed: bool,
    chance: Chance,
    applets: Applets,
    /// How many events are durable.
    committed: usize,
    flights: BTreeMap<StepKey, Flight>,
    /// Attempts with the place for suspects, and the last event when they had ended.
    probes: BTreeMap<StepKey, Option<i64>>,
    stopping: Option<StopCause>,
    /// Steps that were told to end because their item has failed.
    told: BTreeSet<StepKey>,
    /// Children that were told to end, once that event is durable.
    told_children: BTreeMap<RunId, i64>,
    /// The run before the event that ends or parks it, or ends a wait.
    before_end: Option<Run>,
    /// Whether the run's output is being made.
    finishing: bool,
    parallel_steps: usize,
    run_time: TimeDelta,
}

/// Work for a step in the process.
#[derive(Clone, Debug)]
struct Flight {
    number: u32,
    started_at: DateTime<Utc>,
    /// The event that has to be durable before it may begin; `None` once it has begun.
    gate: Option<i64>,
    task: Task,
}

/// What is done for a step.
#[derive(Clone, Debug)]
enum Task {
    Run(Option<Woken>),
    Collect,
    PassOn(Failure, Handling),
}

/// An attempt that was let go: from here on it can take effect outside.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub path: String,
    pub number: u32,
    pub effect: Effect,
    pub waited: bool,
}

/// Shows graph and journal where a property fails.
impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, {:?}", self.shape, self.script)?;
        for recorded in &self.story.journal {
            let (kind, data) = (recorded.event.kind(), recorded.event.encode());
            writeln!(f, "{} {} {kind} {data}", recorded.sequence, recorded.at)?;
        }
        writeln!(f, "in flight {:?}", self.flights)?;
        writeln!(f, "now {}: {:?}", self.story.now, self.story.next())
    }
}

impl Simulation {
    pub fn new((shape, script, mut chance): (Shape, Script, Chance), applets: Applets) -> Self {
        let parallel_steps = [1_000, 1, 2, 5][chance.pick(4)];
        let run_time = [TimeDelta::days(30), TimeDelta::minutes(2)][chance.pick(6) / 5];
        let story = match chance.pick(8) {
            7 => Story::blocked(Arc::clone(&shape.graph)),
            _ => Story::queued(Arc::clone(&shape.graph)),
        };
        Self {
            adopted_at: story.now,
            committed: story.journal.len(),
            story,
            shape,
            script,
            launches: Vec::new(),
            collected: BTreeMap::new(),
            reopened: 0,
            poison: None,
            crashes: 0,
            killed: false,
            is_mortal: true,
            chance,
            applets,
            flights: BTreeMap::new(),
            probes: BTreeMap::new(),
            stopping: None,
            told: BTreeSet::new(),
            told_children: BTreeMap::new(),
            before_end: None,
            finishing: false,
            parallel_steps,
            run_time,
        }
    }

    /// The run at its end.
    pub fn ended(world: (Shape, Script, Chance), applets: Applets) -> Self {
        let mut simulation = Self::new(world, applets);
        simulation.drive(|_, _| (), |_| ());
        simulation
    }

    /// Goes on until the run has ended for good. `asked` sees each answer of the run before it is obeyed, `settled` the
    /// state when nothing can be done until something happens.
    pub fn drive(&mut self, asked: impl Fn(&Self, &[Command]), settled: impl Fn(&Self)) {
        for _ in 0..MOST_TURNS {
            self.decide(&asked);
            if self.killed {
                self.killed = false;
                self.crashes();
                continue;
            }
            if self.before_end.is_none() && !self.finishing {
                settled(self);
            }
            self.something_happens();
            if self.story.run.state().is_final() && self.before_end.is_none() {
                return;
            }
        }
        panic!("the run does not come to its end: {self:?}");
    }

    fn something_happens(&mut self) {
        if self.before_end.is_some() {
            match self.chance.pick(12) {
                8 => self.commits_some(),
                9 => self.is_forestalled(),
                10 if self.is_mortal => self.crashes(),
                _ => self.end_is_durable(),
            }
            return;
        }
        match self.chance.pick(40) {
            10..=19 => self.something_lands(),
            20..=22 => self.commits_some(),
            23..=26 => self.time_passes(),
            27 if self.is_mortal => self.crashes(),
            32 if self.is_mortal => self.drains(),
            28..=31 => self.somebody_writes(),
            _ => self.goes_well(),
        }
    }

    /// Whether every step that may start has its place.
    pub fn has_room(&self) -> bool {
        self.flights.len() < self.parallel_steps && !self.is_probing()
    }

    /// Whether the one place for suspects is taken: until what came of an attempt is durable.
    fn is_probing(&self) -> bool {
        !self.probes.is_empty()
    }

    fn end_probes(&mut self) {
        let (committed, last) = (self.durable(), self.story.run.last_sequence());
        let flights = &self.flights;
        self.probes.retain(|key, ended_at| {
            flights.contains_key(key) || *ended_at.get_or_insert(last) > committed
        });
    }

    /// The journal commits, or else an attempt ends, or else what somebody is waited for comes, or else time passes.
    fn goes_well(&mut self) {
        if self.committed < self.story.journal.len() {
            self.commit(self.story.journal.len());
        } else if let Some(&key) = self.may_land().first() {
            self.land(key);
        } else if self.finishing {
            self.finishes();
        } else if let Some(letter) = self.awaited_letters().into_iter().next() {
            self.post(letter);
        } else {
            let now = self.story.now;
            let wake = self.story.run.wakes_at(now);
            let wake = wake.unwrap_or_else(|| panic!("the run is stuck: {self:?}"));
            assert!(wake > now, "the driver would spin: {self:?}");
            self.story.now = wake;
        }
    }

    fn something_lands(&mut self) {
        let flights = self.may_land();
        if !flights.is_empty() {
            let key = flights[self.chance.pick(flights.len())];
            self.land(key);
        } else if self.finishing {
            self.finishes();
        }
    }

    /// Attempts that have begun and may end.
    fn may_land(&self) -> Vec<StepKey> {
        let stubborn = self.applets == Applets::Stubborn;
        let obeys =
            |key: &&StepKey| !stubborn || (self.stopping.is_none() && !self.told.contains(*key));
        let begun = self.flights.iter().filter(|(_, it)| it.gate.is_none());
        begun.map(|(key, _)| key).filter(obeys).copied().collect()
    }

    fn commits_some(&mut self) {
        let held_back = usize::from(self.before_end.is_some());
        let pending = self.story.journal.len() - held_back - self.committed;
        let some = self.committed + self.chance.pick(pending + 1);
        self.commit(some);
    }

    /// The first so many events are durable; attempts that waited for that begin.
    fn commit(&mut self, events: usize) {
        // A flush says of a run that waits that it belongs to nobody.
        let leaves = self.before_end.is_some() || self.story.run.waits_until().is_none();
        assert!(
            leaves || events == self.committed,
            "a run is let go that goes on here: {self:?}"
        );
        self.committed = events;
        let committed = self.durable();
        let free: Vec<StepKey> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.gate.is_some_and(|gate| gate <= committed))
            .map(|(&key, _)| key)
            .collect();
        for key in free {
            self.launch(key);
        }
    }

    /// The sequence of the last event that is durable.
    fn durable(&self) -> i64 {
        self.story.journal[self.committed - 1].sequence
    }

    fn time_passes(&mut self) {
        let now = self.story.now;
        let some = [200, 3_000, 40_000, 4_000_000][self.chance.pick(4)];
        let later = now + TimeDelta::milliseconds(some);
        let wake = self.story.run.wakes_at(now).unwrap_or(later);
        self.story.now = later.min(wake);
    }

    /// What the definition says of a step's node.
    pub fn manner(&self, key: StepKey) -> &Manner {
        let graph = self.story.run.graph_of(key.scope);
        self.shape.manner(graph, key.node)
    }

    fn effect(&self, key: StepKey) -> Effect {
        self.story.run.graph_of(key.scope).node(key.node).effect
    }

    /// What the present try at a step does.
    fn act(&self, key: StepKey) -> Act {
        let step = self.story.run.step(key);
        // A try whose outcome is unknown has been counted.
        let last = step.attempts.last();
        let counted = last.is_some_and(|last| {
            last.state == crate::run::state::StepState::OutcomeUnknown
                && step.state == crate::run::state::StepState::OutcomeUnknown
        });
        let tries = tries(step).saturating_sub(u32::from(counted));
        let path = self.story.run.path(key);
        let (manner, effect) = (self.manner(key), self.effect(key));
        self.script.act(path.as_str(), tries, manner, effect)
    }

    fn record_end(&mut self, event: impl Into<Event>) {
        self.before_end = Some(self.story.run.clone());
        self.story.record(event);
    }
}
