//! `subflow`: runs that run other flows.

mod crash;
mod outcomes;
mod servers;
mod stops;
mod waits;
mod watching;

use serde_json::{Value, json};
use synapps::proto::run_event::Event;
use synapps::proto::{Flow, GetRunRequest, ListRunsRequest, Run, RunEvent, RunState, Step};

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::{wire, within};

/// `start`, `call`, which runs this flow, `end`.
fn calling(id: &str, flow_id: &str) -> Flow {
    chain(id, &[("call", "subflow", json!({ "flow_id": flow_id }))])
}

/// A flow that asks for this path and goes on with the path of the answer.
fn asking(id: &str, bin: &HttpBin, path: &str) -> Flow {
    let get = json!({ "url": bin.url(path) });
    let path = json!({ "source": "{{ content.data.path }}" });
    chain(
        id,
        &[("get", "http_request", get), ("path", "transform", path)],
    )
}

/// Saves a flow, runs it and gives the run once it has ended.
async fn run(server: &Calls, flow: Flow, input: Value) -> Run {
    let run_id = server.save_and_start(flow, &input).await;
    server.finished_run(&run_id).await
}

/// The output of a run, which has succeeded.
fn output(run: &Run) -> Value {
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    wire::json(run.output.as_ref())
}

/// The step `call`.
fn call(run: &Run) -> &Step {
    let found = run.steps.iter().find(|step| step.node_id == "call");
    found.expect("the flow has it")
}

/// The child that the step `call` has started; waits for it.
///
/// Its parent says that it starts before it does, so that it may not be there yet.
async fn child_of(server: &Calls, run_id: &str) -> String {
    let started = |event: &RunEvent| matches!(event.event, Some(Event::ChildStarted(_)));
    let Some(Event::ChildStarted(child)) = server.event_once(run_id, 0, started).await.event else {
        unreachable!("it was asked for")
    };
    let request = GetRunRequest {
        run_id: child.run_id.clone(),
        ..GetRunRequest::default()
    };
    let there = async { while server.runs().get_run(request.clone()).await.is_err() {} };
    within("the child", there).await;
    child.run_id
}

/// All runs of a flow, oldest first.
async fn runs_of(server: &Calls, flow_id: &str) -> Vec<Run> {
    let request = ListRunsRequest {
        flow_id: flow_id.to_owned(),
        page_size: 1_000,
        ..ListRunsRequest::default()
    };
    let answer = server.runs().list_runs(request).await.unwrap();
    let mut runs = answer.into_inner().runs;
    runs.reverse();
    runs
}

/// What the error of a run tells beside its message.
fn details(run: &Run) -> Value {
    let error = run.error.as_ref().expect("it has failed");
    error.details.as_ref().map_or(Value::Null, wire::object_of)
}
