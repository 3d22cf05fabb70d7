mod bodies;
mod failures;

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::flow::{Edge, Effect, Policy, Port, Position, document};

const KINDS: [&str; 6] = [
    "end",
    "for_each",
    "http_request",
    "if_else",
    "start",
    "transform",
];

/// Stands for the applets: `if_else` has two ports, `http_request` posts, `for_each` has a body, `reads` names what a
/// config reads.
fn inspect(node: &Node) -> Option<Inspection> {
    let mut inspection = Inspection {
        effect: Some(Effect::Pure),
        max_timeout: Some(Duration::from_mins(1)),
        ..Inspection::default()
    };
    match node.kind.as_str() {
        "if_else" => inspection.ports = vec![Port::from("true"), Port::from("false")],
        "http_request" => inspection.effect = Some(Effect::AtMostOnce),
        "start" | "end" | "transform" | "for_each" => {}
        _ => return None,
    }
    for (key, value) in node.data.as_object()? {
        match (key.as_str(), value.as_str()) {
            ("reads", Some(id)) => inspection.references.push(id.into()),
            ("host", Some(host)) => inspection.hosts.push(host.to_owned()),
            ("item", _) => inspection.loop_names.push("item"),
            ("body", None) => inspection.body = document::read_body(value).ok(),
            ("secret", Some(name)) => inspection.secrets.push(name.to_owned()),
            _ => inspection.violations.push(Violation {
                field: key.clone(),
                reason: "UNKNOWN_KEY",
                description: "there is no such key".to_owned(),
            }),
        }
    }
    Some(inspection)
}

fn applets() -> Applets<'static> {
    Applets {
        kinds: &KINDS,
        inspect: &inspect,
    }
}

fn node(id: &str, kind: &str) -> Node {
    with_data(id, kind, json!({}))
}

