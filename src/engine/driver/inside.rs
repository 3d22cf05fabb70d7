//! What only a run's driver knows: what is in this process right now, and what keeps the rest from being started.

use super::Driver;
use crate::engine::pool::Place;
use crate::ids::StepPath;
use crate::run::Command;

/// How many steps of each kind are named.
const NAMED: usize = 100;

/// What only a run's driver knows.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// Attempts that are in this process, with their numbers.
    pub in_flight: Vec<(StepPath, u32)>,
    /// Steps that could begin and wait for a slot of the pool.
    pub await_slot: Vec<StepPath>,
    /// Steps that could begin and wait for the one place of suspects: attempts at them have died with their process.
    pub await_probe: Vec<StepPath>,
    /// Steps that could begin and for which the run executes too many others.
    pub await_others: Vec<StepPath>,
    /// Whether attempts wait for nothing but a lease that lasts for a while.
    pub awaits_lease: bool,
}

impl Driver {
    /// What is in this process right now.
    pub(super) fn inside(&self) -> Inside {
        let flying = self.flying.iter().filter(|(key, _)| {
            let known = self.run.find_step(**key).is_some();
            known && self.gated.iter().all(|(_, gated)| gated.step != **key)
        });
        let in_flight = flying
            .take(NAMED)
            .map(|(key, flying)| (self.run.path(*key), flying.number))
            .collect();
        let full = self.flying.len() >= self.plan.parallel_steps();
        let commands = self.run.next(self.now()).into_iter();
        let due = commands.filter_map(|command| match command {
            Command::Attempt { key, waited, .. } => Some((key, waited)),
            _ => None,
        });
        let mut inside = Inside::default();
        for (key, waited) in due {
            let list = match self.place(key, waited) {
                _ if full => &mut inside.await_others,
                Some(Place::Slot) if self.places.awaits(Place::Slot) => &mut inside.await_slot,
                Some(Place::Probe) if self.places.awaits(Place::Probe) => &mut inside.await_probe,
                _ => continue,
            };
            if list.len() < NAMED {
                list.push(self.run.path(key));
            }
        }
        Inside {
            in_flight,
            awaits_lease: self.is_held_by_lease(),
            ..inside
        }
    }
}
