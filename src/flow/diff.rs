//! What differs between two definitions: nodes by their ids, edges by theirs or by what they connect, and inside them
//! each place of the config.
//!
//! Fields are named and written as they are in the JSON form of a flow's messages (`$.data.url`, `$.timeout` as `"5s"`),
//! so that a reader finds them there.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Definition, Edge, Effect, Node, OnConflict, OnError, Policy, Position, RetryPolicy};
use crate::ids::NodeId;
use crate::value::diff::{Budget, Difference, diff};

/// What differs between two definitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowDiff {
    /// Nodes that differ: those of the first definition in its order, then those that only the second has.
    pub nodes: Vec<NodeDiff>,
    /// Edges that differ, in the same order.
    pub edges: Vec<EdgeDiff>,
    /// Whether the nodes that both have come in another order.
    pub nodes_reordered: bool,
    /// Whether the edges that both have come in another order, in which `merge` reads its inputs.
    pub edges_reordered: bool,
    /// Where the policies differ.
    pub policy: Vec<Difference>,
    /// Where the schemas of the input differ.
    pub input_schema: Vec<Difference>,
}

/// One node that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeDiff {
    /// Which one.
    pub id: NodeId,
    /// Its kind in the first definition, if it is there.
    pub base_kind: Option<String>,
    /// Its kind in the second definition, if it is there.
    pub compare_kind: Option<String>,
    /// Where the two differ; nothing for a node that only one definition has.
    pub differences: Vec<Difference>,
    /// Whether a run could notice: not where only its place in an editor or its name for people differ.
    pub affects_runs: bool,
}

/// One edge that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeDiff {
    /// As it is in the first definition, if it is there.
    pub base: Option<Edge>,
    /// As it is in the second definition, if it is there.
    pub compare: Option<Edge>,
    /// Whether a run could notice: not where only its id or what editors keep with it differ.
    pub affects_runs: bool,
}

impl FlowDiff {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What differs between two definitions, as much of it as the budget allows: at least whether anything does.
#[must_use]
pub fn definitions(base: &Definition, compare: &Definition, budget: &mut Budget) -> FlowDiff {
    FlowDiff {
        policy: diff(
            Some(&policy(&base.policy)),
            Some(&policy(&compare.policy)),
            budget,
        ),
        input_schema: diff(
            base.input_schema.as_ref(),
            compare.input_schema.as_ref(),
            budget,
        ),
        nodes_reordered: is_reordered(&node_pairs(&base.nodes, &compare.nodes)),
        edges_reordered: is_reordered(&edge_pairs(&base.edges, &compare.edges)),
        nodes: nodes(&base.nodes, &compare.nodes, budget),
        edges: edges(&base.edges, &compare.edges, budget),
    }
}

/// Two lists side by side: each item of either once, paired with the one that stands for it in the other.
type Pairs<'a, T> = Vec<(Option<(usize, &'a T)>, Option<(usize, &'a T)>)>;

fn node_pairs<'a>(base: &'a [Node], compare: &'a [Node]) -> Pairs<'a, Node> {
    pair(base, compare, |node| Some(&node.id))
}

/// An edge that has an id is found by it even where it connects others now; the rest by what they connect.
fn edge_pairs<'a>(base: &'a [Edge], compare: &'a [Edge]) -> Pairs<'a, Edge> {
    let by_id = pair(base, compare, |edge| {
        (!edge.id.is_empty()).then_some(&edge.id)
    });
    let mut pairs: Pairs<'a, Edge> = Vec::new();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (base, compare) in by_id {
        match (base, compare) {
            (Some(_), Some(_)) => pairs.push((base, compare)),
            (base, compare) => {
                left.extend(base);
                right.extend(compare);
            }
        }
    }
    let ends = |&(_, edge): &(usize, &'a Edge)| Some(connects(edge));
    for (base, compare) in pair(&left, &right, ends) {
        pairs.push((base.map(|(_, one)| *one), compare.map(|(_, one)| *one)));
    }
    pairs.sort_by_key(|(base, compare)| match (base, compare) {
        (Some((at, _)), _) => (0, *at),
        (None, other) => (1, other.map_or(0, |(at, _)| at)),
    });
    pairs
}

/// What a run sees of an edge.
fn connects(edge: &Edge) -> (&NodeId, &str, &NodeId) {
    (&edge.source, &edge.source_handle, &edge.target)
}

/// Pairs items of the same key, of several with one key the first with the first; those without a key stay alone.
fn pair<'a, T, K: Eq + std::hash::Hash>(
    base: &'a [T],
    compare: &'a [T],
    key: impl Fn(&'a T) -> Option<K>,
) -> Pairs<'a, T> {
    let mut places: HashMap<K, Vec<usize>> = HashMap::new();
    for (at, item) in compare.iter().enumerate().rev() {
        if let Some(key) = key(item) {
            places.entry(key).or_default().push(at);
        }
    }
    let mut is_taken = vec![false; compare.len()];
    let mut pairs: Pairs<'a, T> = Vec::with_capacity(base.len());
    for (at, item) in base.iter().enumerate() {
        let other = key(item).and_then(|key| places.get_mut(&key)?.pop());
        pairs.push((
            Some((at, item)),
            other.map(|other| {
                is_taken[other] = true;
                (other, &compare[other])
            }),
        ));
    }
    let new = compare.iter().enumerate().filter(|(at, _)| !is_taken[*at]);
    pairs.extend(new.map(|new| (None, Some(new))));
    pairs
}

