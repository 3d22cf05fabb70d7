//! A flow that a step runs as a child: which one it is, and what came of it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Assignment, End, Source, load, persist, place};
use crate::applet::{self, Call};
use crate::engine::{MAX_DEPTH, Parts};
use crate::ids::{RunId, RunKey};
use crate::run::event::{Event, Failure};
use crate::run::state::RunState;
use crate::store::{self, events, flows, runs};

/// Finds the flow that is to be called, and checks what it is called with.
pub(super) async fn resolve(
    parts: &Parts,
    assignment: &Assignment,
    call: Call,
) -> Result<End, applet::Error> {
    if assignment.depth >= MAX_DEPTH {
        let message = format!("this run is {MAX_DEPTH} flows deep already, which is the most");
        return Err(applet::Error::permanent("SUBFLOW_TOO_DEEP", message)
            .with_detail("max_depth", MAX_DEPTH));
    }
    let namespace = &assignment.key.namespace;
    let found = persist(|| async {
        let mut conn = parts.store.conn().await?;
        flows::find_latest(&mut conn, namespace, &call.flow_id).await
    })
    .await?;
    let Some((flow_key, latest)) = found else {
        let message = format!("there is no flow {:?}", call.flow_id.as_str());
        return Err(applet::Error::permanent("FLOW_NOT_FOUND", message));
    };
    let revision = if call.revision == 0 {
        latest
    } else {
        call.revision
    };
    if !(1..=latest).contains(&revision) {
        let message = format!(
            "flow {:?} has no revision {revision}; its latest is {latest}",
            call.flow_id.as_str()
        );
        return Err(applet::Error::permanent("REVISION_NOT_FOUND", message));
    }
    let plan = persist(|| parts.plans.get(namespace, flow_key, revision)).await?;
    if plan.has_input_schema() {
        let input = Arc::clone(&call.input);
        let violations = parts.cpu.run(move || plan.check_input(&input)).await?;
        if let Some(violation) = violations.first() {
            let message = format!("{}: {}", violation.field, violation.description);
            return Err(applet::Error::permanent("INVALID_INPUT", message)
                .with_detail("field", violation.field.clone())
                .with_detail("violations", violations.len()));
        }
    }
    let input = place(parts, assignment, call.input, "#input").await?;
    Ok(End::Call {
        flow_id: call.flow_id,
        flow_key,
        revision,
        input,
    })
}

/// What came of a child that has ended: its output is the step's, its failure too.
pub(super) async fn result(
    parts: &Parts,
    assignment: &Assignment,
    run_id: RunId,
    state: RunState,
    error: Option<Failure>,
) -> Result<End, applet::Error> {
    let lost = |message: String| {
        applet::Error::retryable("CHILD_FAILED", message).with_detail("run_id", run_id.to_string())
    };
    if let Some(error) = error {
        return Err(lost(error.message).with_detail("code", error.reason));
    }
    let key = RunKey {
        namespace: assignment.key.namespace.clone(),
        run_id,
    };
    let row = persist(|| async {
        let mut conn = parts.store.conn().await?;
        runs::find(&mut conn, &key).await
    })
    .await?
    .ok_or_else(|| lost(format!("child run {run_id} was deleted")))?;
    let lost = |message| applet::Error {
        usage: row.usage,
        ..lost(message)
    };
    match state {
        RunState::Succeeded => {}
        RunState::Cancelled => {
            let message = format!("child run {run_id} was cancelled");
            let error = applet::Error::permanent("CHILD_CANCELLED", message);
            return Err(applet::Error {
                usage: row.usage,
                ..error.with_detail("run_id", run_id.to_string())
            });
        }
        _ => {
            let error = row.error.as_ref();
            let message = error.map_or_else(String::new, |error| error.failure.message.clone());
            let described = error.map_or(Value::Null, |error| {
                json!({
                    "code": error.failure.reason,
                    "message": error.failure.message,
                    "step_path": error.path.as_ref().map(crate::ids::StepPath::as_str),
                    "attempt": error.attempt,
                })
            });
            return Err(lost(format!("child run {run_id} failed: {message}"))
                .with_detail("error", described));
        }
    }
    let ending = persist(|| async {
        let mut conn = parts.store.conn().await?;
        let found = events::find(&mut conn, &key, row.last_sequence).await?;
        found.ok_or_else(|| store::Error::Corrupt(format!("run {key} has no last event")))
    })
    .await?;
    let Event::RunSucceeded(event) = &ending.event else {
        return Err(lost(format!("child run {run_id} has no output")));
    };
    let source = match &ending.payload {
        Some(text) => Source::Ready(Arc::new(
            serde_json::from_str(text).map_err(|error| lost(error.to_string()))?,
        )),
        None => Source::Stored(ending.sequence, event.output.clone()),
    };
    let value = load(parts, &key, &source).await?;
    let own = parts.files(&assignment.key);
    persist(|| own.bring(&key, &value)).await?;
    let output = place(parts, assignment, value, "").await?;
    let mut details = Map::new();
    details.insert("run_id".to_owned(), run_id.to_string().into());
    Ok(End::Output {
        output,
        port: String::new(),
        details,
        usage: row.usage,
    })
}
