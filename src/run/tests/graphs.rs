//! The graph by index: edges beside their nodes, sources, ends.

use proptest::prelude::*;

use super::shapes::{any_shape, graph};
use crate::flow::Effect::Pure;
use crate::flow::graph::{EdgeIndex, Graph, NodeIndex};

fn ids(graph: &Graph, nodes: &[NodeIndex]) -> Vec<String> {
    nodes
        .iter()
        .map(|&node| graph.node(node).id.to_string())
        .collect()
}

#[test]
fn the_end_nodes_make_the_output_in_the_order_of_the_nodes() {
    let graph = graph(
        &[
            ("end_b", Pure),
            ("a", Pure),
            ("leaf", Pure),
            ("end_a", Pure),
        ],
        &["a -> end_a", "a -> leaf", "a -> end_b"],
    );

    assert_eq!(ids(&graph, graph.ends()), ["end_b", "end_a"]);
}

#[test]
fn without_an_end_node_the_leaves_make_the_output() {
    let graph = graph(
        &[("b", Pure), ("a", Pure), ("c", Pure), ("alone", Pure)],
        &["a -> c", "a -> b"],
    );

    assert_eq!(ids(&graph, graph.ends()), ["b", "c", "alone"]);
}

#[test]
fn sources_come_once_each_in_edge_order() {
    let graph = graph(
        &[("a", Pure), ("b", Pure), ("join", Pure)],
        &["b -> join", "a:true -> join", "b:false -> join"],
    );
    let join = graph.find("join").unwrap();

    assert_eq!(ids(&graph, &graph.sources(join)), ["b", "a"]);
    assert_eq!(graph.node(join).incoming.len(), 3);
}

#[test]
fn an_edge_without_its_node_is_left_out() {
    let graph = graph(
        &[("a", Pure), ("b", Pure)],
        &["a -> nobody", "nobody -> b", "a -> b"],
    );

    assert_eq!(graph.edge_count(), 1);
    assert_eq!(graph.edge(EdgeIndex(0)).target, graph.find("b").unwrap());
    assert_eq!(graph.find("nobody"), None);
}

proptest! {
    #[test]
    fn each_edge_stands_beside_both_its_nodes_in_order(shape in any_shape()) {
        let graph = shape.graph;

        for (node, beside) in graph.nodes() {
            let all = (0..u32::try_from(graph.edge_count()).unwrap()).map(EdgeIndex);
            let (into, out): (Vec<_>, Vec<_>) = (
                all.clone().filter(|&edge| graph.edge(edge).target == node).collect(),
                all.filter(|&edge| graph.edge(edge).source == node).collect(),
            );
            prop_assert_eq!(&beside.incoming, &into);
            prop_assert_eq!(&beside.outgoing, &out);
            prop_assert_eq!(graph.find(beside.id.as_str()), Some(node));
        }
    }
}
