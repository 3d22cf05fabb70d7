//! Coming to an early end: attempts and children are told, then cut off.

use super::{Driver, Places};
use crate::engine::children::Order;
use crate::ids::RunKey;
use crate::run::event::{Awaited, StepCancelled};
use crate::run::scope::StepKey;
use crate::run::state::StopCause;

impl Driver {
    /// Tells all attempts and children to end; attempts that have not begun will not. Says whether the run has changed.
    pub(super) fn stop(&mut self, cause: StopCause) -> bool {
        if self.stopping.replace(cause).is_some() {
            return false;
        }
        self.places = Places::default();
        for (_, assignment) in std::mem::take(&mut self.gated) {
            self.flying.remove(&assignment.step);
            self.run.landed(assignment.step);
            self.cut(assignment.step, assignment.number, cause, false);
        }
        for flying in self.flying.values() {
            flying.stop.cancel();
        }
        let waiting: Vec<StepKey> = self.run.waiting().map(|(key, _)| key).collect();
        for key in waiting {
            self.cancel_child(key);
        }
        true
    }

    /// Tells the attempt or the child of one step to end, because its item has failed. Says whether the run has changed.
    pub(super) fn stop_step(&mut self, key: StepKey) -> bool {
        if !self.told_to_end.insert(key) {
            return false;
        }
        if let Some(at) = self
            .gated
            .iter()
            .position(|(_, assignment)| assignment.step == key)
        {
            let (_, assignment) = self.gated.remove(at);
            self.flying.remove(&key);
            self.run.landed(key);
            self.cut(key, assignment.number, StopCause::ItemFailed, false);
            return true;
        }
        if let Some(flying) = self.flying.get(&key) {
            flying.stop.cancel();
        }
        self.cancel_child(key);
        false
    }

    /// Has the child that a step waits for cancelled, if it waits for one.
    ///
    /// It is told once what causes that is durable: after a crash before, the run may go on with the child.
    fn cancel_child(&mut self, key: StepKey) {
        let wait = self.run.find_step(key).and_then(|step| step.wait.as_ref());
        if let Some(Awaited::Child { run_id }) = wait.map(|wait| &wait.what) {
            let child = RunKey {
                namespace: self.key.namespace.clone(),
                run_id: *run_id,
            };
            let at = self.run.last_sequence();
            self.orders.push((at, Order::Cancel(child)));
            self.give_orders();
        }
    }

    /// Journals that a step is cut off, and drops its attempt if it has one here.
    pub(super) fn abandon(&mut self, key: StepKey, cause: StopCause) {
        let flying = self.flying.remove(&key);
        self.run.landed(key);
        self.cancel_child(key);
        let number = flying
            .as_ref()
            .map_or_else(|| self.run.step(key).attempt(), |flying| flying.number);
        if let Some(abort) = flying.and_then(|flying| flying.abort) {
            abort.abort();
        }
        // One whose start was not durable yet has not begun, and must not.
        let waiting = self.gated.len();
        self.gated.retain(|(_, assignment)| assignment.step != key);
        let had_begun = self.gated.len() == waiting;
        let outcome_unknown = had_begun && self.run.cut_leaves_doubt(key);
        self.cut(key, number, cause, outcome_unknown);
    }

    pub(super) fn cut(
        &mut self,
        key: StepKey,
        attempt: u32,
        cause: StopCause,
        outcome_unknown: bool,
    ) {
        let path = self.run.path(key);
        let step = self.run.step(key);
        let last = step.attempts.last();
        let started_at = last
            .filter(|last| last.number == attempt)
            .map(|last| last.started_at);
        let wait = step.wait.as_ref().map(|wait| &wait.what);
        let approval = matches!(wait, Some(Awaited::Approval(_)));
        self.items.remove(&key);
        self.record(
            StepCancelled {
                path,
                attempt,
                started_at,
                cause,
                outcome_unknown,
                approval,
            },
            None,
        );
    }
}
