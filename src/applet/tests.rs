//! The pure applets, each with its bounds: here `transform` and `if_else`.

mod control;
mod loops;
mod waits;

use serde_json::{Value, json};

use super::trial::{output, run, sample, wrong};

fn at(field: &str, reason: &'static str) -> Vec<(String, &'static str)> {
    vec![(field.to_owned(), reason)]
}

async fn transform(data: Value) -> Result<Value, String> {
    output("transform", data, sample()).await
}

#[tokio::test]
async fn without_a_source_the_input_is_transformed() {
    assert_eq!(transform(json!({})).await, Ok(sample()));
    let path = json!({"operation": "json_path", "json_path": "$.items[*].sku"});
    assert_eq!(transform(path).await, Ok(json!(["A1", "B2"])));
    let null = json!({"source": null, "template": "{{ source }}"});
    assert_eq!(transform(null).await, Ok(json!(null)));
    let null = json!({"source": "{{ content.nul }}"});
    assert_eq!(transform(null).await, Ok(json!(null)));
}

#[tokio::test]
async fn a_template_sees_source_and_value() {
    let data = json!({
        "source": "{{ content.user }}",
        "template": "{{ source.name }}, {{ value.tags | join(' ') }}, {{ content.n }}",
    });
    assert_eq!(transform(data).await, Ok(json!("Ada, math Poetry, 0")));
    let missing = json!({"template": "{{ source.gone }}"});
    assert_eq!(
        transform(missing).await,
        Err("TEMPLATE_PATH_MISSING".to_owned())
    );
}

#[tokio::test]
async fn splitting_follows_python() {
    for (more, expected) in [
        (json!({"split_maxsplit": 1}), json!(["a", " b,,c "])),
        (json!({"split_maxsplit": 0}), json!(["a, b,,c "])),
        (json!({}), json!(["a", " b", "", "c "])),
        (json!({"strip_items": true}), json!(["a", "b", "", "c"])),
        (json!({"drop_empty": true}), json!(["a", " b", "c "])),
        (json!({"split_delimiter": "", "split_index": 3}), json!("b")),
        (
            json!({"strip_items": true, "drop_empty": true, "split_index": 2}),
            json!("c"),
        ),
        (
            json!({"return_list": false, "join_delimiter": "-"}),
            json!("a- b--c "),
        ),
        (
            json!({"source": ["x", 1, null, {"text": "t"}]}),
            json!(["x", "1", "", "t"]),
        ),
        (json!({"source": null}), json!([""])),
        (json!({"source": {"message": "m,n"}}), json!(["m", "n"])),
    ] {
        let mut data =
            json!({"operation": "split_join", "source": "a, b,,c ", "return_list": true});
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());

        assert_eq!(transform(data).await, Ok(expected), "{more}");
    }
    let outside = json!({"operation": "split_join", "split_index": 9});
    assert_eq!(
        transform(outside).await,
        Err("INDEX_OUT_OF_RANGE".to_owned())
    );
}

#[tokio::test]
async fn expressions_and_schemas_are_operations_too() {
    let expression = json!({
        "operation": "expression", "source": "{{ content.items }}",
        "expression": "source | map(attribute='price') | sum + input.n",
    });
    assert_eq!(transform(expression).await, Ok(json!(109.5)));
    let cel = json!({"operation": "cel", "expression": "source.items.filter(i, i.price > 10).map(i, i.sku)"});
    assert_eq!(transform(cel).await, Ok(json!(["B2"])));
    let fits = json!({"operation": "json_schema", "source": "{{ content.n }}", "schema": {"type": "integer"}});
    assert_eq!(transform(fits).await, Ok(json!(0)));
    let unfit = json!({"operation": "json_schema", "schema": {"type": "array"}});
    let error = run("transform", unfit, sample()).await.unwrap_err();
    assert_eq!(error.reason, "SCHEMA_MISMATCH");
    assert_eq!(error.details["mismatches"][0]["path"], json!(""));
}

