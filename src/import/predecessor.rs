//! Documents of the predecessor, `SynApps`: what its documents and templates promise is kept, what its code got wrong is not.
//!
//! One rule a file. None of them decides whether the flow is valid.

mod branches;
mod config;
mod edges;
mod envelope;
pub(crate) mod keys;
pub(crate) mod kinds;
mod legacy;
mod loops;
mod nodes;
mod outline;
mod paths;
mod policies;
mod recollection;
mod secrets;
mod templates;
pub(crate) mod tokens;

use std::collections::HashMap;

use serde_json::Value;

use self::branches::Targets;
use self::envelope::Envelope;
pub(crate) use self::envelope::free_id;
use self::kinds::Kind;
use self::nodes::Converter;
use self::outline::{Outline, Seen};
use super::notes::Notes;
use crate::flow::validate::Warning;
use crate::flow::{Definition, Draft, Policy, Violation};
use crate::ids::NodeId;

/// Reads a document.
///
/// # Errors
///
/// `WRONG_TYPE` for each part that is not what it should be.
pub(super) fn read(document: &Value) -> Result<(Draft, Vec<Warning>), Vec<Violation>> {
    let mut notes = Notes::default();
    let mut envelope = envelope::open(document, &mut notes)?;
    let outline = outline(&envelope);
    let mut targets: HashMap<NodeId, Targets> = HashMap::new();
    for node in &mut envelope.nodes {
        if Kind::of(&node.kind) == Some(Kind::IfElse) {
            let place = node.place.key("data");
            let named = Targets::take(&mut node.data, &place, &mut notes);
            targets.insert(node.id.clone(), named);
        }
    }
    let mut converter = Converter {
        outline: &outline,
        taken: envelope
            .nodes
            .iter()
            .map(|node| node.id.to_string())
            .collect(),
        notes: &mut notes,
    };
    let mut nodes_here: Vec<_> = envelope
        .nodes
        .iter()
        .map(|raw| converter.node(raw.clone(), &raw.id, None))
        .collect();
    let edges = edges::convert(&envelope, &targets, &nodes_here, &mut notes);
    recollection::connect(&mut nodes_here, &edges, &envelope.nodes, &mut notes);
    let draft = Draft {
        id: envelope.id,
        name: envelope.name,
        description: envelope.description,
        labels: envelope.labels,
        definition: Definition {
            nodes: nodes_here,
            edges,
            input_schema: None,
            policy: Policy::default(),
        },
    };
    Ok((draft, notes.into_warnings()))
}

fn outline(envelope: &Envelope) -> Outline {
    let seen = envelope
        .nodes
        .iter()
        .map(|node| Seen::new(node.id.clone(), Kind::of(&node.kind), &node.data));
    let mut links: Vec<(NodeId, NodeId)> = envelope
        .edges
        .iter()
        .map(|edge| {
            let end = |id: &String| NodeId::from(id.as_str());
            (end(&edge.source), end(&edge.target))
        })
        .collect();
    for node in &envelope.nodes {
        if let Some(fallback) = policies::fallback_of(&node.data) {
            links.push((node.id.clone(), NodeId::from(fallback)));
        }
    }
    Outline::new(seen.collect(), &links)
}

/// Whether a node of a document can only be the predecessor's, by its type or the keys of its `data`.
pub(super) fn is_telling(node: &serde_json::Map<String, Value>) -> bool {
    let kind = node.get("type").and_then(Value::as_str).unwrap_or_default();
    let Some(known) = Kind::of(kind) else {
        return false;
    };
    if kind != known.name() {
        return true;
    }
    let data = node.get("data").and_then(Value::as_object);
    data.into_iter()
        .flatten()
        .any(|(key, _)| keys::is_predecessors(known, key))
}

#[cfg(test)]
mod tests;
