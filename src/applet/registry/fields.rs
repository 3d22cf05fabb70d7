//! Reading a config with everything that is wrong with it, not only the first thing.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::flow::Violation;
use crate::redact::Redactor;
use crate::value;

/// The longest description of a violation: messages of serde hold the value.
const MAX_DESCRIPTION_CHARS: usize = 300;

/// The most violations of one kind that are collected for one node.
const MAX_VIOLATIONS: usize = 32;

/// Reads a config. Violations have paths inside it.
pub fn read<C: DeserializeOwned>(data: &Value, schema: &Value) -> Result<C, Vec<Violation>> {
    let mut rest = match data {
        Value::Null => Map::new(),
        Value::Object(entries) => entries.clone(),
        other => {
            let description = format!("is {}; a config is an object", value::kind(other));
            return Err(vec![Violation::at("", "WRONG_TYPE", description)]);
        }
    };
    let mut violations = remove_unknown(&mut rest, schema);
    violations.extend(find_absent(&rest, schema));

    // Each round finds one wrong field; without it the next round goes further.
    loop {
        match serde_path_to_error::deserialize::<_, C>(Value::Object(rest.clone())) {
            Ok(config) if violations.is_empty() => return Ok(config),
            Ok(_) => return Err(violations),
            Err(error) => {
                let field = place(error.path());
                let message = error.inner().to_string();
                let wrong = first_key(error.path()).filter(|key| rest.contains_key(key));
                let Some(key) = wrong else {
                    // Of the config as a whole: what is absent is known by now, or was just removed.
                    if violations.is_empty() {
                        violations.push(violation(field, &message));
                    }
                    return Err(violations);
                };
                violations.push(violation(field, &message));
                if violations.len() >= MAX_VIOLATIONS {
                    return Err(violations);
                }
                rest.remove(&key);
            }
        }
    }
}

/// Reads a rendered config: one thing that is wrong is enough there.
pub fn read_rendered<C: DeserializeOwned>(data: &Value) -> Result<C, Violation> {
    serde_path_to_error::deserialize(data)
        .map_err(|error| violation(place(error.path()), &error.inner().to_string()))
}

/// The same for an owned config, whose texts are moved. What serde says holds the value, which may be that of a secret.
pub fn read_owned<C: DeserializeOwned>(data: Value, redactor: &Redactor) -> Result<C, Violation> {
    serde_path_to_error::deserialize(data).map_err(|error| {
        let message = error.inner().to_string();
        violation(place(error.path()), &redactor.text(&message))
    })
}

fn remove_unknown(entries: &mut Map<String, Value>, schema: &Value) -> Vec<Violation> {
    let Some(known) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let unknown: Vec<_> = entries
        .keys()
        .filter(|key| !known.contains_key(*key))
        .take(MAX_VIOLATIONS)
        .cloned()
        .collect();
    entries.retain(|key, _| known.contains_key(key));
    let names: Vec<_> = known.keys().map(String::as_str).collect();
    let description = if names.is_empty() {
        "there is no such field; this applet has none".to_owned()
    } else {
        format!("there is no such field; there are {}", names.join(", "))
    };
    unknown
        .into_iter()
        .map(|key| Violation::at(key, "UNKNOWN_FIELD", description.clone()))
        .collect()
}

fn find_absent(entries: &Map<String, Value>, schema: &Value) -> Vec<Violation> {
    let required = schema["required"].as_array().into_iter().flatten();
    required
        .filter_map(Value::as_str)
        .filter(|key| !entries.contains_key(*key))
        .map(|key| Violation::at(key, "REQUIRED", "is absent, and there is no default"))
        .collect()
}

fn violation(field: String, message: &str) -> Violation {
    let reason = if message.starts_with("unknown field") {
        "UNKNOWN_FIELD"
    } else if message.starts_with("unknown variant") {
        "UNKNOWN_VALUE"
    } else if message.starts_with("missing field") {
        "REQUIRED"
    } else {
        "WRONG_TYPE"
    };
    let description = match message.char_indices().nth(MAX_DESCRIPTION_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    };
    Violation::at(field, reason, description)
}

/// `headers.X[0]`; serde's own form has a dot for the whole.
fn place(path: &Path) -> String {
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                write!(place, "[{index}]").expect("writing to a string does not fail");
            }
            Segment::Map { key } => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(key);
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    place
}

fn first_key(path: &Path) -> Option<String> {
    path.iter().find_map(|segment| match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    })
}
