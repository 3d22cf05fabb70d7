//! Reading: from JSON to a draft.

use std::time::Duration;

use serde_json::Value;

use super::fields::{Fields, Problems, shown};
use super::span;
use crate::flow::{
    Body, Definition, Draft, Edge, Effect, Node, OnConflict, OnError, Policy, Position, RetryPolicy,
};
use crate::ids::NodeId;
use crate::value;

/// What only storing gives a flow.
const SET_BY_THE_SERVICE: [&str; 5] = [
    "revision",
    "content_hash",
    "etag",
    "create_time",
    "update_time",
];

/// Reads a whole flow.
pub(super) fn flow(document: &Value, path: &str, problems: &mut Problems) -> Draft {
    let mut fields = Fields::open(document, path.to_owned(), problems);
    let draft = Draft {
        id: fields.text("id", problems),
        name: fields.text("name", problems),
        description: fields.text("description", problems),
        labels: fields.text_map("labels", problems),
        definition: Definition {
            nodes: nodes(&mut fields, problems),
            edges: edges(&mut fields, problems),
            input_schema: fields.take("input_schema", problems).map(normal),
            policy: policy(&mut fields, problems),
        },
    };
    for name in SET_BY_THE_SERVICE {
        fields.take_any(name, problems);
    }
    fields.close(problems);
    draft
}

/// Reads the graph inside a loop.
pub(super) fn body(given: &Value, problems: &mut Problems) -> Body {
    let mut fields = Fields::open(given, String::new(), problems);
    let body = Body {
        nodes: nodes(&mut fields, problems),
        edges: edges(&mut fields, problems),
    };
    fields.close(problems);
    body
}

