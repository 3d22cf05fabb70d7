//! `for_each`: the same with each item of a list, every step of it a step of the run.

mod crash;
mod endings;
mod errors;
mod lists;
mod nested;
mod outputs;
mod passed_on;
mod places;
mod recorded;
mod sizes;
mod steps;
mod waits;
mod watching;

use serde_json::{Value, json};
use synapps::proto::{Flow, LoopProgress, Run, RunEvent, RunState, Step};

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::wire;

/// `start`, a loop of this config, `end`.
fn looping(id: &str, config: Value) -> Flow {
    chain(id, &[("loop", "for_each", config)])
}

/// A body of one node.
#[expect(clippy::needless_pass_by_value, reason = "reads better with `json!`")]
fn single(id: &str, kind: &str, config: Value) -> Value {
    json!({"nodes": [{"id": id, "type": kind, "data": config}]})
}

/// What a node of a body does that makes a value by this expression.
fn expression(text: &str) -> Value {
    json!({"operation": "expression", "expression": text})
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

/// The step of the run itself that is called so.
fn step<'a>(run: &'a Run, node_id: &str) -> &'a Step {
    let found = run.steps.iter().find(|step| step.node_id == node_id);
    found.expect("each node has a step")
}

/// How far the loop called `loop` has come: items, and those that have started, succeeded and failed.
fn progress(run: &Run) -> [i32; 4] {
    let progress: &LoopProgress = step(run, "loop").r#loop.as_ref().expect("it has begun");
    [
        progress.items,
        progress.started,
        progress.succeeded,
        progress.failed,
    ]
}

/// Paths of steps, in the order of the list.
fn paths(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.step_path.as_str()).collect()
}

/// Events of the step at a path.
fn of_step<'a>(events: &'a [RunEvent], path: &str) -> Vec<&'a RunEvent> {
    let events = events.iter();
    events.filter(|event| event.step_path == path).collect()
}

/// The number as the protocol carries counts.
fn count(number: usize) -> i32 {
    i32::try_from(number).expect("it is small")
}

/// What a run, a step or an event tells of its error.
fn told(details: Option<&prost_types::Struct>) -> Value {
    details.map_or(Value::Null, wire::object_of)
}
