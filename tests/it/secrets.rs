//! Secrets: what the service says of them, what steps do with them, and that no value of one is ever seen again.

mod beyond;
mod echo;
mod hidden;
mod kept;
mod live;
mod models;
mod own_key;
mod parrot;
mod rotation;
mod service;
mod steps;
mod traces;

use serde_json::{Value, json};
use synapps::proto::{CreateSecretRequest, Flow, Run, Secret};
use tonic::Status;

use crate::support::calls::Calls;
use crate::support::flows::flow_with_ends;

/// Stores a secret that may go anywhere.
pub async fn store(server: &Calls, name: &str, value: &str) -> Secret {
    create(server, name, value, &[]).await.unwrap()
}

/// Stores a secret that may go to these hosts.
pub async fn create(
    server: &Calls,
    name: &str,
    value: &str,
    hosts: &[&str],
) -> Result<Secret, Status> {
    let request = CreateSecretRequest {
        name: name.to_owned(),
        value: value.to_owned(),
        description: format!("the secret {name}"),
        hosts: hosts.iter().map(ToString::to_string).collect(),
    };
    let created = server.secrets().create_secret(request).await?;
    Ok(created.into_inner().secret.unwrap())
}

/// A flow that sends a request and gives what came back.
fn asking(id: &str, config: Value) -> Flow {
    flow_with_ends(id)
        .node("ask", "http_request", config)
        .edge("start", "ask")
        .edge("ask", "end")
        .build()
}

/// A finished run of a flow.
async fn ran(server: &Calls, flow: Flow) -> Run {
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.finished_run(&run_id).await
}

/// The reason of a run that has failed.
fn failure(run: &Run) -> &str {
    let error = run.error.as_ref();
    error.map(|error| error.code.as_str()).unwrap_or_default()
}
