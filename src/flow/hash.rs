//! The hash that tells whether a graph has changed.

use serde_json::{Map, Value, json};

use super::{Definition, Edge, Effect, Node, OnConflict, Policy, document};
use crate::value::canonical;

/// SHA-256 of a definition in the form of RFC 8785: equal for equal graphs, whoever wrote them and however they were
/// stored in between (`1.0` is `1`, keys have no order).
///
/// Fields that are empty or unset are left out of the form, so that a field that is added later changes no old hash.
#[must_use]
pub fn content_hash(definition: &Definition) -> [u8; 32] {
    canonical::digest(canonical::canonical(&form(definition)).as_bytes())
}

fn form(definition: &Definition) -> Value {
    let Definition {
        nodes,
        edges,
        input_schema,
        policy,
    } = definition;
    let rules = rules(policy);
    let mut form = Map::new();
    form.insert("nodes".to_owned(), nodes.iter().map(node).collect());
    form.insert("edges".to_owned(), edges.iter().map(edge).collect());
    if let Some(schema) = input_schema {
        form.insert("input_schema".to_owned(), schema.clone());
    }
    if !rules.is_empty() {
        form.insert("policy".to_owned(), rules.into());
    }
    form.into()
}

fn rules(policy: &Policy) -> Map<String, Value> {
    let mut form = Map::new();
    if let Some(timeout) = policy.run_timeout {
        form.insert("run_timeout_ms".to_owned(), milliseconds(timeout));
    }
    if let Some(steps) = policy.max_parallel_steps {
        form.insert("max_parallel_steps".to_owned(), steps.into());
    }
    if let Some(runs) = policy.max_open_runs {
        form.insert("max_open_runs".to_owned(), runs.into());
    }
    put_text(&mut form, "concurrency_key", &policy.concurrency_key);
    if let Some(action) = policy.on_conflict {
        let name = match action {
            OnConflict::Queue => "QUEUE",
            OnConflict::Reject => "REJECT",
            OnConflict::CancelRunning => "CANCEL_RUNNING",
        };
        form.insert("on_conflict".to_owned(), name.into());
    }
    form
}

fn node(node: &Node) -> Value {
    let mut form = Map::new();
    form.insert("id".to_owned(), node.id.as_str().into());
    form.insert("type".to_owned(), node.kind.as_str().into());
    let position = json!({"x": node.position.x, "y": node.position.y});
    form.insert("position".to_owned(), position);
    form.insert("data".to_owned(), node.data.clone());
    put_text(&mut form, "display_name", &node.display_name);
    if let Some(timeout) = node.timeout {
        form.insert("timeout_ms".to_owned(), milliseconds(timeout));
    }
    if let Some(effect) = node.effect {
        let name = match effect {
            Effect::Pure => "PURE",
            Effect::Idempotent => "IDEMPOTENT",
            Effect::AtMostOnce => "AT_MOST_ONCE",
        };
        form.insert("effect".to_owned(), name.into());
    }
    if let Some(policy) = &node.retry {
        form.insert("retry".to_owned(), document::write_retry(policy));
    }
    if let Some(action) = &node.on_error {
        form.insert("on_error".to_owned(), document::write_on_error(action));
    }
    form.into()
}

fn edge(edge: &Edge) -> Value {
    let mut form = Map::new();
    put_text(&mut form, "id", &edge.id);
    form.insert("source".to_owned(), edge.source.as_str().into());
    form.insert("target".to_owned(), edge.target.as_str().into());
    put_text(&mut form, "source_handle", &edge.source_handle);
    put_text(&mut form, "target_handle", &edge.target_handle);
    if edge.animated {
        form.insert("animated".to_owned(), true.into());
    }
    form.into()
}

fn put_text(form: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        form.insert(key.to_owned(), text.into());
    }
}

