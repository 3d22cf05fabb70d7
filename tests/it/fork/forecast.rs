//! `validate_only`: what it says is what then happens.

use std::collections::BTreeMap;

use serde_json::json;
use synapps::proto::on_error::Action;
use synapps::proto::{
    ContinueRun, Flow, ForkAction, ForkCause, ForkForecast, ForkRunRequest, ForkStep,
    ListRunsRequest, OnError, Run, StepState,
};

use super::{answers, data, fork, forked, from, get, of, step, text, two_ways};
use crate::support::calls::Calls;
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

async fn foreseen(calls: &Calls, request: &ForkRunRequest) -> ForkForecast {
    let request = ForkRunRequest {
        validate_only: true,
        ..request.clone()
    };
    let answer = fork(calls, request).await.unwrap();
    assert!(answer.run.is_none() && !answer.started);
    answer.forecast.unwrap()
}

fn of_node<'a>(forecast: &'a ForkForecast, node_id: &str) -> &'a ForkStep {
    let found = forecast.steps.iter().find(|step| step.node_id == node_id);
    found.expect("each node has a forecast")
}

/// Asserts that a fork does what was said of it.
fn assert_true(forecast: &ForkForecast, run: &Run, original: &str) {
    for said in &forecast.steps {
        let step = step(run, &said.node_id);
        let skipped = step.state() == StepState::Skipped;
        let given = step.reused_from_run_id == run.run_id;
        let reused = step.reused_from_run_id == original;
        let held = match said.action() {
            ForkAction::Reuse => reused,
            ForkAction::Override => given || skipped,
            ForkAction::Run => !given && !reused,
            ForkAction::RunIfChanged => !given,
            ForkAction::Skip => skipped,
            ForkAction::Unspecified => false,
        };
        assert!(held, "{said:?}, but {step:?}");
    }
    let counts: i32 = [
        forecast.reuse_count,
        forecast.override_count,
        forecast.run_count,
        forecast.run_if_changed_count,
        forecast.skip_count,
    ]
    .iter()
    .sum();
    assert_eq!(usize::try_from(counts).unwrap(), forecast.steps.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forecast_tells_what_runs_why_and_what_it_took() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    answers(&bin, "/left", &json!("same"));
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    let original = server.finished_run(&run_id).await;

    let request = from(&run_id, &["left"]);
    let forecast = foreseen(&server, &request).await;

    let seen = |node: &str| {
        let step = of_node(&forecast, node);
        (step.action(), step.cause())
    };
    assert_eq!(seen("start"), (ForkAction::Reuse, ForkCause::Unspecified));
    assert_eq!(seen("right"), (ForkAction::Reuse, ForkCause::Unspecified));
    assert_eq!(seen("left"), (ForkAction::Run, ForkCause::Named));
    for (node, by) in [("said", "left"), ("after", "said"), ("join", "after")] {
        assert_eq!(
            seen(node),
            (ForkAction::RunIfChanged, ForkCause::ResultsChanged)
        );
        assert_eq!(of_node(&forecast, node).changed_node_ids, [by]);
    }
    assert_eq!(
        (
            forecast.reuse_count,
            forecast.run_count,
            forecast.run_if_changed_count
        ),
        (2, 1, 4)
    );
    let cost = of_node(&forecast, "left").last_cost.unwrap();
    assert_eq!(cost.duration, step(&original, "left").duration);
    assert_eq!((cost.attempts, forecast.run_cost), (1, Some(cost)));
    let listed = server.runs().list_runs(ListRunsRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().runs.len(), 1);

    let run = forked(&server, request).await;
    assert_true(&forecast, &run, &run_id);
    // What the first fork took over costs what it cost where it was computed.
    let next = foreseen(&server, &from(&run.run_id, &["right"])).await;
    let right = of_node(&next, "right").last_cost.unwrap();
    assert_eq!(right.duration, step(&original, "right").duration);
}

/// A branch with a join behind it, a failure that is lived with, and a step that nothing but the input reaches.
fn branching(bin: &HttpBin) -> Flow {
    let check = json!({ "operation": "equals", "source": "{{ content }}", "value": "a" });
    flow_with_ends("branching")
        .node("kind", "transform", json!({ "source": "{{ input.kind }}" }))
        .node("check", "if_else", check)
        .node("yes", "http_request", get(bin, "/yes"))
        .node("no", "transform", text("no"))
        .node("fails", "http_request", get(bin, "/fails"))
        .with(|node| {
            node.on_error = Some(OnError {
                action: Some(Action::ContinueRun(ContinueRun {})),
            });
        })
        .node("saved", "transform", data())
        .node(
            "reads",
            "transform",
            text("{{ results.kind.output }} {{ input.other }}"),
        )
        .node("own", "transform", text("{{ run.id }}"))
        .node("join", "merge", json!({ "strategy": "object" }))
        .edge("start", "kind")
        .edge("kind", "check")
        .edge_from("check", "true", "yes")
        .edge_from("check", "false", "no")
        .edge("yes", "join")
        .edge("no", "join")
        .edge("kind", "fails")
        .edge("fails", "saved")
        .edge("kind", "reads")
        .edge("reads", "join")
        .edge("reads", "own")
        .edge("saved", "join")
        .edge("join", "end")
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn forecasts_of_all_sorts_of_forks_come_true() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/fails", Answer::status(404));
    let input = json!({ "kind": "a", "other": 1 });
    let run_id = server.save_and_start(branching(&bin), &input).await;
    server.finished_run(&run_id).await;
    let given = |node: &str, value: serde_json::Value| {
        BTreeMap::from([(node.to_owned(), wire::value(&value))])
    };
    let inputs = |fields: serde_json::Value| Some(wire::fields(&fields));

    let mut requests = vec![of(&run_id)];
    for node in [
        "start", "kind", "check", "yes", "no", "fails", "saved", "reads", "join", "end",
    ] {
        requests.push(from(&run_id, &[node]));
    }
    requests.push(from(&run_id, &["check", "reads"]));
    for fields in [
        json!({ "kind": "b" }),
        json!({ "other": 2 }),
        json!({ "new": 1 }),
    ] {
        let mut request = of(&run_id);
        request.input_overrides = inputs(fields);
        requests.push(request);
    }
    for (node, value) in [
        ("kind", json!("b")),
        ("kind", json!("a")),
        ("fails", json!({ "data": 1 })),
        ("no", json!("never")),
        ("reads", json!("read")),
    ] {
        let mut request = of(&run_id);
        request.output_overrides = given(node, value);
        requests.push(request);
    }
    let mut request = from(&run_id, &["yes"]);
    request.output_overrides = given("check", json!("given"));
    request.output_ports = BTreeMap::from([("check".to_owned(), "false".to_owned())]);
    requests.push(request);

    for request in requests {
        let forecast = foreseen(&server, &request).await;
        let run = forked(&server, request).await;
        assert_true(&forecast, &run, &run_id);
    }
}
