//! Loops: a step whose body runs once for each item, some at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Run;
use super::event::{LoopStarted, PayloadInfo, RunError};
use super::scope::{Failing, Place, Scope, ScopeId, StepKey};
use super::state::{OnItemError, RunState};
use super::step::Output;
use crate::flow::graph::NodeIndex;

/// How far a loop has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Turns {
    /// The list of items, and the event that holds it.
    pub items: (i64, PayloadInfo),
    /// How many items there are.
    pub count: u32,
    /// The most that are under way at once.
    pub concurrency: u32,
    /// What follows when one fails.
    pub on_item_error: OnItemError,
    /// Whether items were left out because there were too many.
    pub truncated: bool,
    /// Items that gave their output.
    pub succeeded: u32,
    /// Items that failed.
    pub failed: u32,
    /// Items that have begun: the first so many.
    pub begun: u32,
    /// Items that are under way, or that were cut off and can be taken up again.
    pub(super) open: BTreeMap<u32, ScopeId>,
    /// What the items gave, as far as they have ended; empty once the loop's own output is there.
    pub(super) outcomes: BTreeMap<u32, ItemOutcome>,
    /// What fails the loop.
    pub(super) failing: Option<Failing>,
}

/// What one item gave.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemOutcome {
    /// Outputs of the ends of the body.
    Succeeded(Vec<(NodeIndex, Output)>),
    /// Its error.
    Failed(RunError),
}

impl Turns {
    pub(super) fn new(sequence: i64, event: &LoopStarted) -> Self {
        Self {
            items: (sequence, event.items.clone()),
            count: event.count,
            concurrency: event.concurrency.max(1),
            on_item_error: event.on_item_error,
            truncated: event.truncated,
            succeeded: 0,
            failed: 0,
            begun: 0,
            open: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            failing: None,
        }
    }

    /// Items that are under way.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    /// What the items gave, in their order; skipped ones are left out.
    pub fn outcomes(&self) -> impl Iterator<Item = &ItemOutcome> {
        self.outcomes.values()
    }

    /// What fails the loop, if an item has.
    #[must_use]
    pub fn error(&self) -> Option<&RunError> {
        self.failing.as_ref().map(|failing| &failing.error)
    }
}

impl Run {
    /// How far a loop has come; `None` if the step is none, or has not begun.
    #[must_use]
    pub fn turns(&self, key: StepKey) -> Option<&Turns> {
        self.history.loops.get(&key)
    }

    /// Whether what is open there is to be cut off: the run ends, or the item or loop that it belongs to fails.
    #[must_use]
    pub fn is_stopped(&self, scope: ScopeId) -> bool {
        self.is_cut_short() || self.failing_around(scope).is_some()
    }

    /// Whether the run as a whole is brought to an early end.
    pub(super) fn is_cut_short(&self) -> bool {
        self.history.cut
            || self.history.failing.is_some()
            || self.history.state == RunState::Cancelling
    }

    /// The innermost failure of an item or a loop that a scope is in.
    pub(super) fn failing_around(&self, scope: ScopeId) -> Option<&Failing> {
        if self.history.failing_scopes.is_empty() && self.history.failing_loops.is_empty() {
            return None;
        }
        let mut at = scope;
        loop {
            let scope = self.history.scopes.get(&at)?;
            if scope.failing.is_some() {
                return scope.failing.as_ref();
            }
            let place = scope.place.as_ref()?;
            let turns = self.history.loops.get(&place.of)?;
            if turns.failing.is_some() {
                return turns.failing.as_ref();
            }
            at = place.of.scope;
        }
    }

    /// Begins items until as many are under way as may be.
    pub(super) fn begin_items(&mut self, key: StepKey) {
        if self.is_stopped(key.scope) {
            return;
        }
        loop {
            let Some(body) = self.graph_of(key.scope).node(key.node).body.clone() else {
                return;
            };
            let path = self.path(key);
            let Some(turns) = self.history.loops.get_mut(&key) else {
                return;
            };
            if turns.failing.is_some()
                || turns.begun >= turns.count
                || turns.under_way() >= turns.concurrency
            {
                return;
            }
            let item = turns.begun;
            let id = ScopeId(self.history.next_scope);
            turns.begun += 1;
            turns.open.insert(item, id);
            self.history.next_scope += 1;
            let prefix = format!("{path}[{item}]/").into();
            let place = Place {
                of: key,
                item,
                prefix,
            };
            let scope = Scope::open(body, Some(place));
            let roots = scope.roots();
            self.history.scopes.insert(id, scope);
            let ready = roots.into_iter().map(|node| StepKey { scope: id, node });
            self.history.ready.extend(ready);
        }
    }

    /// Notes that a step has failed the item that it is in.
    pub(super) fn fail_item(&mut self, scope: ScopeId, error: RunError, force_at: DateTime<Utc>) {
        let failing = Failing { error, force_at };
        let Some(place) = self.history.scopes.get_mut(&scope).and_then(|scope| {
            scope.failing.get_or_insert(failing.clone());
            scope.place.clone()
        }) else {
            return;
        };
        self.history.failing_scopes.insert(scope);
        let Some(turns) = self.history.loops.get_mut(&place.of) else {
            return;
        };
        if turns.on_item_error == OnItemError::Fail {
            turns.failing.get_or_insert(failing);
            self.history.failing_loops.insert(place.of);
        }
        self.close_quiet();
    }

