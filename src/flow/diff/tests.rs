use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::flow::{Effect, OnConflict, OnError, Policy, RetryPolicy};

fn all(base: &Definition, compare: &Definition) -> FlowDiff {
    definitions(base, compare, &mut Budget::new(usize::MAX, usize::MAX))
}

fn a_node(id: &str, data: Value) -> Node {
    Node {
        id: id.into(),
        kind: "transform".to_owned(),
        position: Position::default(),
        data,
        display_name: String::new(),
        timeout: None,
        effect: None,
        retry: None,
        on_error: None,
    }
}

fn an_edge(id: &str, source: &str, target: &str) -> Edge {
    Edge {
        id: id.to_owned(),
        source: source.into(),
        target: target.into(),
        source_handle: String::new(),
        target_handle: String::new(),
        animated: false,
    }
}

fn flow() -> Definition {
    Definition {
        nodes: vec![
            a_node("a", json!({ "url": "x", "deep": { "list": [1, 2] } })),
            a_node("b", json!({})),
        ],
        edges: vec![an_edge("", "a", "b"), an_edge("e", "a", "b")],
        ..Definition::default()
    }
}

fn paths(found: &[Difference]) -> Vec<&str> {
    found.iter().map(|one| one.path.as_str()).collect()
}

#[test]
fn a_changed_node_says_where_with_both_values() {
    let base = flow();
    let mut compare = flow();
    let changed = &mut compare.nodes[0];
    changed.kind = "http_request".to_owned();
    changed.data = json!({ "url": "y", "deep": { "list": [1, 2, 3] } });
    changed.timeout = Some(Duration::from_millis(1_500));
    changed.effect = Some(Effect::AtMostOnce);
    changed.retry = Some(RetryPolicy::default());
    changed.on_error = Some(OnError::Fallback("b".into()));

    let found = all(&base, &compare);

    let [node] = found.nodes.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        paths(&node.differences),
        [
            "$.data.deep.list[2]",
            "$.data.url",
            "$.type",
            "$.effect",
            "$.on_error",
            "$.retry",
            "$.timeout"
        ]
    );
    let timeout = node.differences.last().unwrap();
    assert_eq!(
        (&timeout.base, &timeout.compare),
        (&None, &Some(json!("1.5s")))
    );
    assert!(node.affects_runs);
    assert!(found.edges.is_empty() && !found.nodes_reordered && !found.edges_reordered);
}

#[test]
fn what_only_people_see_is_told_apart() {
    let base = flow();
    let mut compare = flow();
    compare.nodes[1].position.x = 10.0;
    compare.nodes[1].display_name = "B".to_owned();
    compare.edges[1].animated = true;

    let found = all(&base, &compare);

    assert_eq!(
        paths(&found.nodes[0].differences),
        ["$.display_name", "$.position"]
    );
    assert!(!found.nodes[0].affects_runs);
    assert_eq!(found.edges.len(), 1);
    assert!(!found.edges[0].affects_runs);
}

#[test]
fn nodes_and_edges_come_and_go() {
    let base = flow();
    let mut compare = flow();
    compare.nodes[0] = a_node("c", json!({}));
    compare.edges = vec![an_edge("e", "c", "b"), an_edge("", "c", "b")];

    let found = all(&base, &compare);

    let kinds: Vec<_> = found
        .nodes
        .iter()
        .map(|node| {
            (
                node.id.as_str(),
                node.base_kind.is_some(),
                node.compare_kind.is_some(),
            )
        })
        .collect();
    assert_eq!(kinds, [("a", true, false), ("c", false, true)]);
    let ends: Vec<_> = found
        .edges
        .iter()
        .map(|edge| (edge.base.is_some(), edge.compare.is_some()))
        .collect();
    assert_eq!(
        ends,
        [(true, false), (true, true), (false, true)],
        "removed, led elsewhere, added"
    );
    assert!(found.edges.iter().all(|edge| edge.affects_runs));
}

#[test]
fn an_edge_that_got_an_id_is_the_same_edge() {
    let base = flow();
    let mut compare = flow();
    compare.edges[0].id = "new".to_owned();

    let found = all(&base, &compare);

    assert_eq!(found.edges.len(), 1);
    assert!(found.edges[0].base.is_some() && found.edges[0].compare.is_some());
    assert!(!found.edges[0].affects_runs);
}

#[test]
fn order_policy_and_schema_count_too() {
    let base = flow();
    let mut compare = flow();
    compare.nodes.reverse();
    compare.edges.reverse();
    compare.policy.max_open_runs = Some(3);
    compare.policy.on_conflict = Some(OnConflict::Reject);
    compare.input_schema = Some(json!({ "type": "object" }));

    let found = all(&base, &compare);

    assert!(found.nodes_reordered && found.edges_reordered);
    assert!(found.nodes.is_empty() && found.edges.is_empty());
    assert_eq!(paths(&found.policy), ["$.max_open_runs", "$.on_conflict"]);
    assert_eq!(paths(&found.input_schema), ["$"]);
}

#[test]
fn a_large_change_is_cut_short_and_says_so() {
    let many = |prefix: &str| Definition {
        nodes: (0..1_000)
            .map(|n| {
                a_node(
                    &format!("{prefix}{n}"),
                    json!({ "text": "x".repeat(5_000) }),
                )
            })
            .collect(),
        ..Definition::default()
    };
    let mut budget = Budget::new(100, 1 << 20);

    let found = definitions(&many("a"), &many("b"), &mut budget);

    assert_eq!(found.nodes.len(), 100);
    assert!(budget.is_truncated());
}

fn any_definition() -> impl Strategy<Value = Definition> {
    let node =
        (0_usize..4, 0_i64..3, 0_u64..2, any::<bool>()).prop_map(|(id, data, timeout, moved)| {
            Node {
                position: Position {
                    x: if moved { 1.0 } else { 0.0 },
                    y: 0.0,
                },
                timeout: (timeout > 0).then(|| Duration::from_secs(timeout)),
                on_error: (data == 2).then_some(OnError::ErrorPort),
                ..a_node(["a", "b", "c", "d"][id], json!({ "n": data }))
            }
        });
    let edge = (0_usize..4, 0_usize..3, 0_usize..3).prop_map(|(id, source, target)| {
        an_edge(
            ["", "e", "f", "g"][id],
            ["a", "b", "c"][source],
            ["b", "c", "d"][target],
        )
    });
    let nodes = prop::collection::vec(node, 0..5);
    let edges = prop::collection::vec(edge, 0..6);
    (nodes, edges, 0_u32..3).prop_map(|(mut nodes, mut edges, limit)| {
        let mut ids = std::collections::HashSet::new();
        nodes.retain(|node| ids.insert(node.id.clone()));
        let mut ids = std::collections::HashSet::new();
        edges.retain(|edge| edge.id.is_empty() || ids.insert(edge.id.clone()));
        Definition {
            nodes,
            edges,
            input_schema: None,
            policy: Policy {
                max_parallel_steps: (limit > 0).then_some(limit),
                ..Policy::default()
            },
        }
    })
}

proptest! {
    #[test]
    fn equal_definitions_and_only_they_have_no_difference(base in any_definition(), compare in any_definition()) {
        prop_assert!(all(&base, &base).is_empty());
        prop_assert_eq!(all(&base, &compare).is_empty(), base == compare, "{:?}", all(&base, &compare));
    }
}
