//! What only a run's driver knows: what is in this process right now, and what keeps the rest from being started.

use super::Driver;
use crate::flow::Effect;
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
            Command::Attempt { key, .. } => Some(key),
            _ => None,
        });
        let takes_slot = |key: &crate::run::scope::StepKey| {
            self.run.graph_of(key.scope).node(key.node).effect != Effect::Pure
        };
        let due = due.filter(|key| full || (takes_slot(key) && self.slot_request.is_some()));
        let due: Vec<StepPath> = due.take(NAMED).map(|key| self.run.path(key)).collect();
        let (await_others, await_slot) = if full {
            (due, Vec::new())
        } else {
            (Vec::new(), due)
        };
        Inside {
            in_flight,
            await_slot,
            await_others,
            awaits_lease: self.is_held_by_lease(),
        }
    }
}