    /// Closes whatever is quiet in what was stopped just now: nothing more will happen there that would close it.
    pub(super) fn close_quiet(&mut self) {
        // Inner items first: they are younger than what they are in.
        let ids: Vec<ScopeId> = self.history.scopes.keys().rev().copied().collect();
        for id in ids {
            if id != ScopeId::TOP && self.failing_around(id).is_some() {
                self.close_if_done(id);
            }
        }
    }

    /// Closes an item's scope if nothing more is to happen in it, and begins the next item.
    pub(super) fn close_if_done(&mut self, id: ScopeId) {
        let Some(scope) = self.history.scopes.get(&id) else {
            return;
        };
        let Some(place) = scope.place.clone() else {
            return;
        };
        let stopped = self.is_stopped(id);
        if scope.closed || !(scope.unsettled == 0 || (stopped && scope.is_quiet())) {
            return;
        }
        let own = scope.failing.as_ref().map(|failing| failing.error.clone());
        let outcome = match own {
            Some(error) => Some(ItemOutcome::Failed(error)),
            None if scope.is_whole() => Some(ItemOutcome::Succeeded(scope.outputs())),
            // Cut off on the way: it can be taken up again with the run.
            None => None,
        };
        self.forget_ready(id);
        let Some(turns) = self.history.loops.get_mut(&place.of) else {
            return;
        };
        let mut kept = false;
        match outcome {
            Some(ItemOutcome::Failed(error)) => {
                turns.failed += 1;
                match turns.on_item_error {
                    OnItemError::Collect => {
                        turns
                            .outcomes
                            .insert(place.item, ItemOutcome::Failed(error));
                        turns.open.remove(&place.item);
                    }
                    OnItemError::Skip => {
                        turns.open.remove(&place.item);
                    }
                    // It stays to be taken up again.
                    OnItemError::Fail => kept = true,
                }
            }
            Some(outcome) => {
                turns.succeeded += 1;
                turns.outcomes.insert(place.item, outcome);
                turns.open.remove(&place.item);
            }
            None => kept = true,
        }
        if let Some(scope) = self.history.scopes.get_mut(&id) {
            scope.closed = true;
        }
        if !kept {
            self.forget_scope(id);
        }
        self.begin_items(place.of);
        self.settle_loop(place.of);
    }

    /// Notes when a loop has nothing more under way.
    pub(super) fn settle_loop(&mut self, key: StepKey) {
        let Some(turns) = self.history.loops.get(&key) else {
            return;
        };
        if !self.history.looping.contains(&key) {
            // It was cut off itself; its items may still come to their ends.
            return;
        }
        let all_closed = turns
            .open
            .values()
            .all(|id| self.history.scopes.get(id).is_none_or(|scope| scope.closed));
        if all_closed {
            self.history.done_loops.insert(key);
        }
    }

    /// Takes what was ready in a scope off the list.
    fn forget_ready(&mut self, id: ScopeId) {
        for set in [&mut self.history.ready, &mut self.history.unreachable] {
            let of_scope: Vec<StepKey> = set.range(id.keys()).copied().collect();
            for key in of_scope {
                set.remove(&key);
            }
        }
    }

    /// Forgets an item's scope, and the loops inside it with what was kept of their items.
    fn forget_scope(&mut self, id: ScopeId) {
        self.history.failing_scopes.remove(&id);
        if self.keeps_all {
            return;
        }
        self.history.scopes.remove(&id);
        let inside: Vec<StepKey> = self
            .history
            .loops
            .range(id.keys())
            .map(|(key, _)| *key)
            .collect();
        for key in inside {
            self.history.failing_loops.remove(&key);
            let turns = self.history.loops.remove(&key);
            let open = turns.map(|turns| turns.open).unwrap_or_default();
            for id in open.into_values() {
                self.forget_scope(id);
            }
        }
    }

    /// Forgets what a loop's items were once the loop itself has come to an end that stands.
    pub(super) fn close_loop(&mut self, key: StepKey) {
        self.history.done_loops.remove(&key);
        self.history.failing_loops.remove(&key);
        let Some(turns) = self.history.loops.get_mut(&key) else {
            return;
        };
        turns.outcomes.clear();
        turns.failing = None;
        let open = std::mem::take(&mut turns.open);
        for id in open.into_values() {
            self.forget_scope(id);
        }
    }

    /// The steps of a loop's items, by the scopes that are still known.
    pub fn items_of(&self, key: StepKey) -> impl Iterator<Item = (ScopeId, &Arc<str>, u32)> {
        self.history.scopes.iter().filter_map(move |(id, scope)| {
            let place = scope.place.as_ref().filter(|place| place.of == key)?;
            Some((*id, &place.prefix, place.item))
        })
    }
}
