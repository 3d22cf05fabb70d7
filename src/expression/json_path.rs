//! JSON paths: the predecessor's form, and whatever RFC 9535 allows.
//!
//! An empty path is `$`; a path without `$` gets `$.` in front; `.a-b` is `['a-b']`. A path of names and indexes only
//! leads to one value, and it is an error if that is missing. Any other path gives the list of its matches.

use serde_json::Value;

use super::{Error, cost};
use crate::template::limits;

/// A path that has been read.
#[derive(Clone, Debug)]
pub struct JsonPath {
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Names and indexes only.
    Single(Vec<Step>),
    /// Any other.
    Many(serde_json_path::JsonPath),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    /// From the end if negative.
    Index(i64),
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// Too long, too deep, or not a path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        limits::check_expression(text)?;
        let rooted = match text.chars().next() {
            None => "$".to_owned(),
            Some('$') => text.to_owned(),
            // What begins with a bracket is refused by the parser, as the predecessor did.
            Some('.') => format!("${text}"),
            Some(_) => format!("$.{text}"),
        };
        let kind = if let Some(steps) = single(&rooted) {
            Kind::Single(steps)
        } else {
            let path = serde_json_path::JsonPath::parse(&quote_names(&rooted));
            Kind::Many(path.map_err(|error| Error::Syntax {
                what: "JSON path",
                message: error.to_string(),
            })?)
        };
        Ok(Self { text: rooted, kind })
    }

    /// Whether following it takes no more than some look-ups.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        matches!(self.kind, Kind::Single(_))
    }

    /// The value at a path of names and indexes, or the list of what any other path matches; `None` if there is
    /// nothing at the former.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`].
    pub fn find(&self, value: &Value) -> Result<Option<Value>, Error> {
        Ok(match &self.kind {
            Kind::Single(steps) => steps
                .iter()
                .try_fold(value, |value, step| step.of(value))
                .cloned(),
            Kind::Many(path) => {
                cost::check_path(&self.text, value)?;
                Some(path.query(value).iter().copied().cloned().collect())
            }
        })
    }

    /// The same, where nothing is an error.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::TooExpensive`].
    pub fn get(&self, value: &Value) -> Result<Value, Error> {
        self.find(value)?.ok_or_else(|| Error::Missing {
            path: self.text.clone(),
        })
    }
}

impl Step {
    /// Names are of objects only, indexes of lists only.
    fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match (self, value) {
            (Self::Name(name), Value::Object(entries)) => entries.get(name),
            (Self::Index(index), Value::Array(items)) => {
                let index = match usize::try_from(*index) {
                    Ok(index) => index,
                    Err(_) => items
                        .len()
                        .checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
                };
                items.get(index)
            }
            _ => None,
        }
    }
}

/// Reads `$.name[0]['name']`; `None` for anything else.
fn single(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Name(after[..end].to_owned()));
            rest = &after[end..];
        } else {
            let inside = rest.strip_prefix('[')?.trim_start();
            let first = inside.chars().next()?;
            let (step, after) = if matches!(first, '\'' | '"') {
                quoted(&inside[1..], first)?
            } else {
                let end = inside.find(|c: char| !(c.is_ascii_digit() || c == '-'))?;
                (Step::Index(inside[..end].parse().ok()?), &inside[end..])
            };
            steps.push(step);
            rest = after.trim_start().strip_prefix(']')?;
        }
    }
    Some(steps)
}

/// Letters of a name after a dot: those of the predecessor, and what RFC 9535 adds.
const fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-') || !character.is_ascii()
}

/// A name in quotes, with the escapes of JSON and `\'`, and what follows.
fn quoted(text: &str, quote: char) -> Option<(Step, &str)> {
    let mut end = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => {
                end = Some(at);
                break;
            }
            _ => {}
        }
    }
    let (inside, after) = text.split_at(end?);
    let json = if quote == '\'' {
        inside.replace("\\'", "'").replace('"', "\\\"")
    } else {
        inside.to_owned()
    };
    let name = serde_json::from_str(&format!("\"{json}\"")).ok()?;
    Some((Step::Name(name), &after[1..]))
}

