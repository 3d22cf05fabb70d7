//! The outside of a predecessor's document: an export, an answer of its API or a template, and the nodes and edges in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::flow::{Position, Violation};
use crate::ids::NodeId;
use crate::import::notes::{Notes, Place, shown};
use crate::value;

/// What a document holds.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) nodes: Vec<RawNode>,
    pub(super) edges: Vec<RawEdge>,
}

/// A node as the document has it.
#[derive(Clone, Debug)]
pub(super) struct RawNode {
    pub(super) id: NodeId,
    pub(super) kind: String,
    pub(super) position: Position,
    pub(super) data: Map<String, Value>,
    pub(super) place: Place,
}

/// An edge as the document has it.
#[derive(Clone, Debug)]
pub(super) struct RawEdge {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) animated: bool,
    /// All fields: the predecessor looked for the branch in many of them.
    pub(super) fields: Map<String, Value>,
    pub(super) place: Place,
}

impl RawEdge {
    /// The handle that it names.
    pub(super) fn source_handle(&self) -> Option<&str> {
        self.field(["sourceHandle", "source_handle"])
    }

    /// The handle of its target that it names.
    pub(super) fn target_handle(&self) -> Option<&str> {
        self.field(["targetHandle", "target_handle"])
    }

    fn field(&self, names: [&str; 2]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.fields.get(*name)?.as_str())
            .filter(|text| !text.is_empty())
    }
}

/// Fields that say where a document comes from, and nothing about the flow.
const OF_THE_EXPORT: [&str; 9] = [
    "synapps_version",
    "synapps_export_version",
    "exported_at",
    "imported_at",
    "created_at",
    "updated_at",
    "rolled_back_from",
    "total_versions",
    "message",
];

/// Fields that may hold the flow of a document that has none itself.
const AROUND: [&str; 2] = ["flow", "template"];

/// The longest key of a label, in characters.
const LABEL_LENGTH: usize = 63;

/// Opens a document.
pub(super) fn open(document: &Value, notes: &mut Notes) -> Result<Envelope, Vec<Violation>> {
    let mut reader = Reader {
        notes,
        violations: Vec::new(),
    };
    let envelope = reader.envelope(document);
    if reader.violations.is_empty() {
        Ok(envelope)
    } else {
        Err(reader.violations)
    }
}

struct Reader<'a> {
    notes: &'a mut Notes,
    violations: Vec<Violation>,
}

