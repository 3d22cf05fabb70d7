//! Writing: from a draft to JSON, without what is empty or unset.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::read::{CONFLICT_ACTIONS, EFFECTS};
use super::span;
use crate::flow::{Body, Draft, Edge, Node, OnError, Policy, Position, RetryPolicy};
use crate::value;

/// Writes a flow. Reading the document gives the same draft, and so the same content hash.
#[must_use]
pub fn write(draft: &Draft) -> Value {
    let definition = &draft.definition;
    let mut document = Map::new();
    put_text(&mut document, "id", &draft.id);
    put_text(&mut document, "name", &draft.name);
    put_text(&mut document, "description", &draft.description);
    if !draft.labels.is_empty() {
        document.insert("labels".to_owned(), json!(draft.labels));
    }
    put_graph(&mut document, &definition.nodes, &definition.edges);
    if let Some(schema) = &definition.input_schema {
        document.insert("input_schema".to_owned(), schema.clone());
    }
    if definition.policy != Policy::default() {
        document.insert("policy".to_owned(), write_policy(&definition.policy));
    }
    document.into()
}

/// Writes the graph inside a loop.
#[must_use]
pub fn write_body(body: &Body) -> Value {
    let mut document = Map::new();
    put_graph(&mut document, &body.nodes, &body.edges);
    document.into()
}

fn put_graph(document: &mut Map<String, Value>, nodes: &[Node], edges: &[Edge]) {
    document.insert("nodes".to_owned(), nodes.iter().map(write_node).collect());
    if !edges.is_empty() {
        document.insert("edges".to_owned(), edges.iter().map(edge).collect());
    }
}

/// Writes a node by itself.
#[must_use]
pub fn write_node(node: &Node) -> Value {
    let mut document = Map::new();
    put_text(&mut document, "id", node.id.as_str());
    put_text(&mut document, "type", &node.kind);
    if node.position != Position::default() {
        let Position { x, y } = node.position;
        let position = json!({"x": number(x), "y": number(y)});
        document.insert("position".to_owned(), position);
    }
    if node.data.as_object().is_none_or(|data| !data.is_empty()) {
        document.insert("data".to_owned(), node.data.clone());
    }
    put_duration(&mut document, "timeout", node.timeout);
    if let Some(policy) = &node.retry {
        document.insert("retry".to_owned(), write_retry(policy));
    }
    if let Some(action) = &node.on_error {
        document.insert("on_error".to_owned(), write_on_error(action));
    }
    put_name(&mut document, "effect", node.effect, &EFFECTS);
    put_text(&mut document, "display_name", &node.display_name);
    document.into()
}

fn edge(edge: &Edge) -> Value {
    let mut document = Map::new();
    put_text(&mut document, "id", &edge.id);
    put_text(&mut document, "source", edge.source.as_str());
    put_text(&mut document, "target", edge.target.as_str());
    put_text(&mut document, "source_handle", &edge.source_handle);
    put_text(&mut document, "target_handle", &edge.target_handle);
    if edge.animated {
        document.insert("animated".to_owned(), true.into());
    }
    document.into()
}

/// Writes a retry policy by itself, with all that holds where nothing was said.
#[must_use]
pub fn write_retry(policy: &RetryPolicy) -> Value {
    let mut document = Map::new();
    document.insert("max_attempts".to_owned(), policy.max_attempts.into());
    let initial = Some(policy.initial_interval);
    put_duration(&mut document, "initial_interval", initial);
    document.insert("coefficient".to_owned(), number(policy.coefficient));
    put_duration(&mut document, "max_interval", Some(policy.max_interval));
    if policy.jitter != 0.0 {
        document.insert("jitter".to_owned(), number(policy.jitter));
    }
    put_texts(
        &mut document,
        "non_retryable_reasons",
        &policy.non_retryable_reasons,
    );
    put_texts(&mut document, "safe_on", &policy.safe_on);
    put_duration(&mut document, "total_timeout", policy.total_timeout);
    document.into()
}

/// Writes by itself what follows a failure.
#[must_use]
pub fn write_on_error(action: &OnError) -> Value {
    match action {
        OnError::ErrorPort => json!({"port": {}}),
        OnError::Fallback(node) => json!({"fallback": {"node_id": node.as_str()}}),
        OnError::DefaultOutput(output) => json!({"default_output": output}),
        OnError::ContinueRun => json!({"continue_run": {}}),
    }
}

/// Writes a policy by itself.
#[must_use]
pub fn write_policy(policy: &Policy) -> Value {
    let mut document = Map::new();
    put_duration(&mut document, "run_timeout", policy.run_timeout);
    if let Some(runs) = policy.max_open_runs {
        document.insert("max_open_runs".to_owned(), runs.into());
    }
    put_text(&mut document, "concurrency_key", &policy.concurrency_key);
    let action = policy.on_conflict;
    put_name(&mut document, "on_conflict", action, &CONFLICT_ACTIONS);
    if let Some(steps) = policy.max_parallel_steps {
        document.insert("max_parallel_steps".to_owned(), steps.into());
    }
    document.into()
}

fn put_text(document: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        document.insert(key.to_owned(), text.into());
    }
}

fn put_texts(document: &mut Map<String, Value>, key: &str, texts: &[String]) {
    if !texts.is_empty() {
        document.insert(key.to_owned(), json!(texts));
    }
}

fn put_duration(document: &mut Map<String, Value>, key: &str, duration: Option<Duration>) {
    if let Some(duration) = duration {
        document.insert(key.to_owned(), span::text(duration).into());
    }
}

fn put_name<T: Copy + PartialEq>(
    document: &mut Map<String, Value>,
    key: &str,
    chosen: Option<T>,
    names: &[(&str, T)],
) {
    let name = names.iter().find(|(_, value)| Some(*value) == chosen);
    if let Some((name, _)) = name {
        document.insert(key.to_owned(), (*name).into());
    }
}

/// A number as JSON, whole ones without a fraction.
fn number(number: f64) -> Value {
    let mut json = Value::from(number);
    value::normalise(&mut json);
    json
}
