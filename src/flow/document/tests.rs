use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::flow::{
    Definition, Edge, Effect, Node, OnConflict, OnError, Policy, Position, RetryPolicy, hash,
};

/// `field REASON` of all that is wrong with a document.
fn said(document: &Value) -> Vec<String> {
    let violations = read(document).err().unwrap_or_default();
    violations
        .iter()
        .map(|one| format!("{} {}", one.field, one.reason))
        .collect()
}

#[test]
fn a_document_says_all_that_a_flow_can() {
    let document = json!({
        "id": "orders", "name": "Orders", "description": "All of them", "labels": {"team": "shop"},
        "nodes": [
            {"id": "a", "type": "http_request", "position": {"x": 1.5, "y": -2}, "data": {"url": "http://x"},
             "timeout": "1.5s", "effect": "EFFECT_IDEMPOTENT", "display_name": "Node",
             "retry": {"max_attempts": 3, "initial_interval": "0.25s", "coefficient": 1.5, "max_interval": "9s",
                       "jitter": 0.1, "non_retryable_reasons": ["HTTP_4XX"], "safe_on": ["HTTP_5XX"],
                       "total_timeout": "60s"},
             "on_error": {"fallback": {"node_id": "b"}}},
            {"id": "b", "type": "transform", "on_error": {"default_output": null}}
        ],
        "edges": [{"id": "e", "source": "a", "target": "b", "source_handle": "true", "target_handle": "in",
                   "animated": true}],
        "input_schema": {"type": "object"},
        "policy": {"run_timeout": "3600s", "max_open_runs": 2, "concurrency_key": "{{ input.user }}",
                   "on_conflict": "CONFLICT_ACTION_REJECT", "max_parallel_steps": 7},
    });

    let draft = read(&document).unwrap();

    assert_eq!(write(&draft), document);
    let first = &draft.definition.nodes[0];
    assert_eq!(first.timeout, Some(Duration::from_millis(1_500)));
    assert_eq!(first.effect, Some(Effect::Idempotent));
    assert_eq!(first.on_error, Some(OnError::Fallback("b".into())));
    let retry = first.retry.as_ref().unwrap();
    assert_eq!(retry.initial_interval, Duration::from_millis(250));
    let second = &draft.definition.nodes[1];
    assert_eq!(second.on_error, Some(OnError::DefaultOutput(Value::Null)));
    let action = draft.definition.policy.on_conflict;
    assert_eq!(action, Some(OnConflict::Reject));
}

#[test]
fn both_spellings_are_read_but_not_both_at_once() {
    let camel = json!({
        "nodes": [{"id": "a", "type": "end", "displayName": "A", "onError": {"continueRun": {}},
                   "retry": {"maxAttempts": 2}}],
        "edges": [{"source": "a", "target": "b", "sourceHandle": "x"}],
        "inputSchema": {}, "policy": {"maxOpenRuns": 1},
    });
    let twice = json!({"nodes": [{"display_name": "A", "displayName": "A"}]});

    let draft = read(&camel).unwrap();

    assert_eq!(draft.definition.nodes[0].display_name, "A");
    let on_error = &draft.definition.nodes[0].on_error;
    assert_eq!(*on_error, Some(OnError::ContinueRun));
    assert_eq!(draft.definition.edges[0].source_handle, "x");
    assert_eq!(draft.definition.policy.max_open_runs, Some(1));
    assert_eq!(said(&twice), ["flow.nodes[0].display_name DUPLICATE_FIELD"]);
}

#[test]
fn what_the_service_sets_and_what_is_null_is_as_good_as_absent() {
    let document = json!({
        "id": "f", "revision": 3, "content_hash": "ab", "etag": "x", "createTime": "2026-01-01T00:00:00Z",
        "update_time": null, "labels": null, "policy": {}, "input_schema": null,
        "nodes": [{"id": "a", "type": "end", "data": null, "timeout": null, "retry": null, "on_error": {},
                   "effect": "EFFECT_UNSPECIFIED", "position": {}}],
    });

    let draft = read(&document).unwrap();

    let least = json!({"id": "f", "nodes": [{"id": "a", "type": "end"}]});
    assert_eq!(write(&draft), least);
    assert_eq!(draft.definition.nodes[0].data, json!({}));
    let retry =
        read(&json!({"nodes": [{"retry": {"max_attempts": 0, "coefficient": 0}}]})).unwrap();
    let retry = &retry.definition.nodes[0].retry;
    assert_eq!(*retry, Some(RetryPolicy::default()));
}

#[test]
fn all_that_cannot_be_read_is_told_with_its_path() {
    let document = json!({
        "id": 1, "labels": {"a": 1}, "nodez": [], "edges": {},
        "nodes": [
            3,
            {"colour": 1, "timeout": "5", "effect": "PURE", "position": {"z": 1, "x": "1"},
             "retry": {"jitter": "x", "max_attempts": -1, "safe_on": [1]},
             "on_error": {"port": {"a": 1}, "continue_run": 1}},
        ],
        "policy": {"max_open_runs": 1.5, "on_conflict": "WAIT", "run_timeout": 5},
    });

    assert_eq!(
        said(&document),
        [
            "flow.id WRONG_TYPE",
            "flow.labels[a] WRONG_TYPE",
            "flow.nodes[0] WRONG_TYPE",
            "flow.nodes[1].position.x WRONG_TYPE",
            "flow.nodes[1].position.z UNKNOWN_FIELD",
            "flow.nodes[1].timeout WRONG_TYPE",
            "flow.nodes[1].effect UNKNOWN_ENUM_VALUE",
            "flow.nodes[1].retry.max_attempts OUT_OF_BOUNDS",
            "flow.nodes[1].retry.jitter WRONG_TYPE",
            "flow.nodes[1].retry.safe_on[0] WRONG_TYPE",
            "flow.nodes[1].on_error.port.a UNKNOWN_FIELD",
            "flow.nodes[1].on_error.continue_run WRONG_TYPE",
            "flow.nodes[1].on_error CONFLICT",
            "flow.nodes[1].colour UNKNOWN_FIELD",
            "flow.edges WRONG_TYPE",
            "flow.policy.run_timeout WRONG_TYPE",
            "flow.policy.max_open_runs OUT_OF_BOUNDS",
            "flow.policy.on_conflict UNKNOWN_ENUM_VALUE",
            "flow.nodez UNKNOWN_FIELD",
        ]
    );
    assert_eq!(said(&json!([])), ["flow WRONG_TYPE"]);
}

