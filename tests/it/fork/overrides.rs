//! Outputs that the fork's author gives.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use synapps::proto::{ForkRunRequest, RunState, StepState};

use super::{forked, from, get, of, output, reused, step, text, two_ways};
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

fn giving(run_id: &str, outputs: &[(&str, Value)]) -> ForkRunRequest {
    let outputs = outputs
        .iter()
        .map(|(node, value)| ((*node).to_owned(), wire::value(value)));
    ForkRunRequest {
        output_overrides: outputs.collect(),
        ..of(run_id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_given_stands_in_for_its_node() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/left", Answer::status(500));
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    server.finished_run(&run_id).await;

    let large = json!({ "data": "x".repeat(300_000) });
    let run = forked(&server, giving(&run_id, &[("left", large)])).await;
    let again = forked(&server, of(&run.run_id)).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(bin.count("/left"), 1);
    assert_eq!(
        wire::json(run.results.get("said")),
        json!("x".repeat(300_000))
    );
    assert_eq!(step(&run, "left").reused_from_run_id, run.run_id);
    assert_eq!(step(&run, "said").reused_from_run_id, "");
    // It counts as recorded for the next one.
    assert_eq!(reused(&again).len(), 7);
    assert_eq!(step(&again, "left").reused_from_run_id, run.run_id);
    assert_eq!(bin.count("/left"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_leaves_by_the_port_that_is_named() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let check = json!({ "operation": "equals", "source": "{{ input.kind }}", "value": "a" });
    let flow = flow_with_ends("branch")
        .node("check", "if_else", check)
        .node("yes", "http_request", get(&bin, "/yes"))
        .node("no", "transform", text("no {{ content }}"))
        .edge("start", "check")
        .edge_from("check", "true", "yes")
        .edge_from("check", "false", "no")
        .edge("yes", "end")
        .edge("no", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({ "kind": "a" })).await;
    server.finished_run(&run_id).await;

    let mut request = giving(&run_id, &[("check", json!("given"))]);
    request.output_ports = BTreeMap::from([("check".to_owned(), "false".to_owned())]);
    let run = forked(&server, request).await;

    assert_eq!(step(&run, "yes").state(), StepState::Skipped);
    assert_eq!(step(&run, "check").ports, ["false"]);
    assert_eq!(output(&run)["no"], "no given");
    assert_eq!(bin.count("/yes"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_outputs_named_nodes_and_another_input_go_together() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server
        .save_and_start(two_ways(&bin), &json!({ "n": 1 }))
        .await;
    server.finished_run(&run_id).await;

    let mut request = giving(&run_id, &[("said", json!("given")), ("end", json!("over"))]);
    request.from_nodes = from(&run_id, &["right"]).from_nodes;
    request.input_overrides = Some(wire::fields(&json!({ "n": 2 })));
    let run = forked(&server, request).await;

    assert_eq!(output(&run), "over");
    assert_eq!(reused(&run), ["end", "said"].map(String::from));
    assert_eq!(
        (bin.count("/left"), bin.count("/after"), bin.count("/right")),
        (2, 2, 2)
    );
}
