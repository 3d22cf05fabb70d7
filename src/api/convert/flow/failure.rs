//! What a node says about its failures: how attempts are repeated, and what follows the last one.

use std::time::Duration;

use super::kept;
use crate::api::convert::{time, value, violation};
use crate::flow::{OnError, RetryPolicy, Violation};
use crate::ids::NodeId;
use crate::proto::{self, ContinueRun, ErrorPort, FallbackNode, on_error::Action};

/// A retry policy as a client sent it, with the defaults of what it leaves out. What cannot be represented is noted.
pub(super) fn retry(
    given: proto::RetryPolicy,
    field: &str,
    violations: &mut Vec<Violation>,
) -> RetryPolicy {
    let unset = RetryPolicy::default();
    let attempts = u32::try_from(given.max_attempts).map_err(|_| {
        let description = format!("is {}, it has to be 0 or above", given.max_attempts);
        violation(
            &format!("{field}.max_attempts"),
            "OUT_OF_BOUNDS",
            description,
        )
    });
    let attempts = kept(attempts, violations).filter(|&attempts| attempts != 0);
    let mut duration = |given: Option<prost_types::Duration>, name: &str| -> Option<Duration> {
        let read = time::from_duration(&given?, &format!("{field}.{name}"));
        kept(read, violations)
    };
    let initial = duration(given.initial_interval, "initial_interval");
    let longest = duration(given.max_interval, "max_interval");
    let total_timeout = duration(given.total_timeout, "total_timeout");
    RetryPolicy {
        max_attempts: attempts.unwrap_or(unset.max_attempts),
        initial_interval: initial.unwrap_or(unset.initial_interval),
        coefficient: if given.coefficient == 0.0 {
            unset.coefficient
        } else {
            given.coefficient
        },
        max_interval: longest.unwrap_or(unset.max_interval),
        jitter: given.jitter,
        non_retryable_reasons: given.non_retryable_reasons,
        safe_on: given.safe_on,
        total_timeout,
    }
}

/// What follows a failure as a client sent it; nothing where no action is set.
pub(super) fn on_error(
    given: proto::OnError,
    field: &str,
    violations: &mut Vec<Violation>,
) -> Option<OnError> {
    Some(match given.action? {
        Action::Port(ErrorPort {}) => OnError::ErrorPort,
        Action::Fallback(FallbackNode { node_id }) => OnError::Fallback(NodeId::new(node_id)),
        Action::DefaultOutput(output) => {
            let output = value::from_proto(output, &format!("{field}.default_output"));
            OnError::DefaultOutput(kept(output, violations)?)
        }
        Action::ContinueRun(ContinueRun {}) => OnError::ContinueRun,
    })
}

/// A retry policy as the wire has it.
pub(super) fn retry_to_proto(policy: &RetryPolicy) -> proto::RetryPolicy {
    proto::RetryPolicy {
        max_attempts: i32::try_from(policy.max_attempts).unwrap_or(i32::MAX),
        initial_interval: Some(time::duration(policy.initial_interval)),
        coefficient: policy.coefficient,
        max_interval: Some(time::duration(policy.max_interval)),
        jitter: policy.jitter,
        non_retryable_reasons: policy.non_retryable_reasons.clone(),
        safe_on: policy.safe_on.clone(),
        total_timeout: policy.total_timeout.map(time::duration),
    }
}

/// What follows a failure as the wire has it.
pub(super) fn on_error_to_proto(action: &OnError) -> proto::OnError {
    let action = match action {
        OnError::ErrorPort => Action::Port(ErrorPort {}),
        OnError::Fallback(node) => Action::Fallback(FallbackNode {
            node_id: node.to_string(),
        }),
        OnError::DefaultOutput(output) => Action::DefaultOutput(value::to_proto(output)),
        OnError::ContinueRun => Action::ContinueRun(ContinueRun {}),
    };
    proto::OnError {
        action: Some(action),
    }
}
