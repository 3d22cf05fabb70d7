//! The edges of a flow: branches as handles, nothing that leads nowhere, and a way to every node that used to run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::branches::{self, Branch, Targets};
use super::envelope::{Envelope, RawEdge, free_id};
use super::kinds::Kind;
use crate::flow::{Edge, Node, OnError};
use crate::ids::NodeId;
use crate::import::notes::Notes;

/// Converts the edges. `targets` are those that `if_else` nodes name, by their ids.
pub(super) fn convert(
    envelope: &Envelope,
    targets: &HashMap<NodeId, Targets>,
    converted: &[Node],
    notes: &mut Notes,
) -> Vec<Edge> {
    let kinds: HashMap<&str, Option<Kind>> = envelope
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), Kind::of(&node.kind)))
        .collect();
    let mut kept: Vec<&RawEdge> = Vec::new();
    for edge in &envelope.edges {
        let is_whole = [&edge.source, &edge.target]
            .iter()
            .all(|id| kinds.contains_key(id.as_str()));
        if is_whole {
            kept.push(edge);
        } else {
            let description = format!(
                "leads from {:?} to {:?}, and there is no such node: left out",
                edge.source, edge.target
            );
            notes.add(&edge.place, "EDGE_DROPPED", description);
        }
    }
    let branches = branches_of(&kept, &kinds, targets, notes);
    let mut ids: BTreeSet<String> = kept.iter().map(|edge| edge.id.clone()).collect();
    let mut seen = HashSet::new();
    let mut edges = Vec::with_capacity(kept.len());
    for (index, edge) in kept.iter().enumerate() {
        let handles = match branches.get(&index) {
            Some(branches) => branches.iter().map(|branch| branch.handle()).collect(),
            None => vec![plain_handle(edge, &kinds, notes)],
        };
        for (copy, handle) in handles.into_iter().enumerate() {
            if !seen.insert((
                edge.source.as_str(),
                handle.to_owned(),
                edge.target.as_str(),
            )) {
                let description = "another edge leads the same way: left out";
                notes.add(&edge.place, "EDGE_DROPPED", description);
                continue;
            }
            let id = if copy == 0 || edge.id.is_empty() {
                edge.id.clone()
            } else {
                free_id(&format!("{}-{handle}", edge.id), &ids)
            };
            ids.insert(id.clone());
            edges.push(Edge {
                id,
                source: NodeId::from(edge.source.as_str()),
                target: NodeId::from(edge.target.as_str()),
                source_handle: handle.to_owned(),
                target_handle: edge.target_handle().unwrap_or_default().to_owned(),
                animated: edge.animated,
            });
        }
    }
    add_starts(converted, &mut edges, &ids, envelope, notes);
    edges
}

/// The branches of the edges that leave an `if_else`, by the place of the edge.
fn branches_of(
    edges: &[&RawEdge],
    kinds: &HashMap<&str, Option<Kind>>,
    targets: &HashMap<NodeId, Targets>,
    notes: &mut Notes,
) -> HashMap<usize, Vec<Branch>> {
    let mut ways: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, edge) in edges.iter().enumerate() {
        if kinds.get(edge.source.as_str()) == Some(&Some(Kind::IfElse)) {
            let first = *first.entry(edge.source.as_str()).or_insert(index);
            ways.entry(first).or_default().push(index);
        }
    }
    let none = Targets::default();
    let mut branches = HashMap::new();
    for indexes in ways.into_values() {
        let own: Vec<&RawEdge> = indexes.iter().map(|&index| edges[index]).collect();
        let targets = targets.get(own[0].source.as_str()).unwrap_or(&none);
        let resolved = branches::resolve(&own, targets, notes);
        branches.extend(indexes.into_iter().zip(resolved));
    }
    branches
}

/// The handle of an edge that leaves a node of another kind: those of the predecessor have one way out.
fn plain_handle<'a>(
    edge: &'a RawEdge,
    kinds: &HashMap<&str, Option<Kind>>,
    notes: &mut Notes,
) -> &'a str {
    let Some(handle) = edge.source_handle() else {
        return "";
    };
    if kinds.get(edge.source.as_str()) == Some(&None) {
        return handle;
    }
    let description = "nodes of this kind have one way out: source_handle is left out";
    notes.add(&edge.place, "HANDLE_DROPPED", description);
    ""
}

/// Every node that nothing led to began a run, even beside a `start` node. Here `start` leads to it, with the same input.
fn add_starts(
    converted: &[Node],
    edges: &mut Vec<Edge>,
    ids: &BTreeSet<String>,
    envelope: &Envelope,
    notes: &mut Notes,
) {
    let is_start = |node: &&Node| node.kind == Kind::Start.name();
    let Some(start) = converted.iter().find(is_start) else {
        return;
    };
    let mut reached: HashSet<NodeId> = edges.iter().map(|edge| edge.target.clone()).collect();
    for node in converted {
        if let Some(OnError::Fallback(fallback)) = &node.on_error {
            reached.insert(fallback.clone());
        }
    }
    let places: HashMap<&NodeId, _> = envelope
        .nodes
        .iter()
        .map(|node| (&node.id, &node.place))
        .collect();
    for node in converted.iter().filter(|node| !is_start(node)) {
        if reached.contains(&node.id) {
            continue;
        }
        edges.push(Edge {
            id: free_id(&format!("{}-{}", start.id, node.id), ids),
            source: start.id.clone(),
            target: node.id.clone(),
            source_handle: String::new(),
            target_handle: String::new(),
            animated: false,
        });
        if let Some(place) = places.get(&node.id) {
            let description = format!(
                "nothing led to this node, and it began the run: an edge from {:?} leads to it now",
                start.id.as_str()
            );
            notes.add(place, "EDGE_ADDED", description);
        }
    }
}
