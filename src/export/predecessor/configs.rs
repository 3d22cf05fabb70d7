//! A node's config, by the tables of the import.

use serde_json::{Map, Value, json};

use super::templates::{self, Scope};
use super::{Findings, loops};
use crate::flow::Node;
use crate::import::predecessor::keys::{self, Shape};
use crate::import::predecessor::kinds::Kind;
use crate::template::is_template;

/// Writes the config of a node.
pub(super) fn write(
    node: &Node,
    kind: Kind,
    field: &str,
    scope: Scope<'_>,
    findings: &mut Findings,
) -> Map<String, Value> {
    let mut rest = node.data.as_object().cloned().unwrap_or_default();
    let mut data = Map::new();
    match kind {
        Kind::Start => default_input(node, &mut rest, &mut data, field, findings),
        Kind::HttpRequest if rest.remove("fail_on_status") != Some(json!(false)) => {
            let description = "an answer of 400 or above was no failure";
            let field = format!("{field}.fail_on_status");
            findings.lose(field, Some(&node.id), description);
        }
        Kind::ForEach => loops::write(node, &mut rest, &mut data, field, scope, findings),
        _ => {}
    }
    for key in keys::of(kind) {
        let Some(value) = rest.remove(key.name) else {
            continue;
        };
        let field = format!("{field}.{}", key.name);
        let value = match &key.shape {
            Shape::Templates => templates::write(value, &field, node, scope, findings),
            Shape::Raw | Shape::Flag => value,
            Shape::Text | Shape::Number | Shape::Texts => {
                templates::write_text(value, &field, node, findings)
            }
            Shape::Word(words) => {
                let is_known = value
                    .as_str()
                    .is_none_or(|text| words.is_empty() || words.iter().any(|one| one.0 == text));
                if !is_known {
                    let description = format!("there was no {} {value}", key.name);
                    findings.refuse(&field, &node.id, description);
                }
                value
            }
            Shape::Gone(_) => continue,
        };
        data.insert(key.name.to_owned(), value);
    }
    for (key, value) in rest {
        // Of an operation that was not there it has been told.
        let is_unused = value.is_null() || value.as_str().is_some_and(str::is_empty);
        if !is_unused {
            let description = "there was no such key";
            findings.lose(format!("{field}.{key}"), Some(&node.id), description);
        }
    }
    data
}

fn default_input(
    node: &Node,
    rest: &mut Map<String, Value>,
    data: &mut Map<String, Value>,
    field: &str,
    findings: &mut Findings,
) {
    let Some(input) = rest.remove("default_input") else {
        return;
    };
    let field = format!("{field}.default_input");
    if input.is_object() && !is_template(&input.to_string()) {
        data.insert("parsedInputData".to_owned(), input);
        let description = "as parsedInputData it replaces the input of every run";
        findings.lose(field, Some(&node.id), description);
    } else {
        let description = "only an object without templates could stand in for the input";
        findings.lose(field, Some(&node.id), description);
    }
}
