//! What the registry says about configs, and how it prepares them.

use serde_json::{Value, json};

use crate::applet::trial::{self, node, output, wrong};
use crate::applet::{Effect, References};
use crate::ids::NodeId;

use super::*;

fn reasons(kind: &str, data: Value) -> Vec<(String, &'static str)> {
    wrong(kind, data)
}

fn at(field: &str, reason: &'static str) -> (String, &'static str) {
    (field.to_owned(), reason)
}

#[test]
fn the_catalogue_is_sorted_and_its_examples_are_valid() {
    let registry = Registry::standard(trial::services());

    let kinds: Vec<_> = registry.entries().iter().map(|entry| entry.kind).collect();
    assert!(kinds.is_sorted());
    for entry in registry.entries() {
        let example = (entry.description.example)();
        let inspection = registry
            .inspect(&node(entry.kind, example.clone()))
            .unwrap();
        assert_eq!(inspection.violations, [], "{}", entry.kind);
        let schema = &entry.config_schema;
        assert!(
            jsonschema::is_valid(schema, &example),
            "{}: {schema}",
            entry.kind
        );
        assert_eq!(schema["additionalProperties"], json!(false));
        assert!(schema.get("$schema").is_none() && schema.get("$defs").is_none());
        for raw in entry.description.raw {
            assert_eq!(
                schema["properties"][raw]["x-template"],
                json!(false),
                "{} {raw}",
                entry.kind
            );
        }
    }
    assert!(registry.find("transform").is_some());
    assert!(registry.find("nonsense").is_none());
    assert!(registry.inspect(&node("nonsense", json!({}))).is_none());
    let refused = registry.prepare(&node("nonsense", json!({}))).err();
    assert_eq!(refused.map(|error| error.reason), Some("UNKNOWN_APPLET"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let data = json!({
        "operation": "frobnicate", "nonsense": 1, "return_list": "yes", "split_index": -1,
        "source": {"a": ["{{ input. }}", "{{ nope }}"]}, "join_delimiter": 5, "template": "{{ nope }}",
        "regex_replacement": "a\0b", "schema": {"n": 9_007_199_254_740_993_i64},
    });

    let mut found = reasons("transform", data);

    found.sort();
    assert_eq!(
        found,
        [
            at("join_delimiter", "WRONG_TYPE"),
            at("nonsense", "UNKNOWN_FIELD"),
            at("operation", "UNKNOWN_VALUE"),
            at("regex_replacement", "NUL_CHARACTER"),
            at("return_list", "WRONG_TYPE"),
            at("schema.n", "NUMBER_OUT_OF_RANGE"),
            at("source.a[0]", "INVALID_TEMPLATE"),
            at("source.a[1]", "UNKNOWN_NAME"),
            at("split_index", "WRONG_TYPE"),
            at("template", "UNKNOWN_NAME"),
        ]
    );
}

#[test]
fn a_config_is_an_object_and_may_be_absent() {
    assert_eq!(reasons("end", Value::Null), []);
    assert_eq!(reasons("end", json!({})), []);
    assert_eq!(reasons("end", json!([])), [at("", "WRONG_TYPE")]);
    assert_eq!(reasons("end", json!({"a": 1})), [at("a", "UNKNOWN_FIELD")]);
    assert_eq!(reasons("switch", Value::Null), [at("cases", "REQUIRED")]);
    let deep = (0..31).fold(json!(1), |inner, _| json!([inner]));
    assert!(
        reasons("start", json!({"default_input": deep}))
            .iter()
            .any(|(_, reason)| *reason == "TOO_DEEP")
    );
}

#[test]
fn secrets_are_named_and_refused() {
    for data in [
        json!({"source": "{{ secrets.key }}"}),
        json!({"template": "{{ secrets.key ~ 'x' }}"}),
        json!({"operation": "cel", "expression": "secrets.key"}),
    ] {
        let inspection = trial::inspect("transform", data);

        assert_eq!(inspection.secrets, ["key"]);
        let violation = &inspection.violations[0];
        assert_eq!(violation.reason, "SECRET_NOT_ALLOWED_HERE");
        assert!(!violation.field.is_empty());
    }
}

#[test]
fn what_a_node_reads_is_known() {
    let read = |data| {
        let node = node("transform", data);
        let prepared = Registry::standard(trial::services())
            .prepare(&node)
            .unwrap();
        assert_eq!(prepared.effect(), Effect::Pure);
        prepared.references().clone()
    };

    let nodes =
        |names: &[&str]| References::Nodes(names.iter().copied().map(NodeId::from).collect());
    assert_eq!(read(json!({})), nodes(&[]));
    assert_eq!(
        read(json!({
            "source": "{{ results.b.output }}", "template": "{{ results.a.output }}",
            "expression": "results.c.output",
        })),
        nodes(&["a", "b"])
    );
    assert_eq!(
        read(json!({"operation": "cel", "expression": "results.c.output"})),
        nodes(&["c"])
    );
    assert_eq!(
        read(json!({"operation": "expression", "expression": "results[input.node].output"})),
        References::All
    );
}

#[tokio::test]
async fn a_rendered_config_is_checked_again() {
    let data = json!({
        "operation": "split_join", "source": "a,b,c", "split_index": "{{ input.n }}",
        "split_delimiter": "{{ input.by }}",
    });

    let with = |input| output("transform", data.clone(), input);

    assert_eq!(with(json!({"n": 1, "by": ","})).await, Ok(json!("b")));
    assert_eq!(with(json!({"n": 0, "by": 1})).await, Ok(json!("a,b,c")));
    let failed = with(json!({"n": 100_001, "by": ","})).await;
    assert_eq!(failed, Err("OUT_OF_BOUNDS".to_owned()));
    let failed = with(json!({"n": "x", "by": ","})).await;
    assert_eq!(failed, Err("WRONG_TYPE".to_owned()));
    let failed = with(json!({"n": "{{ input.by }}", "by": ","})).await;
    assert_eq!(failed, Err("WRONG_TYPE".to_owned()));
    let failed = trial::run("transform", data.clone(), json!({"by": ","})).await;
    let error = failed.unwrap_err();
    assert_eq!(error.reason, "TEMPLATE_PATH_MISSING");
    assert_eq!(error.details["missing"], json!("input.n"));
    assert_eq!(error.details["field"], json!("split_index"));
    assert!(!error.retryable);
}

#[tokio::test]
async fn large_values_and_expressions_are_rendered_too() {
    let large = "x".repeat(100_000);

    let plain = output(
        "transform",
        json!({"source": ["{{ content }}"]}),
        json!(large),
    );
    assert_eq!(plain.await, Ok(json!([large])));
    let computed = output(
        "transform",
        json!({"source": "{{ content | length }}"}),
        json!(large),
    );
    assert_eq!(computed.await, Ok(json!(100_000)));
    let large = "x".repeat(9_000_000);
    let doubled = output(
        "transform",
        json!({"source": "{{ content }}{{ content }}"}),
        json!(large),
    );
    assert_eq!(doubled.await, Err("RENDERED_TOO_LARGE".to_owned()));
}

#[tokio::test]
async fn a_config_that_another_binary_saved_fails_by_name() {
    let node = node("transform", json!({"operation": "of the future"}));

    let refused = Registry::standard(trial::services()).prepare(&node).err();

    assert_eq!(refused.map(|error| error.reason), Some("INVALID_CONFIG"));
}

#[test]
fn secrets_stand_alone_in_fields_that_are_sent() {
    let data = json!({
        "url": "https://a.example/{{ secrets.a }}?x={{ secrets.b-1 }}",
        "headers": {"Authorization": "Bearer {{ secrets.a }}"},
        "query_params": {"k": ["{{secrets.c}}"]},
        "body_template": {"deep": {"er": "{{ secrets.d }}"}},
        "auth_value": "{{ secrets.e }}",
    });
    let inspection = trial::inspect("http_request", data);

    assert_eq!(inspection.violations, []);
    assert_eq!(inspection.secrets, ["a", "b-1", "c", "d", "e"]);
    for data in [
        json!({"url": "https://a.example/{{ secrets.a ~ 'x' }}"}),
        json!({"url": "u", "auth_value": "{{ secrets.a | upper }}"}),
        json!({"url": "u", "headers": {"X": "{{ secrets }}"}}),
        json!({"url": "u", "headers": {"X": "{{ secrets.a.b }}"}}),
        json!({"url": "u", "auth_header_name": "{{ secrets.a }}"}),
        json!({"url": "u", "body_template": "{{ input.x | default(secrets.a) }}"}),
    ] {
        let found = trial::inspect("http_request", data.clone()).violations;
        let refused = found
            .iter()
            .find(|one| one.reason == "SECRET_NOT_ALLOWED_HERE");
        let refused = refused.unwrap_or_else(|| panic!("{data}: {found:?}"));
        assert!(refused.description.contains("auth_value"), "{refused:?}");
    }
}
