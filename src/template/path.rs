//! Dotted paths: `results.fetch-1.output.items.0.sku`.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::secrets;
use super::{Reads, Scope};
use crate::ids::NodeId;

/// A dotted path of letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: Box<str>,
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    name: Box<str>,
    /// The same as an index, if it is one.
    index: Option<usize>,
}

/// Whether a text is a dotted path, by its letters.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .split('.')
            .all(|segment| !segment.is_empty() && segment.bytes().all(allowed))
        && !is_constant(text)
}

/// Words that are values in an expression.
fn is_constant(text: &str) -> bool {
    matches!(
        text,
        "true" | "false" | "none" | "null" | "True" | "False" | "None"
    )
}

impl Path {
    /// Reads a path; `None` where the text is something else (an expression, perhaps).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_plain(text).then(|| Self {
            text: text.into(),
            segments: text
                .split('.')
                .map(|name| Segment {
                    name: name.into(),
                    index: name.parse().ok(),
                })
                .collect(),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is at the path, if anything is.
    #[must_use]
    pub fn find<'a>(&self, scope: &'a Scope) -> Option<Cow<'a, Value>> {
        let (root, rest) = self.segments.split_first()?;
        let root_value: &Value = match &*root.name {
            "input" => &scope.input,
            "content" => &scope.content,
            "results" => return find_result(rest, scope),
            "run" => return find_id(rest, scope.run_id.to_string()),
            "node" => return find_id(rest, scope.node_id.to_string()),
            "secrets" => return find_secret(rest, scope).map(Cow::Owned),
            "item" => &scope.item.as_ref()?.0,
            "index" if rest.is_empty() => {
                return Some(Cow::Owned(Value::from(scope.item.as_ref()?.1)));
            }
            name => scope.extra.get(name)?,
        };
        descend(root_value, rest).map(Cow::Borrowed)
    }

    /// Whether it is `secrets.<name>`, with a name that a secret can have.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        match &*self.segments {
            [root, name] => &*root.name == "secrets" && secrets::is_name(&name.name),
            _ => false,
        }
    }

    /// What it reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        let Some(root) = self.segments.first() else {
            return reads;
        };
        let second = self.segments.get(1).map(|segment| &*segment.name);
        match (&*root.name, second) {
            ("results", Some(node)) => {
                reads.nodes.insert(NodeId::from(node));
            }
            ("results", None) => reads.all_nodes = true,
            ("secrets", name) => {
                reads.secrets.insert(name.unwrap_or_default().to_owned());
            }
            _ => {}
        }
        reads.names.insert(root.name.to_string());
        reads
    }
}

fn descend<'a>(value: &'a Value, segments: &[Segment]) -> Option<&'a Value> {
    segments
        .iter()
        .try_fold(value, |value, segment| match value {
            Value::Object(entries) => entries.get(&*segment.name),
            Value::Array(items) => items.get(segment.index?),
            _ => None,
        })
}

/// `results`, `results.<node>` and `results.<node>.output…`.
fn find_result<'a>(segments: &[Segment], scope: &'a Scope) -> Option<Cow<'a, Value>> {
    let Some((node, rest)) = segments.split_first() else {
        let all = scope
            .results
            .iter()
            .map(|(node, output)| (node.to_string(), json!({"output": **output})));
        return Some(Cow::Owned(Value::Object(all.collect())));
    };
    let output = scope.results.get(&*node.name)?;
    match rest.split_first() {
        None => Some(Cow::Owned(json!({"output": **output}))),
        Some((field, rest)) if &*field.name == "output" => descend(output, rest).map(Cow::Borrowed),
        Some(_) => None,
    }
}

/// `secrets.<name>`.
fn find_secret(segments: &[Segment], scope: &Scope) -> Option<Value> {
    match segments {
        [name] => scope.secrets.find(&name.name),
        _ => None,
    }
}

/// `run.id` and `node.id`, or the object around it.
fn find_id(segments: &[Segment], id: String) -> Option<Cow<'static, Value>> {
    match segments {
        [] => Some(Cow::Owned(json!({"id": id}))),
        [field] if &*field.name == "id" => Some(Cow::Owned(Value::String(id))),
        _ => None,
    }
}
