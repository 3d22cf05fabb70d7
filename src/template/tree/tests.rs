//! Tests of configs with templates.

use serde_json::json;

use super::*;
use crate::template::tests::scope;

fn compile(config: &Value) -> (Tree, Vec<Problem>) {
    let schema = json!({"properties": {
        "text": {"type": "string"},
        "headers": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    }});
    let reading = Reading {
        raw: &["code"],
        schema: &schema,
    };
    Tree::compile(config, reading)
}

#[test]
fn a_config_without_templates_is_fixed() {
    let config = json!({"a": [1, {"b": "{{ x"}], "code": "{{ input.n }}"});

    let (tree, problems) = compile(&config);

    assert_eq!(tree.fixed(), Some(&config));
    assert!(problems.is_empty());
}

#[test]
fn values_are_rendered_and_keys_are_not() {
    let config = json!({"{{ input.n }}": ["{{ input.n }}", {"deep": "n={{ input.n }}"}], "code": "{{ input.n }}"});

    let (tree, _) = compile(&config);

    assert_eq!(
        tree.render_fully(&scope()).unwrap(),
        json!({"{{ input.n }}": [3, {"deep": "n=3"}], "code": "{{ input.n }}"})
    );
}

#[test]
fn where_only_text_fits_a_number_becomes_text() {
    let (tree, _) = compile(
        &json!({"text": "{{ input.n }}", "headers": {"X": "{{ input.n }}"}, "any": "{{ input.n }}"}),
    );

    assert_eq!(
        tree.render_fully(&scope()).unwrap(),
        json!({"text": "3", "headers": {"X": "3"}, "any": 3})
    );
}

#[test]
fn every_problem_is_found_with_its_place() {
    let (_, problems) =
        compile(&json!({"a": ["{{ }}", "{{ input.n + }}"], "b": {"c": "{{ nope.x }}"}}));

    let found: Vec<_> = problems
        .iter()
        .map(|p| (p.path.as_str(), p.error.reason()))
        .collect();
    assert_eq!(
        found,
        [
            ("a[0]", "INVALID_TEMPLATE"),
            ("a[1]", "INVALID_TEMPLATE"),
            ("b.c", "UNKNOWN_NAME")
        ]
    );
}

#[test]
fn rendering_is_bounded() {
    let (tree, _) = compile(&json!({"a": ["{{ input }}", "{{ input }}", "{{ input.gone }}"]}));

    let problem = tree.render(&scope(), 20).unwrap_err();

    assert_eq!(problem.error, Error::TooLarge { bound: 20 });
    let problem = tree.render_fully(&scope()).unwrap_err();
    assert_eq!(problem.path, "a[2]");
}