#[test]
fn a_body_has_nodes_and_edges_and_nothing_else() {
    let body = json!({"nodes": [{"id": "a", "type": "transform", "timeout": "2s"}]});

    let read = read_body(&body).unwrap();

    assert_eq!(write_body(&read), body);
    assert_eq!(read.nodes[0].timeout, Some(Duration::from_secs(2)));
    let wrong = read_body(&json!({"policy": {}, "nodes": [{"timeout": "x"}]})).unwrap_err();
    let fields: Vec<_> = wrong.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["nodes[0].timeout", "policy"]);
}

#[test]
fn durations_are_those_of_protobuf() {
    for (text, millis) in [("0s", 0), ("5s", 5_000), ("1.5s", 1_500), ("0.001s", 1)] {
        let duration = Duration::from_millis(millis);
        assert_eq!(span::parse(text), Some(duration), "{text}");
        assert_eq!(span::text(duration), text);
    }
    assert_eq!(span::text(Duration::new(1, 1)), "1.000000001s");
    for wrong in [
        "",
        "s",
        "5",
        ".5s",
        "5.s",
        "-1s",
        "+1s",
        "1e3s",
        "1.0000000001s",
        "315576000001s",
        "1 s",
    ] {
        assert_eq!(span::parse(wrong), None, "{wrong}");
    }
}

fn durations() -> impl Strategy<Value = Duration> {
    (0_u64..1_000_000_000).prop_map(Duration::from_millis)
}

fn retries() -> impl Strategy<Value = RetryPolicy> {
    let texts = || prop::collection::vec("[A-Z]{1,5}", 0..3);
    let numbers = (1_u32..101, 1.0_f64..100.0, 0.0_f64..1.0);
    let times = (durations(), durations(), prop::option::of(durations()));
    (numbers, times, texts(), texts()).prop_map(|(numbers, times, reasons, safe_on)| RetryPolicy {
        max_attempts: numbers.0,
        initial_interval: times.0,
        coefficient: numbers.1,
        max_interval: times.1,
        jitter: numbers.2,
        non_retryable_reasons: reasons,
        safe_on,
        total_timeout: times.2,
    })
}

fn nodes() -> impl Strategy<Value = Node> {
    let effects = prop::option::of(prop::sample::select(vec![
        Effect::Pure,
        Effect::Idempotent,
        Effect::AtMostOnce,
    ]));
    let actions = prop::option::of(prop_oneof![
        Just(OnError::ErrorPort),
        Just(OnError::ContinueRun),
        "[a-z]{1,3}".prop_map(|id| OnError::Fallback(id.into())),
        any::<Option<bool>>().prop_map(|value| OnError::DefaultOutput(json!(value))),
    ]);
    let texts = ("[a-z]{0,3}", "[a-z]{0,3}", "[a-z]{0,3}", -5.0_f64..5.0);
    let rest = (prop::option::of(durations()), prop::option::of(retries()));
    (texts, effects, actions, rest).prop_map(|(texts, effect, on_error, rest)| Node {
        id: texts.0.into(),
        kind: texts.1,
        position: Position { x: texts.3, y: 2.0 },
        data: json!({"x": texts.3, "y": {"z": null}}),
        display_name: texts.2,
        timeout: rest.0,
        effect,
        retry: rest.1,
        on_error,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_with_the_same_hash(
        nodes in prop::collection::vec(nodes(), 0..5),
        handles in prop::collection::vec(("[a-z]{0,2}", any::<bool>()), 0..4),
        runs in prop::option::of(1_u32..9), run_timeout in prop::option::of(durations()), key in "[a-z]{0,3}",
    ) {
        let edge = |(handle, animated): (String, bool)| Edge {
            id: handle.clone(),
            source: "a".into(),
            target: "b".into(),
            source_handle: handle,
            target_handle: String::new(),
            animated,
        };
        let draft = Draft {
            id: key.clone(),
            definition: Definition {
                nodes,
                edges: handles.into_iter().map(edge).collect(),
                input_schema: runs.map(|runs| json!({"maximum": runs})),
                policy: Policy {
                    run_timeout, max_open_runs: runs, concurrency_key: key, max_parallel_steps: runs,
                    on_conflict: runs.map(|_| OnConflict::CancelRunning),
                },
            },
            ..Draft::default()
        };
        let text = write(&draft).to_string();

        let back = read(&serde_json::from_str(&text).unwrap()).unwrap();

        prop_assert_eq!(&back.definition, &draft.definition);
        prop_assert_eq!(&back.id, &draft.id);
        prop_assert_eq!(hash::content_hash(&back.definition), hash::content_hash(&draft.definition));
    }

    #[test]
    fn no_document_makes_it_panic(text in "[\\[\\]{}\",:a-z0-9. ]{0,60}", key in ".{0,20}") {
        if let Ok(document) = serde_json::from_str(&text) {
            drop(read(&document));
        }
        drop(read(&json!({key.clone(): {key.clone(): key}})));
    }
}
