//! Runs and their steps, from the domain to the wire.

use std::collections::BTreeMap;

use super::event::{
    details, goes_on_at, number, ports, reference, reused_from, run_error, step_error, wait_reason,
};
use super::time::{duration_between, timestamp};
use crate::engine::View;
use crate::ids::StepPath;
use crate::proto;
use crate::run::Run;
use crate::run::scope::StepKey;
use crate::run::state::{RunState, StepState, WaitReason};
use crate::run::step::{Attempt, Step};
use crate::store::runs::RunRow;
use crate::usage::Usage;

/// How many attempts of a step are shown: the last ones.
const ATTEMPTS: usize = 100;

/// A run without steps and payloads.
#[must_use]
pub fn basic(row: &RunRow) -> proto::Run {
    let labels: BTreeMap<String, String> = row.labels.as_object().into_iter().flatten().fold(
        BTreeMap::new(),
        |mut labels, (key, value)| {
            labels.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
            labels
        },
    );
    let in_line = row.state == RunState::Queued && !row.admitted;
    let reason = row
        .wait_reason
        .or(in_line.then_some(WaitReason::Concurrency))
        .map_or(proto::WaitReason::Unspecified, wait_reason);
    let waits_for_time = matches!(row.wait_reason, Some(WaitReason::Delay | WaitReason::Retry));
    proto::Run {
        run_id: row.run_id.to_string(),
        flow_id: row
            .flow_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        revision: row.revision,
        state: run_state(row.state).into(),
        wait_reason: reason.into(),
        wake_time: row.wake_at.filter(|_| waits_for_time).map(timestamp),
        error: row.error.as_ref().map(run_error),
        progress: row.progress,
        total_steps: row.total_steps,
        labels,
        last_sequence: row.last_sequence,
        create_time: Some(timestamp(row.created_at)),
        start_time: row.started_at.map(timestamp),
        end_time: row.ended_at.map(timestamp),
        usage: usage(row.usage),
        parent_run_id: row.parent.map_or_else(String::new, |run| run.to_string()),
        forked_from: row
            .forked_from
            .map_or_else(String::new, |run| run.to_string()),
        ..proto::Run::default()
    }
}

/// A run with the lists of its nodes, and its steps apart.
#[must_use]
pub fn full(view: &View) -> (proto::Run, Vec<proto::Step>) {
    let run = &view.run;
    let mut completed: Vec<(i64, String)> = run
        .graph()
        .nodes()
        .filter_map(|(index, node)| {
            Some((
                run.top_step(index)
                    .output
                    .as_ref()
                    .filter(|_| run.top_step(index).gave_output())?
                    .sequence,
                node.id.to_string(),
            ))
        })
        .collect();
    completed.sort_unstable();
    let message = proto::Run {
        current_node_ids: run
            .current_nodes()
            .iter()
            .map(ToString::to_string)
            .collect(),
        completed_node_ids: completed.into_iter().map(|(_, node)| node).collect(),
        ..basic(&view.row)
    };
    let steps = run.steps().map(|(index, _)| step(run, StepKey::top(index)));
    let steps = steps.collect();
    (message, steps)
}

