//! Limits of open runs and priorities: who starts, who waits, who is next.

mod conflicts;
mod exactness;
mod order;
mod queue;

use serde_json::{Value, json};
use synapps::proto::{ConflictAction, Flow, FlowPolicy, Run, StartRunRequest};
use tonic::Status;

use crate::support::calls::Calls;
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::HttpBin;
use crate::support::{wire, within};

/// A flow that asks a server at `/<input.path>`, with this policy.
fn asking(id: &str, bin: &HttpBin, policy: FlowPolicy) -> Flow {
    let url = bin.url("/{{ input.path }}");
    flow_with_ends(id)
        .node("get", "http_request", json!({ "url": url }))
        .edge("start", "get")
        .edge("get", "end")
        .policy(policy)
        .build()
}

/// At most so many at once.
fn at_most(runs: i32, on_conflict: ConflictAction) -> FlowPolicy {
    FlowPolicy {
        max_open_runs: runs,
        on_conflict: on_conflict.into(),
        ..FlowPolicy::default()
    }
}

async fn try_start(
    server: &Calls,
    flow: &str,
    input: &Value,
    priority: i32,
) -> Result<Run, Status> {
    let request = StartRunRequest {
        flow_id: flow.to_owned(),
        input: Some(wire::value(input)),
        priority,
        ..StartRunRequest::default()
    };
    let started = server.runs().start_run(request).await?;
    Ok(started.into_inner().run.unwrap())
}

async fn start_at(server: &Calls, flow: &str, path: &str, priority: i32) -> String {
    let started = try_start(server, flow, &json!({ "path": path }), priority).await;
    started.unwrap().run_id
}

/// Asks the database until it says so.
async fn until(sql: &tokio_postgres::Client, what: &str, query: &str) {
    let wait = async {
        while !sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within(what, wait).await;
}
