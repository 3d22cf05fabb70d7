//! Answers that are to be JSON: asking for it, reading it, and asking once more where it is none.

use serde_json::Value;

use super::{Message, Role};

/// The longest part of an answer that is shown to the model again, in bytes.
const MAX_REPEATED_BYTES: usize = 64 * 1024;

/// What a model is told that has no mode for JSON.
#[must_use]
pub fn instruction(schema: Option<&Value>) -> String {
    match schema {
        None => "Answer with JSON only: no other text, no code fence.".to_owned(),
        Some(schema) => format!(
            "Answer only with JSON that fits this JSON schema, no other text, no code fence: {schema}"
        ),
    }
}

/// Reads an answer. Models like to put JSON into a code fence, which is taken off.
///
/// # Errors
///
/// Where and why it is no JSON, in words.
pub fn read(text: &str) -> Result<Value, String> {
    serde_json::from_str(unfenced(text)).map_err(|error| error.to_string())
}

fn unfenced(text: &str) -> &str {
    let text = text.trim().trim_start_matches('\u{feff}');
    let Some(inner) = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
    else {
        return text;
    };
    // The first line names the language.
    match inner.split_once('\n') {
        Some((language, rest)) if language.trim().chars().all(char::is_alphanumeric) => rest.trim(),
        _ => inner.trim(),
    }
}

/// What is added to a conversation to ask once more: the answer, and what is wrong with it.
#[must_use]
pub fn repair(answer: &str, problem: &str) -> [Message; 2] {
    let shown = &answer[..answer.floor_char_boundary(MAX_REPEATED_BYTES)];
    [
        Message {
            role: Role::Assistant,
            content: shown.to_owned(),
        },
        Message {
            role: Role::User,
            content: format!(
                "Your answer cannot be used: {problem}. Answer again, with the corrected JSON only and nothing else."
            ),
        },
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_with_and_without_a_fence() {
        for text in [
            r#"{"a": 1}"#,
            " \n{\"a\": 1}\n",
            "```json\n{\"a\": 1}\n```",
            "```\n{\"a\": 1}```",
            "```{\"a\": 1}```",
            "\u{feff}{\"a\": 1}",
        ] {
            assert_eq!(read(text), Ok(json!({"a": 1})), "{text}");
        }
        for text in ["", "Sure! {\"a\": 1}", "{\"a\": 1", "```json\n```"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
