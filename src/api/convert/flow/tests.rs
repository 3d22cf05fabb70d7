use std::time::Duration;

use serde_json::json;

use super::*;
use crate::api::convert::{value, violation};
use crate::flow::RetryPolicy;
use crate::proto::on_error::Action;

fn node(id: &str) -> proto::Node {
    proto::Node {
        id: id.to_owned(),
        r#type: "transform".to_owned(),
        position: Some(proto::Position { x: 1.5, y: -2.0 }),
        data: Some(object(
            &json!({"value": {"n": 1, "text": "{{ input }}"}, "list": [null, 0.5]}),
        )),
        timeout: Some(prost_types::Duration {
            seconds: 1,
            nanos: 500_000_000,
        }),
        effect: proto::Effect::AtMostOnce.into(),
        display_name: "Node".to_owned(),
        retry: Some(proto::RetryPolicy {
            max_attempts: 3,
            initial_interval: seconds(2),
            coefficient: 1.5,
            max_interval: seconds(9),
            jitter: 0.25,
            non_retryable_reasons: vec!["HTTP_4XX".to_owned()],
            safe_on: vec!["HTTP_5XX".to_owned()],
            total_timeout: seconds(60),
        }),
        on_error: Some(on_error(Action::DefaultOutput(value::to_proto(
            &json!({"n": [1, null]}),
        )))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the fields are optional")]
fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn on_error(action: Action) -> proto::OnError {
    proto::OnError {
        action: Some(action),
    }
}

fn flow() -> proto::Flow {
    proto::Flow {
        id: "orders".to_owned(),
        name: "Orders".to_owned(),
        description: "All of them".to_owned(),
        labels: [("team".to_owned(), "shop".to_owned())].into(),
        nodes: vec![node("a"), node("b")],
        edges: vec![proto::Edge {
            id: "e".to_owned(),
            source: "a".to_owned(),
            target: "b".to_owned(),
            source_handle: "true".to_owned(),
            target_handle: "in".to_owned(),
            animated: true,
        }],
        input_schema: Some(object(&json!({"type": "object"}))),
        policy: Some(proto::FlowPolicy {
            run_timeout: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            max_open_runs: 2,
            concurrency_key: "{{ input.user }}".to_owned(),
            on_conflict: proto::ConflictAction::Reject.into(),
            max_parallel_steps: 7,
        }),
        ..proto::Flow::default()
    }
}

fn fields(violations: &[Violation]) -> Vec<(&str, &str)> {
    violations
        .iter()
        .map(|violation| (violation.field.as_str(), violation.reason))
        .collect()
}

#[test]
fn a_flow_survives_the_way_in_and_out() {
    let (draft, violations) = draft(flow());

    assert_eq!(violations, []);
    assert_eq!(
        draft.definition.nodes[0].timeout,
        Some(Duration::from_millis(1_500))
    );
    let back = valid_flow(&Valid {
        id: Some(draft.id.into()),
        name: draft.name,
        description: draft.description,
        labels: draft.labels,
        definition: draft.definition,
        content_hash: [0xab; 32],
        warnings: Vec::new(),
    });
    let expected = proto::Flow {
        content_hash: "ab".repeat(32),
        ..flow()
    };
    assert_eq!(back, expected);
}

#[test]
fn what_is_absent_gets_its_default() {
    let (draft, violations) = draft(proto::Flow {
        nodes: vec![proto::Node::default()],
        policy: Some(proto::FlowPolicy::default()),
        ..proto::Flow::default()
    });

    assert_eq!(violations, []);
    let node = &draft.definition.nodes[0];
    assert_eq!(node.data, json!({}));
    assert_eq!((node.timeout, node.effect), (None, None));
    assert_eq!(draft.definition.policy, Policy::default());
    assert_eq!(graph(&draft.definition).policy, None);
}

#[test]
fn what_follows_a_failure_survives_the_way_in_and_out() {
    let node_id = "b".to_owned();
    let sent = [
        on_error(Action::Port(proto::ErrorPort {})),
        on_error(Action::Fallback(proto::FallbackNode { node_id })),
        on_error(Action::DefaultOutput(value::to_proto(&Value::Null))),
        on_error(Action::ContinueRun(proto::ContinueRun {})),
    ];
    let mut flow = flow();
    flow.nodes = sent.iter().map(|_| node("a")).collect();
    for (node, sent) in flow.nodes.iter_mut().zip(sent) {
        node.on_error = Some(sent);
    }

    let (draft, violations) = draft(flow.clone());

    assert_eq!(violations, []);
    assert_eq!(graph(&draft.definition).nodes, flow.nodes);
}

#[test]
fn what_a_retry_policy_leaves_out_is_the_default() {
    let (draft, violations) = draft(proto::Flow {
        nodes: vec![proto::Node {
            retry: Some(proto::RetryPolicy::default()),
            on_error: Some(proto::OnError::default()),
            ..proto::Node::default()
        }],
        ..proto::Flow::default()
    });

    assert_eq!(violations, []);
    let node = &draft.definition.nodes[0];
    assert_eq!(node.retry, Some(RetryPolicy::default()));
    assert_eq!(node.on_error, None);
    let shown = graph(&draft.definition).nodes[0].retry.clone().unwrap();
    assert_eq!((shown.max_attempts, shown.coefficient), (1, 2.0));
}

#[test]
fn all_that_cannot_be_represented_is_told_at_once() {
    let mut flow = flow();
    let nan = prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(f64::NAN)),
    };
    flow.nodes[1].data = Some(Struct {
        fields: [("x".to_owned(), nan.clone())].into(),
    });
    flow.nodes[1].effect = 9;
    flow.nodes[0].retry = Some(proto::RetryPolicy {
        max_attempts: -1,
        max_interval: seconds(-1),
        ..proto::RetryPolicy::default()
    });
    flow.nodes[0].on_error = Some(on_error(Action::DefaultOutput(nan)));
    flow.nodes[0].timeout = Some(prost_types::Duration {
        seconds: -1,
        nanos: 0,
    });
    flow.policy = Some(proto::FlowPolicy {
        max_open_runs: -1,
        concurrency_key: "k".to_owned(),
        on_conflict: 77,
        max_parallel_steps: -1,
        run_timeout: None,
    });

    let (_, violations) = draft(flow);

    assert_eq!(
        fields(&violations),
        [
            ("flow.nodes[0].timeout", "OUT_OF_BOUNDS"),
            ("flow.nodes[0].retry.max_attempts", "OUT_OF_BOUNDS"),
            ("flow.nodes[0].retry.max_interval", "OUT_OF_BOUNDS"),
            ("flow.nodes[0].on_error.default_output", "NOT_A_NUMBER"),
            ("flow.nodes[1].data.x", "NOT_A_NUMBER"),
            ("flow.nodes[1].effect", "UNKNOWN_ENUM_VALUE"),
            ("flow.policy.max_open_runs", "OUT_OF_BOUNDS"),
            ("flow.policy.on_conflict", "UNKNOWN_ENUM_VALUE"),
            ("flow.policy.max_parallel_steps", "OUT_OF_BOUNDS"),
        ]
    );
}

#[test]
fn violations_are_merged_in_the_order_of_the_fields() {
    let converted = vec![
        violation("flow.nodes[10].data.x", "NOT_A_NUMBER", ""),
        violation("flow.policy.on_conflict", "UNKNOWN_ENUM_VALUE", ""),
        violation("flow.nodes[2].retry", "OUT_OF_BOUNDS", ""),
    ];
    let validated = vec![
        violation("flow.name", "TOO_LONG", ""),
        violation("flow.nodes[2].data.url", "REQUIRED", ""),
        violation("flow.nodes[10].data.url", "REQUIRED", ""),
        violation("flow.nodes[10].id", "REQUIRED", ""),
        violation("flow.edges[0]", "CYCLE", ""),
    ];

    let all = merged(converted, validated);

    let fields: Vec<&str> = all
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "flow.name",
            "flow.nodes[2].retry",
            "flow.nodes[2].data.url",
            // What an empty config lacks is not said of one that was not seen.
            "flow.nodes[10].data.x",
            "flow.nodes[10].id",
            "flow.edges[0]",
            "flow.policy.on_conflict",
        ]
    );
}
