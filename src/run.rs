//! A run: a pure state machine, events in, commands out.
//!
//! [`Run::apply`] changes it, [`Run::next`] says what to do. It knows no clock, no database and no async; recovery is a
//! fold of `apply` over the journal, so replay, recovery and the live path are one piece of code.

mod apply;
pub mod event;
mod next;
pub mod state;
pub mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::apply::Mismatch;
pub use self::next::{Command, STOP_GRACE};
use crate::flow::graph::{EdgeIndex, Graph, NodeIndex};
use crate::ids::{NodeId, StepPath};
use event::{PayloadInfo, Recorded, RunError};
use state::{RunState, StepState, WaitReason};
use step::Step;

/// One execution of one revision.
#[derive(Clone, Debug)]
pub struct Run {
    graph: Arc<Graph>,
    history: History,
    /// Steps whose attempt is in this process right now. No part of history: after a crash nothing is in flight.
    in_flight: BTreeSet<NodeIndex>,
}

/// All that the events of a run say, and nothing else: two runs with the same events have equal histories.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    state: RunState,
    last_sequence: i64,
    steps: Vec<Step>,
    edges: Vec<EdgeState>,
    /// Steps that all their edges have reached.
    ready: BTreeSet<NodeIndex>,
    /// Steps that no edge can reach any more and that are not yet skipped.
    unreachable: BTreeSet<NodeIndex>,
    /// Steps that wait, by the time when they go on.
    waiting: BTreeMap<NodeIndex, DateTime<Utc>>,
    /// Steps with an open attempt in the journal.
    running: BTreeSet<NodeIndex>,
    settled: u32,
    unknown: u32,
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

/// What is known of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EdgeState {
    Undecided,
    Live,
    Dead,
}

impl Run {
    /// A run of which nothing has happened yet.
    #[must_use]
    pub fn new(graph: Arc<Graph>) -> Self {
        let steps: Vec<Step> = graph
            .nodes()
            .map(|(_, node)| Step::pending(node.incoming.len()))
            .collect();
        let ready = graph
            .nodes()
            .filter(|(_, node)| node.incoming.is_empty())
            .map(|(index, _)| index)
            .collect();
        let history = History {
            state: RunState::Queued,
            last_sequence: 0,
            steps,
            edges: vec![EdgeState::Undecided; graph.edge_count()],
            ready,
            unreachable: BTreeSet::new(),
            waiting: BTreeMap::new(),
            running: BTreeSet::new(),
            settled: 0,
            unknown: 0,
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
        let mut run = Self::new(graph);
        for event in events {
            run.apply(event)?;
        }
        Ok(run)
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

    /// One step.
    #[must_use]
    pub fn step(&self, node: NodeIndex) -> &Step {
        &self.history.steps[node.at()]
    }

    /// All steps, in the order of the nodes.
    pub fn steps(&self) -> impl Iterator<Item = (NodeIndex, &Step)> {
        (0..).map(NodeIndex).zip(&self.history.steps)
    }

    /// Top-level steps that are finished, skipped or cut off.
    #[must_use]
    pub fn progress(&self) -> u32 {
        self.history.settled
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

    /// Notes that an attempt of this step is now in this process.
    pub fn launched(&mut self, node: NodeIndex) {
        self.in_flight.insert(node);
    }

    /// Notes that no attempt of this step is in this process any more.
    pub fn landed(&mut self, node: NodeIndex) {
        self.in_flight.remove(&node);
    }

    /// Steps whose attempt is in this process right now.
    #[must_use]
    pub fn in_flight(&self) -> &BTreeSet<NodeIndex> {
        &self.in_flight
    }

    /// The nodes whose outputs reach `node`, each once, in edge order.
    #[must_use]
    pub fn delivered(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut sources = Vec::new();
        for &edge in &self.graph.node(node).incoming {
            let source = self.graph.edge(edge).source;
            if self.edge(edge) == EdgeState::Live && !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }

    /// The steps whose outputs make the run's output, as far as they succeeded.
    #[must_use]
    pub fn ends(&self) -> Vec<NodeIndex> {
        let succeeded = |node: &NodeIndex| self.step(*node).state == StepState::Succeeded;
        self.graph
            .ends()
            .iter()
            .copied()
            .filter(succeeded)
            .collect()
    }

    /// Ids of the nodes whose steps execute or wait.
    #[must_use]
    pub fn current_nodes(&self) -> Vec<NodeId> {
        self.nodes_where(|step| {
            matches!(
                step.state,
                StepState::Running | StepState::Waiting | StepState::OutcomeUnknown
            )
        })
    }

    /// Ids of the nodes whose steps succeeded.
    #[must_use]
    pub fn completed_nodes(&self) -> Vec<NodeId> {
        self.nodes_where(|step| step.state == StepState::Succeeded)
    }

    /// The path of a node's step.
    #[must_use]
    pub fn path(&self, node: NodeIndex) -> StepPath {
        StepPath::from(&self.graph.node(node).id)
    }

    fn nodes_where(&self, wanted: impl Fn(&Step) -> bool) -> Vec<NodeId> {
        self.graph
            .nodes()
            .filter(|(index, _)| wanted(self.step(*index)))
            .map(|(_, node)| node.id.clone())
            .collect()
    }

    fn edge(&self, edge: EdgeIndex) -> EdgeState {
        self.history.edges[edge.at()]
    }
}
