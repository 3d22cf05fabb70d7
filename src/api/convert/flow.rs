//! Flows, and what is said of them.

mod failure;
mod policy;
#[cfg(test)]
mod tests;

use prost_types::Struct;
use serde_json::{Map, Value};

use super::run::run_state;
use super::time::{from_duration, timestamp};
use super::value::{struct_from_proto, struct_to_proto};
use super::{effect, time, unknown_enum};
use crate::flow::validate::{self, Valid};
use crate::flow::{Definition, Draft, Edge, Effect, Node, Policy, Position, Violation};
use crate::ids::NodeId;
use crate::proto;
use crate::run::state::RunState;
use crate::store::flows::{Head, Summary};
use crate::store::revisions;
use crate::value::canonical;

/// What a client wants a flow to be, and all that cannot be represented in a draft: numbers that JSON does not have,
/// durations that are none, enum values and fields that this version does not know.
///
/// What is said to be wrong is left out of the draft. What the service sets is ignored.
#[must_use]
pub fn draft(flow: proto::Flow) -> (Draft, Vec<Violation>) {
    let mut violations = Vec::new();
    let nodes = flow
        .nodes
        .into_iter()
        .enumerate()
        .map(|(index, given)| node(given, index, &mut violations))
        .collect();
    let input_schema = flow.input_schema.and_then(|schema| {
        let schema = struct_from_proto(schema, "flow.input_schema");
        kept(schema, &mut violations).map(Value::Object)
    });
    let policy = flow
        .policy
        .map(|given| policy::from_proto(given, &mut violations))
        .unwrap_or_default();
    let draft = Draft {
        id: flow.id,
        name: flow.name,
        description: flow.description,
        labels: flow.labels,
        definition: Definition {
            nodes,
            edges: flow.edges.into_iter().map(edge).collect(),
            input_schema,
            policy,
        },
    };
    (draft, violations)
}

fn kept<T>(result: Result<T, Violation>, violations: &mut Vec<Violation>) -> Option<T> {
    result.map_err(|violation| violations.push(violation)).ok()
}

fn node(given: proto::Node, index: usize, violations: &mut Vec<Violation>) -> Node {
    let field = |name: &str| format!("flow.nodes[{index}].{name}");
    let data = given
        .data
        .map(|data| struct_from_proto(data, &field("data")));
    let data = data.and_then(|data| kept(data, violations));
    let timeout = given
        .timeout
        .map(|timeout| from_duration(&timeout, &field("timeout")));
    let timeout = timeout.and_then(|timeout| kept(timeout, violations));
    let retry = given
        .retry
        .map(|given| failure::retry(given, &field("retry"), violations));
    let on_error = given
        .on_error
        .and_then(|given| failure::on_error(given, &field("on_error"), violations));
    let effect = kept(effect_from(given.effect, &field("effect")), violations).flatten();
    Node {
        id: NodeId::new(given.id),
        kind: given.r#type,
        position: given
            .position
            .map(|proto::Position { x, y }| Position { x, y })
            .unwrap_or_default(),
        data: Value::Object(data.unwrap_or_default()),
        display_name: given.display_name,
        timeout,
        effect,
        retry,
        on_error,
    }
}

fn edge(given: proto::Edge) -> Edge {
    Edge {
        id: given.id,
        source: NodeId::new(given.source),
        target: NodeId::new(given.target),
        source_handle: given.source_handle,
        target_handle: given.target_handle,
        animated: given.animated,
    }
}

fn effect_from(number: i32, field: &str) -> Result<Option<Effect>, Violation> {
    match proto::Effect::try_from(number) {
        Ok(proto::Effect::Unspecified) => Ok(None),
        Ok(proto::Effect::Pure) => Ok(Some(Effect::Pure)),
        Ok(proto::Effect::Idempotent) => Ok(Some(Effect::Idempotent)),
        Ok(proto::Effect::AtMostOnce) => Ok(Some(Effect::AtMostOnce)),
        Err(_) => Err(unknown_enum(field, number)),
    }
}

/// A flow as it would be stored: all but what only storing gives it.
#[must_use]
pub fn valid_flow(valid: &Valid) -> proto::Flow {
    proto::Flow {
        id: valid
            .id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        name: valid.name.clone(),
        description: valid.description.clone(),
        labels: valid.labels.clone(),
        content_hash: canonical::hex(&valid.content_hash),
        ..graph(&valid.definition)
    }
}

/// A flow as it is stored, with the graph of one of its revisions.
#[must_use]
pub fn stored_flow(head: &Head, full: &revisions::Full) -> proto::Flow {
    let flow = proto::Flow {
        content_hash: canonical::hex(&full.summary.content_hash),
        ..graph(&full.definition)
    };
    with_head(flow, head, full.summary.number)
}

/// The flow with all that its head says.
#[must_use]
pub fn with_head(flow: proto::Flow, head: &Head, revision: i32) -> proto::Flow {
    proto::Flow {
        id: head.flow_id.to_string(),
        name: head.name.clone(),
        description: head.description.clone(),
        labels: head.labels.clone(),
        revision,
        etag: head.etag(),
        create_time: Some(timestamp(head.created_at)),
        update_time: Some(timestamp(head.updated_at)),
        ..flow
    }
}