impl Reader<'_> {
    fn wrong_type(&mut self, field: &str, found: &Value, wanted: &str) {
        const MOST: usize = 1_000;
        if self.violations.len() < MOST {
            self.violations.push(Violation {
                field: field.to_owned(),
                reason: "WRONG_TYPE",
                description: format!("is {}, not {wanted}", value::kind(found)),
            });
        }
    }

    fn envelope(&mut self, document: &Value) -> Envelope {
        let Value::Object(entries) = document else {
            self.wrong_type("document", document, "an object");
            return Envelope::default();
        };
        let inside = AROUND.iter().find_map(|key| entries.get(*key)?.as_object());
        let mut rest = match inside {
            Some(inside) if !entries.contains_key("nodes") => inside.clone(),
            _ => entries.clone(),
        };
        let mut text = |key: &str| {
            let value = rest.remove(key).unwrap_or_default();
            match value {
                Value::String(text) => text.trim().to_owned(),
                Value::Null => String::new(),
                Value::Number(number) => number.to_string(),
                other => {
                    self.wrong_type(&format!("document.{key}"), &other, "a text");
                    String::new()
                }
            }
        };
        let (id, name, description) = (text("id"), text("name"), text("description"));
        let labels = self.labels(rest.remove("tags").unwrap_or_default());
        let (nodes, edges) = (rest.remove("nodes"), rest.remove("edges"));
        for key in rest
            .keys()
            .filter(|key| !OF_THE_EXPORT.contains(&key.as_str()))
        {
            let place = Place::of_document(&format!("document.{}", shown(key)));
            let description = "a flow has no such field: left out";
            self.notes.add(&place, "FIELD_DROPPED", description);
        }
        let nodes = self.list("document.nodes", nodes);
        let ids: BTreeSet<String> = nodes.iter().filter_map(node_id).collect();
        Envelope {
            id,
            name,
            description,
            labels,
            nodes: nodes
                .into_iter()
                .enumerate()
                .filter_map(|(index, node)| self.node(index, node, &ids))
                .collect(),
            edges: self
                .list("document.edges", edges)
                .into_iter()
                .enumerate()
                .filter_map(|(index, edge)| self.edge(index, edge))
                .collect(),
        }
    }

    fn list(&mut self, field: &str, value: Option<Value>) -> Vec<Value> {
        match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong_type(field, &other, "a list");
                Vec::new()
            }
        }
    }

    /// Tags, each as a label of its own.
    fn labels(&mut self, tags: Value) -> BTreeMap<String, String> {
        let tags = match tags {
            Value::Array(tags) => tags,
            Value::String(tag) => vec![Value::String(tag)],
            _ => Vec::new(),
        };
        let mut labels = BTreeMap::new();
        for tag in tags.iter().filter_map(Value::as_str).take(32) {
            let kept = |letter: char| letter.is_ascii_alphanumeric() || "_.-/".contains(letter);
            let tag: String = tag
                .trim()
                .chars()
                .map(|letter| if kept(letter) { letter } else { '-' })
                .collect();
            let key: String = format!("tag/{tag}").chars().take(LABEL_LENGTH).collect();
            labels.insert(key, "true".to_owned());
        }
        if !labels.is_empty() {
            let description = "each tag is a label here: tag/<tag> with the value true";
            let place = Place::of_document("document.tags");
            self.notes.add(&place, "FIELD_MOVED", description);
        }
        labels
    }

    fn node(&mut self, index: usize, node: Value, ids: &BTreeSet<String>) -> Option<RawNode> {
        let field = format!("document.nodes[{index}]");
        let Value::Object(mut rest) = node else {
            self.wrong_type(&field, &node, "an object");
            return None;
        };
        let given = rest.remove("id").unwrap_or_default();
        let (id, is_made) = match given {
            Value::String(id) if !id.is_empty() => (id, false),
            Value::Number(number) => (number.to_string(), false),
            Value::Null | Value::String(_) => (free_id(&format!("node-{index}"), ids), true),
            other => {
                self.wrong_type(&format!("{field}.id"), &other, "a text");
                return None;
            }
        };
        let id = NodeId::from(id);
        let place = Place::of_node(field, &id);
        if is_made {
            self.notes.add(
                &place.key("id"),
                "ID_MADE",
                "the node had none: it has one now",
            );
        }
        let kind = match rest.remove("type").unwrap_or_default() {
            Value::String(kind) => kind,
            other => {
                self.wrong_type(&format!("{}.type", place.path()), &other, "a text");
                return None;
            }
        };
        let mut data = match rest.remove("data").unwrap_or_default() {
            Value::Object(data) => data,
            Value::Null => Map::new(),
            other => {
                self.wrong_type(&format!("{}.data", place.path()), &other, "an object");
                return None;
            }
        };
        let position = position(&rest.remove("position").unwrap_or_default());
        if let Some(label) = rest.remove("label") {
            data.entry("label").or_insert(label);
        }
        for key in rest.keys() {
            let description = "a node has no such field: left out";
            self.notes
                .add(&place.key(key), "FIELD_DROPPED", description);
        }
        Some(RawNode {
            id,
            kind,
            position,
            data,
            place,
        })
    }

    fn edge(&mut self, index: usize, edge: Value) -> Option<RawEdge> {
        let field = format!("document.edges[{index}]");
        match edge {
            Value::Object(fields) => Some(RawEdge::new(fields, &field)),
            other => {
                self.wrong_type(&field, &other, "an object");
                None
            }
        }
    }
}

impl RawEdge {
    fn new(fields: Map<String, Value>, field: &str) -> Self {
        let text = |key: &str| match fields.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let source = text("source");
        Self {
            id: text("id"),
            target: text("target"),
            animated: fields.get("animated") == Some(&Value::Bool(true)),
            place: Place::of_node(field.to_owned(), &NodeId::from(source.as_str())),
            source,
            fields,
        }
    }

    /// An edge for the tests of the rules for edges.
    #[cfg(test)]
    pub(super) fn for_test(fields: Value, place: &Place) -> Self {
        let Value::Object(fields) = fields else {
            unreachable!("edges of tests are objects")
        };
        Self::new(fields, place.path())
    }
}

fn node_id(node: &Value) -> Option<String> {
    node.get("id")?.as_str().map(str::to_owned)
}

/// The id, or the first free one that begins with it.
pub(crate) fn free_id(wanted: &str, taken: &BTreeSet<String>) -> String {
    let mut id = wanted.to_owned();
    let mut number = 2_u32;
    while taken.contains(&id) {
        id = format!("{wanted}-{number}");
        number += 1;
    }
    id
}

/// Where an editor draws a node; the origin where that is not known.
fn position(value: &Value) -> Position {
    let axis = |name: &str| {
        let number = value.get(name).cloned().map(super::config::number);
        number.and_then(|number| number.as_f64()).unwrap_or(0.0)
    };
    Position {
        x: axis("x"),
        y: axis("y"),
    }
}
