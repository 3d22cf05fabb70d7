//! A node's config, key by key, by the table of its kind.

use serde_json::{Map, Number, Value};

use super::keys::{self, Key, Shape};
use super::kinds::Kind;
use super::outline::Scope;
use super::templates::{keep_text, rewrite};
use crate::import::notes::{Notes, Place, shown};

/// Names that stand in the template of a transform only.
const IN_TEMPLATE: &[&str] = &["source", "value"];

/// Keys that only said how an editor shows a node, or where it came from.
const OF_EDITORS: &[&str] = &[
    "position",
    "legacy_applet",
    "migration_source",
    "icon",
    "color",
    "description",
];

/// The config here for the config there. What is not in the table of the kind is dropped, with a warning for each key.
pub(super) fn convert(
    kind: Kind,
    mut data: Map<String, Value>,
    scope: Scope<'_>,
    place: &Place,
    notes: &mut Notes,
) -> Map<String, Value> {
    let mut config = Map::new();
    for key in keys::of(kind) {
        let Some((name, value)) = take(&mut data, key) else {
            continue;
        };
        let place = place.key(name);
        if name != key.name && !matches!(key.shape, Shape::Gone(_)) {
            let description = format!("is called {} here", key.name);
            notes.add(&place, "KEY_RENAMED", description);
        }
        let extra = if (kind, key.name) == (Kind::Transform, "template") {
            IN_TEMPLATE
        } else {
            &[]
        };
        if let Some(value) = shaped(&key.shape, value, scope, extra, &place, notes) {
            config.insert(key.name.to_owned(), value);
        }
    }
    drop_rest(data, place, notes);
    config
}

/// The config of a kind that the predecessor did not have: as it is, but for its templates.
pub(super) fn keep(
    data: Map<String, Value>,
    scope: Scope<'_>,
    place: &Place,
    notes: &mut Notes,
) -> Map<String, Value> {
    let rewritten = |(key, value): (String, Value)| {
        let value = rewrite(value, scope, &[], &place.key(&key), notes);
        (key, value)
    };
    data.into_iter().map(rewritten).collect()
}

/// The value of a key, under the first of its names that has one, and that name. Null stood for the default.
fn take(data: &mut Map<String, Value>, key: &Key) -> Option<(&'static str, Value)> {
    let names = std::iter::once(&key.name).chain(key.aliases);
    let mut given = names.filter_map(|name| Some((*name, data.get(*name)?)));
    let name = given.find(|(_, value)| !value.is_null())?.0;
    Some((name, data.remove(name)?))
}

/// Tells of each key that is left.
pub(super) fn drop_rest(data: Map<String, Value>, place: &Place, notes: &mut Notes) {
    for (key, value) in data {
        let is_empty = match &value {
            Value::Null => true,
            Value::Object(entries) => entries.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if is_empty || OF_EDITORS.contains(&key.as_str()) {
            continue;
        }
        let description = "is no key of this applet: left out";
        notes.add(&place.key(&key), "KEY_DROPPED", description);
    }
}

fn shaped(
    shape: &Shape,
    value: Value,
    scope: Scope<'_>,
    extra: &[&str],
    place: &Place,
    notes: &mut Notes,
) -> Option<Value> {
    let before = value.clone();
    let value = match shape {
        Shape::Templates => return Some(rewrite(value, scope, extra, place, notes)),
        Shape::Text => return Some(keep_text(value, place, notes)),
        Shape::Raw => return Some(value),
        Shape::Gone(why) => {
            let is_empty = value.as_object().is_some_and(Map::is_empty);
            if !is_empty {
                notes.add(place, "KEY_DROPPED", format!("left out: {why}"));
            }
            return None;
        }
        Shape::Number => number(value),
        Shape::Flag => flag(value),
        Shape::Texts => match value {
            Value::String(text) => Value::Array(vec![Value::String(text)]),
            other => other,
        },
        Shape::Word(words) => word(value, words),
    };
    if value != before && !place_shows_case_only(&before, &value) {
        let description = match (&before, &value) {
            (Value::String(there), Value::String(here)) => {
                format!("{:?} is {here:?} here", shown(there))
            }
            _ => format!("is {} here", crate::value::kind(&value)),
        };
        notes.add(place, "VALUE_CHANGED", description);
    }
    Some(value)
}

/// Whether two words differ only in what never mattered: case and white space around them.
fn place_shows_case_only(before: &Value, after: &Value) -> bool {
    match (before.as_str(), after.as_str()) {
        (Some(before), Some(after)) => before.trim().eq_ignore_ascii_case(after),
        _ => false,
    }
}

/// A number, also one that is written as text. Anything else stays for validation to refuse.
pub(super) fn number(value: Value) -> Value {
    let Value::String(text) = &value else {
        return value;
    };
    let text = text.trim();
    let whole = text.parse::<i64>().ok().map(Value::from);
    let real = || text.parse::<f64>().ok().and_then(Number::from_f64);
    whole.or_else(|| real().map(Value::Number)).unwrap_or(value)
}

/// A boolean, also one that is written as text or number.
pub(super) fn flag(value: Value) -> Value {
    let truth = match &value {
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        },
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        _ => None,
    };
    truth.map_or(value, Value::Bool)
}

/// A word in its own spelling, whatever its case and its hyphens. A template stays one.
fn word(value: Value, words: &[(&str, &[&str])]) -> Value {
    let Value::String(text) = &value else {
        return value;
    };
    if text.contains("{{") {
        return value;
    }
    let name = text.trim().to_lowercase().replace('-', "_");
    let known = words
        .iter()
        .find(|(word, others)| word.eq_ignore_ascii_case(&name) || others.contains(&name.as_str()));
    match known {
        Some((word, _)) => Value::String((*word).to_owned()),
        None if words.is_empty() => Value::String(text.trim().to_lowercase()),
        None => value,
    }
}
