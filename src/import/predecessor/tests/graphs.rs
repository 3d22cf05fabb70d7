use super::*;

fn node(id: &str, kind: &str) -> Value {
    json!({"id": id, "type": kind, "position": {"x": 1, "y": "2"}, "data": {}})
}

fn edge(id: &str, source: &str, target: &str) -> Value {
    json!({"id": id, "source": source, "target": target, "animated": true})
}

#[test]
fn an_export_is_opened_and_its_rest_is_told() {
    let document = json!({
        "synapps_version": "1.0.0", "name": " A flow ", "version": 3, "tags": ["a b", "c"],
        "nodes": [node("s", "start")], "edges": [],
    });

    let done = import(&document);

    assert_eq!(done.draft.id, "");
    assert_eq!(done.draft.name, "A flow");
    let labels: Vec<_> = done.draft.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["tag/a-b", "tag/c"]);
    let place = crate::flow::Position { x: 1.0, y: 2.0 };
    assert_eq!(done.node("s").position, place);
    let told: Vec<_> = done
        .warnings
        .iter()
        .map(|warning| format!("{} {}", warning.reason, warning.field))
        .collect();
    assert_eq!(
        told,
        [
            "FIELD_MOVED document.tags",
            "FIELD_DROPPED document.version"
        ]
    );
}

#[test]
fn what_is_no_flow_is_told_with_its_path() {
    let document = json!({
        "name": ["x"], "nodes": [5, {"id": "a", "type": 7}, {"id": "b", "type": "end", "data": []}], "edges": {},
    });

    let mut fields: Vec<_> = read(&document)
        .unwrap_err()
        .into_iter()
        .map(|violation| violation.field)
        .collect();

    fields.sort();
    assert_eq!(
        fields,
        [
            "document.edges",
            "document.name",
            "document.nodes[0]",
            "document.nodes[1].type",
            "document.nodes[2].data"
        ]
    );
    assert_eq!(read(&json!([])).unwrap_err()[0].field, "document");
}

#[test]
fn branches_become_handles() {
    let document = json!({
        "nodes": [node("s", "start"), node("if", "if-else"), node("a", "merge"), node("b", "merge"), node("c", "merge")],
        "edges": [
            edge("s-if", "s", "if"), edge("to-no", "if", "a"), edge("to-yes", "if", "b"), edge("again-yes", "if", "c"),
        ],
    });

    let done = import(&document);

    assert_eq!(
        done.edges(),
        ["s if", "if false a", "if true b", "if true c"]
    );
    let resolved = |reason: &&String| reason.starts_with("BRANCH_RESOLVED");
    assert_eq!(done.reasons("if").iter().filter(resolved).count(), 3);
    assert!(done.draft.definition.edges.iter().all(|edge| edge.animated));
}

#[test]
fn an_edge_of_both_branches_becomes_two() {
    let document = json!({
        "nodes": [node("if", "if_else"), node("a", "end")], "edges": [edge("no", "if", "a")],
    });

    let done = import(&document);

    assert_eq!(done.edges(), ["if true a", "if false a"]);
    let ids: Vec<_> = done
        .draft
        .definition
        .edges
        .iter()
        .map(|edge| edge.id.as_str())
        .collect();
    assert_eq!(ids, ["no", "no-false"]);
}

#[test]
fn named_targets_leave_the_config() {
    let document = json!({
        "nodes": [
            {"id": "if", "type": "if_else", "data": {"true_target": "b", "source": "{{ input }}"}},
            node("a", "end"), node("b", "end"),
        ],
        "edges": [edge("1", "if", "a"), edge("2", "if", "b")],
    });

    let done = import(&document);

    assert_eq!(*done.data("if"), json!({"source": "{{ input }}"}));
    assert_eq!(done.edges(), ["if false a", "if true b"]);
}

#[test]
fn handles_of_nodes_with_one_way_out_are_dropped_and_kept_for_strangers() {
    let with_handle = |source: &str| json!({"id": "", "source": source, "target": "e", "sourceHandle": "out", "targetHandle": "in"});
    let document = json!({
        "nodes": [node("m", "merge"), node("x", "switch"), node("e", "end")],
        "edges": [with_handle("m"), with_handle("x")],
    });

    let done = import(&document);

    assert_eq!(done.edges(), ["m e", "x out e"]);
    assert_eq!(done.draft.definition.edges[0].target_handle, "in");
    assert!(
        done.reasons("m")
            .contains(&"HANDLE_DROPPED edges[0]".to_owned())
    );
}

#[test]
fn edges_that_did_nothing_are_left_out() {
    let document = json!({
        "nodes": [node("s", "start"), node("e", "end")],
        "edges": [edge("1", "s", "e"), edge("2", "s", "e"), edge("3", "s", "nobody"), edge("4", "nobody", "e")],
    });

    let done = import(&document);

    assert_eq!(done.edges(), ["s e"]);
    let dropped = done
        .warnings
        .iter()
        .filter(|one| one.reason == "EDGE_DROPPED");
    assert_eq!(dropped.count(), 3);
}

#[test]
fn nodes_that_began_a_run_beside_start_are_led_to() {
    let mut fragile = node("fragile", "merge");
    fragile["data"] = json!({"fallback_node_id": "rescue"});
    let document = json!({
        "nodes": [node("s", "start"), fragile, node("rescue", "merge"), node("alone", "merge")],
        "edges": [edge("1", "s", "fragile")],
    });

    let done = import(&document);

    assert_eq!(done.edges(), ["s fragile", "s alone"]);
    assert_eq!(done.reasons("alone"), ["EDGE_ADDED nodes[3]"]);
    assert_eq!(done.draft.definition.edges[1].id, "s-alone");
}

#[test]
fn nodes_without_an_id_get_one() {
    let document = json!({"nodes": [{"type": "start"}, node("node-2", "merge"), {"type": "end"}]});

    let done = import(&document);

    let ids: Vec<_> = done
        .draft
        .definition
        .nodes
        .iter()
        .map(|node| node.id.as_str())
        .collect();
    assert_eq!(ids, ["node-0", "node-2", "node-2-2"]);
}
