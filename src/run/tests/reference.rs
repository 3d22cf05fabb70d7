//! What is to become of each node, said as simply as possible: the rule that the state machine is compared with.

use crate::flow::graph::{GraphEdge, NodeIndex, Way};
use crate::run::Run;
use crate::run::scope::{Scope, ScopeId};
use crate::run::state::{Handling, StepState};
use crate::run::step::Step;

/// What is known of a node or an edge, given how steps were left so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The node runs; the edge delivers.
    Live,
    /// The node is skipped; the edge delivers nothing.
    Dead,
    /// It depends on a step that is not at its end.
    Open,
}

/// The fate of each node of a scope, in the order of the nodes.
pub(super) fn fates(run: &Run, id: ScopeId) -> Vec<Fate> {
    let scope = run.scope(id);
    let mut fates = vec![None; scope.graph().len()];
    for (node, _) in scope.graph().nodes() {
        fate(scope, node, &mut fates);
    }
    fates.into_iter().flatten().collect()
}

/// The sources that deliver to `node`, each once, in edge order.
pub(super) fn deliverers(
    run: &Run,
    id: ScopeId,
    fates: &[Fate],
    node: NodeIndex,
) -> Vec<NodeIndex> {
    let scope = run.scope(id);
    let mut sources = Vec::new();
    for edge in edges_into(scope, node) {
        if edge_fate(scope, edge, fates[edge.source.at()]) == Fate::Live
            && !sources.contains(&edge.source)
        {
            sources.push(edge.source);
        }
    }
    sources
}

/// A node runs if it is a root or something reaches it, once all is known that could reach it.
fn fate(scope: &Scope, node: NodeIndex, known: &mut Vec<Option<Fate>>) -> Fate {
    if let Some(fate) = known[node.at()] {
        return fate;
    }
    let edges: Vec<Fate> = edges_into(scope, node)
        .map(|edge| {
            let source = fate(scope, edge.source, known);
            edge_fate(scope, edge, source)
        })
        .collect();
    let fate = if edges.contains(&Fate::Open) {
        Fate::Open
    } else if edges.is_empty() || edges.contains(&Fate::Live) {
        Fate::Live
    } else {
        Fate::Dead
    };
    known[node.at()] = Some(fate);
    fate
}

fn edge_fate(scope: &Scope, edge: &GraphEdge, source: Fate) -> Fate {
    match source {
        Fate::Dead => Fate::Dead,
        Fate::Open => Fate::Open,
        Fate::Live => match left_by(&scope.steps[edge.source.at()]) {
            None => Fate::Open,
            Some(left) if is_way(&edge.way, &left) => Fate::Live,
            Some(_) => Fate::Dead,
        },
    }
}

/// How a node was left that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// By a port, when all went well or as if it had.
    By(String),
    /// With a failure that leaves by the port for that.
    Error,
    /// With a failure, for another node to take its place.
    Fallback,
    /// Not at all.
    Nowhere,
}

impl Left {
    /// How a node is left whose failure is handled; `None` where it fails its item or the run.
    pub fn after(handling: Handling) -> Option<Self> {
        match handling {
            Handling::ErrorPort => Some(Self::Error),
            Handling::Fallback => Some(Self::Fallback),
            Handling::DefaultOutput => Some(Self::By(String::new())),
            Handling::ContinueRun => Some(Self::Nowhere),
            Handling::FailRun | Handling::FailItem => None,
        }
    }
}

fn left_by(step: &Step) -> Option<Left> {
    match step.state {
        StepState::Succeeded => Some(Left::By(step.output.as_ref()?.port.clone())),
        StepState::Failed => Left::after(step.handling?),
        _ => None,
    }
}

/// An edge without a port is its source's only one; the port for errors and the fallback are for failures alone.
pub(super) fn is_way(way: &Way, left: &Left) -> bool {
    match (way, left) {
        (Way::Port(way), Left::By(port)) => way.is_empty() || **way == **port,
        (Way::Port(way), Left::Error) => &**way == "error",
        (Way::Fallback, Left::Fallback) => true,
        _ => false,
    }
}

fn edges_into(scope: &Scope, node: NodeIndex) -> impl Iterator<Item = &GraphEdge> {
    let edges = scope.graph().node(node).incoming.iter();
    edges.map(|&edge| scope.graph().edge(edge))
}
