//! The graphs inside of loops.

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "reads better with `json!`")]
fn looping(id: &str, body: Value) -> Node {
    with_data(id, "for_each", json!({ "body": body }))
}

#[expect(clippy::needless_pass_by_value, reason = "reads better with `json!`")]
fn inner(id: &str, kind: &str, data: Value) -> Value {
    json!({"id": id, "type": kind, "data": data})
}

fn within(body: Value) -> Draft {
    let nodes = vec![
        node("s", "start"),
        node("before", "transform"),
        looping("loop", body),
        node("after", "transform"),
    ];
    draft(nodes, &["s->before", "before->loop", "loop->after"])
}

#[test]
fn a_body_is_a_graph_of_its_own() {
    let body = json!({
        "nodes": [
            inner("first", "transform", json!({"item": 1, "reads": "before"})),
            inner("which", "if_else", json!({"reads": "first"})),
            inner("yes", "transform", json!({"host": "a.example"})),
            inner("done", "end", json!({})),
        ],
        "edges": [
            {"source": "first", "target": "which"}, {"source": "which", "source_handle": "true", "target": "yes"},
            {"source": "yes", "target": "done"},
        ],
    });

    let report = report(&within(body));

    assert_eq!(report.violations, []);
    assert_eq!(report.warnings, []);
    assert_eq!(report.layers.len(), 4);
    assert!(report.hosts.contains("a.example"));
}

#[test]
fn all_that_is_wrong_inside_is_told_with_its_path() {
    let body = json!({
        "nodes": [
            {"id": "x", "type": "transform", "timeout": "61s", "effect": "EFFECT_PURE"},
            inner("x", "nonsense", json!({})),
            inner("before", "transform", json!({"colour": 1})),
            inner("s2", "start", json!({})),
            {"id": "y", "type": "http_request", "effect": "EFFECT_PURE", "retry": {"jitter": 2},
             "on_error": {"fallback": {"node_id": "before"}}},
            {"id": "z", "type": "http_request", "on_error": {"fallback": {"node_id": "after"}}},
        ],
        "edges": [
            {"source": "x", "target": "after"},
            {"source": "z", "target": "y", "source_handle": "error"},
        ],
    });

    let found = said(&within(body));

    let expected = [
        "nodes[0].timeout OUT_OF_BOUNDS",
        "nodes[1].id DUPLICATE_NODE_ID",
        "nodes[1].type UNKNOWN_APPLET",
        "nodes[2].id DUPLICATE_NODE_ID",
        "nodes[2].data.colour UNKNOWN_KEY",
        "nodes[3].type START_IN_BODY",
        "nodes[4].effect EFFECT_NOT_STRICTER",
        "nodes[4].retry.jitter OUT_OF_BOUNDS",
        "nodes[5].on_error.fallback.node_id UNKNOWN_FALLBACK",
        "edges[0].target DANGLING_EDGE",
        "edges[1].source_handle UNKNOWN_HANDLE",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|one| format!("flow.nodes[2].data.body.{one}"))
        .collect();
    assert_eq!(found, expected);
    let outside = said(&draft(vec![node("a", "transform")], &["a->b"]));
    assert_eq!(outside, ["flow.edges[0].target DANGLING_EDGE"]);
}

#[test]
fn an_id_is_unique_over_all_bodies() {
    let body = || json!({"nodes": [inner("same", "transform", json!({}))]});
    let nodes = vec![looping("l", body()), looping("m", body())];

    let draft = draft(nodes, &[]);

    let report = report(&draft);

    assert_eq!(report.violations.len(), 1);
    let violation = &report.violations[0];
    assert_eq!(violation.field, "flow.nodes[1].data.body.nodes[0].id");
    assert_eq!(
        violation.description,
        "\"same\" is the id of flow.nodes[0].data.body.nodes[0] already"
    );
    assert_eq!(find_node(violation, &draft.definition), Some("same"));
}

#[test]
fn a_body_reads_what_is_upstream_inside_and_outside_and_nobody_reads_into_it() {
    let reading = |reads: &str| {
        let body = json!({"nodes": [
            inner("x", "transform", json!({"reads": reads})), inner("beside", "transform", json!({})),
        ]});
        said(&within(body))
    };
    let refused = |reason: &str| vec![format!("flow.nodes[2].data.body.nodes[0].data {reason}")];

    assert_eq!(reading("before"), [""; 0]);
    assert_eq!(reading("s"), [""; 0]);
    for id in ["after", "loop", "beside", "x"] {
        assert_eq!(reading(id), refused("NOT_UPSTREAM"), "{id}");
    }
    assert_eq!(reading("nobody"), refused("UNKNOWN_REFERENCE"));
    let mut draft = within(json!({"nodes": [inner("x", "transform", json!({}))]}));
    draft.definition.nodes[3].data = json!({"reads": "x"});
    assert_eq!(said(&draft), ["flow.nodes[3].data UNKNOWN_REFERENCE"]);
}

#[test]
fn an_item_is_known_only_inside_of_a_loop() {
    let outside = with_data("a", "transform", json!({"item": 1}));

    assert_eq!(
        said(&draft(vec![outside], &[])),
        ["flow.nodes[0].data NOT_IN_LOOP"]
    );
}

/// Loops inside of each other, `depth` of them.
fn nested(depth: usize) -> Value {
    let innermost = inner("leaf", "transform", json!({"reads": "before"}));
    (1..depth).fold(json!({ "nodes": [innermost] }), |body, level| {
        json!({"nodes": [inner(&format!("loop{level}"), "for_each", json!({ "body": body }))]})
    })
}

#[test]
fn loops_are_at_most_four_deep() {
    let found = said(&within(nested(5)));

    assert_eq!(said(&within(nested(4))), [""; 0]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("flow.nodes[2].data.body.nodes[0].data.body.")
            && found[0].ends_with("data.body LOOPS_TOO_DEEP"),
        "{found:?}"
    );
}

#[test]
fn nodes_and_edges_inside_count_for_the_limits() {
    let many = |count: usize| {
        let nodes: Vec<_> = (0..count)
            .map(|n| inner(&format!("n{n}"), "transform", json!({})))
            .collect();
        within(json!({ "nodes": nodes }))
    };

    assert_eq!(said(&many(996)), [""; 0]);
    assert_eq!(
        said(&many(997)),
        ["flow.nodes[2].data.body.nodes TOO_MANY_NODES"]
    );
}

#[test]
fn what_only_a_cycle_leads_to_inside_is_told() {
    let body = json!({
        "nodes": [inner("root", "transform", json!({})), inner("x", "transform", json!({})),
                  inner("y", "transform", json!({}))],
        "edges": [{"source": "x", "target": "y"}, {"source": "y", "target": "x"}],
    });

    let report = report(&within(body));

    let reasons: Vec<_> = report.violations.iter().map(|one| one.reason).collect();
    assert_eq!(reasons, ["UNREACHABLE_NODE", "UNREACHABLE_NODE", "CYCLE"]);
    assert_eq!(report.unreachable, ["x".into(), "y".into()]);
}
