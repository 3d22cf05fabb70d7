//! Graphs that are none.

use serde_json::json;
use synapps::proto::{Edge, Flow, Node};
use tonic::Code;

use super::{assert_refused, assert_unharmed, refusal};
use crate::support::calls::{assert_error, metadata};
use crate::support::flows::{flow, flow_with_ends};
use crate::support::server::TestServer;

/// A chain of this many nodes.
fn long(nodes: usize) -> Flow {
    let mut flow = flow("long").node("n0", "start", json!({}));
    for number in 1..nodes {
        let (before, here) = (format!("n{}", number - 1), format!("n{number}"));
        flow = flow.node(&here, "merge", json!({})).edge(&before, &here);
    }
    flow.build()
}

/// A flow with this many edges between a thousand nodes.
fn dense(edges: usize) -> Flow {
    let mut flow = long(1_000);
    'all: for distance in 2.. {
        for source in 0..1_000 - distance {
            if flow.edges.len() == edges {
                break 'all;
            }
            flow.edges.push(Edge {
                source: format!("n{source}"),
                target: format!("n{}", source + distance),
                ..Edge::default()
            });
        }
    }
    flow
}

#[tokio::test(flavor = "multi_thread")]
async fn cycles_and_self_loops_are_refused() {
    let server = TestServer::start().await;
    let graph = flow_with_ends("f")
        .node("a", "merge", json!({}))
        .node("b", "merge", json!({}))
        .node("c", "merge", json!({}))
        .edge("start", "a")
        .edge("a", "b")
        .edge("b", "c")
        .edge("c", "a")
        .edge("c", "end")
        .edge("b", "b")
        .build();

    let status = assert_refused(
        &server,
        graph,
        &[
            ("flow.edges[3]", "CYCLE"),
            ("flow.edges[5].target", "SELF_LOOP"),
        ],
    )
    .await;

    assert!(status.message().contains("a -> b -> c -> a"), "{status:?}");
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_a_thousand_nodes_is_refused() {
    let server = TestServer::start().await;
    let mut ring = long(1_000);
    "merge".clone_into(&mut ring.nodes[0].r#type);
    ring.edges.push(Edge {
        source: "n999".to_owned(),
        target: "n0".to_owned(),
        ..Edge::default()
    });

    assert_refused(&server, ring, &[("flow.edges[999]", "CYCLE")]).await;

    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dangling_edges_and_duplicate_ids_are_refused_all_at_once() {
    let server = TestServer::start().await;
    let mut graph = flow_with_ends("f")
        .node("a", "merge", json!({}))
        .node("a", "merge", json!({}))
        .node("", "merge", json!({}))
        .edge("start", "a")
        .edge("a", "end")
        .edge("nowhere", "a")
        .edge("a", "elsewhere")
        .edge("", "start")
        .build();
    graph.edges[0].id = "e".to_owned();
    graph.edges[1].id = "e".to_owned();

    assert_refused(
        &server,
        graph,
        &[
            ("flow.nodes[3].id", "DUPLICATE_NODE_ID"),
            ("flow.nodes[4].id", "REQUIRED"),
            ("flow.nodes[4]", "UNREACHABLE_NODE"),
            ("flow.edges[1].id", "DUPLICATE_EDGE_ID"),
            ("flow.edges[2].source", "DANGLING_EDGE"),
            ("flow.edges[3].target", "DANGLING_EDGE"),
            ("flow.edges[4].target", "EDGE_INTO_START"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_not_there_are_refused() {
    let server = TestServer::start().await;
    let test = json!({"operation": "equals", "source": "{{ input.x }}", "value": 1});
    let cases = json!({"source": "{{ input.x }}", "cases": ["a", 2]});
    let graph = flow_with_ends("f")
        .node("if", "if_else", test)
        .node("switch", "switch", cases)
        .edge("start", "if")
        .edge_from("start", "true", "switch")
        .edge("if", "end")
        .edge_from("if", "maybe", "end")
        .edge_from("switch", "case:a", "end")
        .edge_from("switch", "case:2", "end")
        .edge_from("switch", "case:b", "end")
        .edge_from("switch", "default", "end")
        .build();

    assert_refused(
        &server,
        graph,
        &[
            ("flow.edges[1].source_handle", "UNKNOWN_HANDLE"),
            ("flow.edges[2].source_handle", "HANDLE_REQUIRED"),
            ("flow.edges[3].source_handle", "UNKNOWN_HANDLE"),
            ("flow.edges[6].source_handle", "UNKNOWN_HANDLE"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_nothing_is_refused() {
    let server = TestServer::start().await;

    assert_refused(&server, Flow::default(), &[("flow.nodes", "REQUIRED")]).await;
    assert_refused(
        &server,
        Flow {
            nodes: vec![Node::default()],
            ..Flow::default()
        },
        &[
            ("flow.nodes[0].id", "REQUIRED"),
            ("flow.nodes[0].type", "UNKNOWN_APPLET"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_graph_is_stored_and_one_more_is_refused() {
    let server = TestServer::start().await;

    let stored = server.save(dense(5_000)).await;
    assert_eq!((stored.nodes.len(), stored.edges.len()), (1_000, 5_000));
    assert_refused(&server, long(1_001), &[("flow.nodes", "TOO_MANY_NODES")]).await;
    let status = assert_refused(&server, dense(5_001), &[("flow.edges", "TOO_MANY_EDGES")]).await;

    assert!(status.message().contains("5001") && status.message().contains("5000"));
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_a_hundred_thousand_nodes_is_refused() {
    let server = TestServer::start().await;

    let status = refusal(&server, long(100_000)).await;
    let mut larger = long(100_000);
    larger.nodes[0].display_name = "x".repeat(1 << 20);
    let larger = refusal(&server, larger).await;

    assert_error(&status, Code::InvalidArgument, "INVALID_FLOW");
    assert_eq!(metadata(&status, "violationCount"), "2");
    assert_error(&larger, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_eq!(metadata(&larger, "limitBytes"), (4 << 20).to_string());
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_those_that_are_configured() {
    let server = TestServer::builder()
        .flag("--max-nodes=3")
        .flag("--max-edges=2")
        .start()
        .await;
    let mut four = long(4);
    four.edges.pop();

    server.save(long(3)).await;
    assert_refused(&server, four, &[("flow.nodes", "TOO_MANY_NODES")]).await;
    assert_refused(
        &server,
        long(4),
        &[
            ("flow.nodes", "TOO_MANY_NODES"),
            ("flow.edges", "TOO_MANY_EDGES"),
        ],
    )
    .await;
}
