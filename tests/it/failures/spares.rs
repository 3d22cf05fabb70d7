//! Fallback nodes: they take the failed one's place, with its input.

use serde_json::json;
use synapps::proto::StepState;
use synapps::proto::on_error::Action;

use super::{output, picky, run, state, step};
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::{history::has, wire};

fn fallback(node_id: &str) -> Action {
    Action::Fallback(synapps::proto::FallbackNode {
        node_id: node_id.to_owned(),
    })
}

/// `pick` fails unless the run's input has `n`; `spare` takes its place; `result` takes what comes.
fn picking(id: &str) -> FlowBuilder {
    flow_with_ends(id)
        .node("pick", "transform", picky())
        .on_error(fallback("spare"))
        .node(
            "spare",
            "transform",
            json!({"source": {"instead of": "{{ content }}"}}),
        )
        .node("result", "merge", json!({"strategy": "first_wins"}))
        .edge("start", "pick")
        .edge("pick", "result")
        .edge("spare", "result")
        .edge("result", "end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_gets_the_nodes_input_and_leads_on() {
    let server = TestServer::start().await;

    let run = run(&server, picking("bad").build(), json!({"m": 1})).await;

    assert_eq!(output(&run), json!({"instead of": {"m": 1}}));
    assert_eq!(state(&run, "pick"), StepState::Failed);
    assert_eq!(state(&run, "spare"), StepState::Succeeded);
    assert_eq!(
        wire::json(run.results.get("spare")),
        json!({"instead of": {"m": 1}})
    );
    assert!(!run.results.contains_key("pick"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_is_skipped_where_all_is_well() {
    let server = TestServer::start().await;

    let run = run(&server, picking("good").build(), json!({"n": 1})).await;

    assert_eq!(output(&run), json!(1));
    assert_eq!(state(&run, "spare"), StepState::Skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_of_what_is_skipped_is_skipped_too() {
    let server = TestServer::start().await;
    let condition = json!({"operation": "cel", "expression": "content.go"});
    let flow = picking("skipped")
        .node("go", "if_else", condition)
        .node("before", "transform", json!({}))
        .edge("start", "go")
        .edge_from("go", "true", "before")
        .edge("before", "pick");
    let mut flow = flow.build();
    flow.edges
        .retain(|edge| (&*edge.source, &*edge.target) != ("start", "pick"));
    flow.nodes.push(synapps::proto::Node {
        id: "beside".to_owned(),
        r#type: "end".to_owned(),
        ..synapps::proto::Node::default()
    });
    flow.edges.push(synapps::proto::Edge {
        source: "start".to_owned(),
        target: "beside".to_owned(),
        ..synapps::proto::Edge::default()
    });

    let run = run(&server, flow, json!({"go": false})).await;

    assert_eq!(output(&run), json!({"beside": {"go": false}}));
    for node in ["before", "pick", "spare", "result", "end"] {
        assert_eq!(state(&run, node), StepState::Skipped, "{node}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fallbacks_have_fallbacks() {
    let server = TestServer::start().await;
    let pick = |name: &str| json!({"operation": "json_path", "json_path": format!("$.{name}")});
    let flow = flow_with_ends("chain")
        .node("a", "transform", pick("a"))
        .on_error(fallback("b"))
        .node("b", "transform", pick("b"))
        .on_error(fallback("c"))
        .node("c", "transform", pick("c"))
        .node("result", "merge", json!({"strategy": "object"}))
        .edge("start", "a")
        .edge("a", "result")
        .edge("b", "result")
        .edge("c", "result")
        .edge("result", "end")
        .build();
    server.save(flow).await;

    for name in ["a", "b", "c"] {
        let run_id = server.start("chain", &json!({ name: 1 })).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(output(&run), json!({ name: 1 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fallback_may_serve_two_nodes_and_an_edge() {
    let server = TestServer::start().await;
    let pick = |name: &str| json!({"operation": "json_path", "json_path": format!("$.{name}")});
    let flow = flow_with_ends("shared")
        .node("a", "transform", pick("a"))
        .on_error(fallback("spare"))
        .node("b", "transform", pick("b"))
        .on_error(fallback("spare"))
        .node("spare", "transform", json!({}))
        .edge("start", "a")
        .edge("start", "b")
        .edge("a", "end")
        .edge("spare", "end")
        .build();
    server.save(flow).await;

    // What reaches it is keyed by node, for several can deliver.
    for (input, spare) in [
        (json!({"a": 1}), Some(json!({"b": {"a": 1}}))),
        (json!({"c": 1}), Some(json!({"a": {"c": 1}, "b": {"c": 1}}))),
        (json!({"a": 1, "b": 2}), None),
    ] {
        let run_id = server.start("shared", &input).await;
        let run = server.finished_run(&run_id).await;

        output(&run);
        let given = run
            .results
            .get("spare")
            .map(|value| wire::json(Some(value)));
        assert_eq!(given, spare, "{input}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_knows_its_place_in_the_history() {
    let server = TestServer::start().await;
    let run = run(&server, picking("told").build(), json!({})).await;

    let events = server.events_after(&run.run_id, 0).await;

    assert!(has(&events, "step_failed pick"));
    assert!(has(&events, "step_succeeded spare"));
    let order = |node: &str| at_sequence(&events, node);
    assert!(order("pick") < order("spare"));
    assert_eq!(step(&run, "pick").attempts.len(), 1);
}

fn at_sequence(events: &[synapps::proto::RunEvent], node: &str) -> i64 {
    let found = events.iter().find(|event| event.node_id == node);
    found.expect("it has come to its end").sequence
}
