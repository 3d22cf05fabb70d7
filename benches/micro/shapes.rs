//! Graphs to measure with, in the shapes of the workloads.

use std::sync::Arc;

use synapps::flow::graph::{Graph, NodeShape};
use synapps::flow::{Edge, Effect};
use synapps::ids::NodeId;

/// `start`, so many steps one after the other, `end`: with three it is W5, with forty W40.
pub fn chain(steps: usize) -> Arc<Graph> {
    let mut names = vec!["start".to_owned()];
    names.extend((1..=steps).map(|step| format!("t{step}")));
    names.push("end".to_owned());
    let edges: Vec<Edge> = names.windows(2).map(|two| edge(&two[0], &two[1])).collect();
    graph(0, names.iter().map(|name| node(name)).collect(), &edges)
}

/// `start`, so many steps side by side, `merge`, `end`: with fifty it is FAN50.
pub fn fan(width: usize) -> Arc<Graph> {
    let steps: Vec<String> = (1..=width).map(|step| format!("t{step}")).collect();
    let mut nodes: Vec<NodeShape> = ["start", "merge", "end"].map(node).into();
    nodes.extend(steps.iter().map(|step| node(step)));
    let mut edges = vec![edge("merge", "end")];
    edges.extend(steps.iter().map(|step| edge("start", step)));
    edges.extend(steps.iter().map(|step| edge(step, "merge")));
    graph(0, nodes, &edges)
}

/// `start`, a loop whose body is one step, `end`.
pub fn each() -> Arc<Graph> {
    let mut each = node("each");
    each.body = Some(graph(1, vec![node("t")], &[]));
    let nodes = vec![node("start"), each, node("end")];
    graph(0, nodes, &[edge("start", "each"), edge("each", "end")])
}

fn graph(number: u32, nodes: Vec<NodeShape>, edges: &[Edge]) -> Arc<Graph> {
    Arc::new(Graph::new(number, nodes, edges))
}

/// A node of the kind that its id says: steps in between are transforms that are durable before they begin.
fn node(id: &str) -> NodeShape {
    let (kind, effect) = match id {
        "start" | "merge" | "end" => (id, Effect::Pure),
        "each" => ("for_each", Effect::Pure),
        _ => ("transform", Effect::Idempotent),
    };
    NodeShape {
        id: NodeId::from(id),
        kind: kind.into(),
        effect,
        body: None,
        fallback: None,
    }
}

fn edge(source: &str, target: &str) -> Edge {
    Edge {
        id: format!("{source}-{target}"),
        source: NodeId::from(source),
        target: NodeId::from(target),
        source_handle: String::new(),
        target_handle: String::new(),
        animated: false,
    }
}
