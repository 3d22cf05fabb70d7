//! What is to become of each node, said as simply as possible: the rules that the state machine is compared with.

use crate::flow::graph::{Exit, GraphEdge, NodeIndex};
use crate::run::Run;
use crate::run::state::StepState;

/// What is known of a node or an edge, given the ports by which steps were left so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The node runs; the edge delivers.
    Live,
    /// The node is skipped; the edge delivers nothing.
    Dead,
    /// It depends on a step that is not at its end.
    Open,
}

/// The fate of each node, in the order of the nodes.
pub(super) fn fates(run: &Run) -> Vec<Fate> {
    let mut fates = vec![None; run.graph().len()];
    for (node, _) in run.graph().nodes() {
        fate(run, node, &mut fates);
    }
    fates.into_iter().flatten().collect()
}

/// The sources that deliver to `node`, each once, in edge order.
pub(super) fn deliverers(run: &Run, fates: &[Fate], node: NodeIndex) -> Vec<NodeIndex> {
    let mut sources = Vec::new();
    for edge in edges_into(run, node) {
        if edge_fate(run, edge, fates[edge.source.at()]) == Fate::Live
            && !sources.contains(&edge.source)
        {
            sources.push(edge.source);
        }
    }
    sources
}

/// A node runs if it is a root or something reaches it, once all is known that could reach it.
fn fate(run: &Run, node: NodeIndex, known: &mut Vec<Option<Fate>>) -> Fate {
    if let Some(fate) = known[node.at()] {
        return fate;
    }
    let edges: Vec<Fate> = edges_into(run, node)
        .map(|edge| {
            let source = fate(run, edge.source, known);
            edge_fate(run, edge, source)
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

/// An edge delivers if its source succeeded and left by its port; an edge without a port is left by any.
fn edge_fate(run: &Run, edge: &GraphEdge, source: Fate) -> Fate {
    let step = run.top_step(edge.source);
    match (source, &step.output) {
        (Fate::Dead, _) => Fate::Dead,
        (Fate::Live, Some(output)) if step.state == StepState::Succeeded => {
            if edge.way.is_taken(Exit::By(&output.port)) {
                Fate::Live
            } else {
                Fate::Dead
            }
        }
        (Fate::Live | Fate::Open, _) => Fate::Open,
    }
}

fn edges_into(run: &Run, node: NodeIndex) -> impl Iterator<Item = &GraphEdge> {
    (0..u32::try_from(run.graph().edge_count()).unwrap())
        .map(|at| run.graph().edge(crate::flow::graph::EdgeIndex(at)))
        .filter(move |edge| edge.target == node)
}
