//! What differs between two definitions: nodes by their ids, edges by theirs or by what they connect, and inside them
//! each place of the config.
//!
//! Fields are named and written as in a [`document`](super::document) (`$.data.url`, `$.timeout` as `"5s"`), so that a
//! reader finds them there.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::document::{write_node, write_policy};
use super::{Definition, Edge, Node, Position};
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
            Some(&write_policy(&base.policy)),
            Some(&write_policy(&compare.policy)),
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
                let differences = diff(Some(&write_node(base)), Some(&write_node(compare)), budget);
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
