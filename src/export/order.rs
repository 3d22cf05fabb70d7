//! The order of keys in a document: as a person would write them, not by the alphabet.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Keys that come first, in this order; the others follow by the alphabet.
const FIRST: [&str; 14] = [
    "id",
    "name",
    "type",
    "display_name",
    "description",
    "labels",
    "revision",
    "tags",
    "source",
    "source_handle",
    "target",
    "target_handle",
    "position",
    "data",
];

/// Keys that come last.
const LAST: [&str; 2] = ["nodes", "edges"];

/// What the author of the flow wrote is left in the order of the alphabet, but for the bodies of loops.
const AUTHORS: [&str; 4] = ["data", "labels", "input_schema", "default_output"];

/// A value that writes its keys in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered<'a> {
    value: &'a Value,
    is_authors: bool,
}

impl<'a> Ordered<'a> {
    /// A document.
    pub(super) const fn new(value: &'a Value) -> Self {
        Self {
            value,
            is_authors: false,
        }
    }
}

fn rank(key: &str) -> usize {
    let last = LAST.iter().position(|last| *last == key);
    let first = FIRST.iter().position(|first| *first == key);
    match (first, last) {
        (Some(rank), _) => rank,
        (None, Some(rank)) => FIRST.len() + 1 + rank,
        (None, None) => FIRST.len(),
    }
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(entries) => {
                let mut keys: Vec<(&String, &Value)> = entries.iter().collect();
                if !self.is_authors {
                    keys.sort_by_key(|(key, _)| rank(key));
                }
                let mut map = serializer.serialize_map(Some(keys.len()))?;
                for (key, value) in keys {
                    let is_body = key == "body" || key == "sub_nodes";
                    let is_authors =
                        !is_body && (self.is_authors || AUTHORS.contains(&key.as_str()));
                    map.serialize_entry(key, &Ordered { value, is_authors })?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(|value| Ordered {
                value,
                is_authors: self.is_authors,
            })),
            other => other.serialize(serializer),
        }
    }
}