/// A flow of which only the graph and what governs it are set.
#[must_use]
pub fn graph(definition: &Definition) -> proto::Flow {
    let Definition {
        nodes,
        edges,
        input_schema,
        policy,
    } = definition;
    proto::Flow {
        nodes: nodes.iter().map(node_to_proto).collect(),
        edges: edges.iter().map(edge_to_proto).collect(),
        input_schema: input_schema.as_ref().map(object),
        policy: (*policy != Policy::default()).then(|| policy::to_proto(policy)),
        ..proto::Flow::default()
    }
}

fn node_to_proto(node: &Node) -> proto::Node {
    let Position { x, y } = node.position;
    proto::Node {
        id: node.id.to_string(),
        r#type: node.kind.clone(),
        position: Some(proto::Position { x, y }),
        data: Some(object(&node.data)),
        timeout: node.timeout.map(time::duration),
        retry: node.retry.as_ref().map(failure::retry_to_proto),
        on_error: node.on_error.as_ref().map(failure::on_error_to_proto),
        effect: node
            .effect
            .map_or(proto::Effect::Unspecified, effect)
            .into(),
        display_name: node.display_name.clone(),
    }
}

/// An edge as the wire has it.
#[must_use]
pub fn edge_to_proto(edge: &Edge) -> proto::Edge {
    proto::Edge {
        id: edge.id.clone(),
        source: edge.source.to_string(),
        target: edge.target.to_string(),
        source_handle: edge.source_handle.clone(),
        target_handle: edge.target_handle.clone(),
        animated: edge.animated,
    }
}

/// An object as the wire has it. Validation lets nothing else through, so that anything else is empty.
pub fn object(value: &Value) -> Struct {
    struct_to_proto(value.as_object().unwrap_or(&Map::new()))
}

/// A flow as lists show it, without its last run.
#[must_use]
pub fn summary(summary: &Summary) -> proto::FlowSummary {
    let head = &summary.head;
    proto::FlowSummary {
        id: head.flow_id.to_string(),
        name: head.name.clone(),
        description: head.description.clone(),
        labels: head.labels.clone(),
        revision: head.latest_revision,
        content_hash: canonical::hex(&summary.content_hash),
        etag: head.etag(),
        node_count: summary.node_count,
        edge_count: summary.edge_count,
        create_time: Some(timestamp(head.created_at)),
        update_time: Some(timestamp(head.updated_at)),
        ..proto::FlowSummary::default()
    }
}

/// Notes the run of a flow that was created last.
pub fn set_last_run(
    summary: &mut proto::FlowSummary,
    run_id: crate::ids::RunId,
    state: RunState,
    created_at: chrono::DateTime<chrono::Utc>,
) {
    summary.last_run_id = run_id.to_string();
    summary.set_last_run_state(run_state(state));
    summary.last_run_create_time = Some(timestamp(created_at));
}

/// A revision as lists show it.
#[must_use]
pub fn revision(summary: &revisions::Summary) -> proto::FlowRevision {
    proto::FlowRevision {
        revision: summary.number,
        content_hash: canonical::hex(&summary.content_hash),
        node_count: summary.node_count,
        edge_count: summary.edge_count,
        create_time: Some(timestamp(summary.created_at)),
    }
}

/// Something for which a flow is refused.
#[must_use]
pub fn violation_to_proto(violation: Violation, definition: &Definition) -> proto::Violation {
    let node = validate::find_node(&violation, definition).unwrap_or_default();
    proto::Violation {
        node_id: node.to_owned(),
        field: violation.field,
        reason: violation.reason.to_owned(),
        description: violation.description,
    }
}

/// Something that is allowed but doubtful.
#[must_use]
pub fn warning(warning: validate::Warning) -> proto::Warning {
    proto::Warning {
        node_id: warning.node.map(|id| id.to_string()).unwrap_or_default(),
        field: warning.field,
        reason: warning.reason.to_owned(),
        description: warning.description,
    }
}

/// Merges what the conversion has found into what validation has, in the order of the flow's fields.
///
/// Validation has seen an empty config where one could not be represented: what it misses in that is not said.
#[must_use]
pub fn merged(converted: Vec<Violation>, mut validated: Vec<Violation>) -> Vec<Violation> {
    if converted.is_empty() {
        return validated;
    }
    let unseen: std::collections::HashSet<(u8, usize)> = converted
        .iter()
        .filter(|violation| violation.reason == "NOT_A_NUMBER")
        .map(rank)
        .collect();
    validated.retain(|violation| {
        let is_config = violation
            .field
            .split_once("].")
            .is_some_and(|(_, inner)| inner == "data" || inner.starts_with("data."));
        !(is_config && unseen.contains(&rank(violation)))
    });
    let mut all = converted;
    all.append(&mut validated);
    all.sort_by_key(rank);
    all
}

/// Place of a violation's field among the fields of a flow: the part, and the index in it.
fn rank(violation: &Violation) -> (u8, usize) {
    let field = violation.field.strip_prefix("flow.").unwrap_or_default();
    let index = |list: &str| -> Option<usize> {
        let inner = field.strip_prefix(list)?.strip_prefix('[')?;
        inner.split_once(']')?.0.parse().ok()
    };
    if let Some(node) = index("nodes") {
        (1, node)
    } else if let Some(edge) = index("edges") {
        (2, edge)
    } else if field.starts_with("input_schema") {
        (3, 0)
    } else if field.starts_with("policy") {
        (4, 0)
    } else {
        (0, 0)
    }
}
