//! Templates, with the wrappers around results back in their paths.

use std::collections::HashMap;

use serde_json::Value;

use super::Findings;
use crate::flow::Node;
use crate::ids::NodeId;
use crate::import::predecessor::kinds::Kind;
use crate::import::predecessor::tokens::{Piece, pieces};
use crate::template::is_template;

/// Where a template stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The nodes at the top.
    pub(super) kinds: &'a HashMap<&'a NodeId, Option<Kind>>,
    /// The kind of the node before it in its loop.
    pub(super) before: Option<Kind>,
    /// Whether it is in a loop.
    pub(super) is_in_loop: bool,
}

/// What the import writes for braces that are text.
const ESCAPES: [(&str, &str); 2] = [("{{ '{{' }}", "{{"), ("{{ '{' }}", "{")];

/// Writes all texts of a value that was rendered.
pub(super) fn write(
    value: Value,
    field: &str,
    node: &Node,
    scope: Scope<'_>,
    findings: &mut Findings,
) -> Value {
    map(value, &mut |text| {
        text_of(text, field, node, scope, findings)
    })
}

/// Writes all texts of a value that was not rendered.
pub(super) fn write_text(value: Value, field: &str, node: &Node, findings: &mut Findings) -> Value {
    map(value, &mut |text| {
        let plain = unescaped(text);
        if plain.is_none() {
            findings.refuse(field, &node.id, "there was no template in this place");
        }
        plain.unwrap_or_default()
    })
}

fn map(value: Value, change: &mut dyn FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(items) => items.into_iter().map(|item| map(item, change)).collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, item)| (key, map(item, change)))
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// A text without the escapes of the import, if no other template is in it.
fn unescaped(text: &str) -> Option<String> {
    let without = ESCAPES.iter().fold(text.to_owned(), |text, (escape, _)| {
        text.replace(escape, "")
    });
    (!is_template(&without)).then(|| {
        ESCAPES
            .iter()
            .fold(text.to_owned(), |text, (escape, plain)| {
                text.replace(escape, plain)
            })
    })
}

fn text_of(
    text: &str,
    field: &str,
    node: &Node,
    scope: Scope<'_>,
    findings: &mut Findings,
) -> String {
    let mut written = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(plain) => match unescaped(plain) {
                Some(plain) => written.push_str(&plain),
                None => findings.refuse(field, &node.id, "templates were paths, not expressions"),
            },
            Piece::Path(path) => {
                if let Some(path) = path_of(path, scope) {
                    written.push_str("{{");
                    written.push_str(&path);
                    written.push_str("}}");
                } else {
                    let description = format!("there was nothing at {path}");
                    findings.refuse(field, &node.id, description);
                }
            }
        }
    }
    written
}

/// The path that led to the same value.
fn path_of(path: &str, scope: Scope<'_>) -> Option<String> {
    let segments: Vec<&str> = path.split('.').collect();
    let (root, rest) = segments.split_first()?;
    match (*root, scope.is_in_loop) {
        ("input", false) | ("source" | "value", _) => Some(path.to_owned()),
        ("input", true) => Some(joined("context.input", rest)),
        ("content", _) => wrapped(scope.before, "content", rest),
        ("run", _) => (rest == ["id"]).then(|| "run_id".to_owned()),
        ("node", _) => (rest == ["id"]).then(|| "node_id".to_owned()),
        ("item", true) => Some(joined("context.for_each_item", rest)),
        ("index", true) => Some(joined("context.for_each_index", rest)),
        ("results", _) => match rest {
            [id, "output", inner @ ..] => {
                let kind = scope.kinds.get(&NodeId::from(*id))?;
                wrapped(*kind, &format!("results.{id}.output"), inner)
            }
            _ => None,
        },
        _ => None,
    }
}

fn joined(base: &str, rest: &[&str]) -> String {
    rest.iter()
        .fold(base.to_owned(), |path, segment| path + "." + segment)
}

/// The path into the object that a node of this kind put around its output.
fn wrapped(kind: Option<Kind>, base: &str, rest: &[&str]) -> Option<String> {
    Some(match kind {
        Some(Kind::Transform | Kind::Merge) => joined(&format!("{base}.output"), rest),
        Some(Kind::Code) => joined(&format!("{base}.result"), rest),
        Some(Kind::ForEach) => match rest {
            [index, inner @ ..] => joined(&format!("{base}.results.{index}.output"), inner),
            // The outputs of the items by themselves were nowhere.
            [] => return None,
        },
        // It kept what it tested, not what reached it.
        Some(Kind::IfElse) => return None,
        _ => joined(base, rest),
    })
}
