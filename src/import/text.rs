//! From text to a JSON value, within bounds that hold before the value is built.
//!
//! JSON cannot become more than it is long, and its parser stops at 128 levels. YAML can: an alias repeats what it
//! names, so that ten lines may stand for a billion nodes. Its reader counts nodes, levels and bytes while it reads,
//! what aliases repeat included.

use serde_json::Value;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::Format;
use crate::flow::Violation;
use crate::value;

/// The largest document, in bytes.
pub const MAX_BYTES: usize = 2 << 20;

/// The most levels of lists and objects: a config nests 30 deep at most, loops in it included, and lies three levels
/// deep itself.
const MAX_LEVELS: usize = 64;

/// The most values in a YAML document, with what its aliases repeat.
const MAX_NODES: usize = 500_000;

/// The most aliases in a YAML document.
const MAX_ALIASES: usize = 1_000;

/// The most values, about, that aliases repeat: each costs the reader more than one that is written out.
const MAX_REPEATED: usize = 20_000;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Yaml,
}

impl From<Format> for Syntax {
    fn from(format: Format) -> Self {
        if format.is_yaml() {
            Self::Yaml
        } else {
            Self::Json
        }
    }
}

impl Syntax {
    /// What begins with a brace is JSON: nobody writes a whole flow in YAML's braces.
    pub(super) fn of(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with(['{', '[']) {
            Self::Json
        } else {
            Self::Yaml
        }
    }
}

/// Reads a document.
pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Value, Violation> {
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        let description = format!("is {bytes} bytes large, the most are {MAX_BYTES}");
        return Err(violation("TOO_LARGE", description));
    }
    if text.trim().is_empty() {
        return Err(violation("REQUIRED", "has to be set".to_owned()));
    }
    let text = text.trim_start_matches('\u{feff}');
    let mut value = match syntax {
        Syntax::Json => serde_json::from_str(text)
            .map_err(|error| violation("MALFORMED_DOCUMENT", format!("is no JSON: {error}")))?,
        Syntax::Yaml => yaml(text)?,
    };
    if levels(&value) > MAX_LEVELS {
        let description = format!("nests deeper than {MAX_LEVELS} levels");
        return Err(violation("TOO_DEEP", description));
    }
    value::normalise(&mut value);
    Ok(value)
}

/// YAML 1.2: `no` and `on` are texts. The predecessor's reader took them for booleans, so that where it wanted one they
/// are taken for one still.
fn yaml(text: &str) -> Result<Value, Violation> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_LEVELS,
            flow_nesting_limit: MAX_LEVELS,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_recorded_anchor_events: MAX_REPEATED,
            max_recorded_anchor_bytes: 2 * MAX_BYTES,
            max_total_scalar_bytes: 2 * MAX_BYTES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| violation("MALFORMED_DOCUMENT", describe(&error)))
}

/// What is wrong with YAML and where. The text itself is not quoted: there may be secrets in it.
fn describe(error: &serde_saphyr::Error) -> String {
    const MOST_CHARS: usize = 300;
    let text: String = error
        .without_snippet()
        .to_string()
        .chars()
        .take(MOST_CHARS)
        .collect();
    format!("is no YAML that can be read: {text}")
}

/// Levels of lists and objects. The parsers have bounded them, so that this may recurse.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(levels).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Something that is wrong with the document as a whole.
pub(super) fn violation(reason: &'static str, description: String) -> Violation {
    Violation {
        field: "document".to_owned(),
        reason,
        description,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::json;

    use super::*;

    fn reason(text: &str, syntax: Syntax) -> &'static str {
        parse(text, syntax).unwrap_err().reason
    }

    #[test]
    fn yaml_is_read_as_json_would_be() {
        let text = "id: a\nposition: { x: 300, y: 2.5 }\nlist:\n  - no\n  - 'yes'\n  - true\n  - null\n  - 017\ntext: >\n  one\n  two\n";

        let value = parse(text, Syntax::Yaml).unwrap();

        assert_eq!(
            value,
            json!({
                "id": "a", "position": {"x": 300, "y": 2.5}, "list": ["no", "yes", true, null, 17], "text": "one two\n",
            })
        );
    }

    #[test]
    fn anchors_and_merge_keys_are_read() {
        let text = "base: &b\n  a: 1\nnode:\n  <<: *b\n  c: 2\n";

        let value = parse(text, Syntax::Yaml).unwrap();

        assert_eq!(value["node"], json!({"a": 1, "c": 2}));
    }

    #[test]
    fn what_aliases_repeat_is_counted() {
        let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, before) in ('b'..='j').zip('a'..) {
            let aliases = vec![format!("*{before}"); 10].join(", ");
            writeln!(laughs, "{name}: &{name} [{aliases}]").unwrap();
        }
        let long = "x".repeat(1 << 20);
        let echo = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 900].join(", "));

        assert_eq!(reason(&laughs, Syntax::Yaml), "MALFORMED_DOCUMENT");
        assert_eq!(reason(&echo, Syntax::Yaml), "MALFORMED_DOCUMENT");
    }

    #[test]
    fn deep_documents_end_before_the_stack_does() {
        for text in ["[".repeat(500_000), "{\"a\":".repeat(300_000)] {
            assert_eq!(reason(&text, Syntax::Json), "MALFORMED_DOCUMENT");
            assert_eq!(reason(&text, Syntax::Yaml), "MALFORMED_DOCUMENT");
        }
        let nested = format!("{}{}", "[".repeat(110), "]".repeat(110));
        assert_eq!(reason(&nested, Syntax::Json), "TOO_DEEP");
        let dashes = "- ".repeat(100_000);
        assert_eq!(reason(&dashes, Syntax::Yaml), "MALFORMED_DOCUMENT");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        assert_eq!(reason("", Syntax::Yaml), "REQUIRED");
        assert_eq!(reason("{", Syntax::Json), "MALFORMED_DOCUMENT");
        assert_eq!(reason("{} {}", Syntax::Json), "MALFORMED_DOCUMENT");
        assert_eq!(reason("a: 1\na: 2\n", Syntax::Yaml), "MALFORMED_DOCUMENT");
        assert_eq!(reason("a: .nan\n", Syntax::Yaml), "MALFORMED_DOCUMENT");
        assert_eq!(reason("--- a\n--- b\n", Syntax::Yaml), "MALFORMED_DOCUMENT");
        let large = " ".repeat(MAX_BYTES + 1);
        assert_eq!(reason(&large, Syntax::Json), "TOO_LARGE");
    }

    #[test]
    fn no_text_of_the_document_is_quoted() {
        let violation = parse("api_key: sk-very-secret\n  b: [", Syntax::Yaml).unwrap_err();

        assert!(!violation.description.contains("sk-very"), "{violation:?}");
    }
}