/// Whether the items that both lists have come in another order in the second.
fn is_reordered<T>(pairs: &Pairs<'_, T>) -> bool {
    let mut places: Vec<(usize, usize)> = pairs
        .iter()
        .filter_map(|(base, compare)| Some((base.as_ref()?.0, compare.as_ref()?.0)))
        .collect();
    places.sort_unstable();
    !places.is_sorted_by_key(|(_, at)| *at)
}

/// About what a node or an edge takes in an answer beside its texts.
const FRAME: usize = 64;

fn nodes(base: &[Node], compare: &[Node], budget: &mut Budget) -> Vec<NodeDiff> {
    let mut found = Vec::new();
    for (base, compare) in node_pairs(base, compare) {
        let (base, compare) = (base.map(|(_, one)| one), compare.map(|(_, one)| one));
        let differences = match (base, compare) {
            (Some(base), Some(compare)) => {
                let differences = diff(Some(&node(base)), Some(&node(compare)), budget);
                if differences.is_empty() {
                    continue;
                }
                differences
            }
            _ => Vec::new(),
        };
        let Some(id) = base.or(compare).map(|node| node.id.clone()) else {
            continue;
        };
        let kinds = [base, compare].into_iter().flatten();
        let bytes: usize = kinds.map(|node| node.kind.len()).sum();
        if !budget.take(FRAME + id.as_str().len() + bytes) && differences.is_empty() {
            break;
        }
        found.push(NodeDiff {
            id,
            base_kind: base.map(|node| node.kind.clone()),
            compare_kind: compare.map(|node| node.kind.clone()),
            differences,
            affects_runs: match (base, compare) {
                (Some(base), Some(compare)) => plain(base) != plain(compare),
                _ => true,
            },
        });
    }
    found
}

/// A node without what only people see of it.
fn plain(node: &Node) -> Node {
    Node {
        position: Position::default(),
        display_name: String::new(),
        ..node.clone()
    }
}

