//! Graphs for tests: written down in a line, or random.

mod random;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub(super) use self::random::any_shape;
use crate::flow::graph::{Graph, NodeIndex, NodeShape};
use crate::flow::{Edge, Effect, OnError, RetryPolicy};
use crate::ids::NodeId;
use crate::run::state::OnItemError;

/// A graph, and what else its definition says of the nodes.
#[derive(Clone)]
pub(super) struct Shape {
    pub graph: Arc<Graph>,
    /// By the number of the graph that the node is in.
    manners: BTreeMap<(u32, NodeIndex), Manner>,
    /// As it would be written down.
    text: String,
}

/// What a definition says of a node beside its edges.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    /// Named ways out; without any there is just the nameless one.
    pub ports: Vec<String>,
    pub retry: Option<RetryPolicy>,
    pub on_error: Option<OnError>,
    /// How many items of a loop are under way at once, and what follows when one fails.
    pub turns: Option<(u32, OnItemError)>,
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Shape {
    /// What the definition says of a node of one of its graphs.
    pub fn manner(&self, graph: &Graph, node: NodeIndex) -> &Manner {
        &self.manners[&(graph.number(), node)]
    }

    /// All that is said of nodes, in loops too.
    pub fn manners(&self) -> impl Iterator<Item = &Manner> {
        self.manners.values()
    }
}

impl Manner {
    /// The ways out when all is well.
    pub fn ways(&self) -> &[String] {
        const ONLY: &[String] = &[String::new()];
        if self.ports.is_empty() {
            ONLY
        } else {
            &self.ports
        }
    }
}

/// A node of the kind that its id begins with (`end_a` is an `end`), all else being `step`.
pub(super) fn node(id: &str, effect: Effect) -> NodeShape {
    let kind = if id.starts_with("end") { "end" } else { "step" };
    NodeShape {
        id: NodeId::from(id),
        kind: kind.into(),
        effect,
        body: None,
        fallback: None,
    }
}

/// A loop over this body.
pub(super) fn looped(id: &str, body: Arc<Graph>) -> NodeShape {
    NodeShape {
        body: Some(body),
        ..node(id, Effect::Pure)
    }
}

/// A node in whose place another one runs when it has failed.
pub(super) fn with_fallback(id: &str, effect: Effect, fallback: &str) -> NodeShape {
    NodeShape {
        fallback: Some(NodeId::from(fallback)),
        ..node(id, effect)
    }
}

/// The edge that is written `source -> target` or `source:port -> target`.
pub(super) fn edge(text: &str) -> Edge {
    let (source, target) = text.split_once(" -> ").expect("an edge has an arrow");
    let (source, port) = source.split_once(':').unwrap_or((source, ""));
    Edge {
        id: text.to_owned(),
        source: NodeId::from(source),
        target: NodeId::from(target),
        source_handle: port.to_owned(),
        target_handle: String::new(),
        animated: false,
    }
}

/// The graph of these nodes and edges, each edge written as for [`edge`].
pub(super) fn graph(nodes: &[(&str, Effect)], edges: &[&str]) -> Arc<Graph> {
    let nodes = nodes.iter().map(|(id, effect)| node(id, *effect)).collect();
    graph_of(0, nodes, edges)
}

/// The same of nodes as they are, under a number of its own where it is a loop's body.
pub(super) fn graph_of(number: u32, nodes: Vec<NodeShape>, edges: &[&str]) -> Arc<Graph> {
    let edges: Vec<Edge> = edges.iter().map(|text| edge(text)).collect();
    Arc::new(Graph::new(number, nodes, &edges))
}
