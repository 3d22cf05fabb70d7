//! The shape of a definition, by index: what the state machine walks.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ERROR_PORT, Effect, Port};
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
    number: u32,
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
    /// What runs for each item, if it is a loop.
    pub body: Option<Arc<Graph>>,
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
    /// Which way out of the source it is.
    pub way: Way,
}

/// A way out of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A port, empty for the node's only one.
    Port(Port),
    /// To the node that takes its place when it has failed.
    Fallback,
}

/// How a step was left, which decides its ways out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit<'a> {
    /// With an output, by this port; empty for the only one.
    By(&'a str),
    /// With a failure, by the port for that.
    Error,
    /// With a failure, to the node that takes its place.
    Fallback,
    /// Not at all: all ways out are dead.
    Nowhere,
}

impl Way {
    /// Whether something goes this way when its source is left so.
    #[must_use]
    pub fn is_taken(&self, exit: Exit<'_>) -> bool {
        match (self, exit) {
            // An edge without a port is its source's only one, whatever that is called.
            (Self::Port(way), Exit::By(port)) => way.is_empty() || **way == *port,
            (Self::Port(way), Exit::Error) => **way == *ERROR_PORT,
            (Self::Fallback, Exit::Fallback) => true,
            _ => false,
        }
    }

    /// Whether something goes this way when all is well.
    fn is_regular(&self) -> bool {
        matches!(self, Self::Port(port) if **port != *ERROR_PORT)
    }
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
    /// What runs for each item, if it is a loop.
    pub body: Option<Arc<Graph>>,
    /// The node that takes its place when it has failed.
    pub fallback: Option<NodeId>,
}

impl Graph {
    /// Builds the graph of a valid definition, or of a loop's body; `number` tells the graphs of one revision apart,
    /// of which the outermost is 0.
    ///
    /// Edges name their nodes by id and their port; an edge whose node does not exist is left out, which validation
    /// does not let happen. A fallback is an edge too, after those of the definition.
    #[must_use]
    pub fn new(number: u32, shapes: Vec<NodeShape>, edges: &[super::Edge]) -> Self {
        let mut nodes: Vec<GraphNode> = Vec::with_capacity(shapes.len());
        let mut by_id = HashMap::with_capacity(shapes.len());
        let mut fallbacks = Vec::new();
        for (at, shape) in (0..).zip(shapes) {
            by_id.insert(shape.id.clone(), NodeIndex(at));
            if let Some(fallback) = shape.fallback {
                fallbacks.push((shape.id.clone(), fallback));
            }
            nodes.push(GraphNode {
                id: shape.id,
                kind: shape.kind,
                effect: shape.effect,
                body: shape.body,
                incoming: Vec::new(),
                outgoing: Vec::new(),
            });
        }
        let mut kept: Vec<GraphEdge> = Vec::with_capacity(edges.len());
        let ported = edges.iter().map(|edge| {
            let way = Way::Port(edge.source_handle.as_str().into());
            (&edge.source, &edge.target, way)
        });
        let fallbacks = fallbacks
            .iter()
            .map(|(source, target)| (source, target, Way::Fallback));
        for (source, target, way) in ported.chain(fallbacks) {
            let (Some(&source), Some(&target)) = (by_id.get(source), by_id.get(target)) else {
                continue;
            };
            let index =
                EdgeIndex(u32::try_from(kept.len()).expect("a definition has at most 5,000 edges"));
            nodes[source.at()].outgoing.push(index);
            nodes[target.at()].incoming.push(index);
            kept.push(GraphEdge {
                source,
                target,
                way,
            });
        }
        let ends = ends(&nodes, &kept);
        Self {
            number,
            nodes,
            edges: kept,
            by_id,
            ends,
        }
    }

    /// Tells it apart from the other graphs of its revision: 0 is the outermost.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
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

    /// The node of a step's path: in loops it is inside the graphs of the nodes on the way (`loop[3]/summarise`).
    #[must_use]
    pub fn find_at(&self, path: &str) -> Option<&GraphNode> {
        match path.split_once('/') {
            None => Some(self.node(self.find(path)?)),
            Some((turn, rest)) => {
                let (id, _) = turn.split_once('[')?;
                self.node(self.find(id)?).body.as_ref()?.find_at(rest)
            }
        }
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

fn ends(nodes: &[GraphNode], edges: &[GraphEdge]) -> Vec<NodeIndex> {
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
        // What only a failure leaves by leads nowhere when all is well.
        let leads_on = |edge: &EdgeIndex| edges[edge.at()].way.is_regular();
        of(&|node| !node.outgoing.iter().any(leads_on))
    } else {
        named
    }
}