fn edges(base: &[Edge], compare: &[Edge], budget: &mut Budget) -> Vec<EdgeDiff> {
    let mut found = Vec::new();
    for (base, compare) in edge_pairs(base, compare) {
        let (base, compare) = (base.map(|(_, one)| one), compare.map(|(_, one)| one));
        if base == compare {
            continue;
        }
        let bytes: usize = [base, compare].into_iter().flatten().map(edge_bytes).sum();
        if !budget.take(FRAME + bytes) {
            break;
        }
        found.push(EdgeDiff {
            base: base.cloned(),
            compare: compare.cloned(),
            affects_runs: base.map(connects) != compare.map(connects),
        });
    }
    found
}

fn edge_bytes(edge: &Edge) -> usize {
    let ends = edge.source.as_str().len() + edge.target.as_str().len();
    FRAME + edge.id.len() + ends + edge.source_handle.len() + edge.target_handle.len()
}

/// A node as the JSON form of its message, without its id.
fn node(node: &Node) -> Value {
    let Node {
        id: _,
        kind,
        position: Position { x, y },
        data,
        display_name,
        timeout,
        effect,
        retry,
        on_error,
    } = node;
    object([
        ("type", Some(json!(kind))),
        ("position", Some(json!({ "x": x, "y": y }))),
        ("data", Some(data.clone())),
        ("display_name", text(display_name)),
        ("timeout", timeout.map(seconds)),
        ("effect", effect.map(|effect| json!(effect_name(effect)))),
        ("retry", retry.as_ref().map(retry_policy)),
        ("on_error", on_error.as_ref().map(on_error_form)),
    ])
}

fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Pure => "EFFECT_PURE",
        Effect::Idempotent => "EFFECT_IDEMPOTENT",
        Effect::AtMostOnce => "EFFECT_AT_MOST_ONCE",
    }
}

fn retry_policy(policy: &RetryPolicy) -> Value {
    let RetryPolicy {
        max_attempts,
        initial_interval,
        coefficient,
        max_interval,
        jitter,
        non_retryable_reasons,
        safe_on,
        total_timeout,
    } = policy;
    object([
        ("max_attempts", Some(json!(max_attempts))),
        ("initial_interval", Some(seconds(*initial_interval))),
        ("coefficient", Some(json!(coefficient))),
        ("max_interval", Some(seconds(*max_interval))),
        ("jitter", Some(json!(jitter))),
        ("non_retryable_reasons", Some(json!(non_retryable_reasons))),
        ("safe_on", Some(json!(safe_on))),
        ("total_timeout", total_timeout.map(seconds)),
    ])
}

fn on_error_form(on_error: &OnError) -> Value {
    match on_error {
        OnError::ErrorPort => json!({ "port": {} }),
        OnError::Fallback(node) => json!({ "fallback": { "node_id": node.as_str() } }),
        OnError::DefaultOutput(value) => json!({ "default_output": value }),
        OnError::ContinueRun => json!({ "continue_run": {} }),
    }
}

fn policy(policy: &Policy) -> Value {
    let Policy {
        run_timeout,
        max_parallel_steps,
        max_open_runs,
        concurrency_key,
        on_conflict,
    } = policy;
    let conflict = |action| match action {
        OnConflict::Queue => json!("CONFLICT_ACTION_QUEUE"),
        OnConflict::Reject => json!("CONFLICT_ACTION_REJECT"),
        OnConflict::CancelRunning => json!("CONFLICT_ACTION_CANCEL_RUNNING"),
    };
    object([
        ("run_timeout", run_timeout.map(seconds)),
        (
            "max_parallel_steps",
            max_parallel_steps.map(|steps| json!(steps)),
        ),
        ("max_open_runs", max_open_runs.map(|runs| json!(runs))),
        ("concurrency_key", text(concurrency_key)),
        ("on_conflict", on_conflict.map(conflict)),
    ])
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(set.collect::<Map<_, _>>())
}

/// A text that may be left out.
fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

/// A duration in the JSON form of protobuf: `"1.5s"`.
fn seconds(duration: Duration) -> Value {
    let fraction = format!("{:09}", duration.subsec_nanos());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    json!(format!("{}{point}{fraction}s", duration.as_secs()))
}
