//! A failed run that goes on: what succeeded is kept, what failed or was cut off is tried again.

use std::collections::BTreeSet;

use super::Run;
use super::event::RunReopened;
use super::scope::{ScopeId, StepKey};
use super::state::{Handling, RunState, StepState};
use crate::flow::Effect;

impl Run {
    pub(super) fn reopened(&mut self, event: &RunReopened) {
        let history = &mut self.history;
        history.state = if history.started_at.is_some() {
            RunState::Running
        } else {
            RunState::Queued
        };
        history.error = None;
        history.failing = None;
        history.force_at = None;
        history.cut = false;
        history.ended_at = None;
        history.failing_scopes = BTreeSet::new();
        history.failing_loops = BTreeSet::new();
        if history.deadline.is_some() {
            history.deadline = Some(event.deadline);
        }
        // Loops before their items: those are younger.
        let scopes: Vec<ScopeId> = history.scopes.keys().copied().collect();
        for id in scopes {
            self.reopen_scope(id);
        }
        let loops: Vec<StepKey> = self.history.looping.iter().copied().collect();
        for key in loops {
            self.begin_items(key);
            self.settle_loop(key);
        }
    }

    fn reopen_scope(&mut self, id: ScopeId) {
        let Some(scope) = self.history.scopes.get_mut(&id) else {
            return;
        };
        let place = scope.place.clone();
        if let Some(place) = &place {
            let is_open = self
                .history
                .loops
                .get(&place.of)
                .is_some_and(|turns| turns.open.get(&place.item) == Some(&id));
            if !is_open {
                // It has ended with what stands; it is kept to be shown.
                return;
            }
        }
        // An item that had not come to its end has not been counted.
        let counted = scope.failing.take().is_some() && scope.closed;
        scope.closed = false;
        if counted
            && let Some(turns) = place.and_then(|place| self.history.loops.get_mut(&place.of))
        {
            turns.failed -= 1;
        }
        let Some(scope) = self.history.scopes.get(&id) else {
            return;
        };
        let nodes: Vec<_> = scope.steps().map(|(node, _)| node).collect();
        for node in nodes {
            let key = StepKey { scope: id, node };
            self.step_mut(key).deaths = 0;
            self.reopen_step(key);
        }
    }

    fn reopen_step(&mut self, key: StepKey) {
        let graph = std::sync::Arc::clone(self.graph_of(key.scope));
        let effect = graph.node(key.node).effect;
        let step = self.step_mut(key);
        let ended = match step.state {
            StepState::Failed => {
                matches!(step.handling, Some(Handling::FailRun | Handling::FailItem))
            }
            StepState::Cancelled => true,
            // It is tried again like all that has not succeeded.
            StepState::Quarantined => return self.release(key),
            // What was decided before the end and not yet dispatched is still on its lists.
            _ => return self.list_again(key),
        };
        if !ended {
            return;
        }
        let in_doubt = step.in_doubt && effect == Effect::AtMostOnce;
        step.reopen();
        if let Some(scope) = self.history.scopes.get_mut(&key.scope) {
            scope.unsettled += 1;
        }
        if let Some(turns) = self.history.loops.get_mut(&key)
            && (!turns.open.is_empty() || turns.begun < turns.count || turns.failing.is_some())
        {
            turns.failing = None;
            let step = self.step_mut(key);
            step.state = StepState::Running;
            if let Some(attempt) = step.attempts.last_mut() {
                attempt.ended_at = None;
                attempt.error = None;
                attempt.state = StepState::Running;
            }
            self.history.looping.insert(key);
        } else if in_doubt {
            self.step_mut(key).state = StepState::OutcomeUnknown;
            self.history.unknown.insert(key);
        } else {
            self.list_again(key);
        }
    }

    /// Has a step tried again that was put aside.
    fn release(&mut self, key: StepKey) {
        self.no_longer_awaits(key);
        self.step_mut(key).reopen();
        self.list_again(key);
    }

    /// Lists a step that has yet to be tried, if all its edges have been decided.
    fn list_again(&mut self, key: StepKey) {
        let step = self.step(key);
        if step.state != StepState::Pending || step.undecided > 0 {
            return;
        }
        let is_root = self.graph_of(key.scope).node(key.node).incoming.is_empty();
        if step.delivered > 0 || is_root {
            self.history.ready.insert(key);
        } else {
            self.history.unreachable.insert(key);
        }
    }
}
