//! Our flows in the predecessor's documents, as far as it could have run them.
//!
//! What it had nothing for is refused, for a flow without it would be another. What it had, but did another way, or what
//! only bounds a flow, is lost with a warning.

mod configs;
mod edges;
mod loops;
mod nodes;
mod templates;

use serde_json::{Map, Value, json};

use crate::flow::validate::Warning;
use crate::flow::{Draft, Policy, Violation};
use crate::ids::NodeId;

/// What is found on the way.
#[derive(Debug, Default)]
pub(super) struct Findings {
    lost: Vec<Warning>,
    refused: Vec<Violation>,
}

impl Findings {
    /// Something that the document does not carry.
    fn lose(&mut self, field: impl Into<String>, node: Option<&NodeId>, description: &str) {
        self.lost.push(Warning {
            field: field.into(),
            reason: "NOT_CARRIED",
            description: description.to_owned(),
            node: node.cloned(),
        });
    }

    /// Something without which the flow would be another.
    fn refuse(&mut self, field: impl Into<String>, node: &NodeId, description: impl AsRef<str>) {
        self.refused.push(Violation {
            field: field.into(),
            reason: "NOT_EXPRESSIBLE",
            description: format!("({node}) {}", description.as_ref()),
        });
    }
}

/// Writes a flow.
///
/// # Errors
///
/// All that the predecessor had nothing for.
pub(super) fn write(draft: &Draft) -> Result<(Value, Vec<Warning>), Vec<Violation>> {
    let mut findings = Findings::default();
    let definition = &draft.definition;
    let mut document = Map::new();
    document.insert("synapps_version".to_owned(), json!("1.0.0"));
    for (key, text) in [
        ("id", &draft.id),
        ("name", &draft.name),
        ("description", &draft.description),
    ] {
        if !text.is_empty() {
            document.insert(key.to_owned(), json!(text));
        }
    }
    let tags = tags(draft, &mut findings);
    if !tags.is_empty() {
        document.insert("tags".to_owned(), json!(tags));
    }
    if definition.input_schema.is_some() {
        let description = "an input was not checked against a schema";
        findings.lose("flow.input_schema", None, description);
    }
    if definition.policy != Policy::default() {
        let description = "a flow had no limits of its own";
        findings.lose("flow.policy", None, description);
    }
    let mut nodes = nodes::write(definition, &mut findings);
    let edges = edges::write(definition, &mut nodes, &mut findings);
    document.insert("nodes".to_owned(), Value::Array(nodes));
    document.insert("edges".to_owned(), Value::Array(edges));
    if findings.refused.is_empty() {
        Ok((document.into(), findings.lost))
    } else {
        Err(findings.refused)
    }
}

/// Labels that were tags are tags again.
fn tags<'a>(draft: &'a Draft, findings: &mut Findings) -> Vec<&'a str> {
    let mut tags = Vec::new();
    for (key, value) in &draft.labels {
        match key.strip_prefix("tag/") {
            Some(tag) if value == "true" => tags.push(tag),
            _ => findings.lose(
                format!("flow.labels[{key}]"),
                None,
                "there were tags only: labels tag/<tag> with the value true",
            ),
        }
    }
    tags
}
