//! Nodes, with their policies back in `data`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::templates::Scope;
use super::{Findings, configs};
use crate::flow::{Definition, Node, OnError, RetryPolicy};
use crate::ids::NodeId;
use crate::import::predecessor::kinds::Kind;

/// Writes all nodes, in their order.
pub(super) fn write(definition: &Definition, findings: &mut Findings) -> Vec<Value> {
    let kinds: HashMap<&NodeId, Option<Kind>> = definition
        .nodes
        .iter()
        .map(|node| (&node.id, kind(node)))
        .collect();
    let starts: Vec<&NodeId> = definition
        .nodes
        .iter()
        .filter(|node| kind(node) == Some(Kind::Start))
        .map(|node| &node.id)
        .collect();
    let is_fed = |node: &Node| {
        definition
            .edges
            .iter()
            .any(|edge| edge.target == node.id && !starts.contains(&&edge.source))
    };
    definition
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let field = format!("flow.nodes[{index}]");
            let scope = Scope {
                kinds: &kinds,
                before: None,
                is_in_loop: false,
            };
            let is_fed = is_fed(node) && !matches!(kind(node), Some(Kind::Merge | Kind::End));
            if is_fed {
                let description = "there a node got the run's input, whatever led to it: only templates over results read \
                                   what is before it";
                findings.lose(&field, Some(&node.id), description);
            }
            let position = json!({"x": node.position.x, "y": node.position.y});
            let mut written = one(node, &field, scope, findings);
            written.insert("position".to_owned(), position);
            Value::Object(written)
        })
        .collect()
}

/// The predecessor's kind of a node, if it had it.
pub(super) fn kind(node: &Node) -> Option<Kind> {
    Kind::of(&node.kind).filter(|kind| kind.name() == node.kind)
}

/// Writes a node, without its position.
pub(super) fn one(
    node: &Node,
    field: &str,
    scope: Scope<'_>,
    findings: &mut Findings,
) -> Map<String, Value> {
    let mut data = if let Some(kind) = kind(node) {
        configs::write(node, kind, &format!("{field}.data"), scope, findings)
    } else {
        let description = format!("there was no node of the type {}", node.kind);
        findings.refuse(format!("{field}.type"), &node.id, description);
        Map::new()
    };
    if !node.display_name.is_empty() {
        data.insert("label".to_owned(), json!(node.display_name));
    }
    policies(node, field, &mut data, findings);
    let mut written = Map::new();
    written.insert("id".to_owned(), json!(node.id));
    written.insert("type".to_owned(), json!(node.kind));
    written.insert("data".to_owned(), Value::Object(data));
    written
}

fn policies(node: &Node, field: &str, data: &mut Map<String, Value>, findings: &mut Findings) {
    let is_ordinary = kind(node).is_none_or(Kind::is_ordinary);
    let lose = |findings: &mut Findings, name: &str, description: &str| {
        findings.lose(format!("{field}.{name}"), Some(&node.id), description);
    };
    if let Some(timeout) = node.timeout {
        if is_ordinary {
            data.insert("timeout_seconds".to_owned(), seconds(timeout.as_secs_f64()));
        } else {
            lose(findings, "timeout", "a node of this kind had no timeout");
        }
    }
    if let Some(retry) = &node.retry {
        if retry.max_attempts > 1 && is_ordinary {
            data.insert("retry_config".to_owned(), retry_config(retry));
        }
        let plain = RetryPolicy {
            max_attempts: retry.max_attempts,
            initial_interval: retry.initial_interval,
            coefficient: retry.coefficient,
            max_interval: retry.max_interval,
            ..RetryPolicy::default()
        };
        if *retry != plain || !is_ordinary {
            let description = "only the number of attempts, the first wait and the factor between waits are carried";
            lose(findings, "retry", description);
        }
    }
    match &node.on_error {
        None => {}
        Some(OnError::Fallback(fallback)) if is_ordinary => {
            data.insert("fallback_node_id".to_owned(), json!(fallback));
        }
        Some(OnError::ErrorPort) => {
            let description = "a failure did not leave a node by a port";
            findings.refuse(format!("{field}.on_error"), &node.id, description);
        }
        Some(_) => lose(findings, "on_error", "a failure there ends the run"),
    }
    if node.effect.is_some() {
        lose(findings, "effect", "nodes had no effect");
    }
}

fn retry_config(retry: &RetryPolicy) -> Value {
    json!({
        "max_retries": retry.max_attempts - 1,
        "delay": seconds(retry.initial_interval.as_secs_f64()),
        "backoff": seconds(retry.coefficient),
    })
}

/// A number, whole ones without a fraction.
fn seconds(number: f64) -> Value {
    let mut value = json!(number);
    crate::value::normalise(&mut value);
    value
}
