//! `code`: programs of flows in their jails, through the real service.

mod endings;
mod hostile;
mod processes;
mod values;

use prost_types::Duration;
use serde_json::{Map, Value, json};
use synapps::proto::{Flow, Node, Run, RunState, Step};

use crate::support::calls::Calls;
use crate::support::flows::flow_with_ends;
use crate::support::wire;

/// A flow of one `code` node between `start` and `end`, with a timeout that is no matter unless a test says so.
fn program(id: &str, language: &str, code: &str, limits: &Value) -> Flow {
    let mut data = json!({"language": language, "code": code});
    let limits = limits.as_object().cloned().unwrap_or_default();
    data.as_object_mut().unwrap().extend(limits);
    flow_with_ends(id)
        .node("code", "code", data)
        .with(|node| set_timeout(node, 110, 0))
        .edge("start", "code")
        .edge("code", "end")
        .build()
}

fn set_timeout(node: &mut Node, seconds: i64, nanos: i32) {
    node.timeout = Some(Duration { seconds, nanos });
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    /// Its output, or null.
    output: Value,
    /// The reason of its failure, or nothing.
    reason: String,
    /// The message of its failure.
    message: String,
    /// What is told of it, also of one that has failed.
    details: Map<String, Value>,
}

impl Ended {
    fn of(run: &Run) -> Self {
        let step = step_of(run);
        let error = step.error.clone().unwrap_or_default();
        let details = match run.state() {
            RunState::Succeeded => step.details.as_ref(),
            _ => error.details.as_ref(),
        };
        Self {
            output: match run.state() {
                RunState::Succeeded => wire::json(run.output.as_ref()),
                _ => Value::Null,
            },
            reason: error.code,
            message: error.message,
            details: details
                .map(wire::object_of)
                .and_then(|details| details.as_object().cloned())
                .unwrap_or_default(),
        }
    }

    /// The output of a program that has succeeded.
    fn output(self) -> Value {
        assert_eq!(self.reason, "", "{self:?}");
        self.output
    }
}

fn step_of(run: &Run) -> &Step {
    let step = run.steps.iter().find(|step| step.node_id == "code");
    step.unwrap_or_else(|| panic!("the run has a step of the code: {run:?}"))
}

/// Runs a program with an input to its end.
async fn run(server: &Calls, language: &str, code: &str, input: &Value) -> Ended {
    run_with(
        server,
        program("program", language, code, &json!({})),
        input,
    )
    .await
}

/// The same for a flow.
async fn run_with(server: &Calls, mut flow: Flow, input: &Value) -> Ended {
    // Each under a name of its own, so that a test can run several.
    flow.id = format!("{}-{}", flow.id, uuid::Uuid::new_v4());
    let run_id = server.save_and_start(flow, input).await;
    Ended::of(&server.finished_run(&run_id).await)
}
