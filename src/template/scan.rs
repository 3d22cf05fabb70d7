//! Cutting a text into plain pieces and tokens.

use super::path;
use super::{Error, limits};

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// What is between `{{` and `}}`, trimmed.
    Token(&'a str),
}

/// Cuts a text into its pieces.
///
/// # Errors
///
/// A token that is empty or whose quotes do not end.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Error> {
    let mut pieces = Vec::new();
    // The plain text before the next token begins at `plain`; tokens are looked for from `from` on.
    let (mut plain, mut from) = (0, 0);
    while let Some(open) = text[from..].find("{{").map(|at| from + at) {
        let inside = &text[open + 2..];
        let Some(first_close) = inside.find("}}") else {
            break;
        };
        let short = inside[..first_close].trim();
        let length = if path::is_plain(short) {
            first_close
        } else if inside.starts_with('{') && path_follows(&text[open + 1..]) {
            // `{{{ a.b }}}` is a token in braces, as in JSON that is put together: the first brace is text.
            from = open + 1;
            continue;
        } else {
            expression_length(inside).ok_or_else(|| Error::Syntax {
                token: shorten(short),
                message: "its quotes or braces do not end before }}".to_owned(),
            })?
        };
        let token = inside[..length].trim();
        if token.is_empty() {
            return Err(Error::Syntax {
                token: String::new(),
                message: "there is nothing in it; for the braces themselves write {{ '{{' }}"
                    .to_owned(),
            });
        }
        if plain < open {
            pieces.push(Piece::Text(&text[plain..open]));
        }
        pieces.push(Piece::Token(token));
        plain = open + 2 + length + 2;
        from = plain;
    }
    if plain < text.len() {
        pieces.push(Piece::Text(&text[plain..]));
    }
    Ok(pieces)
}

/// Whether `{{ a.b }}` stands somewhere in the run of braces that `text` begins with.
fn path_follows(text: &str) -> bool {
    let inside = text.trim_start_matches('{');
    text.len() - inside.len() >= 2
        && inside
            .find("}}")
            .is_some_and(|close| path::is_plain(inside[..close].trim()))
}

/// Bytes up to the `}}` that ends an expression: not one in quotes, nor one that ends a map.
fn expression_length(inside: &str) -> Option<usize> {
    let bytes = inside.as_bytes();
    let (mut depth, mut at, mut quote) = (0_usize, 0, None);
    while at < bytes.len() {
        match (bytes[at], quote) {
            (b'\\', Some(_)) => at += 1,
            (byte, Some(end)) if byte == end => quote = None,
            (byte @ (b'\'' | b'"'), None) => quote = Some(byte),
            (b'{', None) => depth += 1,
            (b'}', None) if depth > 0 => depth -= 1,
            (b'}', None) if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A token for a message.
pub fn shorten(token: &str) -> String {
    const MOST: usize = 100;
    match token.char_indices().nth(MOST) {
        Some((end, _)) if token.len() > limits::MAX_BYTES || end < token.len() => {
            format!("{}…", &token[..end])
        }
        _ => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<Piece<'_>> {
        pieces(text).unwrap()
    }

    #[test]
    fn text_and_tokens_take_turns() {
        assert_eq!(
            cut("a {{ x.y }}b{{z}}"),
            [
                Piece::Text("a "),
                Piece::Token("x.y"),
                Piece::Text("b"),
                Piece::Token("z")
            ]
        );
    }

    #[test]
    fn what_is_no_token_is_text() {
        for text in ["", "{ {a} }", "{% if a %}", "{# a #}", "{{ a", "a }}", "{{"] {
            assert!(
                cut(text)
                    .iter()
                    .all(|piece| matches!(piece, Piece::Text(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn braces_around_a_path_are_text() {
        assert_eq!(
            cut(r#"{"a":{{x}}}"#),
            [Piece::Text(r#"{"a":"#), Piece::Token("x"), Piece::Text("}")]
        );
        assert_eq!(
            cut("{{{x}}}"),
            [Piece::Text("{"), Piece::Token("x"), Piece::Text("}")]
        );
    }

    #[test]
    fn quotes_and_maps_hide_the_end() {
        assert_eq!(cut("{{ '}}' ~ a }}"), [Piece::Token("'}}' ~ a")]);
        assert_eq!(
            cut("{{ {'a': {'b': 1}} }}"),
            [Piece::Token("{'a': {'b': 1}}")]
        );
        assert!(pieces("{{ 'a }}").is_err());
        assert!(pieces("{{ }}").is_err());
    }
}
