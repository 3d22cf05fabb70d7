//! What the rules must know of a graph before its nodes are converted: who is of what kind, and who is before whom.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::tokens;
use crate::ids::NodeId;

/// A node as the others see it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: NodeId,
    pub(super) kind: Option<Kind>,
    /// The path that its `source` is, if it is one and nothing else.
    pub(super) source: Option<String>,
    /// Whether its output is a list, for a merge.
    pub(super) is_list: bool,
}

impl Seen {
    /// A node with this config.
    pub(super) fn new(id: NodeId, kind: Option<Kind>, data: &Map<String, Value>) -> Self {
        let text = |keys: &[&str]| keys.iter().find_map(|key| data.get(*key)?.as_str());
        let source = text(&["source", "input", "left"]);
        let strategy = text(&["strategy", "merge_strategy", "mergeStrategy"]);
        Self {
            id,
            kind,
            source: source.and_then(tokens::only_path).map(str::to_owned),
            is_list: strategy.is_none_or(|strategy| strategy.trim().eq_ignore_ascii_case("array")),
        }
    }
}

/// The top of a flow.
#[derive(Debug)]
pub(super) struct Outline {
    nodes: Vec<Seen>,
    by_id: HashMap<NodeId, usize>,
    incoming: Vec<Vec<usize>>,
}

impl Outline {
    /// The nodes and the pairs of ids that edges and fallbacks lead along. Of equal ids the last counts, as it did.
    pub(super) fn new(nodes: Vec<Seen>, links: &[(NodeId, NodeId)]) -> Self {
        let by_id: HashMap<NodeId, usize> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (node.id.clone(), index))
            .collect();
        let mut incoming = vec![Vec::new(); nodes.len()];
        for (source, target) in links {
            if let (Some(&source), Some(&target)) = (by_id.get(source), by_id.get(target)) {
                incoming[target].push(source);
            }
        }
        Self {
            nodes,
            by_id,
            incoming,
        }
    }

    /// The node with this id.
    pub(super) fn find(&self, id: &str) -> Option<&Seen> {
        self.by_id.get(id).map(|&index| &self.nodes[index])
    }

    /// The nearest node before `id` that is one of `kinds`, if no other is as near.
    pub(super) fn nearest(&self, id: &NodeId, kinds: &[Kind]) -> Option<&Seen> {
        let mut layer = vec![*self.by_id.get(id)?];
        let mut reached: HashSet<usize> = layer.iter().copied().collect();
        while !layer.is_empty() {
            let before = layer.iter().flat_map(|&node| &self.incoming[node]);
            let next: Vec<usize> = before
                .copied()
                .filter(|&node| reached.insert(node))
                .collect();
            let mut found = next.iter().map(|&node| &self.nodes[node]);
            let mut found = found
                .by_ref()
                .filter(|node| node.kind.is_some_and(|kind| kinds.contains(&kind)));
            if let Some(first) = found.next() {
                return found.next().is_none().then_some(first);
            }
            layer = next;
        }
        None
    }
}

/// Where a template stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) outline: &'a Outline,
    /// The node at the top that it is in.
    pub(super) node: &'a NodeId,
    /// The loop that it is in, if it is in one.
    pub(super) chain: Option<&'a Chain>,
}

/// The inside of a loop, up to the node that is converted.
#[derive(Debug)]
pub(super) struct Chain {
    /// The loop.
    pub(super) loop_id: NodeId,
    /// The nodes before it in the loop, in their order.
    pub(super) before: Vec<Seen>,
}
