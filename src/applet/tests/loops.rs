//! `for_each` and `subflow`: what they ask the engine for.

use serde_json::{Value, json};

use super::at;
use crate::applet::trial::{self, complete, context, inspect, node, output, run, wrong};
use crate::applet::{Call, Completion, Effect, Loop, OnItemError, registry::Registry};

fn body() -> Value {
    json!({"nodes": [{"id": "x", "type": "transform", "data": {"source": "{{ item }}"}}]})
}

async fn looped(data: Value, input: Value) -> Loop {
    match complete("for_each", data, context(input)).await {
        Ok(Completion::Loop(one)) => one,
        other => panic!("{other:?}"),
    }
}

async fn called(data: Value, input: Value) -> Call {
    match complete("subflow", data, context(input)).await {
        Ok(Completion::Call(call)) => call,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_body_the_items_are_the_output() {
    for (data, input, expected) in [
        (json!({}), json!([3, 1, 2]), json!([3, 1, 2])),
        (
            json!({"array_source": "{{ input.s }}"}),
            json!({"s": " [1, \"a\", {\"b\": 1.0}]"}),
            json!([1, "a", {"b": 1}]),
        ),
        (
            json!({"array_source": ["{{ input.n }}", 2]}),
            json!({"n": 1}),
            json!([1, 2]),
        ),
        (
            json!({"array_source": "[{{ input.n }}, 2]"}),
            json!({"n": 1}),
            json!([1, 2]),
        ),
        (
            json!({"array_source": "{{ input.l }}"}),
            json!({"l": []}),
            json!([]),
        ),
    ] {
        let outcome = run("for_each", data.clone(), input).await.unwrap();

        assert_eq!(*outcome.output, expected, "{data}");
        let count = expected.as_array().unwrap().len();
        assert_eq!(outcome.details["items"], json!(count));
        assert_eq!(outcome.details["truncated"], json!(false));
    }
}

#[tokio::test]
async fn what_is_no_list_fails_by_name() {
    for input in [
        json!({"a": 1}),
        json!("abc"),
        json!("[1, 2"),
        json!("{\"a\": 1}"),
        json!(null),
        json!(1),
    ] {
        let failed = output("for_each", json!({"body": body()}), input.clone()).await;
        assert_eq!(failed, Err("NOT_A_LIST".to_owned()), "{input}");
    }
    for source in [json!(1), json!({}), json!(null), json!("abc")] {
        let data = json!({ "array_source": source });
        assert_eq!(wrong("for_each", data), at("array_source", "NOT_A_LIST"));
    }
    let deep = "[".repeat(31) + &"]".repeat(31);
    assert_eq!(
        output("for_each", json!({}), json!(deep)).await,
        Err("TOO_DEEP".to_owned())
    );
    let nul = json!("[\"\\u0000\"]");
    assert_eq!(
        output("for_each", json!({}), nul).await,
        Err("NUL_CHARACTER".to_owned())
    );
}

#[tokio::test]
async fn a_body_runs_for_each_item() {
    let data =
        json!({"body": body(), "concurrency": "{{ input | length }}", "on_item_error": "collect"});

    let one = looped(data, json!([1, 2])).await;

    assert_eq!(*one.items, json!([1, 2]));
    assert_eq!((one.concurrency, one.truncated), (2, false));
    assert_eq!(one.on_item_error, OnItemError::Collect);
    let plain = looped(json!({"body": body()}), json!("[1]")).await;
    assert_eq!(
        (plain.concurrency, plain.on_item_error),
        (10, OnItemError::Fail)
    );
    // Nothing is to be done with no item.
    let none = output("for_each", json!({"body": body()}), json!([])).await;
    assert_eq!(none, Ok(json!([])));
}

#[tokio::test]
async fn too_many_items_fail_or_are_left_out() {
    let many: Vec<_> = (0..1_001).collect();

    let error = run("for_each", json!({}), json!(many)).await.unwrap_err();
    let cut = json!({"max_items": 2, "on_excess": "truncate"});
    let listed = run("for_each", cut, json!([1, 2, 3])).await.unwrap();
    let cut = json!({"max_items": 2, "on_excess": "truncate", "body": body()});
    let looped = looped(cut, json!([1, 2, 3])).await;

    assert_eq!(error.reason, "TOO_MANY_ITEMS");
    assert_eq!(
        (&error.details["count"], &error.details["bound"]),
        (&json!(1_001), &json!(1_000))
    );
    assert!(!error.retryable);
    assert_eq!(*listed.output, json!([1, 2]));
    assert_eq!(listed.details["truncated"], json!(true));
    assert_eq!((&*looped.items, looped.truncated), (&json!([1, 2]), true));
}

#[test]
fn a_loop_that_could_not_run_is_refused() {
    let two_spellings =
        json!({"nodes": [{"id": "x", "type": "end", "onError": {}, "on_error": {}}]});
    for (data, expected) in [
        (
            json!({"concurrency": 0}),
            at("concurrency", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"concurrency": 1_001}),
            at("concurrency", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"max_items": 100_001}),
            at("max_items", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"concurrency": 1_000, "max_items": 100_000}),
            Vec::new(),
        ),
        (
            json!({"on_excess": "ignore"}),
            at("on_excess", "UNKNOWN_VALUE"),
        ),
        (json!({"body": 1}), at("body", "WRONG_TYPE")),
        (json!({"body": {"nodes": []}}), at("body.nodes", "REQUIRED")),
        (
            json!({"body": {"nodes": [{"colour": 1}]}}),
            at("body.nodes[0].colour", "UNKNOWN_FIELD"),
        ),
        (
            json!({ "body": two_spellings }),
            at("body.nodes[0].on_error", "DUPLICATE_FIELD"),
        ),
        (json!({"body": "no flow"}), at("body", "INVALID_ID")),
        (json!({"body": "a-flow", "revision": 3}), Vec::new()),
        (
            json!({"body": body(), "revision": 3}),
            at("revision", "CONFLICT"),
        ),
        (json!({"revision": 3}), at("revision", "CONFLICT")),
        (
            json!({"body": "f", "revision": u32::MAX}),
            at("revision", "OUT_OF_BOUNDS"),
        ),
    ] {
        assert_eq!(wrong("for_each", data.clone()), expected, "{data}");
    }
}

