//! What is told of a program beside its output.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::applet::Context;
use crate::sandbox::{Ending, Language, Report};

/// How much of each stream stands in the details, in bytes of JSON: they are bounded themselves. What is longer is kept
/// as a file beside.
const MAX_SHOWN_BYTES: usize = 20 * 1024;

/// Duration, exit code, and what was printed.
pub(super) async fn details(
    context: &Context,
    language: Language,
    report: &Report,
) -> Map<String, Value> {
    let milliseconds = |time: Duration| json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let mut details = Map::from_iter([
        ("language".to_owned(), json!(language)),
        ("duration_ms".to_owned(), milliseconds(report.duration)),
        ("cpu_ms".to_owned(), milliseconds(report.cpu)),
        ("exit_code".to_owned(), exit_code(&report.ending)),
    ]);
    for (name, (text, truncated)) in [("stdout", &report.stdout), ("stderr", &report.stderr)] {
        // Before it is cut or kept: half of a value would not be found, and nobody looks into files.
        let text = if *truncated {
            context.redactor.beginning(text)
        } else {
            context.redactor.text(text).into_owned()
        };
        let shown = beginning(&text, MAX_SHOWN_BYTES);
        let is_cut = shown.len() < text.len();
        details.insert(name.to_owned(), json!(shown));
        details.insert(format!("{name}_truncated"), json!(*truncated || is_cut));
        if is_cut {
            let whole = Bytes::copy_from_slice(text.as_bytes());
            match context.files.put(whole, "text/plain; charset=utf-8").await {
                Ok(file) => {
                    details.insert(format!("{name}_file"), file);
                }
                Err(error) => {
                    warn!(error = %error, run.id = %context.run_id, "what a program printed is not kept whole");
                }
            }
        }
    }
    details
}

fn exit_code(ending: &Ending) -> Value {
    match ending {
        Ending::Result(_) => json!(0),
        Ending::Raised(raised) => json!(raised.exit_code),
        Ending::Gone(status) => json!(status.code()),
        Ending::Cpu | Ending::Timeout | Ending::TooLarge => Value::Null,
    }
}

/// The beginning of a text whose JSON takes at most `most` bytes.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let mut rest = most;
    for (at, character) in text.char_indices() {
        let bytes = match character {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..' ' => 6,
            other => other.len_utf8(),
        };
        match rest.checked_sub(bytes) {
            Some(left) => rest = left,
            None => return &text[..at],
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_bounded_as_json() {
        assert_eq!(beginning("abc", 3), "abc");
        assert_eq!(beginning("abcd", 3), "abc");
        assert_eq!(beginning("a\n\u{1}b", 8), "a\n");
        assert_eq!(beginning("€€", 5), "€");
        let odd: String = (0..300u32).filter_map(char::from_u32).collect();
        for most in 0..200 {
            let json = serde_json::to_string(beginning(&odd, most)).unwrap();
            assert!(json.len() <= most + 2, "{json}");
        }
    }
}
