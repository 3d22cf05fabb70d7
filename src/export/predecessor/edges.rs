//! Edges. They had no handles: an `if_else` names the targets of its branches.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use super::Findings;
use super::nodes::kind;
use crate::flow::{Definition, ERROR_PORT};
use crate::import::predecessor::free_id;
use crate::import::predecessor::kinds::Kind;

/// Writes the edges, and the targets of branches into the nodes that have been written.
pub(super) fn write(
    definition: &Definition,
    nodes: &mut [Value],
    findings: &mut Findings,
) -> Vec<Value> {
    let by_id: HashMap<&str, usize> = definition
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| (node.id.as_str(), index))
        .collect();
    let mut ids: BTreeSet<String> = definition
        .edges
        .iter()
        .map(|edge| edge.id.clone())
        .collect();
    let mut ways = HashSet::new();
    let mut edges = Vec::new();
    for (index, edge) in definition.edges.iter().enumerate() {
        let field = format!("flow.edges[{index}]");
        let source = by_id.get(edge.source.as_str()).copied();
        let branch = match edge.source_handle.as_str() {
            "true" => Some("true_target"),
            "false" => Some("false_target"),
            _ => None,
        };
        let from_if = source.filter(|&at| kind(&definition.nodes[at]) == Some(Kind::IfElse));
        if let (Some(at), Some(key)) = (from_if, branch) {
            let data = &mut nodes[at]["data"];
            if data[key].is_null() {
                data[key] = json!(edge.target);
            } else {
                let description = "a branch had one target: only the first edge of it is followed";
                findings.lose(&field, Some(&edge.source), description);
            }
        } else if edge.source_handle == ERROR_PORT {
            // That the node has such a port has been told.
            continue;
        }
        if !edge.target_handle.is_empty() {
            findings.lose(&field, Some(&edge.source), "edges had no target_handle");
        }
        if !ways.insert((&edge.source, &edge.target)) {
            continue;
        }
        let id = if edge.id.is_empty() {
            free_id(&format!("{}-{}", edge.source, edge.target), &ids)
        } else {
            edge.id.clone()
        };
        ids.insert(id.clone());
        edges.push(json!({
            "id": id, "source": edge.source, "target": edge.target, "animated": edge.animated,
        }));
    }
    edges
}
