//! The rules, one after the other, each on the smallest document that shows it.

mod configs;
mod graphs;
mod loops;
mod policies;
mod secrets;
mod templates;

use serde_json::{Value, json};

use super::*;
use crate::flow::Node;

/// What became of a document: the flow, and the reasons of its warnings with the node that each is about.
struct Done {
    draft: Draft,
    warnings: Vec<Warning>,
}

impl Done {
    fn node(&self, id: &str) -> &Node {
        let mut nodes = self.draft.definition.nodes.iter();
        nodes.find(|node| node.id.as_str() == id).unwrap()
    }

    fn data(&self, id: &str) -> &Value {
        &self.node(id).data
    }

    /// The edges as `source handle target`.
    fn edges(&self) -> Vec<String> {
        let edges = self.draft.definition.edges.iter();
        edges
            .map(|edge| {
                let (source, handle, target) = (&edge.source, &edge.source_handle, &edge.target);
                format!("{source} {handle} {target}").replace("  ", " ")
            })
            .collect()
    }

    /// The reasons of the warnings about a node, with the last key of their path.
    fn reasons(&self, id: &str) -> Vec<String> {
        self.warnings
            .iter()
            .filter(|warning| {
                warning
                    .node
                    .as_ref()
                    .is_some_and(|node| node.as_str() == id)
            })
            .map(|warning| {
                let key = warning.field.rsplit('.').next().unwrap();
                format!("{} {key}", warning.reason)
            })
            .collect()
    }
}

fn import(document: &Value) -> Done {
    let (draft, warnings) = read(document).unwrap();
    Done { draft, warnings }
}

/// A chain `start` → each of these → `end`.
fn chain(nodes: &[(&str, &str, Value)]) -> Done {
    let mut ids = vec!["start"];
    ids.extend(nodes.iter().map(|(id, _, _)| *id));
    ids.push("end");
    let mut all = vec![json!({"id": "start", "type": "start"})];
    for (id, kind, data) in nodes {
        all.push(json!({"id": id, "type": kind, "data": data}));
    }
    all.push(json!({"id": "end", "type": "end"}));
    let edges: Vec<Value> = ids
        .windows(2)
        .map(|pair| json!({"id": format!("{}-{}", pair[0], pair[1]), "source": pair[0], "target": pair[1]}))
        .collect();
    import(&json!({"name": "chain", "nodes": all, "edges": edges}))
}

/// One node `n` between `start` and `end`.
fn alone(kind: &str, data: Value) -> Done {
    chain(&[("n", kind, data)])
}