#[test]
fn a_transform_that_could_not_run_is_refused() {
    for (data, expected) in [
        (
            json!({"operation": "regex_replace"}),
            at("regex_pattern", "INVALID_EXPRESSION"),
        ),
        (
            json!({"operation": "regex_replace", "regex_pattern": "a", "regex_replacement": r"\1"}),
            at("regex_replacement", "INVALID_EXPRESSION"),
        ),
        (
            json!({"operation": "regex_replace", "regex_pattern": "a".repeat(2_001)}),
            at("regex_pattern", "EXPRESSION_TOO_LONG"),
        ),
        (
            json!({"operation": "json_path", "json_path": "$["}),
            at("json_path", "INVALID_EXPRESSION"),
        ),
        (
            json!({"operation": "cel", "expression": "1 +"}),
            at("expression", "INVALID_EXPRESSION"),
        ),
        (
            json!({"operation": "cel", "expression": "nope"}),
            at("expression", "UNKNOWN_NAME"),
        ),
        (
            json!({"operation": "expression", "expression": ""}),
            at("expression", "INVALID_TEMPLATE"),
        ),
        (
            json!({"operation": "json_schema"}),
            at("schema", "REQUIRED"),
        ),
        (
            json!({"operation": "json_schema", "schema": {"type": "x"}}),
            at("schema", "INVALID_EXPRESSION"),
        ),
        (
            json!({"regex_count": 10_001}),
            at("regex_count", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"split_maxsplit": -2}),
            at("split_maxsplit", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"split_index": 100_001}),
            at("split_index", "OUT_OF_BOUNDS"),
        ),
        (
            json!({"regex_count": 10_000, "split_maxsplit": -1, "split_index": 100_000}),
            Vec::new(),
        ),
    ] {
        assert_eq!(wrong("transform", data.clone()), expected, "{data}");
    }
}

#[tokio::test]
async fn if_else_tests_and_lets_its_input_through() {
    for (data, expected) in [
        (json!({"source": "{{ content.half }}", "value": 0.5}), true),
        (json!({"source": "{{ content.n }}", "value": false}), false),
        (
            json!({"source": "{{ content.user.name }}", "value": "{{ input.user.name }}"}),
            true,
        ),
        (json!({"source": "{{ content.nul }}"}), true),
        (
            json!({"operation": "contains", "source": "{{ content.user.tags }}", "value": "poetry"}),
            false,
        ),
        (
            json!({"operation": "contains", "source": "{{ content.user.tags }}", "value": "Poetry"}),
            true,
        ),
        (
            json!({"operation": "contains", "source": "{{ content.text }}", "value": null}),
            false,
        ),
        (
            json!({"operation": "contains", "source": "{{ content.text }}", "value": "QUICK", "case_sensitive": true}),
            false,
        ),
        (
            json!({"operation": "contains", "source": 1234, "value": 23}),
            true,
        ),
        (
            json!({"operation": "regex", "source": "{{ content.text }}", "regex_pattern": "^the", "regex_flags": "i"}),
            true,
        ),
        (
            json!({"operation": "regex", "source": "{{ content.text }}", "regex_pattern": "QUICK"}),
            false,
        ),
        (
            json!({"operation": "regex", "source": "{{ content.text }}", "value": "{{ content.user.name }}"}),
            false,
        ),
        (
            json!({"operation": "json_path", "json_path": "$.items[*].sku"}),
            true,
        ),
        (
            json!({"operation": "json_path", "json_path": "$.gone[*]"}),
            false,
        ),
        (
            json!({"operation": "json_path", "json_path": "$.user.name", "value": "ADA"}),
            true,
        ),
        (
            json!({"operation": "cel", "expression": "source.n == 0 && input.flag"}),
            true,
        ),
        (
            json!({"operation": "cel", "expression": "content.items.all(i, i.price > 10)", "negate": true}),
            true,
        ),
    ] {
        let outcome = run("if_else", data.clone(), sample()).await.unwrap();

        assert_eq!(
            outcome.port.as_deref(),
            Some(if expected { "true" } else { "false" }),
            "{data}"
        );
        assert_eq!(*outcome.output, sample());
        assert_eq!(outcome.details["result"], json!(expected));
    }
    let not_a_condition = json!({"operation": "cel", "expression": "1"});
    let failed = output("if_else", not_a_condition, sample()).await;
    assert_eq!(failed, Err("EXPRESSION_FAILED".to_owned()));
}

#[test]
fn a_condition_that_could_not_be_tested_is_refused() {
    for (data, expected) in [
        (
            json!({"operation": "regex"}),
            at("regex_pattern", "REQUIRED"),
        ),
        (
            json!({"operation": "regex", "value": "("}),
            at("value", "INVALID_EXPRESSION"),
        ),
        (
            json!({"operation": "regex", "value": "{{ input.pattern }}"}),
            Vec::new(),
        ),
        (
            json!({"operation": "json_path", "json_path": "[0]"}),
            at("json_path", "INVALID_EXPRESSION"),
        ),
        (
            json!({"operation": "cel"}),
            at("expression", "INVALID_EXPRESSION"),
        ),
        (
            json!({"true_target": "a"}),
            at("true_target", "UNKNOWN_FIELD"),
        ),
    ] {
        assert_eq!(wrong("if_else", data.clone()), expected, "{data}");
    }
}
