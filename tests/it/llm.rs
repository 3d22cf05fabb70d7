//! The applets `llm` and `writer`, against local servers that speak as their providers do.

mod catalogue;
mod deltas;
mod examples;
mod failures;
mod keys;
pub mod model;
mod providers;
mod real;
mod repairs;

use serde_json::{Value, json};
use synapps::proto::{Flow, Run, RunError, RunState, Step};
use uuid::Uuid;

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::server::TestServer;
use model::ModelServer;

/// A server whose `custom` provider is this one.
async fn server_with(model: &ModelServer) -> TestServer {
    let flag = format!("--custom-llm-base-url={}", model.url("/v1"));
    TestServer::builder().flag(&flag).start().await
}

/// A flow of one `llm` node that asks the `custom` provider, unless the config says otherwise.
fn asking(id: &str, config: &Value) -> Flow {
    let mut whole = json!({"provider": "custom", "model": "some-model"});
    for (key, value) in config.as_object().unwrap() {
        whole[key] = value.clone();
    }
    chain(id, &[("ask", "llm", whole)])
}

/// A finished run of such a flow, and its step.
async fn asked(server: &Calls, config: &Value, input: &Value) -> (Run, Step) {
    let id = format!("asking-{}", Uuid::now_v7());
    let run_id = server.save_and_start(asking(&id, config), input).await;
    let run = server.finished_run(&run_id).await;
    let steps = server.steps(&run_id, "").await;
    let step = steps.into_iter().find(|step| step.node_id == "ask");
    (run, step.unwrap())
}

/// The error of a run that has failed.
fn error(run: Run) -> RunError {
    assert_eq!(run.state(), RunState::Failed, "{:?}", run.output);
    run.error.unwrap()
}
