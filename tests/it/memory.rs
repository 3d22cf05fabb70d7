//! The applet `memory`: what is kept beyond a run, and how it is found again.

mod keys;
mod limits;
mod repeats;
mod search;
mod vectors;

use serde_json::{Value, json};
use synapps::proto::{Run, RunError, RunState};
use uuid::Uuid;

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::wire;

/// A finished run of a flow with this `memory` node between start and end.
async fn run(server: &Calls, config: Value, input: Value) -> Run {
    let id = format!("memory-{}", Uuid::now_v7());
    let flow = chain(&id, &[("memory", "memory", config)]);
    let run_id = server.save_and_start(flow, &input).await;
    server.finished_run(&run_id).await
}

/// The output of such a node.
async fn output(server: &Calls, config: Value) -> Value {
    let run = run(server, config, json!({})).await;
    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    wire::json(run.output.as_ref())
}

/// The failure of such a node.
async fn failure(server: &Calls, config: Value, input: Value) -> RunError {
    let run = run(server, config, input).await;
    assert_eq!(run.state(), RunState::Failed, "{:?}", run.output);
    run.error.unwrap()
}

/// Stores a value under a key of a collection.
async fn store(server: &Calls, namespace: &str, key: &str, value: Value) {
    let config = json!({"namespace": namespace, "key": key, "value": value});
    assert_eq!(output(server, config).await["status"], "stored");
}

/// The value under a key of a collection.
async fn retrieve(server: &Calls, namespace: &str, key: &str) -> Value {
    let config = json!({"operation": "retrieve", "namespace": namespace, "key": key});
    output(server, config).await
}

/// The keys that a search gives, the best first.
async fn found(server: &Calls, config: Value) -> Vec<String> {
    let output = output(server, config).await;
    let results = output["results"].as_array().unwrap();
    let keys = results.iter().map(|one| one["key"].as_str().unwrap());
    keys.map(str::to_owned).collect()
}
