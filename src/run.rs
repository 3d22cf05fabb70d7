//! A run: a pure state machine, events in, commands out.
//!
//! [`Run::apply`] changes it, [`Run::next`] says what to do. It knows no clock, no database and no async; recovery is a
//! fold of `apply` over the journal, so replay, recovery and the live path are one piece of code.

mod apply;
mod caution;
pub mod event;
mod fact;
mod fates;
mod look;
mod next;
mod reopen;
pub mod reuse;
pub mod scope;
pub mod state;
pub mod step;
#[cfg(test)]
mod tests;
pub mod turns;
mod waits;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::apply::Mismatch;
pub use self::caution::{PROBED_AFTER, QUARANTINED_AFTER};
pub use self::next::{Command, FAR, STOP_GRACE};
use self::scope::{Scope, ScopeId, StepKey};
use self::turns::Turns;
use crate::flow::graph::Graph;
use crate::usage::Usage;
use event::{Origin, Parent, PayloadInfo, Recorded, RunError};
use state::{RunState, WaitReason};
use step::Woken;

/// One execution of one revision.
#[derive(Clone, Debug)]
pub struct Run {
    graph: Arc<Graph>,
    history: History,
    /// Steps whose attempt is in this process right now. No part of history: after a crash nothing is in flight.
    in_flight: BTreeSet<StepKey>,
    /// Whether the steps of items that have ended are kept: to show them, not to run.
    keeps_all: bool,
}

/// All that the events of a run say, and nothing else: two runs with the same events have equal histories.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    state: RunState,
    last_sequence: i64,
    scopes: BTreeMap<ScopeId, Scope>,
    next_scope: u32,
    /// Loops that have begun, also those that have ended.
    loops: BTreeMap<StepKey, Turns>,
    /// Steps that all their edges have reached.
    ready: BTreeSet<StepKey>,
    /// Steps that no edge can reach any more and that are not yet skipped.
    unreachable: BTreeSet<StepKey>,
    /// Steps that wait, by the time when they go on at the latest.
    waiting: BTreeMap<StepKey, DateTime<Utc>>,
    /// Steps whose wait is over, and what ended it.
    woken: BTreeMap<StepKey, Woken>,
    /// Steps with an open attempt in the journal.
    running: BTreeSet<StepKey>,
    /// Loops that are under way.
    looping: BTreeSet<StepKey>,
    /// Loops of which no item is under way any more, and whose own end is due.
    done_loops: BTreeSet<StepKey>,
    /// Loops of which an item has failed, and with it the loop.
    failing_loops: BTreeSet<StepKey>,
    /// Items in which a step has failed, and with it the item.
    failing_scopes: BTreeSet<ScopeId>,
    /// Steps whose outcome is unknown, and those that are quarantined: somebody has to decide.
    unknown: BTreeSet<StepKey>,
    /// Signals that nobody has asked for yet, by name, oldest first: the events that hold them.
    signals: BTreeMap<String, VecDeque<(i64, PayloadInfo)>>,
    /// What all its steps have used.
    usage: Usage,
    /// Whether steps were cut off because the whole run is brought to its end.
    cut: bool,
    /// Whether it has to be admitted before it starts.
    blocked: bool,
    /// Whether each attempt has to be durable before it begins, whatever its effect.
    cautious: bool,
    parent: Option<Parent>,
    /// Shared, for it holds outputs that may be large.
    origin: Option<Arc<Origin>>,
    input: Option<PayloadInfo>,
    output: Option<PayloadInfo>,
    error: Option<RunError>,
    cancel_reason: String,
    wait_reason: Option<WaitReason>,
    waits_until: Option<DateTime<Utc>>,
    deadline: Option<DateTime<Utc>>,
    force_at: Option<DateTime<Utc>>,
    failing: Option<RunError>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

impl Run {
    /// A run of which nothing has happened yet.
    #[must_use]
    pub fn new(graph: Arc<Graph>) -> Self {
        let top = Scope::open(Arc::clone(&graph), None);
        let ready = top.roots().into_iter().map(StepKey::top).collect();
        let history = History {
            state: RunState::Queued,
            last_sequence: 0,
            scopes: BTreeMap::from([(ScopeId::TOP, top)]),
            next_scope: 1,
            loops: BTreeMap::new(),
            ready,
            unreachable: BTreeSet::new(),
            waiting: BTreeMap::new(),
            woken: BTreeMap::new(),
            running: BTreeSet::new(),
            looping: BTreeSet::new(),
            done_loops: BTreeSet::new(),
            failing_loops: BTreeSet::new(),
            failing_scopes: BTreeSet::new(),
            unknown: BTreeSet::new(),
            signals: BTreeMap::new(),
            usage: Usage::default(),
            cut: false,
            blocked: false,
            cautious: false,
            parent: None,
            origin: None,
            input: None,
            output: None,
            error: None,
            cancel_reason: String::new(),
            wait_reason: None,
            waits_until: None,
            deadline: None,
            force_at: None,
            failing: None,
            started_at: None,
            ended_at: None,
        };
        Self {
            graph,
            history,
            in_flight: BTreeSet::new(),
            keeps_all: false,
        }
    }

