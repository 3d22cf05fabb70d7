//! The shape of a definition, by index: what the state machine walks.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Effect, Port};
use crate::ids::NodeId;

/// A node's place in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u32);

/// An edge's place in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeIndex(pub u32);

impl NodeIndex {
    /// For use with slices.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl EdgeIndex {
    /// For use with slices.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// Nodes and edges by index, with each node's edges beside it.
#[derive(Debug)]
pub struct Graph {
    nodes: Vec<GraphNode>,
    edges: Vec<GraphEdge>,
    by_id: HashMap<NodeId, NodeIndex>,
    ends: Vec<NodeIndex>,
}

/// What the state machine knows of a node.
#[derive(Debug)]
pub struct GraphNode {
    /// The node's id.
    pub id: NodeId,
    /// Kind of applet.
    pub kind: Arc<str>,
    /// The effect that counts: the node's own or else the applet's.
    pub effect: Effect,
    /// Edges into it, in the order of the definition.
    pub incoming: Vec<EdgeIndex>,
    /// Edges out of it, in the order of the definition.
    pub outgoing: Vec<EdgeIndex>,
}

/// What the state machine knows of an edge.
#[derive(Debug)]
pub struct GraphEdge {
    /// Where it starts.
    pub source: NodeIndex,
    /// Where it leads.
    pub target: NodeIndex,
    /// The port of the source that it leaves by.
    pub port: Port,
}

/// A node as [`Graph::new`] takes it.
#[derive(Debug)]
pub struct NodeShape {
    /// Unique among the nodes.
    pub id: NodeId,
    /// Kind of applet.
    pub kind: Arc<str>,
    /// The effect that counts.
    pub effect: Effect,
}

impl Graph {
    /// Builds the graph of a valid definition.
    ///
    /// Edges name their nodes by id and their port; an edge whose node does not exist is left out, which validation
    /// does not let happen.
    #[must_use]
    pub fn new(shapes: Vec<NodeShape>, edges: &[super::Edge]) -> Self {
        let mut nodes: Vec<GraphNode> = Vec::with_capacity(shapes.len());
        let mut by_id = HashMap::with_capacity(shapes.len());
        for (at, shape) in (0..).zip(shapes) {
            by_id.insert(shape.id.clone(), NodeIndex(at));
            nodes.push(GraphNode {
                id: shape.id,
                kind: shape.kind,
                effect: shape.effect,
                incoming: Vec::new(),
                outgoing: Vec::new(),
            });
        }
        let mut kept: Vec<GraphEdge> = Vec::with_capacity(edges.len());
        for edge in edges {
            let (Some(&source), Some(&target)) = (by_id.get(&edge.source), by_id.get(&edge.target))
            else {
                continue;
            };
            let index =
                EdgeIndex(u32::try_from(kept.len()).expect("a definition has at most 5,000 edges"));
            nodes[source.at()].outgoing.push(index);
            nodes[target.at()].incoming.push(index);
            kept.push(GraphEdge {
                source,
                target,
                port: edge.source_handle.as_str().into(),
            });
        }
        let ends = ends(&nodes);
        Self {
            nodes,
            edges: kept,
            by_id,
            ends,
        }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many edges there are.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// All nodes, in the order of the definition.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &GraphNode)> {
        (0..).map(NodeIndex).zip(&self.nodes)
    }

    /// One node.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &GraphNode {
        &self.nodes[index.at()]
    }

    /// One edge.
    #[must_use]
    pub fn edge(&self, index: EdgeIndex) -> &GraphEdge {
        &self.edges[index.at()]
    }

    /// The node with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<NodeIndex> {
        self.by_id.get(id).copied()
    }

    /// The nodes whose outputs make the run's output: the `end` nodes, or the leaves where there is none.
    #[must_use]
    pub fn ends(&self) -> &[NodeIndex] {
        &self.ends
    }

    /// The nodes that feed `index`, each once, in edge order.
    #[must_use]
    pub fn sources(&self, index: NodeIndex) -> Vec<NodeIndex> {
        let mut sources = Vec::new();
        for &edge in &self.node(index).incoming {
            let source = self.edge(edge).source;
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }
}

fn ends(nodes: &[GraphNode]) -> Vec<NodeIndex> {
    let of = |wanted: &dyn Fn(&GraphNode) -> bool| -> Vec<NodeIndex> {
        (0..)
            .map(NodeIndex)
            .zip(nodes)
            .filter(|(_, node)| wanted(node))
            .map(|(index, _)| index)
            .collect()
    };
    let named = of(&|node| &*node.kind == "end");
    if named.is_empty() {
        of(&|node| node.outgoing.is_empty())
    } else {
        named
    }
}
