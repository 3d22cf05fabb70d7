use std::time::Duration;

use super::*;
use crate::flow::{OnError, RetryPolicy};

#[test]
fn policies_leave_the_config() {
    let done = chain(&[(
        "n",
        "transform",
        json!({
            "timeout_seconds": "2.5", "retry_config": {"max_retries": 3, "delay": 10, "backoff": 3},
            "fallback_node_id": "end",
        }),
    )]);

    let node = done.node("n");
    assert_eq!(node.data, json!({}));
    assert_eq!(node.timeout, Some(Duration::from_millis(2_500)));
    assert_eq!(
        node.retry,
        Some(RetryPolicy {
            max_attempts: 4,
            initial_interval: Duration::from_secs(10),
            coefficient: 3.0,
            max_interval: Duration::from_secs(90),
            ..RetryPolicy::default()
        })
    );
    assert_eq!(node.on_error, Some(OnError::Fallback("end".into())));
    assert_eq!(
        done.reasons("n"),
        [
            "KEY_MOVED timeout_seconds",
            "KEY_MOVED retry_config",
            "KEY_MOVED fallback_node_id"
        ]
    );
}

#[test]
fn policies_that_did_nothing_are_dropped() {
    let done = alone(
        "transform",
        json!({"timeoutSeconds": -1, "retryConfig": {"max_retries": 0}, "fallbackNodeId": "nobody"}),
    );

    let node = done.node("n");
    assert_eq!(
        (node.timeout, &node.retry, &node.on_error),
        (None, &None, &None)
    );
    assert_eq!(
        done.reasons("n"),
        [
            "KEY_DROPPED timeoutSeconds",
            "KEY_DROPPED retryConfig",
            "KEY_DROPPED fallbackNodeId"
        ]
    );
}

#[test]
fn policies_are_brought_into_bounds() {
    let done = alone(
        "transform",
        json!({"retry_config": {"max_retries": 1e9, "delay": 0, "backoff": 0.1}}),
    );

    let retry = done.node("n").retry.clone().unwrap();
    assert_eq!((retry.max_attempts, retry.coefficient), (100, 1.0));
    assert_eq!(retry.initial_interval, Duration::from_millis(1));
}

#[test]
fn a_request_brings_retries_of_its_own() {
    let own = alone(
        "http",
        json!({"url": "http://a.example", "max_retries": 2, "retry_backoff_factor": 0.25}),
    );
    let both = alone(
        "http",
        json!({"url": "http://a.example", "max_retries": 2, "retry_config": {"max_retries": 4}}),
    );

    let retry = own.node("n").retry.clone().unwrap();
    assert_eq!((retry.max_attempts, retry.coefficient), (3, 2.0));
    assert_eq!(retry.initial_interval, Duration::from_millis(250));
    assert!(
        own.reasons("n")
            .contains(&"MEANING_DIFFERS max_retries".to_owned())
    );
    assert_eq!(both.node("n").retry.clone().unwrap().max_attempts, 5);
}

#[test]
fn a_loop_as_a_whole_has_no_timeout() {
    let done = alone("loop", json!({"timeout_seconds": 3600}));

    assert_eq!(done.node("n").timeout, None);
    assert!(
        done.reasons("n")
            .contains(&"KEY_DROPPED timeout_seconds".to_owned())
    );
}