    /// The same, which keeps the steps of items that have ended, so that they can be shown.
    #[must_use]
    pub fn keeping_all(graph: Arc<Graph>) -> Self {
        Self {
            keeps_all: true,
            ..Self::new(graph)
        }
    }

    /// The run that these events make: how a run is recovered, and how it is shown.
    ///
    /// # Errors
    ///
    /// At the first event that cannot follow those before it.
    pub fn fold<'a>(
        graph: Arc<Graph>,
        events: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Self, Mismatch> {
        Self::new(graph).after(events)
    }

    /// The run once these events have happened too.
    ///
    /// # Errors
    ///
    /// As [`Run::fold`].
    pub fn after<'a>(
        mut self,
        events: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Self, Mismatch> {
        for event in events {
            self.apply(event)?;
        }
        Ok(self)
    }

    /// The graph that it runs.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// All that its events say.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> RunState {
        self.history.state
    }

    /// The sequence of its last event; 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> i64 {
        self.history.last_sequence
    }

    /// Top-level steps that are finished, skipped or cut off.
    #[must_use]
    pub fn progress(&self) -> u32 {
        let top = self.scope(ScopeId::TOP);
        self.total_steps() - top.unsettled
    }

    /// Top-level steps in all.
    #[must_use]
    pub fn total_steps(&self) -> u32 {
        u32::try_from(self.graph.len()).unwrap_or(u32::MAX)
    }

    /// What it was started with.
    #[must_use]
    pub fn input(&self) -> Option<&PayloadInfo> {
        self.history.input.as_ref()
    }

    /// What it gave, once it succeeded.
    #[must_use]
    pub fn output(&self) -> Option<&PayloadInfo> {
        self.history.output.as_ref()
    }

    /// What ended it, once it failed.
    #[must_use]
    pub fn error(&self) -> Option<&RunError> {
        self.history.error.as_ref()
    }

    /// What all its steps have used, failed attempts too.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.history.usage
    }

    /// What it waits for, while it waits.
    #[must_use]
    pub fn wait_reason(&self) -> Option<WaitReason> {
        self.history.wait_reason
    }

    /// When a waiting run is to be looked at again.
    #[must_use]
    pub fn waits_until(&self) -> Option<DateTime<Utc>> {
        self.history.waits_until
    }

    /// Why somebody cancelled it; empty if nobody did or no reason was given.
    #[must_use]
    pub fn cancel_reason(&self) -> &str {
        &self.history.cancel_reason
    }

    /// When its first steps were dispatched.
    #[must_use]
    pub fn started_at(&self) -> Option<DateTime<Utc>> {
        self.history.started_at
    }

    /// When it came to its end.
    #[must_use]
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.history.ended_at
    }

    /// When its time is up.
    #[must_use]
    pub fn deadline(&self) -> Option<DateTime<Utc>> {
        self.history.deadline
    }

    /// Whether it has to be admitted before it starts.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.history.blocked
    }

    /// The step that waits for it, if it is a child.
    #[must_use]
    pub fn parent(&self) -> Option<&Parent> {
        self.history.parent.as_ref()
    }

    /// The run whose outputs it may use, if it is a fork.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.history.origin.as_deref()
    }

    /// What ended a step's wait, until the step goes on.
    #[must_use]
    pub fn woken(&self, key: StepKey) -> Option<&Woken> {
        self.history.woken.get(&key)
    }

    /// Notes that an attempt of this step is now in this process.
    pub fn launched(&mut self, key: StepKey) {
        self.in_flight.insert(key);
    }

    /// Notes that no attempt of this step is in this process any more.
    pub fn landed(&mut self, key: StepKey) {
        self.in_flight.remove(&key);
    }

    /// Steps whose attempt is in this process right now.
    #[must_use]
    pub fn in_flight(&self) -> &BTreeSet<StepKey> {
        &self.in_flight
    }

    /// Steps with an open attempt in the journal.
    #[must_use]
    pub fn running(&self) -> &BTreeSet<StepKey> {
        &self.history.running
    }

    /// When attempts in flight are given up, once the run was cancelled or has failed.
    #[must_use]
    pub fn grace_ends_at(&self) -> Option<DateTime<Utc>> {
        self.history.force_at
    }

    /// What is failing the run, until that has ended.
    #[must_use]
    pub fn failing(&self) -> Option<&RunError> {
        self.history.failing.as_ref()
    }

    /// Steps whose outcome is unknown, and those that are quarantined: somebody has to decide.
    #[must_use]
    pub fn unknown(&self) -> &BTreeSet<StepKey> {
        &self.history.unknown
    }
}
