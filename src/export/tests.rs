//! The way out and back.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::flow::{Definition, Edge, Node, OnError, Policy, Position, RetryPolicy, hash};
use crate::import;

fn node(id: &str, kind: &str, data: Value) -> Node {
    Node {
        id: id.into(),
        kind: kind.to_owned(),
        position: Position::default(),
        data,
        display_name: String::new(),
        timeout: None,
        effect: None,
        retry: None,
        on_error: None,
    }
}

fn edge(source: &str, handle: &str, target: &str) -> Edge {
    Edge {
        id: format!("{source}-{handle}-{target}"),
        source: source.into(),
        target: target.into(),
        source_handle: handle.to_owned(),
        target_handle: String::new(),
        animated: false,
    }
}

fn draft(nodes: Vec<Node>, edges: Vec<Edge>) -> Draft {
    Draft {
        id: "f".to_owned(),
        name: "F".to_owned(),
        definition: Definition {
            nodes,
            edges,
            ..Definition::default()
        },
        ..Draft::default()
    }
}

fn there_and_back(draft: &Draft, format: Format) -> Draft {
    let exported = write(draft, 1, format).unwrap();
    let imported = import::read(&exported.document, None)
        .unwrap_or_else(|error| panic!("{error:?}\n{}", exported.document));
    assert_eq!(imported.format, format, "{}", exported.document);
    imported.draft
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\\n\\t]{0,40}",
        prop::sample::select(vec![
            "yes",
            "no",
            "null",
            "~",
            "1",
            "1.0",
            "0x1f",
            "1e3",
            "true",
            "- a",
            "a: b",
            "# c",
            "",
            " ",
            "\n",
            "a\n",
            "a\n\n",
            " a",
            "|",
            "'",
            "\"",
            "---",
            "...",
            "%a",
            "2001-01-01",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "*a",
            "&a",
            "!a",
            "<<",
            "1_000",
            "{{ input }}",
            "017",
            ".nan",
            "line one\nline two\n  indented\n",
            "trailing \nspace",
            "é\u{1f600}",
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-(1_i64 << 53)..=1_i64 << 53).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| {
                let mut value = Value::from(number);
                crate::value::normalise(&mut value);
                value
            }),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any_number(),
        any_text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(any_text(), inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_node() -> impl Strategy<Value = Node> {
    (
        ("[a-z]{1,5}", any_text(), any_text(), any_json()),
        (any::<f32>(), prop::option::of(1_u64..10_000_000)),
        prop::option::of((1_u32..50, 1_u64..90_000, 0_u32..10, any_text())),
        prop::option::of(any_json()),
    )
        .prop_map(
            |((kind, id, name, data), (x, timeout), retry, output)| Node {
                kind,
                display_name: name,
                position: Position {
                    x: if x.is_finite() { f64::from(x) } else { 0.0 },
                    y: 0.5,
                },
                timeout: timeout.map(std::time::Duration::from_millis),
                retry: retry.map(|(attempts, wait, jitter, reason)| RetryPolicy {
                    max_attempts: attempts,
                    initial_interval: std::time::Duration::from_millis(wait),
                    jitter: f64::from(jitter) / 10.0,
                    safe_on: vec![reason],
                    ..RetryPolicy::default()
                }),
                on_error: output.map(OnError::DefaultOutput),
                ..node(&id, "", json!({"data": data}))
            },
        )
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let edges = prop::collection::vec((any_text(), any_text(), any_text(), any::<bool>()), 0..5);
    (
        prop::collection::vec(any_node(), 0..5),
        edges,
        prop::collection::btree_map(any_text(), any_text(), 0..4),
        (any_text(), any_text(), prop::option::of(1_u32..100)),
    )
        .prop_map(|(nodes, edges, labels, (name, description, steps))| Draft {
            name,
            description,
            labels,
            definition: Definition {
                edges: edges
                    .into_iter()
                    .map(|(source, handle, target, animated)| Edge {
                        animated,
                        ..edge(&source, &handle, &target)
                    })
                    .collect(),
                policy: Policy {
                    max_parallel_steps: steps,
                    ..Policy::default()
                },
                input_schema: None,
                nodes,
            },
            ..draft(vec![], vec![])
        })
}

proptest! {
    #[test]
    fn whatever_is_exported_is_imported_as_it_was(draft in any_draft()) {
        for format in [Format::Json, Format::Yaml] {
            let exported = write(&draft, 1, format).unwrap();

            let imported = import::read(&exported.document, Some(format)).unwrap().draft;

            prop_assert_eq!(
                hash::content_hash(&imported.definition),
                hash::content_hash(&draft.definition),
                "{}", exported.document
            );
            prop_assert_eq!(&imported.name, &draft.name);
            prop_assert_eq!(&imported.description, &draft.description);
            prop_assert_eq!(&imported.labels, &draft.labels);
        }
    }
}

#[test]
fn documents_are_written_for_people() {
    let mut flow = draft(
        vec![
            node("s", "start", json!({})),
            node("t", "transform", json!({"template": "{{ input.a }}\nb\n"})),
        ],
        vec![edge("s", "", "t")],
    );
    flow.description = "What it is for".to_owned();

    let yaml = write(&flow, 3, Format::Yaml).unwrap().document;
    let json = write(&flow, 3, Format::Json).unwrap().document;

    assert_eq!(
        yaml,
        "id: f\nname: F\ndescription: What it is for\nrevision: 3\nnodes:\n- id: s\n  type: start\n- id: t\n  type: \
         transform\n  data:\n    template: |\n      {{ input.a }}\n      b\nedges:\n- id: s--t\n  source: s\n  target: t\n"
    );
    assert!(
        json.starts_with("{\n  \"id\": \"f\",\n  \"name\": \"F\",\n"),
        "{json}"
    );
}

#[test]
fn a_document_that_could_not_be_imported_is_not_written() {
    let text = "\u{1}".repeat(1 << 20);
    let flow = draft(
        vec![node("t", "transform", json!({"template": text}))],
        vec![],
    );

    let error = write(&flow, 1, Format::Json).unwrap_err();

    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn what_the_predecessor_had_survives_its_documents() {
    let body = json!({"nodes": [
        {"id": "get", "type": "http_request", "data": {"url": "http://a.example/{{ item.a }}", "fail_on_status": false}},
        {"id": "pick", "type": "transform", "data": {"template": "{{ content.data }} {{ input.b }} {{ index }}"}},
        {"id": "test", "type": "if_else", "data": {"value": "{{ content.c }}"}},
        {"id": "both", "type": "transform"},
    ], "edges": [
        {"source": "get", "target": "pick"}, {"source": "pick", "target": "test"},
        {"source": "test", "target": "both", "source_handle": "true"},
        {"source": "test", "target": "both", "source_handle": "false"},
    ]});
    let mut loop_node = node(
        "loop",
        "for_each",
        json!({
            "array_source": "{{ results.a.output.list }}", "concurrency": 5, "max_items": 9, "on_excess": "truncate",
            "on_item_error": "collect", "body": body,
        }),
    );
    loop_node.display_name = "Each".to_owned();
    let mut fragile = node(
        "a",
        "transform",
        json!({"template": "{{ '{{' }} b {{ run.id }} {{ node.id }}"}),
    );
    fragile.timeout = Some(std::time::Duration::from_millis(1_500));
    fragile.retry = Some(RetryPolicy {
        max_attempts: 3,
        ..RetryPolicy::default()
    });
    fragile.on_error = Some(OnError::Fallback("m".into()));
    let mut flow = draft(
        vec![
            node("s", "start", json!({})),
            fragile,
            loop_node,
            node(
                "i",
                "if_else",
                json!({"source": "{{ results.loop.output.0.x }}", "value": true}),
            ),
            node("m", "merge", json!({"strategy": "concatenate"})),
            node("e", "end", json!({})),
        ],
        vec![
            edge("s", "", "a"),
            edge("a", "", "loop"),
            edge("loop", "", "i"),
            edge("i", "true", "m"),
            edge("i", "false", "e"),
            edge("m", "", "e"),
        ],
    );
    flow.labels.insert("tag/x".to_owned(), "true".to_owned());

    for format in [Format::PredecessorJson, Format::PredecessorYaml] {
        let again = there_and_back(&flow, format);

        assert_eq!(again.labels, flow.labels);
        let (mut found, mut wanted) = (again.definition, flow.definition.clone());
        // A failing item has no other meaning there, and so it is not said.
        wanted.nodes[2]
            .data
            .as_object_mut()
            .unwrap()
            .remove("on_item_error");
        for definition in [&mut found, &mut wanted] {
            crate::value::normalise(&mut definition.nodes[2].data);
        }
        assert_eq!(found, wanted);
    }
}

#[test]
fn what_the_predecessor_had_not_is_refused_with_its_node() {
    for (refused, field) in [
        (
            node("n", "switch", json!({"cases": ["a"]})),
            "flow.nodes[0].type",
        ),
        (
            node(
                "n",
                "transform",
                json!({"operation": "cel", "expression": "1"}),
            ),
            "flow.nodes[0].data.operation",
        ),
        (
            node("n", "merge", json!({"strategy": "object"})),
            "flow.nodes[0].data.strategy",
        ),
        (
            node(
                "n",
                "transform",
                json!({"template": "{{ content | upper }}"}),
            ),
            "flow.nodes[0].data.template",
        ),
        (
            node("n", "transform", json!({"template": "{{ secrets.a }}"})),
            "flow.nodes[0].data.template",
        ),
        (
            node("n", "for_each", json!({"body": "another-flow"})),
            "flow.nodes[0].data.body",
        ),
        (
            Node {
                on_error: Some(OnError::ErrorPort),
                ..node("n", "merge", json!({}))
            },
            "flow.nodes[0].on_error",
        ),
    ] {
        let error = write(&draft(vec![refused], vec![]), 1, Format::PredecessorJson).unwrap_err();

        let Error::NotExpressible(violations) = error else {
            panic!("{error}")
        };
        assert_eq!(violations[0].field, field);
        assert!(violations[0].description.starts_with("(n) "));
    }
}

#[test]
fn what_is_lost_is_told() {
    let mut flow = draft(
        vec![
            node("s", "start", json!({"default_input": {"a": 1}})),
            node("h", "http_request", json!({"url": "http://a.example"})),
            node("i", "if_else", json!({"value": 1})),
            node("e", "end", json!({})),
            node("f", "end", json!({})),
        ],
        vec![
            edge("s", "", "h"),
            edge("h", "", "i"),
            edge("i", "true", "e"),
            edge("i", "true", "f"),
        ],
    );
    flow.labels.insert("team".to_owned(), "docs".to_owned());
    flow.definition.input_schema = Some(json!({}));
    flow.definition.policy.max_parallel_steps = Some(1);

    let told: Vec<String> = write(&flow, 1, Format::PredecessorJson)
        .unwrap()
        .warnings
        .into_iter()
        .map(|warning| warning.field)
        .collect();

    assert_eq!(
        told,
        [
            "flow.labels[team]",
            "flow.input_schema",
            "flow.policy",
            "flow.nodes[0].data.default_input",
            "flow.nodes[1].data.fail_on_status",
            "flow.nodes[2]",
            "flow.edges[3]",
        ]
    );
}