fn milliseconds(duration: std::time::Duration) -> Value {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flow::{OnError, Position, RetryPolicy};
    use crate::ids::NodeId;

    fn definition(data: &Value) -> Definition {
        let node = |id: &str| Node {
            id: NodeId::from(id),
            kind: "transform".to_owned(),
            position: Position { x: 100.0, y: 0.5 },
            data: data.clone(),
            display_name: String::new(),
            timeout: Some(Duration::from_secs(3)),
            effect: None,
            retry: None,
            on_error: None,
        };
        Definition {
            nodes: vec![node("a"), node("b")],
            edges: vec![Edge {
                id: "e".to_owned(),
                source: "a".into(),
                target: "b".into(),
                source_handle: String::new(),
                target_handle: String::new(),
                animated: false,
            }],
            input_schema: None,
            policy: Policy::default(),
        }
    }

    #[test]
    fn whole_doubles_and_the_order_of_keys_change_nothing() {
        let text = r#"{"b": 1.0, "a": [2, 0.1, 1e-7]}"#;
        let stored = r#"{"a": [2.0, 0.1, 0.0000001], "b": 1}"#;
        let of = |text| content_hash(&definition(&serde_json::from_str(text).unwrap()));

        assert_eq!(of(text), of(stored));
    }

    #[test]
    fn each_part_of_a_graph_counts() {
        let plain = definition(&json!({}));
        let mut all = vec![content_hash(&plain)];
        let mut changed = |change: &dyn Fn(&mut Definition)| {
            let mut definition = plain.clone();
            change(&mut definition);
            all.push(content_hash(&definition));
        };

        changed(&|d| d.nodes[0].position.x = 1.0);
        changed(&|d| d.nodes[0].display_name = "first".to_owned());
        changed(&|d| d.nodes[0].timeout = None);
        changed(&|d| d.nodes[0].effect = Some(Effect::AtMostOnce));
        changed(&|d| d.nodes[1].data = json!({"x": null}));
        changed(&|d| d.nodes.reverse());
        changed(&|d| d.edges[0].source_handle = "true".to_owned());
        changed(&|d| d.edges[0].animated = true);
        changed(&|d| d.input_schema = Some(json!({})));
        changed(&|d| d.policy.max_parallel_steps = Some(1));
        changed(&|d| d.policy.max_open_runs = Some(1));
        changed(&|d| d.policy.concurrency_key = "x".to_owned());
        changed(&|d| d.policy.on_conflict = Some(OnConflict::Queue));
        changed(&|d| d.policy.on_conflict = Some(OnConflict::Reject));
        let retry = RetryPolicy::default();
        changed(&|d| d.nodes[0].retry = Some(retry.clone()));
        let jitter = RetryPolicy {
            jitter: 0.5,
            ..retry.clone()
        };
        changed(&|d| d.nodes[0].retry = Some(jitter.clone()));
        changed(&|d| d.nodes[0].on_error = Some(OnError::ErrorPort));
        changed(&|d| d.nodes[0].on_error = Some(OnError::Fallback("b".into())));
        changed(&|d| d.nodes[0].on_error = Some(OnError::DefaultOutput(Value::Null)));
        changed(&|d| d.nodes[0].on_error = Some(OnError::ContinueRun));

        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    /// Whoever changes a form changes the hash of every flow that is stored.
    #[test]
    fn the_hash_of_a_graph_stays_what_it_is() {
        let mut definition = definition(&json!({"n": 1}));
        let plain = canonical::hex(&content_hash(&definition));
        definition.nodes[0].retry = Some(RetryPolicy {
            max_attempts: 3,
            safe_on: vec!["HTTP_5XX".to_owned()],
            total_timeout: Some(Duration::from_millis(1_500)),
            ..RetryPolicy::default()
        });
        definition.nodes[0].on_error = Some(OnError::Fallback("b".into()));
        definition.policy.on_conflict = Some(OnConflict::Queue);
        let full = canonical::hex(&content_hash(&definition));

        assert_eq!(
            plain,
            "367b3fe0e84078267a36598d6cb51eeb5eae29da6638ceb7230141b6d2fd149f"
        );
        assert_eq!(
            full,
            "d9cf2cc31d4c2e64c2e918ade06d8265183aeada6dd58ea9e19490d46c3e53ac"
        );
    }
}