/// Writes names that RFC 9535 allows only in quotes (`.a-b`, and outside of brackets `.1a`) in quotes.
fn quote_names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut brackets, mut quote) = (0_usize, None);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = character.len_utf8();
        match (character, quote) {
            ('\\', Some(_)) => {
                let escaped = rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..=escaped]);
                rest = &rest[1 + escaped..];
                continue;
            }
            (_, Some(end)) => quote = (character != end).then_some(end),
            ('\'' | '"', None) => quote = Some(character),
            ('[', None) => brackets += 1,
            (']', None) => brackets = brackets.saturating_sub(1),
            ('.', None) => {
                let after = &rest[1..];
                let name = &after[..after.find(|c| !is_name(c)).unwrap_or(after.len())];
                let starts_with_digit = name.starts_with(|c: char| c.is_ascii_digit());
                // In a filter, `.5` is part of a number.
                let is_number = starts_with_digit && brackets > 0;
                if !name.is_empty() && !is_number && (starts_with_digit || name.contains('-')) {
                    // After the second dot of `..`, which stays.
                    if out.ends_with('.') {
                        out.push('.');
                    }
                    out.extend(["['", name, "']"]);
                    rest = &after[name.len()..];
                    continue;
                }
            }
            _ => {}
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn find(path: &str) -> Option<Value> {
        let value = json!({
            "items": [{"sku": "A1", "a-b": 1}, {"sku": "B2", "a-b": 2}],
            "a-b": {"c": [10, 20, [30, {"d": "x"}]]},
            "naïve": "é", "it's": 1, "say \"x\"": 2, "1a": 3, "nul": null,
        });
        JsonPath::parse(path).unwrap().find(&value).unwrap()
    }

    #[test]
    fn names_and_indexes_lead_to_the_value() {
        assert_eq!(find("$.items[0].sku"), Some(json!("A1")));
        assert_eq!(find("items[1]['sku']"), Some(json!("B2")));
        assert_eq!(find("a-b.c[2][1].d"), Some(json!("x")));
        assert_eq!(find("$.items[-1].sku"), Some(json!("B2")));
        assert_eq!(find("$.naïve"), Some(json!("é")));
        assert_eq!(find(r"$['it\'s']"), Some(json!(1)));
        assert_eq!(find(r#"$["it's"]"#), Some(json!(1)));
        assert_eq!(find(r#"$['say "x"']"#), Some(json!(2)));
        assert_eq!(find("$.1a"), Some(json!(3)));
        assert_eq!(find("$.nul"), Some(json!(null)));
        assert_eq!(find("").unwrap(), find("$").unwrap());
    }

    #[test]
    fn what_is_missing_is_nothing() {
        for path in [
            "$.gone",
            "$.items.sku",
            "$.items[2]",
            "$.items[-3]",
            "$.naïve[0]",
            "$.nul.x",
            "$['items']['0']",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }

    #[test]
    fn any_other_path_gives_a_list() {
        assert_eq!(find("$.items[*].sku"), Some(json!(["A1", "B2"])));
        assert_eq!(find("items[*].a-b"), Some(json!([1, 2])));
        assert_eq!(find("$..d"), Some(json!(["x"])));
        assert_eq!(find("$..a-b").unwrap().as_array().unwrap().len(), 3);
        assert_eq!(find("$.items[0:1].sku"), Some(json!(["A1"])));
        assert_eq!(find("$.items[?@.a-b > 1.5].sku"), Some(json!(["B2"])));
        assert_eq!(find("$.gone[*]"), Some(json!([])));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["[0]", "$.", "$[", "$.a b", "$$", "$.items[01]x", "$['a'"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
        assert!(JsonPath::parse(&"a".repeat(2_001)).is_err());
        assert!(JsonPath::parse(&format!("$[?{}", "(".repeat(17))).is_err());
    }

    #[test]
    fn hostile_paths_do_not_overflow_the_stack() {
        let repeat = |piece: &str| piece.repeat(1_900 / piece.len());
        let hostile = [
            format!("$[?{}@.a{}]", "(".repeat(16), ")".repeat(16)),
            format!("$[?{}@.a]", "!".repeat(16)),
            format!("${}", repeat("[?@")),
            format!("${}", repeat("..*")),
            format!("${}", repeat("[*]")),
            format!("$[?{}@.a]", repeat("@.a && ")),
            format!("$[?{}@.a]", repeat("@.a || ")),
        ];
        let test = move || {
            let value = json!({"a": [{"a": 1}]});
            for path in hostile {
                drop(JsonPath::parse(&path).map(|path| path.find(&value)));
            }
        };
        std::thread::Builder::new()
            .stack_size(512 * 1024)
            .spawn(test)
            .unwrap()
            .join()
            .unwrap();
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[$.\\[\\]'\"a-c0-9 *?@:()é\\\\-]{0,30}") {
            drop(JsonPath::parse(&text).map(|path| path.find(&json!({"a": [1]}))));
        }
    }
}