/// One step.
#[must_use]
pub fn step(run: &Run, key: StepKey) -> proto::Step {
    let node = run.graph_of(key.scope).node(key.node);
    let step = run.step(key);
    let path = run.path(key);
    let (start, end) = (step.started_at(), step.ended_at());
    let shown = step.attempts.len().saturating_sub(ATTEMPTS);
    let last_error = step
        .attempts
        .last()
        .and_then(|attempt| attempt.error.as_ref());
    let wait = step
        .wait
        .as_ref()
        .filter(|_| step.state == StepState::Waiting);
    proto::Step {
        step_path: path.to_string(),
        node_id: node.id.to_string(),
        applet: node.kind.to_string(),
        state: step_state(state_of(run, step)).into(),
        attempt: number(step.attempt()),
        attempts: step.attempts[shown..]
            .iter()
            .map(|one| attempt(one, &path))
            .collect(),
        start_time: start.map(timestamp),
        end_time: end.map(timestamp),
        duration: start
            .zip(end)
            .map(|(start, end)| duration_between(start, end)),
        wait_reason: wait
            .map_or(proto::WaitReason::Unspecified, |wait| {
                wait_reason(wait.reason())
            })
            .into(),
        wake_time: wait
            .and_then(|wait| goes_on_at(&wait.what, wait.until))
            .map(timestamp),
        ports: step
            .output
            .as_ref()
            .map(|output| ports(&output.port))
            .unwrap_or_default(),
        output: step
            .output
            .as_ref()
            .map(|output| reference(output.sequence, &output.info)),
        error: last_error.map(|error| step_error(error, &path, step.attempt())),
        details: details(&step.details),
        usage: usage(step.usage),
        r#loop: run.turns(key).map(|turns| proto::LoopProgress {
            items: number(turns.count),
            started: number(turns.begun),
            succeeded: number(turns.succeeded),
            failed: number(turns.failed),
        }),
        child_run_id: step
            .child
            .map_or_else(String::new, |child| child.to_string()),
        reused_from_run_id: reused_from(step.reused.as_ref()),
    }
}

/// What was metered, if anything was.
#[must_use]
pub fn usage(usage: Usage) -> Option<proto::Usage> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    (!usage.is_empty()).then(|| proto::Usage {
        input_tokens: number(usage.input_tokens),
        output_tokens: number(usage.output_tokens),
        cost_micro_usd: number(usage.cost_micro_usd),
    })
}

fn attempt(attempt: &Attempt, path: &StepPath) -> proto::StepAttempt {
    proto::StepAttempt {
        number: number(attempt.number),
        start_time: Some(timestamp(attempt.started_at)),
        end_time: attempt.ended_at.map(timestamp),
        state: step_state(attempt.state).into(),
        error: attempt
            .error
            .as_ref()
            .map(|error| step_error(error, path, attempt.number)),
    }
}

/// Whether a step is in one of these states; all are, if there are none.
#[must_use]
pub fn is_wanted(run: &Run, step: &Step, states: &[StepState]) -> bool {
    states.is_empty() || states.contains(&state_of(run, step))
}

/// A step's state as callers know it: what a run left undone when it ended was cancelled with it, which is no event of
/// its own.
fn state_of(run: &Run, step: &Step) -> StepState {
    match step.state {
        StepState::Pending if run.state().is_final() => StepState::Cancelled,
        state => state,
    }
}

/// A run's state on the wire.
#[must_use]
pub fn run_state(state: RunState) -> proto::RunState {
    match state {
        RunState::Queued => proto::RunState::Queued,
        RunState::Running => proto::RunState::Running,
        RunState::Waiting => proto::RunState::Waiting,
        RunState::Paused => proto::RunState::Paused,
        RunState::Cancelling => proto::RunState::Cancelling,
        RunState::Succeeded => proto::RunState::Succeeded,
        RunState::Failed => proto::RunState::Failed,
        RunState::Cancelled => proto::RunState::Cancelled,
    }
}

/// A run's state from the wire; `None` for a number that is no state.
#[must_use]
pub fn run_state_from(state: i32) -> Option<RunState> {
    RunState::ALL
        .iter()
        .copied()
        .find(|one| i32::from(run_state(*one)) == state)
}

/// A step's state on the wire.
#[must_use]
pub fn step_state(state: StepState) -> proto::StepState {
    match state {
        StepState::Pending => proto::StepState::Pending,
        StepState::Running => proto::StepState::Running,
        StepState::Waiting => proto::StepState::Waiting,
        StepState::Succeeded => proto::StepState::Succeeded,
        StepState::Failed => proto::StepState::Failed,
        StepState::Skipped => proto::StepState::Skipped,
        StepState::Cancelled => proto::StepState::Cancelled,
        StepState::OutcomeUnknown => proto::StepState::OutcomeUnknown,
        StepState::Quarantined => proto::StepState::Quarantined,
    }
}

/// A step's state from the wire; `None` for a number that is no state.
#[must_use]
pub fn step_state_from(state: i32) -> Option<StepState> {
    StepState::ALL
        .iter()
        .copied()
        .find(|one| i32::from(step_state(*one)) == state)
}
