//! Steps that fail: tried again, then passed on by what their node says, then the end of the run.

mod once;
mod order;
mod parked;
mod passed_on;
mod retries;
mod spares;
mod waits;

use chrono::{DateTime, TimeDelta, Utc};
use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};
use synapps::proto::run_event::Event;
use synapps::proto::{Flow, RetryPolicy, Run, RunEvent, RunState, Step, StepState};

use crate::support::calls::Calls;
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::http_bin::HttpBin;
use crate::support::wire;

/// A span of so many milliseconds.
fn milliseconds(milliseconds: i64) -> Duration {
    Duration {
        seconds: milliseconds / 1_000,
        nanos: i32::try_from(milliseconds % 1_000 * 1_000_000).expect("it is below 10^9"),
    }
}

/// So many attempts with waits of 50 ms.
fn attempts(most: i32) -> RetryPolicy {
    RetryPolicy {
        max_attempts: most,
        initial_interval: Some(milliseconds(50)),
        coefficient: 1.0,
        ..RetryPolicy::default()
    }
}

/// `start`, then `get`, which asks for this path; `end` comes after it.
fn asking(id: &str, bin: &HttpBin, path: &str) -> FlowBuilder {
    flow_with_ends(id)
        .edge("start", "get")
        .edge("get", "end")
        .node("get", "http_request", json!({ "url": bin.url(path) }))
}

/// What a node does that fails unless its input has `n`, which it outputs then.
fn picky() -> Value {
    json!({"operation": "json_path", "json_path": "$.n"})
}

/// Saves a flow, runs it and gives the run once it has ended.
async fn run(server: &Calls, flow: Flow, input: Value) -> Run {
    let run_id = server.save_and_start(flow, &input).await;
    server.finished_run(&run_id).await
}

/// The output of a run, which has succeeded.
fn output(run: &Run) -> Value {
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(run.progress, run.total_steps, "{run:?}");
    wire::json(run.output.as_ref())
}

/// Code, node and attempt of what failed a run.
fn failure(run: &Run) -> (&str, &str, i32) {
    assert_eq!(run.state(), RunState::Failed, "{run:?}");
    let error = run.error.as_ref().expect("it has failed");
    (&error.code, &error.node_id, error.attempt)
}

/// What has become of a node's step.
fn step<'a>(run: &'a Run, node_id: &str) -> &'a Step {
    let found = run.steps.iter().find(|step| step.node_id == node_id);
    found.expect("each node has a step")
}

fn state(run: &Run, node_id: &str) -> StepState {
    step(run, node_id).state()
}

/// Of each wait before another attempt when it began and when it was to end.
fn waits(events: &[RunEvent]) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let waits = events.iter().filter_map(|event| match &event.event {
        Some(Event::StepRetryScheduled(retry)) => Some((at(event.time), at(retry.retry_time))),
        _ => None,
    });
    waits.collect()
}

fn at(time: Option<Timestamp>) -> DateTime<Utc> {
    let time = time.expect("it is set");
    let nanos = u32::try_from(time.nanos).expect("it is not negative");
    DateTime::from_timestamp(time.seconds, nanos).expect("it is a time")
}

/// Whether a wait is as long as this, but for what it took to write it down after it was decided.
fn lasts((from, to): (DateTime<Utc>, DateTime<Utc>), milliseconds: i64) -> bool {
    let missing = TimeDelta::milliseconds(milliseconds) - (to - from);
    (-1..50).contains(&missing.num_milliseconds())
}
