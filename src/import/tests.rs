//! Whole documents: the predecessor's own flows, exactly, and what every import keeps.

use serde_json::{Value, json};

use super::*;

const FLOWS: [(&str, &str, &str); 3] = [
    (
        "chatbot-memory",
        include_str!("../../tests/conformance/predecessor-flows/chatbot-memory.json"),
        include_str!("../../tests/conformance/predecessor-flows/expected/chatbot-memory.json"),
    ),
    (
        "illustrated-story",
        include_str!("../../tests/conformance/predecessor-flows/illustrated-story.json"),
        include_str!("../../tests/conformance/predecessor-flows/expected/illustrated-story.json"),
    ),
    (
        "content-engine-pipeline",
        include_str!("../../tests/conformance/predecessor-flows/content-engine-pipeline.yaml"),
        include_str!(
            "../../tests/conformance/predecessor-flows/expected/content-engine-pipeline.json"
        ),
    ),
];

/// A flow and its warnings as one value, to be compared.
fn shown(imported: &Imported) -> Value {
    let warnings = imported.warnings.iter().map(|warning| {
        json!({
            "node_id": warning.node.as_ref().map(ToString::to_string),
            "field": warning.field,
            "reason": warning.reason,
            "description": warning.description,
        })
    });
    json!({
        "flow": document::write(&imported.draft),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

#[test]
fn the_predecessors_own_flows_become_just_this() {
    for (name, text, expected) in FLOWS {
        let imported = read(text, None).unwrap();

        assert!(imported.format.is_predecessors(), "{name}");
        let expected: Value = serde_json::from_str(expected).unwrap();
        let found = shown(&imported);
        assert_eq!(found, expected, "{name}: {found:#}");
    }
}
