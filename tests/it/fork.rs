//! `ForkRun`: what a fork takes from its original, what it executes, and what it says of that beforehand.

mod control;
mod crash;
mod forecast;
mod overrides;
mod payloads;
mod refusals;
mod reuse;

use serde_json::{Value, json};
use synapps::proto::{Flow, ForkRunRequest, ForkRunResponse, Run, Step};
use tonic::Status;

use crate::support::calls::Calls;
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::wire;

/// A fork of this run that changes nothing.
fn of(run_id: &str) -> ForkRunRequest {
    ForkRunRequest {
        run_id: run_id.to_owned(),
        ..ForkRunRequest::default()
    }
}

/// A fork of this run that executes these nodes.
fn from(run_id: &str, nodes: &[&str]) -> ForkRunRequest {
    ForkRunRequest {
        from_nodes: nodes.iter().map(ToString::to_string).collect(),
        ..of(run_id)
    }
}

async fn fork(calls: &Calls, request: ForkRunRequest) -> Result<ForkRunResponse, Status> {
    let answer = calls.runs().fork_run(request).await?;
    Ok(answer.into_inner())
}

/// The fork once it has ended.
async fn forked(calls: &Calls, request: ForkRunRequest) -> Run {
    let started = fork(calls, request).await.unwrap();
    assert!(started.started);
    let run = started.run.unwrap();
    assert_eq!(run.revision, started.revision);
    calls.finished_run(&run.run_id).await
}

fn step<'a>(run: &'a Run, node_id: &str) -> &'a Step {
    let found = run.steps.iter().find(|step| step.node_id == node_id);
    found.expect("each node has a step")
}

/// The nodes whose output was taken from elsewhere, in the order of the nodes.
fn reused(run: &Run) -> Vec<&str> {
    let steps = run
        .steps
        .iter()
        .filter(|step| !step.reused_from_run_id.is_empty());
    steps.map(|step| step.node_id.as_str()).collect()
}

fn output(run: &Run) -> Value {
    wire::json(run.output.as_ref())
}

/// What `path` answers, always.
fn answers(bin: &HttpBin, path: &str, answer: &Value) {
    let answer = Answer::status(200)
        .header("content-type", "application/json")
        .body(answer.to_string());
    bin.answer(path, answer);
}

/// Asks for a path of the server.
fn get(bin: &HttpBin, path: &str) -> Value {
    json!({ "url": bin.url(path) })
}

/// Passes on what the answer before says, and nothing of its headers.
fn data() -> Value {
    json!({ "operation": "json_path", "json_path": "$.data" })
}

fn text(template: &str) -> Value {
    json!({ "operation": "template", "template": template })
}

/// Two ways beside each other: `left` asks twice, one after the other, `right` once; `join` brings them together.
fn two_ways(bin: &HttpBin) -> Flow {
    flow_with_ends("ways")
        .node("left", "http_request", get(bin, "/left"))
        .node("said", "transform", data())
        .node("after", "http_request", get(bin, "/after"))
        .node("right", "http_request", get(bin, "/right"))
        .node("join", "merge", json!({ "strategy": "object" }))
        .edge("start", "left")
        .edge("left", "said")
        .edge("said", "after")
        .edge("after", "join")
        .edge("start", "right")
        .edge("right", "join")
        .edge("join", "end")
        .build()
}