fn nodes(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Node> {
    fields
        .list("nodes", problems)
        .map(|(path, item)| node(item, path, problems))
        .collect()
}

fn edges(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Edge> {
    fields
        .list("edges", problems)
        .map(|(path, item)| edge(item, path, problems))
        .collect()
}

fn node(given: &Value, path: String, problems: &mut Problems) -> Node {
    let mut fields = Fields::open(given, path, problems);
    let node = Node {
        id: NodeId::new(fields.text("id", problems)),
        kind: fields.text("type", problems),
        position: position(&mut fields, problems),
        data: fields
            .take("data", problems)
            .map_or_else(|| Value::Object(serde_json::Map::new()), normal),
        display_name: fields.text("display_name", problems),
        timeout: duration(&mut fields, "timeout", problems),
        effect: fields.one_of("effect", "EFFECT_UNSPECIFIED", &EFFECTS, problems),
        retry: retry(&mut fields, problems),
        on_error: on_error(&mut fields, problems),
    };
    fields.close(problems);
    node
}

/// Effects by their names on the wire.
pub(super) const EFFECTS: [(&str, Effect); 3] = [
    ("EFFECT_PURE", Effect::Pure),
    ("EFFECT_IDEMPOTENT", Effect::Idempotent),
    ("EFFECT_AT_MOST_ONCE", Effect::AtMostOnce),
];

fn edge(given: &Value, path: String, problems: &mut Problems) -> Edge {
    let mut fields = Fields::open(given, path, problems);
    let edge = Edge {
        id: fields.text("id", problems),
        source: NodeId::new(fields.text("source", problems)),
        target: NodeId::new(fields.text("target", problems)),
        source_handle: fields.text("source_handle", problems),
        target_handle: fields.text("target_handle", problems),
        animated: fields.boolean("animated", problems),
    };
    fields.close(problems);
    edge
}

fn position(fields: &mut Fields<'_>, problems: &mut Problems) -> Position {
    let Some(given) = fields.take("position", problems) else {
        return Position::default();
    };
    let mut fields = Fields::open(given, fields.path("position"), problems);
    let position = Position {
        x: fields.number("x", problems).unwrap_or_default(),
        y: fields.number("y", problems).unwrap_or_default(),
    };
    fields.close(problems);
    position
}

fn retry(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<RetryPolicy> {
    let given = fields.take("retry", problems)?;
    Some(retry_of(given, fields.path("retry"), problems))
}

/// Reads a retry policy.
pub(super) fn retry_of(given: &Value, path: String, problems: &mut Problems) -> RetryPolicy {
    let mut fields = Fields::open(given, path, problems);
    let unset = RetryPolicy::default();
    let policy = RetryPolicy {
        max_attempts: fields
            .count("max_attempts", problems)
            .unwrap_or(unset.max_attempts),
        initial_interval: duration(&mut fields, "initial_interval", problems)
            .unwrap_or(unset.initial_interval),
        coefficient: fields
            .number("coefficient", problems)
            .filter(|&coefficient| coefficient != 0.0)
            .unwrap_or(unset.coefficient),
        max_interval: duration(&mut fields, "max_interval", problems).unwrap_or(unset.max_interval),
        jitter: fields.number("jitter", problems).unwrap_or(unset.jitter),
        non_retryable_reasons: fields.texts("non_retryable_reasons", problems),
        safe_on: fields.texts("safe_on", problems),
        total_timeout: duration(&mut fields, "total_timeout", problems),
    };
    fields.close(problems);
    policy
}

fn on_error(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<OnError> {
    let given = fields.take("on_error", problems)?;
    on_error_of(given, fields.path("on_error"), problems)
}

/// Reads what follows a failure.
pub(super) fn on_error_of(given: &Value, path: String, problems: &mut Problems) -> Option<OnError> {
    let mut fields = Fields::open(given, path.clone(), problems);
    let mut actions = Vec::new();
    if let Some(port) = fields.take("port", problems) {
        Fields::open(port, fields.path("port"), problems).close(problems);
        actions.push(OnError::ErrorPort);
    }
    if let Some(fallback) = fields.take("fallback", problems) {
        let mut inner = Fields::open(fallback, fields.path("fallback"), problems);
        let node = inner.text("node_id", problems);
        inner.close(problems);
        actions.push(OnError::Fallback(NodeId::new(node)));
    }
    // Here null is a value.
    if let Some(output) = fields.take_any("default_output", problems) {
        actions.push(OnError::DefaultOutput(normal(output)));
    }
    if let Some(go_on) = fields.take("continue_run", problems) {
        Fields::open(go_on, fields.path("continue_run"), problems).close(problems);
        actions.push(OnError::ContinueRun);
    }
    fields.close(problems);
    if actions.len() > 1 {
        let description = "says more than one thing that is to follow; only one can".to_owned();
        problems.add(path, "CONFLICT", description);
    }
    actions.pop()
}

fn policy(fields: &mut Fields<'_>, problems: &mut Problems) -> Policy {
    let Some(given) = fields.take("policy", problems) else {
        return Policy::default();
    };
    let mut fields = Fields::open(given, fields.path("policy"), problems);
    let policy = Policy {
        run_timeout: duration(&mut fields, "run_timeout", problems),
        max_parallel_steps: fields.count("max_parallel_steps", problems),
        max_open_runs: fields.count("max_open_runs", problems),
        concurrency_key: fields.text("concurrency_key", problems),
        on_conflict: fields.one_of(
            "on_conflict",
            "CONFLICT_ACTION_UNSPECIFIED",
            &CONFLICT_ACTIONS,
            problems,
        ),
    };
    fields.close(problems);
    policy
}

/// What becomes of a run over the limit, by the names on the wire.
pub(super) const CONFLICT_ACTIONS: [(&str, OnConflict); 3] = [
    ("CONFLICT_ACTION_QUEUE", OnConflict::Queue),
    ("CONFLICT_ACTION_REJECT", OnConflict::Reject),
    ("CONFLICT_ACTION_CANCEL_RUNNING", OnConflict::CancelRunning),
];

fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<Duration> {
    let path = fields.path(name);
    let found = fields.take(name, problems)?;
    let given = found.as_str();
    let read = given.and_then(span::parse);
    if read.is_none() {
        let shown = given.map_or_else(|| value::kind(found).to_owned(), shown);
        let description = format!("is {shown}, not a duration such as \"5s\" or \"1.5s\"");
        problems.add(path, "WRONG_TYPE", description);
    }
    read
}

/// A client's JSON as it is stored: whole doubles are integers.
fn normal(given: &Value) -> Value {
    let mut value = given.clone();
    value::normalise(&mut value);
    value
}
