//! JSON values: which of them the service takes, how large they are, when two are equal, and how one reads as text.
//!
//! Postgres stores no U+0000, protobuf runtimes stop at about a hundred message levels, and clients in JavaScript lose
//! integers beyond 2^53: what any of them could not carry is refused where it comes in, with the path of the place.

pub mod canonical;
pub(crate) mod check;
pub mod diff;

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

pub use check::{Error, Measure, check, check_all, measure, normalise, settle_output};

/// The deepest nesting of lists and objects: `[[1]]` has two levels, a number none.
pub const MAX_NESTING: usize = 30;

/// The largest integer, up or down, that every client reads without loss (2^53).
pub const MAX_INTEGER: i64 = 1 << 53;

/// Whether two values are equal as JSON: `1` and `1.0` are, `1` and `true` are not, the order of keys is nothing.
#[must_use]
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => equal_numbers(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn equal_numbers(a: &Number, b: &Number) -> bool {
    match (a.as_i64(), b.as_i64(), a.as_u64(), b.as_u64()) {
        (Some(a), Some(b), _, _) => a == b,
        (_, _, Some(a), Some(b)) => a == b,
        _ => a.as_f64().partial_cmp(&b.as_f64()) == Some(Ordering::Equal),
    }
}

/// A value inside text: text as it is, null as nothing, lists and objects as compact JSON.
#[must_use]
pub fn to_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

/// What an applet for text makes of a value: as [`to_text`], but of an object the first of `prompt`, `text`, `input`,
/// `content` and `message` that holds text which is not blank, as the predecessor did.
#[must_use]
pub fn coerce_text(value: &Value) -> Cow<'_, str> {
    const TELLING_KEYS: [&str; 5] = ["prompt", "text", "input", "content", "message"];
    let telling = value.as_object().and_then(|object| {
        TELLING_KEYS
            .iter()
            .filter_map(|key| object.get(*key)?.as_str())
            .find(|text| !text.trim().is_empty())
    });
    telling.map_or_else(|| to_text(value), Cow::Borrowed)
}

/// What kind of value it is, for messages: `a number`, `null` …
#[must_use]
pub const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equality_is_that_of_json() {
        assert!(equal(&json!(1), &json!(1.0)));
        assert!(equal(&json!({"a": [1, 2.0]}), &json!({"a": [1.0, 2]})));
        assert!(equal(&json!(u64::MAX), &json!(u64::MAX)));

        assert!(!equal(&json!(1), &json!(true)));
        assert!(!equal(&json!(1), &json!("1")));
        assert!(!equal(&json!(0), &json!(null)));
        assert!(!equal(&json!({"a": null}), &json!({"b": null})));
    }

    #[test]
    fn text_is_compact_and_null_is_nothing() {
        assert_eq!(to_text(&json!(null)), "");
        assert_eq!(to_text(&json!(true)), "true");
        assert_eq!(to_text(&json!(2.5)), "2.5");
        assert_eq!(to_text(&json!(["a", 1])), r#"["a",1]"#);
        assert_eq!(
            to_text(&json!({"text": "x", "a": 1})),
            r#"{"a":1,"text":"x"}"#
        );
    }

    #[test]
    fn the_text_of_an_object_is_its_telling_key() {
        assert_eq!(coerce_text(&json!({"text": "t", "prompt": "p"})), "p");
        assert_eq!(coerce_text(&json!({"prompt": "  ", "message": "m"})), "m");
        assert_eq!(coerce_text(&json!({"text": 1})), r#"{"text":1}"#);
    }
}
