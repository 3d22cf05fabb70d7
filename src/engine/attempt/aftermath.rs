//! What a failure passes on: to the port `error`, to the node that takes the failed one's place, or a default output.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Assignment, End, gather, place};
use crate::applet;
use crate::engine::Parts;
use crate::flow::OnError;
use crate::run::event::Failure;
use crate::run::state::Handling;

/// Makes what goes on from a step that has failed for good.
pub(super) async fn pass_on(
    parts: &Parts,
    assignment: &Assignment,
    failure: Failure,
    handling: Handling,
) -> Result<End, applet::Error> {
    let value = match (handling, &assignment.node().node.on_error) {
        (Handling::DefaultOutput, Some(OnError::DefaultOutput(value))) => Arc::new(value.clone()),
        (Handling::Fallback, _) => gather::read(parts, assignment).await?.content,
        _ => {
            let input = gather::read(parts, assignment).await?.content;
            Arc::new(json!({
                "error": described(&failure, assignment),
                "input": Value::clone(&input),
            }))
        }
    };
    let output = place(parts, assignment, value, "").await?;
    Ok(End::PassedOn(failure, handling, output))
}

/// A failure as flows see it.
fn described(failure: &Failure, assignment: &Assignment) -> Value {
    let graph = assignment.plan.graph_numbered(assignment.graph);
    json!({
        "code": failure.reason,
        "message": failure.message,
        "node_id": graph.node(assignment.step.node).id.as_str(),
        "step_path": assignment.path.as_str(),
        "attempt": assignment.number,
        "details": failure.details,
    })
}
