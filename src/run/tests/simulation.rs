//! A driver that does as the engine's does, with chance for applets, clock, journal and crashes.
//!
//! Chance is a list of numbers. Where the list has come to its end all goes well: attempts succeed, the journal
//! commits, time passes. So each simulation ends, and one that fails shrinks to few surprises.

mod chance;
mod commands;
mod landing;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

pub(super) use self::chance::{Chance, any_chance};
use super::shapes::Shape;
use super::story::Story;
use crate::flow::Effect;
use crate::run::event::{Event, RunCancelling};
use crate::run::scope::StepKey;
use crate::run::state::{RunState, StopCause};
use crate::run::{Command, Run};

/// More turns than any run of 30 nodes needs.
const MOST_TURNS: usize = 5_000;

/// What the attempts do once they are told to stop.
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
    /// Attempts that were let go, in order.
    pub launches: Vec<Launch>,
    /// When the run was last taken up from its journal.
    pub adopted_at: DateTime<Utc>,
    chance: Chance,
    applets: Applets,
    /// How many events are durable.
    committed: usize,
    flights: BTreeMap<StepKey, Flight>,
    stopping: Option<StopCause>,
    /// The run before the event that ends or parks it.
    before_end: Option<Run>,
    parallel_steps: usize,
    run_time: TimeDelta,
}

/// An attempt in the process.
#[derive(Clone, Debug)]
struct Flight {
    number: u32,
    started_at: DateTime<Utc>,
    /// The event that has to be durable before it may begin; `None` once it has begun.
    gate: Option<i64>,
    waited: bool,
}

/// An attempt that was let go: from here on it can take effect outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    pub key: StepKey,
    pub waited: bool,
}

/// Shows graph and journal where a property fails.
impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.shape)?;
        for recorded in &self.story.journal {
            let (kind, data) = (recorded.event.kind(), recorded.event.encode());
            writeln!(f, "{} {} {kind} {data}", recorded.sequence, recorded.at)?;
        }
        writeln!(f, "now {}: {:?}", self.story.now, self.story.next())
    }
}

impl Simulation {
    pub fn new(shape: Shape, mut chance: Chance, applets: Applets) -> Self {
        let story = Story::queued(Arc::clone(&shape.graph));
        let parallel_steps = [1_000, 1, 2, 5][chance.pick(4)];
        let run_time = [TimeDelta::days(30), TimeDelta::minutes(2)][chance.pick(2)];
        Self {
            adopted_at: story.now,
            committed: story.journal.len(),
            story,
            shape,
            launches: Vec::new(),
            chance,
            applets,
            flights: BTreeMap::new(),
            stopping: None,
            before_end: None,
            parallel_steps,
            run_time,
        }
    }

    /// The run at its end.
    pub fn ended(shape: Shape, chance: Chance, applets: Applets) -> Self {
        let mut simulation = Self::new(shape, chance, applets);
        simulation.drive(|_, _| (), |_| ());
        simulation
    }

    /// Goes on until the run has ended. `asked` sees each answer of the run before it is obeyed, `settled` the state
    /// when nothing can be done until something happens.
    pub fn drive(&mut self, asked: impl Fn(&Self, &[Command]), settled: impl Fn(&Self)) {
        for _ in 0..MOST_TURNS {
            self.decide(&asked);
            if self.before_end.is_none() {
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
                9 => self.is_forestalled(),
                10 => self.crashes(),
                _ => self.is_durably_out_of_memory(),
            }
            return;
        }
        match self.chance.pick(32) {
            10..=19 => self.something_lands(),
            20..=22 => self.commits_some(),
            23..=26 => self.time_passes(),
            27 => self.crashes(),
            28 if self.chance.pick(4) == 3 => self.is_cancelled(),
            _ => self.goes_well(),
        }
    }

    /// Whether every step that may start has its place.
    pub fn has_room(&self) -> bool {
        self.flights.len() < self.parallel_steps
    }

