//! Objects read key by key, with everything that is wrong with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::flow::Violation;
use crate::value;

/// The most problems that are told of one document.
const MOST: usize = 1_000;

/// The longest text of a client inside a message, in characters.
const SHOWN_CHARS: usize = 60;

/// What is wrong with a document.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Violation>);

impl Problems {
    /// Notes what is wrong at a path.
    pub(super) fn add(&mut self, field: String, reason: &'static str, description: String) {
        if self.0.len() < MOST {
            self.0.push(Violation {
                field,
                reason,
                description,
            });
        }
    }

    fn add_wrong_type(&mut self, path: &str, found: &Value, wanted: &str) {
        let description = format!("is {}, not {wanted}", value::kind(found));
        self.add(path.to_owned(), "WRONG_TYPE", description);
    }

    /// What was read, if nothing is wrong with it.
    pub(super) fn into_result<T>(self, read: T) -> Result<T, Vec<Violation>> {
        if self.0.is_empty() {
            Ok(read)
        } else {
            Err(self.0)
        }
    }
}

/// A client's text inside a message, shortened.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// A path and a key below it.
pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// An object whose keys are taken one by one: what is left in the end is unknown.
pub(super) struct Fields<'a> {
    path: String,
    rest: BTreeMap<&'a str, &'a Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens an object. Anything else is noted and has no keys.
    pub(super) fn open(found: &'a Value, path: String, problems: &mut Problems) -> Self {
        let rest = match found {
            Value::Object(entries) => members(entries),
            other => {
                problems.add_wrong_type(&path, other, "an object");
                BTreeMap::new()
            }
        };
        Self {
            path,
            rest,
            known: Vec::new(),
        }
    }

    /// Path of a key.
    pub(super) fn path(&self, name: &str) -> String {
        below(&self.path, name)
    }

    /// The value of a key in either spelling, null as it is.
    pub(super) fn take_any(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
    ) -> Option<&'a Value> {
        self.known.push(name);
        let plain = self.rest.remove(name);
        let camel = camel_case(name);
        let other = if camel == name {
            None
        } else {
            self.rest.remove(camel.as_str())
        };
        if plain.is_some() && other.is_some() {
            let description = format!("is given a second time, as {camel}");
            problems.add(self.path(name), "DUPLICATE_FIELD", description);
        }
        plain.or(other)
    }

    /// The value of a key in either spelling; null is as good as nothing.
    pub(super) fn take(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
    ) -> Option<&'a Value> {
        self.take_any(name, problems)
            .filter(|value| !value.is_null())
    }

    /// A text; empty where it is absent.
    pub(super) fn text(&mut self, name: &'static str, problems: &mut Problems) -> String {
        match self.take(name, problems) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                problems.add_wrong_type(&self.path(name), other, "a text");
                String::new()
            }
        }
    }

    /// A boolean; false where it is absent.
    pub(super) fn boolean(&mut self, name: &'static str, problems: &mut Problems) -> bool {
        match self.take(name, problems) {
            None => false,
            Some(Value::Bool(truth)) => *truth,
            Some(other) => {
                problems.add_wrong_type(&self.path(name), other, "a boolean");
                false
            }
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &'static str, problems: &mut Problems) -> Option<f64> {
        let found = self.take(name, problems)?;
        let number = found.as_f64();
        if number.is_none() {
            problems.add_wrong_type(&self.path(name), found, "a number");
        }
        number
    }

    /// A whole number from 0 on; 0 is as good as nothing, as everywhere in protobuf.
    pub(super) fn count(&mut self, name: &'static str, problems: &mut Problems) -> Option<u32> {
        let number = self.number(name, problems)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and within the bounds of u32"
        )]
        let whole = (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number))
            .then_some(number as u32);
        if whole.is_none() {
            let description = format!("is {number}, it has to be a whole number from 0 on");
            problems.add(self.path(name), "OUT_OF_BOUNDS", description);
        }
        whole.filter(|&count| count != 0)
    }

    /// A list with the path of each of its items; empty where it is absent.
    pub(super) fn list(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
    ) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
        let path = self.path(name);
        let items = match self.take(name, problems) {
            None => &[],
            Some(Value::Array(items)) => items.as_slice(),
            Some(other) => {
                problems.add_wrong_type(&path, other, "a list");
                &[]
            }
        };
        items
            .iter()
            .enumerate()
            .map(move |(index, item)| (format!("{path}[{index}]"), item))
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &'static str, problems: &mut Problems) -> Vec<String> {
        let mut texts = Vec::new();
        for (path, item) in self.list(name, problems) {
            match item {
                Value::String(text) => texts.push(text.clone()),
                other => problems.add_wrong_type(&path, other, "a text"),
            }
        }
        texts
    }

    /// An object whose values are texts.
    pub(super) fn text_map(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
    ) -> BTreeMap<String, String> {
        let Some(found) = self.take(name, problems) else {
            return BTreeMap::new();
        };
        let path = self.path(name);
        let Value::Object(entries) = found else {
            problems.add_wrong_type(&path, found, "an object");
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for (key, item) in entries {
            match item {
                Value::String(text) => {
                    map.insert(key.clone(), text.clone());
                }
                other => problems.add_wrong_type(&format!("{path}[{key}]"), other, "a text"),
            }
        }
        map
    }

    /// One of several names; nothing for the unspecified one.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        unspecified: &str,
        values: &[(&str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let text = self.text(name, problems);
        if text.is_empty() || text == unspecified {
            return None;
        }
        let found = values.iter().find(|(value, _)| *value == text);
        if found.is_none() {
            let names: Vec<_> = values.iter().map(|(value, _)| *value).collect();
            let description = format!("is {}; there are {}", shown(&text), names.join(", "));
            problems.add(self.path(name), "UNKNOWN_ENUM_VALUE", description);
        }
        found.map(|(_, value)| *value)
    }

    /// Notes all keys that were not taken.
    pub(super) fn close(self, problems: &mut Problems) {
        for key in self.rest.keys() {
            let description = if self.known.is_empty() {
                "there is no such field, it has none".to_owned()
            } else {
                format!(
                    "there is no such field; there are {}",
                    self.known.join(", ")
                )
            };
            problems.add(below(&self.path, key), "UNKNOWN_FIELD", description);
        }
    }
}

fn members(entries: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    entries
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect()
}

/// `source_handle` as protobuf's JSON spells it: `sourceHandle`.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            camel.push(letter.to_ascii_uppercase());
        } else {
            camel.push(letter);
        }
    }
    camel
}
