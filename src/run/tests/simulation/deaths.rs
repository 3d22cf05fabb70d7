//! The process ends, in order or not, and another one goes on.

use chrono::TimeDelta;

use super::{Applets, Simulation, Task};
use crate::flow::Effect;
use crate::run::event::{RunRecovered, StepInterrupted};
use crate::run::scope::StepKey;

impl Simulation {
    /// The process ends without a word. What it had handed to the journal may have been written or not.
    pub(super) fn crashes(&mut self) {
        self.crashes += 1;
        let pending = self.story.journal.len() - self.committed;
        let kept = self.committed + self.chance.pick(pending + 1);
        self.is_adopted(kept);
        let down = [1, 30, 100_000][self.chance.pick(3)];
        self.story.now += TimeDelta::seconds(down);
        self.adopted_at = self.story.now;
        if self.story.run.state().is_final() {
            // Nobody takes it over.
            return;
        }
        // Once in a while somebody lives who could not read that.
        if !self.is_mortal || self.chance.pick(6) != 5 {
            let run = &self.story.run;
            let lost = run.lost().map(|key| run.path(key)).collect();
            self.story.record(RunRecovered { lost });
        }
    }

    /// The process ends in order: what may not be repeated ends first, all else is cut off.
    pub(super) fn drains(&mut self) {
        let is_kept = |it: &Self, key: &StepKey| {
            let flight = &it.flights[key];
            let scope = it.story.run.find_scope(key.scope);
            let once =
                scope.is_some_and(|it| it.graph().node(key.node).effect == Effect::AtMostOnce);
            flight.gate.is_none()
                && match flight.task {
                    Task::Run(_) => once,
                    Task::PassOn(..) => true,
                    Task::Collect => false,
                }
        };
        if self.applets == Applets::Obedient {
            while let Some(key) = self.flights.keys().copied().find(|key| is_kept(self, key)) {
                self.land(key);
            }
        }
        let cut: Vec<StepKey> = self.flights.keys().copied().collect();
        for key in cut {
            if is_kept(self, &key) {
                // Its time was over, and its process ended.
                continue;
            }
            self.flights.remove(&key);
            self.story.run.landed(key);
            let is_open = self.story.run.running().contains(&key);
            if is_open && !self.story.run.is_stopped(key.scope) {
                let path = self.story.run.path(key);
                let attempt = self.story.run.step(key).attempt();
                self.story.record(StepInterrupted { path, attempt });
            }
        }
        self.is_adopted(self.story.journal.len());
    }

    /// Another process goes on from the first so many events.
    pub(super) fn is_adopted(&mut self, kept: usize) {
        self.story.crash(kept);
        self.committed = kept;
        self.flights.clear();
        self.probes.clear();
        self.stopping = None;
        self.told.clear();
        let durable = self.durable();
        self.told_children.retain(|_, since| *since <= durable);
        self.before_end = None;
        self.finishing = false;
        self.adopted_at = self.story.now;
    }
}