    /// The journal commits, or else an attempt ends, or else time passes.
    fn goes_well(&mut self) {
        if self.committed < self.story.journal.len() {
            self.commit(self.story.journal.len());
        } else if let Some(&key) = self.may_land().first() {
            self.land(key);
        } else {
            let now = self.story.now;
            let wake = self.story.run.wakes_at(now).expect("the run is stuck");
            assert!(wake > now, "the driver would spin");
            self.story.now = wake;
        }
    }

    fn something_lands(&mut self) {
        let flights = self.may_land();
        if !flights.is_empty() {
            let key = flights[self.chance.pick(flights.len())];
            self.land(key);
        }
    }

    /// Attempts that have begun and may end.
    fn may_land(&self) -> Vec<StepKey> {
        if self.stopping.is_some() && self.applets == Applets::Stubborn {
            return Vec::new();
        }
        let begun = self.flights.iter().filter(|(_, it)| it.gate.is_none());
        begun.map(|(&key, _)| key).collect()
    }

    fn commits_some(&mut self) {
        let pending = self.story.journal.len() - self.committed;
        let some = self.committed + self.chance.pick(pending + 1);
        self.commit(some);
    }

    /// The first so many events are durable; attempts that waited for that begin.
    fn commit(&mut self, events: usize) {
        self.committed = events;
        let committed = self.story.journal[events - 1].sequence;
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

    fn time_passes(&mut self) {
        let now = self.story.now;
        let some = [200, 3_000, 40_000, 4_000_000][self.chance.pick(4)];
        let later = now + TimeDelta::milliseconds(some);
        let wake = self.story.run.wakes_at(now).unwrap_or(later);
        self.story.now = later.min(wake);
    }

    /// The process ends without a word. What it had handed to the journal may have been written or not.
    fn crashes(&mut self) {
        let pending = self.story.journal.len() - self.committed;
        let kept = self.committed + self.chance.pick(pending + 1);
        self.is_adopted(kept);
        let down = [1, 30, 100_000][self.chance.pick(3)];
        self.story.now += TimeDelta::seconds(down);
        self.adopted_at = self.story.now;
    }

    fn is_adopted(&mut self, kept: usize) {
        self.story.crash(kept);
        self.committed = kept;
        self.flights.clear();
        self.stopping = None;
        self.before_end = None;
        self.adopted_at = self.story.now;
    }

    /// A letter came before the event that ends or parks the run was written: the run takes that event back.
    fn is_forestalled(&mut self) {
        let before = self.before_end.take().expect("the run is at an end");
        self.committed = self.committed.min(self.story.journal.len() - 1);
        self.story.journal.pop();
        self.story.histories.pop();
        self.story.run = before;
        self.is_cancelled();
    }

    fn is_cancelled(&mut self) {
        if self.story.run.state() == RunState::Cancelling {
            return;
        }
        self.stopping = None;
        let grace = [10, 0, 1, 600][self.chance.pick(4)];
        self.story.record(RunCancelling {
            reason: "not needed".to_owned(),
            force_at: self.story.now + TimeDelta::seconds(grace),
        });
    }

    /// The event that ends or parks the run is written. A parked run is taken up when it is due or somebody cancels it.
    fn is_durably_out_of_memory(&mut self) {
        let all = self.story.journal.len();
        if self.story.run.state().is_final() {
            self.commit(all);
            self.before_end = None;
            return;
        }
        let until = self.story.run.waits_until().expect("it is parked");
        self.is_adopted(all);
        match self.chance.pick(8) {
            6 => self.story.now += (until - self.story.now) / 2,
            7 => self.is_cancelled(),
            _ => self.story.now = self.story.now.max(until),
        }
        self.adopted_at = self.story.now;
    }

    fn launch(&mut self, key: StepKey) {
        let flight = self.flights.get_mut(&key).expect("it was assigned");
        flight.gate = None;
        let launch = Launch {
            key,
            waited: flight.waited,
        };
        let step = self.story.run.step(key);
        assert!(!step.state.is_final(), "a decided step is let go");
        self.launches.push(launch);
    }

    fn effect(&self, key: StepKey) -> Effect {
        self.shape.graph.node(key.node).effect
    }

    fn record_end(&mut self, event: impl Into<Event>) {
        self.before_end = Some(self.story.run.clone());
        self.story.record(event);
    }
}
