//! Failures that lead on: by the port `error`, as a default output, or not at all while the run goes on.

use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{ContinueRun, ErrorPort, StepState};

use super::{asking, output, picky, run, state, step};
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

/// `pick` fails unless the run's input has `n`, and leaves by its port then.
fn picking(id: &str) -> FlowBuilder {
    flow_with_ends(id)
        .edge("start", "pick")
        .node("pick", "transform", picky())
        .on_error(Action::Port(ErrorPort {}))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_port_delivers_the_error_and_the_input() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/no", Answer::status(404).body("no such thing"));
    let flow = asking("port", &bin, "/no")
        .on_error(Action::Port(ErrorPort {}))
        .node("told", "end", json!({}))
        .edge_from("get", "error", "told")
        .build();

    let run = run(&server, flow, json!({"sku": "A1"})).await;

    let told = output(&run)["told"].clone();
    assert_eq!(told["input"], json!({"sku": "A1"}));
    let error = &told["error"];
    assert_eq!(
        (&error["code"], &error["node_id"], &error["step_path"]),
        (&json!("HTTP_4XX"), &json!("get"), &json!("get"))
    );
    assert_eq!(error["attempt"], 1);
    assert_eq!(error["details"]["status_code"], 404);
    assert!(error["message"].as_str().unwrap().contains("404"));
    assert_eq!(state(&run, "end"), StepState::Skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_port_is_dead_where_all_is_well() {
    let server = TestServer::start().await;
    let flow = picking("well")
        .node("told", "end", json!({}))
        .edge("pick", "end")
        .edge_from("pick", "error", "told")
        .build();

    let run = run(&server, flow, json!({"n": 5})).await;

    assert_eq!(output(&run), json!({"end": 5}));
    assert_eq!(state(&run, "told"), StepState::Skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_port_that_leads_nowhere_is_a_way_to_go_on() {
    let server = TestServer::start().await;
    let flow = picking("nowhere")
        .edge("pick", "end")
        .node("beside", "end", json!({}))
        .edge("start", "beside")
        .build();

    let run = run(&server, flow, json!({"m": 5})).await;

    assert_eq!(output(&run), json!({"beside": {"m": 5}}));
    assert_eq!(state(&run, "end"), StepState::Skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_takes_what_came_whichever_way_it_came() {
    let server = TestServer::start().await;
    let flow = picking("merge")
        .node(
            "sorry",
            "transform",
            json!({"source": "{{ content.error.code }}"}),
        )
        .node("result", "merge", json!({"strategy": "first_wins"}))
        .edge("pick", "result")
        .edge_from("pick", "error", "sorry")
        .edge("sorry", "result")
        .edge("result", "end")
        .build();
    server.save(flow).await;

    for (input, expected) in [
        (json!({"n": 1}), json!(1)),
        (json!({}), json!("PATH_MISSING")),
    ] {
        let run_id = server.start("merge", &input).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(output(&run), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_has_an_error_port_beside_its_own() {
    let server = TestServer::start().await;
    let condition = json!({"operation": "cel", "expression": "content.n > 1"});
    let flow = flow_with_ends("branch")
        .node("large", "if_else", condition)
        .on_error(Action::Port(ErrorPort {}))
        .node("yes", "end", json!({}))
        .node("no", "end", json!({}))
        .node("cannot", "end", json!({}))
        .edge("start", "large")
        .edge_from("large", "true", "yes")
        .edge_from("large", "false", "no")
        .edge_from("large", "error", "cannot")
        .edge("start", "end")
        .build();
    server.save(flow).await;

    for (input, end) in [
        (json!({"n": 2}), "yes"),
        (json!({"n": 1}), "no"),
        (json!({"m": 1}), "cannot"),
    ] {
        let run_id = server.start("branch", &input).await;
        let run = server.finished_run(&run_id).await;

        let output = output(&run);
        assert_eq!(output["end"], input);
        assert!(output.get(end).is_some(), "{output}");
        assert_eq!(output.as_object().unwrap().len(), 2, "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_output_goes_on_as_the_output_and_stands_in_results() {
    let server = TestServer::start().await;
    let rate = json!({"rate": 1.5, "from": "table"});
    let flow = flow_with_ends("default")
        .node("pick", "transform", picky())
        .on_error(Action::DefaultOutput(wire::value(&rate)))
        .node(
            "after",
            "transform",
            json!({"source": "{{ content.rate }}"}),
        )
        .node(
            "later",
            "transform",
            json!({"source": "{{ results.pick.output.from }} {{ content }}"}),
        )
        .edge("start", "pick")
        .edge("pick", "after")
        .edge("after", "later")
        .edge("later", "end")
        .build();

    let run = run(&server, flow, json!({})).await;

    assert_eq!(output(&run), json!("table 1.5"));
    assert_eq!(wire::json(run.results.get("pick")), rate);
    let pick = step(&run, "pick");
    assert_eq!(pick.state(), StepState::Failed);
    assert_eq!(pick.error.as_ref().unwrap().code, "PATH_MISSING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_output_may_be_null_or_large() {
    let server = TestServer::start().await;
    let large = json!("x".repeat(100_000));

    for (id, default) in [("null", Value::Null), ("large", large)] {
        let flow = flow_with_ends(id)
            .node("pick", "transform", picky())
            .on_error(Action::DefaultOutput(wire::value(&default)))
            .edge("start", "pick")
            .edge("pick", "end")
            .build();
        let run = run(&server, flow, json!({})).await;

        assert!(output(&run) == default, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_without_what_its_author_can_do_without() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("without")
        .node("extra", "transform", picky())
        .on_error(Action::ContinueRun(ContinueRun {}))
        .node("more", "transform", json!({}))
        .node("main", "transform", json!({"source": "{{ input.m }}"}))
        .node("all", "merge", json!({"strategy": "object"}))
        .edge("start", "extra")
        .edge("extra", "more")
        .edge("more", "all")
        .edge("start", "main")
        .edge("main", "all")
        .edge("all", "end")
        .build();

    let run = run(&server, flow, json!({"m": 3})).await;

    assert_eq!(output(&run), json!({"main": 3}));
    assert_eq!(state(&run, "extra"), StepState::Failed);
    assert_eq!(state(&run, "more"), StepState::Skipped);
    assert!(!run.results.contains_key("extra"));
}
