//! Rules for one edge by itself: its ends, its port.

use std::collections::{HashMap, HashSet};

use super::Warning;
use super::findings::{Findings, Part, shown};
use super::nodes::Known;
use super::texts::check_length;
use crate::flow::{ERROR_PORT, Edge, Inspection, Node, ONLY_PORT, OnError};

/// The most characters of an edge's id.
const ID_LENGTH: usize = 200;
/// The most characters of a handle: `case:` and a value.
const HANDLE_LENGTH: usize = 300;

/// The edges that lead from one node to another: `(edge, source, target)`, by index.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Those with both ends, which are not the same node.
    pub(super) whole: Vec<(usize, usize, usize)>,
    /// Nodes to which an edge leads from nowhere: nobody can tell what was meant to lead there.
    pub(super) from_nowhere: Vec<usize>,
    /// Whether an edge has an end in nowhere.
    pub(super) dangling: bool,
}

/// Looks at each edge.
pub(super) fn check(
    edges: &[Edge],
    nodes: &[Node],
    by_id: &HashMap<&str, usize>,
    known: &[Known],
    findings: &mut Findings,
    warnings: &mut Vec<Warning>,
) -> Links {
    let mut links = Links::default();
    let mut ids: HashMap<&str, usize> = HashMap::with_capacity(edges.len());
    let mut ways = HashSet::with_capacity(edges.len());
    for (index, edge) in edges.iter().enumerate() {
        let part = Part::Edge(index);
        check_length(&edge.id, ID_LENGTH, part, "id", findings);
        let first = *ids.entry(edge.id.as_str()).or_insert(index);
        if first != index && !edge.id.is_empty() {
            let (id, first) = (shown(&edge.id), findings.path(Part::Edge(first), ""));
            findings.add(
                part,
                "id",
                "DUPLICATE_EDGE_ID",
                format!("{id:?} is the id of {first} already"),
            );
        }
        check_length(
            &edge.source_handle,
            HANDLE_LENGTH,
            part,
            "source_handle",
            findings,
        );
        check_length(
            &edge.target_handle,
            HANDLE_LENGTH,
            part,
            "target_handle",
            findings,
        );
        let mut end = |field: &str, id: &str| {
            let found = by_id.get(id).copied();
            if found.is_none() {
                let id = shown(id);
                findings.add(
                    part,
                    field,
                    "DANGLING_EDGE",
                    format!("no node has the id {id:?}"),
                );
            }
            found
        };
        let source = end("source", edge.source.as_str());
        let target = end("target", edge.target.as_str());
        match (source, target) {
            (Some(source), Some(target)) if source == target => {
                let id = shown(edge.source.as_str());
                findings.add(
                    part,
                    "target",
                    "SELF_LOOP",
                    format!("leads from {id:?} to itself"),
                );
            }
            (Some(source), Some(target)) => links.whole.push((index, source, target)),
            (None, Some(target)) => {
                links.dangling = true;
                links.from_nowhere.push(target);
            }
            (_, None) => links.dangling = true,
        }
        if let Some(source) = source {
            let inspection = known[source].inspection.as_ref();
            check_port(edge, part, &nodes[source], inspection, findings);
        }
        let way = (
            edge.source.as_str(),
            edge.source_handle.as_str(),
            edge.target.as_str(),
        );
        if !ways.insert(way) {
            warnings.push(Warning {
                field: findings.path(part, ""),
                reason: "DUPLICATE_EDGE",
                description: "another edge leads from the same port to the same node already: merge takes the output \
                              twice"
                    .to_owned(),
                node: None,
            });
        }
    }
    links
}

fn check_port(
    edge: &Edge,
    part: Part,
    node: &Node,
    inspection: Option<&Inspection>,
    findings: &mut Findings,
) {
    if edge.source_handle == ERROR_PORT && node.on_error == Some(OnError::ErrorPort) {
        return;
    }
    let Some(inspection) = inspection else {
        return;
    };
    // A config with problems does not tell its ports for certain, so that no second problem is made of the first.
    if !inspection.violations.is_empty() {
        return;
    }
    let (handle, source) = (edge.source_handle.as_str(), shown(edge.source.as_str()));
    let ports = &inspection.ports;
    let quoted = || {
        let named = ports
            .iter()
            .take(20)
            .map(|port| format!("{:?}", shown(port)));
        let more = if ports.len() > 20 { ", …" } else { "" };
        named.collect::<Vec<_>>().join(", ") + more
    };
    if handle == ERROR_PORT && !ports.iter().any(|port| **port == *handle) {
        findings.add(
            part,
            "source_handle",
            "UNKNOWN_HANDLE",
            format!(
                "failures leave {source:?} by \"error\" only if the node says so: set its on_error to {{\"port\": {{}}}}"
            ),
        );
    } else if ports.is_empty() {
        if handle != ONLY_PORT {
            let handle = shown(handle);
            findings.add(
                part,
                "source_handle",
                "UNKNOWN_HANDLE",
                format!(
                    "{source:?} has only one way out and not {handle:?}: leave the handle empty"
                ),
            );
        }
    } else if handle == ONLY_PORT && ports.len() > 1 {
        findings.add(
            part,
            "source_handle",
            "HANDLE_REQUIRED",
            format!("{source:?} has several ways out: say which of {}", quoted()),
        );
    } else if handle != ONLY_PORT && !ports.iter().any(|port| **port == *handle) {
        let handle = shown(handle);
        findings.add(
            part,
            "source_handle",
            "UNKNOWN_HANDLE",
            format!("{source:?} has no way out {handle:?}, only {}", quoted()),
        );
    }
}