fn with_data(id: &str, kind: &str, data: Value) -> Node {
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

/// `a->b` or, from a port, `a:true->b`.
fn edge(text: &str) -> Edge {
    let (source, target) = text.split_once("->").unwrap();
    let (source, handle) = source.split_once(':').unwrap_or((source, ""));
    Edge {
        id: text.to_owned(),
        source: source.into(),
        target: target.into(),
        source_handle: handle.to_owned(),
        target_handle: String::new(),
        animated: false,
    }
}

fn draft(nodes: Vec<Node>, edges: &[&str]) -> Draft {
    Draft {
        id: "flow-1".to_owned(),
        name: "Flow".to_owned(),
        definition: Definition {
            nodes,
            edges: edges.iter().map(|text| edge(text)).collect(),
            ..Definition::default()
        },
        ..Draft::default()
    }
}

fn report(draft: &Draft) -> Report {
    check(draft, &Limits::default(), applets())
}

/// `field REASON` of each violation.
fn said(draft: &Draft) -> Vec<String> {
    let violations = report(draft).violations;
    violations
        .iter()
        .map(|v| format!("{} {}", v.field, v.reason))
        .collect()
}

#[test]
fn a_branching_flow_is_valid_and_has_layers() {
    let nodes = vec![
        node("in", "start"),
        node("which", "if_else"),
        with_data(
            "left",
            "transform",
            json!({"host": "b.example", "secret": "k"}),
        ),
        with_data(
            "right",
            "transform",
            json!({"host": "a.example", "reads": "in"}),
        ),
        node("out", "end"),
    ];
    let edges = [
        "in->which",
        "which:true->left",
        "which:false->right",
        "left->out",
        "right->out",
    ];
    let draft = draft(nodes, &edges);

    let report = report(&draft);
    let valid = validate(draft, &Limits::default(), applets()).unwrap();

    assert_eq!(report.violations, []);
    assert_eq!(report.warnings, []);
    let layers: Vec<usize> = report.layers.iter().map(Vec::len).collect();
    assert_eq!(layers, [1, 1, 2, 1]);
    assert_eq!(
        report.hosts,
        ["a.example", "b.example"].map(str::to_owned).into()
    );
    assert_eq!(report.secrets, ["k".to_owned()].into());
    assert_eq!(valid.id, Some("flow-1".into()));
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_fields() {
    let mut draft = draft(
        vec![
            node("a", "transform"),
            node("a", "nonsense"),
            with_data("b/c", "transform", json!({"colour": 1})),
        ],
        &["a->a", "a->gone", "gone->a", "a:true->b/c", "a->a"],
    );
    draft.id = "no spaces".to_owned();
    draft.name = "x".repeat(201);
    draft.labels.insert("bad key".to_owned(), "v".to_owned());
    draft.definition.input_schema = Some(json!({"type": "nonsense"}));
    draft.definition.policy = Policy {
        run_timeout: Some(Duration::ZERO),
        max_parallel_steps: Some(1_001),
        ..Policy::default()
    };

    assert_eq!(
        said(&draft),
        [
            "flow.id INVALID_ID",
            "flow.name TOO_LONG",
            "flow.labels[bad key] INVALID_LABEL",
            "flow.nodes[1].id DUPLICATE_NODE_ID",
            "flow.nodes[1].type UNKNOWN_APPLET",
            "flow.nodes[2].id INVALID_ID",
            "flow.nodes[2].data.colour UNKNOWN_KEY",
            "flow.edges[0].target SELF_LOOP",
            "flow.edges[1].target DANGLING_EDGE",
            "flow.edges[2].source DANGLING_EDGE",
            "flow.edges[3].source_handle UNKNOWN_HANDLE",
            "flow.edges[4].id DUPLICATE_EDGE_ID",
            "flow.edges[4].target SELF_LOOP",
            "flow.input_schema.type INVALID_SCHEMA",
            "flow.policy.run_timeout OUT_OF_BOUNDS",
            "flow.policy.max_parallel_steps OUT_OF_BOUNDS",
        ]
    );
}

#[test]
fn a_cycle_is_named_and_has_no_layers() {
    let nodes = ["a", "b", "c", "d"].map(|id| node(id, "transform"));
    let draft = draft(nodes.to_vec(), &["a->b", "b->c", "c->d", "d->b"]);

    let report = report(&draft);

    assert_eq!(report.violations.len(), 1);
    assert_eq!(report.violations[0].field, "flow.edges[3]");
    assert_eq!(
        report.violations[0].description,
        "closes a cycle: b -> c -> d -> b"
    );
    assert!(report.layers.is_empty());
}

#[test]
fn what_no_start_leads_to_is_refused() {
    let nodes = vec![
        node("s", "start"),
        node("a", "transform"),
        node("lone", "transform"),
    ];

    let without_start = draft(nodes[1..].to_vec(), &[]);
    let with_start = draft(nodes, &["s->a", "lone->a"]);

    assert_eq!(said(&without_start), [""; 0]);
    assert_eq!(said(&with_start), ["flow.nodes[2] UNREACHABLE_NODE"]);
    assert_eq!(report(&with_start).unreachable, ["lone".into()]);
}

#[test]
fn a_start_has_no_incoming_edge() {
    let draft = draft(vec![node("s", "start"), node("t", "start")], &["s->t"]);

    assert_eq!(said(&draft), ["flow.edges[0].target EDGE_INTO_START"]);
}

#[test]
fn a_branch_says_which_port_it_leaves_by() {
    let nodes = ["a", "b", "c"].map(|id| node(id, if id == "a" { "if_else" } else { "end" }));
    let of = |edges: &[&str]| said(&draft(nodes.to_vec(), edges));

    assert_eq!(of(&["a:true->b", "a:false->c"]), [""; 0]);
    assert_eq!(of(&["a:true->b", "a:true->c"]), [""; 0]);
    assert_eq!(
        of(&["a->b", "a:maybe->c"]),
        [
            "flow.edges[0].source_handle HANDLE_REQUIRED",
            "flow.edges[1].source_handle UNKNOWN_HANDLE"
        ]
    );
}

#[test]
fn templates_read_only_what_is_upstream() {
    let nodes = vec![
        node("a", "transform"),
        with_data("b", "transform", json!({"reads": "a"})),
        with_data("c", "transform", json!({"reads": "d"})),
        with_data("d", "transform", json!({"reads": "nobody"})),
        with_data("e", "transform", json!({"reads": "e"})),
    ];

    assert_eq!(
        said(&draft(nodes, &["a->b", "b->c"])),
        [
            "flow.nodes[2].data NOT_UPSTREAM",
            "flow.nodes[3].data UNKNOWN_REFERENCE",
            "flow.nodes[4].data NOT_UPSTREAM",
        ]
    );
}

#[test]
fn an_effect_may_only_be_stricter_but_for_idempotent_receivers() {
    let of = |kind: &str, effect: Effect| {
        let mut node = node("a", kind);
        node.effect = Some(effect);
        said(&draft(vec![node], &[]))
    };

    assert_eq!(of("transform", Effect::AtMostOnce), [""; 0]);
    assert_eq!(of("http_request", Effect::Idempotent), [""; 0]);
    assert_eq!(
        of("http_request", Effect::Pure),
        ["flow.nodes[0].effect EFFECT_NOT_STRICTER"]
    );
}

#[test]
fn values_that_cannot_be_kept_are_refused_with_their_path() {
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let of = |data: Value| said(&draft(vec![with_data("a", "transform", data)], &[]));

    assert_eq!(
        of(json!({"x": ["fine", "a\0b"]})),
        ["flow.nodes[0].data.x[1] NUL_CHARACTER"]
    );
    assert_eq!(
        of(json!({"x": 9_007_199_254_740_993_i64})),
        ["flow.nodes[0].data.x NUMBER_OUT_OF_RANGE"]
    );
    assert!(of(json!({"x": deep}))[0].ends_with("TOO_DEEP"));
    assert_eq!(of(json!([])), ["flow.nodes[0].data INVALID_CONFIG"]);
}

#[test]
fn times_have_bounds_and_are_kept_in_milliseconds() {
    let of = |timeout: Duration| {
        let mut node = node("a", "transform");
        node.timeout = Some(timeout);
        draft(vec![node], &[])
    };

    assert_eq!(
        said(&of(Duration::ZERO)),
        ["flow.nodes[0].timeout OUT_OF_BOUNDS"]
    );
    assert_eq!(
        said(&of(Duration::from_secs(61))),
        ["flow.nodes[0].timeout OUT_OF_BOUNDS"]
    );
    let valid = validate(of(Duration::from_nanos(1)), &Limits::default(), applets()).unwrap();
    assert_eq!(
        valid.definition.nodes[0].timeout,
        Some(Duration::from_millis(1))
    );
}

#[test]
fn a_graph_over_the_limits_is_not_walked() {
    let many = vec![node("same", "nonsense"); 1_001];

    assert_eq!(said(&draft(many, &[])), ["flow.nodes TOO_MANY_NODES"]);
    assert_eq!(said(&draft(Vec::new(), &[])), ["flow.nodes REQUIRED"]);
}

#[test]
fn an_input_schema_is_of_the_one_dialect_and_fetches_nothing() {
    let of = |schema: Value| {
        let mut draft = draft(vec![node("a", "transform")], &[]);
        draft.definition.input_schema = Some(schema);
        said(&draft)
    };

    assert_eq!(of(json!({"type": "object", "required": ["x"]})), [""; 0]);
    assert_eq!(of(json!({"$schema": DRAFT, "$ref": "#"})), [""; 0]);
    for bad in [
        json!({"$ref": "https://example.com/schema"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"pattern": "("}),
    ] {
        assert!(of(bad)[0].ends_with("INVALID_SCHEMA"));
    }
    assert_eq!(
        of(json!({"$schema": "http://json-schema.org/draft-07/schema#"})),
        ["flow.input_schema.$schema INVALID_SCHEMA"]
    );
}

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

#[test]
fn the_largest_graph_is_checked_in_a_moment() {
    let nodes = (0..1_000).map(|n| node(&format!("n{n}"), "transform"));
    let mut definition = Definition {
        nodes: nodes.collect(),
        ..Definition::default()
    };
    for n in 0..5_000 {
        let (source, target) = (n % 999, n % 999 + 1 + (n / 999) % 2);
        let mut edge = edge(&format!("n{source}->n{}", target.min(999)));
        write!(edge.id, "#{n}").unwrap();
        definition.edges.push(edge);
    }
    let draft = Draft {
        definition,
        ..Draft::default()
    };
    let started = std::time::Instant::now();

    assert_eq!(said(&draft), [""; 0]);

    assert!(started.elapsed() < Duration::from_secs(2));
}

proptest! {
    #[test]
    fn whatever_the_graph_it_is_valid_just_without_what_is_forbidden(
        kinds in prop::collection::vec(prop::sample::select(&KINDS[..]), 0..12),
        ends in prop::collection::vec((0_usize..13, 0_usize..13, prop::sample::select(vec!["", "true", "false"])), 0..30),
    ) {
        let nodes: Vec<Node> = (0..).zip(&kinds).map(|(n, kind): (usize, _)| node(&n.to_string(), kind)).collect();
        let mut draft = draft(nodes, &[]);
        for (source, target, handle) in &ends {
            let mut edge = edge(&format!("{source}:{handle}->{target}"));
            edge.id = String::new();
            draft.definition.edges.push(edge);
        }

        let report = report(&draft);

        let exists = |node: usize| node < kinds.len();
        let dangling = ends.iter().any(|&(source, target, _)| !exists(source) || !exists(target));
        let reasons: Vec<_> = report.violations.iter().map(|v| v.reason).collect();
        prop_assert_eq!(reasons.contains(&"DANGLING_EDGE"), dangling);
        prop_assert_eq!(reasons.contains(&"SELF_LOOP"), ends.iter().any(|&(s, t, _)| s == t && exists(s)));
        prop_assert_eq!(report.layers.is_empty(), dangling || kinds.is_empty() || reasons.contains(&"CYCLE"));
        for node in &report.unreachable {
            let told = report.violations.iter().any(|v| {
                v.reason == "UNREACHABLE_NODE"
                    && find_node(v, &draft.definition) == Some(node.as_str())
            });
            prop_assert!(told);
        }
    }

    #[test]
    fn no_text_makes_it_panic(id in ".{0,40}", kind in ".{0,90}", handle in ".{0,90}", key in ".{0,5}") {
        let mut draft = draft(vec![with_data(&id, &kind, json!({ key.clone(): key }))], &[]);
        draft.id = id.clone();
        draft.labels.insert(handle.clone(), kind);
        draft.definition.edges.push(Edge { source_handle: handle, ..edge("a->b") });

        report(&draft);
    }
}
