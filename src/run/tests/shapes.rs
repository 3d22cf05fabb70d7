//! Graphs for tests: written down in a line, or random.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::flow::graph::{Graph, NodeIndex, NodeShape};
use crate::flow::{Edge, Effect};
use crate::ids::NodeId;

/// A graph, and the ports by which its nodes can be left.
#[derive(Clone)]
pub(super) struct Shape {
    pub graph: Arc<Graph>,
    /// Named ways out; nodes that are not here have just one.
    pub ports: BTreeMap<NodeIndex, Vec<String>>,
    /// As it would be written down.
    text: String,
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Shape {
    /// The ways out of a node.
    pub fn ports(&self, node: NodeIndex) -> &[String] {
        const ONLY: &[String] = &[String::new()];
        self.ports.get(&node).map_or(ONLY, Vec::as_slice)
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
    let edges: Vec<Edge> = edges.iter().map(|text| edge(text)).collect();
    Arc::new(Graph::new(0, nodes, &edges))
}

/// A node as chance gives it.
#[derive(Clone, Debug)]
struct Sketch {
    effect: Effect,
    ports: Vec<String>,
    is_end: bool,
    /// Which earlier node, and which of its ports.
    sources: Vec<(Index, Index)>,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let effect = prop_oneof![
        3 => Just(Effect::Pure),
        2 => Just(Effect::Idempotent),
        1 => Just(Effect::AtMostOnce),
    ];
    let ports = select(vec![
        vec![],
        vec![],
        vec!["out"],
        vec!["true", "false"],
        vec!["case:a", "case:b", "default"],
    ]);
    let sources = prop::collection::vec(any::<(Index, Index)>(), 0..=4);
    let is_end = prop::bool::weighted(0.1);
    (effect, ports, is_end, sources).prop_map(|(effect, ports, is_end, sources)| Sketch {
        effect,
        ports: ports.into_iter().map(str::to_owned).collect(),
        is_end,
        sources,
    })
}

/// Any graph of 1 to 30 nodes: branches, joins, several roots and ends, parallel edges, in any order of definition.
pub(super) fn any_shape() -> impl Strategy<Value = Shape> {
    prop::collection::vec(sketch(), 1..=30)
        .prop_flat_map(|sketches| {
            let places = (0..sketches.len()).collect::<Vec<_>>();
            (Just(sketches), Just(places).prop_shuffle())
        })
        .prop_flat_map(|(sketches, places)| {
            let edges = edges(&sketches);
            (Just(sketches), Just(places), Just(edges).prop_shuffle())
        })
        .prop_map(|(sketches, places, edges)| shape(&sketches, &places, &edges))
}

fn id(sketches: &[Sketch], at: usize) -> String {
    if sketches[at].is_end {
        format!("end{at}")
    } else {
        format!("n{at}")
    }
}

/// Each edge leads from a node to a later one, so that there is no cycle.
fn edges(sketches: &[Sketch]) -> Vec<String> {
    let mut edges = Vec::new();
    for (target, sketch) in sketches.iter().enumerate().skip(1) {
        for (source, port) in &sketch.sources {
            let source = source.index(target);
            // One choice more than there are ports: an edge without one, which any port delivers by.
            let ports = &sketches[source].ports;
            let port = ports.get(port.index(ports.len() + 1));
            let (from, to) = (id(sketches, source), id(sketches, target));
            edges.push(match port {
                Some(port) => format!("{from}:{port} -> {to}"),
                None => format!("{from} -> {to}"),
            });
        }
    }
    edges
}

fn shape(sketches: &[Sketch], places: &[usize], edges: &[String]) -> Shape {
    let mut nodes = Vec::new();
    let mut ports = BTreeMap::new();
    let mut written = Vec::new();
    for (place, &at) in (0..).zip(places) {
        let (id, sketch) = (id(sketches, at), &sketches[at]);
        written.push(format!("{id} {:?} {:?}", sketch.effect, sketch.ports));
        nodes.push(node(&id, sketch.effect));
        if !sketch.ports.is_empty() {
            ports.insert(NodeIndex(place), sketch.ports.clone());
        }
    }
    let text = format!("{}; {}", written.join(", "), edges.join(", "));
    let edges: Vec<Edge> = edges.iter().map(|text| edge(text)).collect();
    Shape {
        graph: Arc::new(Graph::new(0, nodes, &edges)),
        ports,
        text,
    }
}
