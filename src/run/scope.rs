//! Scopes: the run's own graph, and inside loops one for each item that is under way.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::event::RunError;
use super::state::StepState;
use super::step::{Output, Step};
use crate::flow::graph::{Graph, NodeIndex};
use crate::ids::StepPath;

/// One opening of a graph in a run: 0 is the run's own, the others are items of loops, in the order of their opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeId(pub u32);

impl ScopeId {
    /// The run's own graph.
    pub const TOP: Self = Self(0);

    /// The range of the keys of all its steps.
    #[must_use]
    pub fn keys(self) -> std::ops::RangeInclusive<StepKey> {
        let key = |node| StepKey {
            scope: self,
            node: NodeIndex(node),
        };
        key(0)..=key(u32::MAX)
    }
}

/// A step's place in a run, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey {
    /// Which opening of a graph.
    pub scope: ScopeId,
    /// Which node in it.
    pub node: NodeIndex,
}

impl StepKey {
    /// The step of a node of the run's own graph.
    #[must_use]
    pub fn top(node: NodeIndex) -> Self {
        let scope = ScopeId::TOP;
        Self { scope, node }
    }
}

/// What has become of one opening of a graph.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(super) graph: Arc<Graph>,
    /// Which item of which loop it is; `None` for the run's own graph.
    pub(super) place: Option<Place>,
    pub(super) steps: Vec<Step>,
    pub(super) edges: Vec<EdgeState>,
    /// Steps that have not come to their end.
    pub(super) unsettled: u32,
    /// What fails the item: what is open in it is cut off.
    pub(super) failing: Option<Failing>,
    /// Whether the item has come to its end; the scope is kept only to be shown or retried.
    pub(super) closed: bool,
}

/// Scopes are compared by what happened in them: which graph they open follows from their place.
impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.graph.number() == other.graph.number()
            && self.place == other.place
            && self.steps == other.steps
            && self.edges == other.edges
            && self.unsettled == other.unsettled
            && self.failing == other.failing
            && self.closed == other.closed
    }
}

/// Which item of which loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The step of the loop.
    pub of: StepKey,
    /// The item, from 0.
    pub item: u32,
    /// What the paths of its steps begin with: `loop[3]/`.
    pub prefix: Arc<str>,
}

/// Why a part of a run is being cut off, and until when it may end by itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failing {
    pub(super) error: RunError,
    pub(super) force_at: DateTime<Utc>,
}

/// What is known of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EdgeState {
    Undecided,
    Live,
    Dead,
}

impl Scope {
    pub(super) fn open(graph: Arc<Graph>, place: Option<Place>) -> Self {
        let steps: Vec<Step> = graph
            .nodes()
            .map(|(_, node)| Step::pending(node.incoming.len()))
            .collect();
        Self {
            unsettled: u32::try_from(steps.len()).unwrap_or(u32::MAX),
            edges: vec![EdgeState::Undecided; graph.edge_count()],
            steps,
            graph,
            place,
            failing: None,
            closed: false,
        }
    }

    /// The graph that it opens.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Which item of which loop it is; `None` for the run's own graph.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Whether the item has come to its end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The path of a node's step.
    #[must_use]
    pub fn path(&self, node: NodeIndex) -> StepPath {
        let id = &self.graph.node(node).id;
        match &self.place {
            None => StepPath::from(id),
            Some(place) => StepPath::new(format!("{}{id}", place.prefix)),
        }
    }

    /// Its steps, in the order of the nodes.
    pub fn steps(&self) -> impl Iterator<Item = (NodeIndex, &Step)> {
        (0..).map(NodeIndex).zip(&self.steps)
    }

    /// Nodes that no edge leads to.
    pub(super) fn roots(&self) -> Vec<NodeIndex> {
        self.graph
            .nodes()
            .filter(|(_, node)| node.incoming.is_empty())
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether all its steps have come to their end, and none because it was cut off.
    pub(super) fn is_whole(&self) -> bool {
        let cut = |step: &Step| step.state == StepState::Cancelled;
        self.unsettled == 0 && !self.steps.iter().any(cut)
    }

    /// Whether no step of it executes, waits or is in doubt.
    pub(super) fn is_quiet(&self) -> bool {
        !self.steps.iter().any(|step| step.state.is_under_way())
    }

    /// What its ends gave, as far as they gave something.
    #[must_use]
    pub fn outputs(&self) -> Vec<(NodeIndex, Output)> {
        self.graph
            .ends()
            .iter()
            .filter_map(|&end| {
                let step = &self.steps[end.at()];
                let given = step.output.clone().filter(|_| step.gave_output());
                Some((end, given?))
            })
            .collect()
    }
}
