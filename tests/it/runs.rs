//! Runs as their callers meet them: started, shown, listed and deleted.

mod delete;
mod diff;
mod execute;
mod latest;
mod lists;
mod namespaces;
mod show;
mod start;

use serde_json::{Value, json};
use synapps::proto::{Flow, StartRunRequest, StartRunResponse};
use tonic::Status;

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::wire;

/// A flow that greets `{{ input.name }}`.
fn greeting(id: &str) -> Flow {
    let text = json!({ "operation": "template", "template": "hello {{ input.name }}" });
    chain(id, &[("greet", "transform", text)])
}

/// A flow that asks a server, which may hold its answer back.
fn asking(id: &str, bin: &HttpBin, path: &str) -> Flow {
    chain(
        id,
        &[("get", "http_request", json!({ "url": bin.url(path) }))],
    )
}

/// A request to start a run of this flow.
fn request(flow_id: &str, input: &Value) -> StartRunRequest {
    StartRunRequest {
        flow_id: flow_id.to_owned(),
        input: Some(wire::value(input)),
        ..StartRunRequest::default()
    }
}

async fn start(server: &Calls, request: StartRunRequest) -> Result<StartRunResponse, Status> {
    let answer = server.runs().start_run(request).await?;
    Ok(answer.into_inner())
}
