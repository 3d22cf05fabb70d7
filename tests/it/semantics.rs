//! What flows mean, on the real service: which step runs when, with what, and what comes out.

mod dataflow;
mod limits;
mod waits;

use serde_json::Value;
use synapps::proto::{Run, Step, StepState};

use crate::support::wire;

/// What has become of a node's step.
fn step<'a>(run: &'a Run, node_id: &str) -> &'a Step {
    let found = run.steps.iter().find(|step| step.node_id == node_id);
    found.expect("each node has a step")
}

fn state(run: &Run, node_id: &str) -> StepState {
    step(run, node_id).state()
}

/// The output of a node, null if it has none.
fn result(run: &Run, node_id: &str) -> Value {
    wire::json(run.results.get(node_id))
}

fn output(run: &Run) -> Value {
    wire::json(run.output.as_ref())
}
