//! Telling by its looks whether a document is ours or the predecessor's.

use serde_json::{Map, Value};

use super::Format;
use super::predecessor;
use super::text::Syntax;

/// Fields of a flow that only ours have. Both have `id`, `name`, `description`, `nodes` and `edges`.
const OURS: [&str; 10] = [
    "labels",
    "input_schema",
    "inputSchema",
    "policy",
    "revision",
    "content_hash",
    "contentHash",
    "etag",
    "create_time",
    "update_time",
];

/// Fields of a flow that only the predecessor's have.
const THEIRS: [&str; 9] = [
    "synapps_version",
    "synapps_export_version",
    "exported_at",
    "tags",
    "metadata",
    "version",
    "semver",
    "category",
    "author",
];

/// Fields of a node that only ours have.
const OF_OUR_NODES: [&str; 7] = [
    "display_name",
    "displayName",
    "timeout",
    "retry",
    "on_error",
    "onError",
    "effect",
];

/// The form of a document: what the predecessor alone wrote decides first, then what ours alone have. A document that
/// could be either is ours, unless it has just what the predecessor's API gave: a position for each node and `animated` on
/// each edge.
pub(super) fn format(document: &Value, syntax: Syntax) -> Format {
    let is_theirs = document.as_object().is_some_and(is_predecessors);
    match (syntax, is_theirs) {
        (Syntax::Json, false) => Format::Json,
        (Syntax::Yaml, false) => Format::Yaml,
        (Syntax::Json, true) => Format::PredecessorJson,
        (Syntax::Yaml, true) => Format::PredecessorYaml,
    }
}

fn is_predecessors(document: &Map<String, Value>) -> bool {
    let has = |entries: &Map<String, Value>, keys: &[&str]| {
        keys.iter().any(|key| entries.contains_key(*key))
    };
    let items = |key: &str| -> Vec<&Map<String, Value>> {
        let list = document.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .collect()
    };
    let (nodes, edges) = (items("nodes"), items("edges"));
    if has(document, &THEIRS) || nodes.iter().any(|node| predecessor::is_telling(node)) {
        return true;
    }
    let is_ours = has(document, &OURS)
        || nodes.iter().any(|node| has(node, &OF_OUR_NODES))
        || edges.iter().any(|edge| has(edge, &["source_handle"]));
    if is_ours {
        return false;
    }
    if document.contains_key("nodes") {
        !nodes.is_empty()
            && !edges.is_empty()
            && nodes.iter().all(|node| node.contains_key("position"))
            && edges.iter().all(|edge| edge.contains_key("animated"))
    } else {
        has(document, &["flow", "template"])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(document: &Value) -> Format {
        format(document, Syntax::Json)
    }

    fn of_node(node: &Value) -> Format {
        of(&json!({"id": "a", "nodes": [node]}))
    }

    #[test]
    fn what_only_one_of_them_writes_decides() {
        assert_eq!(
            of(&json!({"synapps_version": "1.0.0"})),
            Format::PredecessorJson
        );
        assert_eq!(of(&json!({"id": "a", "tags": []})), Format::PredecessorJson);
        assert_eq!(of(&json!({"id": "a", "labels": {}})), Format::Json);
        assert_eq!(
            of_node(&json!({"id": "n", "type": "delay", "timeout": "5s"})),
            Format::Json
        );
    }

    #[test]
    fn nodes_tell_by_their_type_and_keys() {
        for node in [
            json!({"type": "http"}),
            json!({"type": "Start"}),
            json!({"type": "end", "data": {"label": "End"}}),
            json!({"type": "transform", "data": {"jsonPath": "$"}}),
            json!({"type": "http_request", "data": {"url": "u", "timeout_seconds": 3}}),
            json!({"type": "for_each", "data": {"sub_nodes": []}}),
            json!({"type": "for_each", "data": {"parallel": true}}),
            json!({"type": "if_else", "data": {"true_target": "a"}}),
        ] {
            assert_eq!(of_node(&node), Format::PredecessorJson, "{node}");
        }
        for node in [
            json!({"type": "http_request", "data": {"url": "u"}}),
            json!({"type": "for_each", "data": {"array_source": "{{ input }}", "concurrency": 2}}),
            json!({"type": "switch", "data": {"cases": ["a"]}}),
            json!({"type": "wait_signal", "data": {"name": "go", "timeout": 3}}),
        ] {
            assert_eq!(of_node(&node), Format::Json, "{node}");
        }
    }

    #[test]
    fn an_answer_of_its_api_is_the_predecessors() {
        let node =
            |id: &str| json!({"id": id, "type": id, "position": {"x": 0, "y": 0}, "data": {}});
        let mut document = json!({
            "id": "a", "name": "A", "nodes": [node("start"), node("end")],
            "edges": [{"id": "e", "source": "start", "target": "end", "animated": false}],
        });

        assert_eq!(of(&document), Format::PredecessorJson);
        document["edges"][0]
            .as_object_mut()
            .unwrap()
            .remove("animated");
        assert_eq!(of(&document), Format::Json);
    }
}