#[test]
fn the_graph_inside_is_known_before_and_is_not_rendered() {
    let inspection = inspect("for_each", json!({ "body": body() }));
    let ready = node("for_each", json!({ "body": body() }));
    let prepared = Registry::standard(trial::services())
        .prepare(&ready)
        .unwrap();

    assert_eq!(inspection.violations, []);
    assert_eq!(inspection.loop_names, [""; 0]);
    assert_eq!(inspection.body.unwrap().nodes[0].id, "x".into());
    assert_eq!(prepared.body().unwrap().nodes.len(), 1);
    assert_eq!(prepared.effect(), Effect::Pure);
    let none = inspect("for_each", json!({}));
    assert!(none.body.is_none());
}

#[tokio::test]
async fn a_flow_as_a_body_is_a_subflow_with_the_item() {
    let inspection = inspect("for_each", json!({"body": "other", "revision": 2}));

    let inner = inspection.body.unwrap().nodes.remove(0);

    assert_eq!(
        (inner.id.as_str(), inner.kind.as_str()),
        ("flow", "subflow")
    );
    let call = called(inner.data, json!({"item": 1})).await;
    assert_eq!((call.flow_id, call.revision), ("other".into(), 2));
    assert_eq!(*call.input, json!({"item": 1}));
}

#[tokio::test]
async fn a_subflow_is_called_with_its_input() {
    let data = json!({"flow_id": "{{ input.flow }}", "revision": "{{ input.n }}", "input": {"a": "{{ input.n }}"}});

    let call = called(data.clone(), json!({"flow": "f-1", "n": 4})).await;
    let plain = called(json!({"flow_id": "f", "input": null}), json!(5)).await;

    assert_eq!((call.flow_id, call.revision), ("f-1".into(), 4));
    assert_eq!(*call.input, json!({"a": 4}));
    assert_eq!((plain.revision, &*plain.input), (0, &json!(null)));
    for (input, reason) in [
        (json!({"flow": "no flow", "n": 1}), "INVALID_ID"),
        (json!({"flow": "{{ f }}", "n": 1}), "INVALID_ID"),
        (json!({"flow": "f", "n": -1}), "OUT_OF_BOUNDS"),
        (json!({"flow": "f", "n": "x"}), "WRONG_TYPE"),
    ] {
        let failed = output("subflow", data.clone(), input).await;
        assert_eq!(failed, Err(reason.to_owned()));
    }
    assert_eq!(wrong("subflow", json!({})), at("flow_id", "REQUIRED"));
    assert_eq!(
        wrong("subflow", json!({"flow_id": ""})),
        at("flow_id", "INVALID_ID")
    );
}
