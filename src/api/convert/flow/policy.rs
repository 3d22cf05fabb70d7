//! What governs the runs of a flow.

use super::kept;
use crate::api::convert::{time, unknown_enum, violation};
use crate::flow::{OnConflict, Policy, Violation};
use crate::proto::{ConflictAction, FlowPolicy};

/// A policy as a client sent it. What cannot be represented is noted and left out.
pub(super) fn from_proto(given: FlowPolicy, violations: &mut Vec<Violation>) -> Policy {
    let run_timeout = given
        .run_timeout
        .as_ref()
        .map(|timeout| time::from_duration(timeout, "flow.policy.run_timeout"));
    let run_timeout = run_timeout.and_then(|timeout| kept(timeout, violations));
    let max_open_runs = count(given.max_open_runs, "max_open_runs", violations);
    let on_conflict = kept(on_conflict(given.on_conflict), violations).flatten();
    let max_parallel_steps = count(given.max_parallel_steps, "max_parallel_steps", violations);
    Policy {
        run_timeout,
        max_parallel_steps,
        max_open_runs,
        concurrency_key: given.concurrency_key,
        on_conflict,
    }
}

/// A number of which 0 says nothing.
fn count(given: i32, name: &str, violations: &mut Vec<Violation>) -> Option<u32> {
    let count = u32::try_from(given).map_err(|_| {
        let description = format!("is {given}, it has to be 0 or above");
        violation(&format!("flow.policy.{name}"), "OUT_OF_BOUNDS", description)
    });
    kept(count, violations).filter(|&count| count != 0)
}

fn on_conflict(number: i32) -> Result<Option<OnConflict>, Violation> {
    match ConflictAction::try_from(number) {
        Ok(ConflictAction::Unspecified) => Ok(None),
        Ok(ConflictAction::Queue) => Ok(Some(OnConflict::Queue)),
        Ok(ConflictAction::Reject) => Ok(Some(OnConflict::Reject)),
        Ok(ConflictAction::CancelRunning) => Ok(Some(OnConflict::CancelRunning)),
        Err(_) => Err(unknown_enum("flow.policy.on_conflict", number)),
    }
}

/// A policy as the wire has it.
pub(super) fn to_proto(policy: &Policy) -> FlowPolicy {
    let count = |count: Option<u32>| i32::try_from(count.unwrap_or_default()).unwrap_or(i32::MAX);
    let action = policy
        .on_conflict
        .map_or(ConflictAction::Unspecified, |action| match action {
            OnConflict::Queue => ConflictAction::Queue,
            OnConflict::Reject => ConflictAction::Reject,
            OnConflict::CancelRunning => ConflictAction::CancelRunning,
        });
    FlowPolicy {
        run_timeout: policy.run_timeout.map(time::duration),
        max_open_runs: count(policy.max_open_runs),
        concurrency_key: policy.concurrency_key.clone(),
        on_conflict: action.into(),
        max_parallel_steps: count(policy.max_parallel_steps),
    }
}
