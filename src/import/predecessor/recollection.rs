//! Models behind a memory: there they were given the run's input and found what was retrieved beside it.
//!
//! Here a node's input is its predecessor's output, and so the question would be lost. Such a node becomes an `llm` that
//! is asked what the run was asked, with what was retrieved as a part of the conversation.

use serde_json::{Map, Value, json};

use super::envelope::RawNode;
use crate::flow::{Edge, Node};
use crate::import::notes::Notes;

/// What the predecessor asked a model: the run's input, or the first text in it that has a usual name.
const QUESTION: &str = "{{ input if input is string else input.prompt | default(input.text, true) | \
                        default(input.input, true) | default(input.content, true) | \
                        default(input.message, true) | default(input | tojson, true) }}";

/// What was retrieved.
const RECALLED: &str = "{{ 'Nothing is remembered yet.' if content.status | default('') == 'not_found' \
                        else 'This is remembered: ' ~ (content if content is string else content | tojson) }}";

/// Connects models with the run's input where they would see only what a memory has given.
pub(super) fn connect(nodes: &mut [Node], edges: &[Edge], raw: &[RawNode], notes: &mut Notes) {
    let recalls: Vec<bool> = nodes.iter().map(is_recall).collect();
    let behind: Vec<bool> = nodes
        .iter()
        .map(|node| {
            let mut sources = edges.iter().filter(|edge| edge.target == node.id);
            let only = sources.next().filter(|_| sources.next().is_none());
            let source = only.and_then(|edge| nodes.iter().position(|one| one.id == edge.source));
            source.is_some_and(|source| recalls[source])
        })
        .collect();
    for ((node, raw), is_behind) in nodes.iter_mut().zip(raw).zip(behind) {
        let asks = matches!(node.kind.as_str(), "writer" | "llm");
        let Value::Object(data) = &mut node.data else {
            continue;
        };
        let is_settled = data.contains_key("user_prompt") || data.contains_key("messages");
        if !is_behind || !asks || is_settled {
            continue;
        }
        if node.kind == "writer" {
            "llm".clone_into(&mut node.kind);
            preset(data);
        }
        data.insert("user_prompt".to_owned(), QUESTION.into());
        let message = json!([{"role": "system", "content": RECALLED}]);
        data.insert("messages".to_owned(), message);
        let description = "is asked what the run was asked, as it was there, and gets what the memory before it has \
                           retrieved as a message";
        notes.add(&raw.place, "PROMPT_SET", description);
    }
}

/// Whether a node gives what a memory has kept.
fn is_recall(node: &Node) -> bool {
    let operation = node.data.get("operation").and_then(Value::as_str);
    node.kind == "memory" && matches!(operation, Some("retrieve" | "search"))
}

/// What a `writer` is: an `llm` with these settings.
fn preset(data: &mut Map<String, Value>) {
    let settings = [
        ("provider", json!("openai")),
        ("model", json!("gpt-4o")),
        ("temperature", json!(0.7)),
        ("max_tokens", json!(1000)),
    ];
    for (key, value) in settings {
        data.entry(key).or_insert(value);
    }
}
