//! What an entry is found by.

use serde_json::Value;

/// How many bytes of a value's text are searched, the first ones: a tsvector has a bound of 1 MiB, and a text full of
/// paths or hyphens takes several times its own length in it.
const MAX_TEXT_BYTES: usize = 128 * 1024;

/// The texts and numbers in a value, in its order, a line each; names of fields are not among them.
pub(super) fn of_value(value: &Value) -> String {
    let mut text = String::new();
    collect(value, &mut text);
    text
}

/// Key and tags, a line each.
pub(super) fn aside(key: &str, tags: &[String]) -> String {
    let mut text = String::new();
    add(key, &mut text);
    for tag in tags {
        add(tag, &mut text);
    }
    text
}

/// The first so many characters.
pub(super) fn beginning(text: &str, chars: usize) -> &str {
    text.char_indices()
        .nth(chars)
        .map_or(text, |(end, _)| &text[..end])
}

fn collect(value: &Value, text: &mut String) {
    match value {
        Value::String(part) => add(part, text),
        Value::Number(number) => add(&number.to_string(), text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, text)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, text)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn add(part: &str, text: &mut String) {
    let room = MAX_TEXT_BYTES.saturating_sub(text.len() + 1);
    let part = &part[..part.floor_char_boundary(room)];
    if part.is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    // Postgres takes no U+0000 in a text.
    text.extend(part.chars().map(|char| match char {
        '\0' => ' ',
        char => char,
    }));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_and_numbers_are_found_by_and_names_of_fields_are_not() {
        let value = json!({"a": "one", "b": [2, {"c": "three"}], "d": true, "e": null});

        assert_eq!(of_value(&value), "one\n2\nthree");
        assert_eq!(of_value(&json!("plain\u{0}text")), "plain text");
        assert_eq!(of_value(&json!(false)), "");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = of_value(&json!(["é".repeat(MAX_TEXT_BYTES), "more"]));

        assert!(text.len() <= MAX_TEXT_BYTES);
        assert!(text.len() > MAX_TEXT_BYTES - 4);
        assert_eq!(beginning("éa", 1), "é");
        assert_eq!(beginning("é", 5), "é");
    }
}
