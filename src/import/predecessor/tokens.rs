//! The predecessor's templates: `{{ path }}`, where a path is letters, digits, `_`, `-` and dots, and all else is text.

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// As it stands, braces and all.
    Text(&'a str),
    /// The path between the braces.
    Path(&'a str),
}

/// Cuts a text into its pieces.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut plain, mut from) = (0, 0);
    while let Some(open) = text[from..].find("{{").map(|at| from + at) {
        let Some((path, length)) = token(&text[open..]) else {
            from = open + 1;
            continue;
        };
        if plain < open {
            pieces.push(Piece::Text(&text[plain..open]));
        }
        pieces.push(Piece::Path(path));
        plain = open + length;
        from = plain;
    }
    if plain < text.len() {
        pieces.push(Piece::Text(&text[plain..]));
    }
    pieces
}

/// The path of a text that is one token and nothing else.
pub(super) fn only_path(text: &str) -> Option<&str> {
    token(text)
        .filter(|(_, length)| *length == text.len())
        .map(|(path, _)| path)
}

/// The token that a text begins with, and its length.
fn token(text: &str) -> Option<(&str, usize)> {
    let inside = text.strip_prefix("{{")?.trim_start();
    let length = inside
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
        .count();
    let (path, rest) = inside.split_at(length);
    let rest = rest.trim_start().strip_prefix("}}")?;
    (length > 0).then_some((path, text.len() - rest.len()))
}

/// A text as a template that gives just that text.
pub(super) fn escape(text: &str) -> String {
    escape_before(text, false)
}

/// The same for a text with more behind it, which perhaps closes braces.
pub(super) fn escape_before(text: &str, is_closed_later: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        escaped.push_str(before);
        // Braces that nothing closes are text here too.
        let is_closed = is_closed_later || after.contains("}}");
        escaped.push_str(if is_closed { "{{ '{{' }}" } else { "{{" });
        rest = after;
    }
    escaped.push_str(rest);
    escaped
}

/// A template that gives just this text, as one token.
pub(super) fn constant(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("{{{{ '{escaped}' }}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_are_tokens() {
        assert_eq!(
            pieces("a {{ x.y-1 }} b {{ 'no' }}{{z}}"),
            [
                Piece::Text("a "),
                Piece::Path("x.y-1"),
                Piece::Text(" b {{ 'no' }}"),
                Piece::Path("z"),
            ]
        );
        assert_eq!(
            pieces("{{{x}}}"),
            [Piece::Text("{"), Piece::Path("x"), Piece::Text("}")]
        );
        assert_eq!(pieces("{{x"), [Piece::Text("{{x")]);
        assert_eq!(pieces("{{ x y }}"), [Piece::Text("{{ x y }}")]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn a_text_that_is_one_path_is_told() {
        assert_eq!(only_path("{{ content }}"), Some("content"));
        assert_eq!(only_path(" {{ content }}"), None);
        assert_eq!(only_path("{{a}}{{b}}"), None);
    }

    #[test]
    fn what_is_escaped_renders_as_itself() {
        for text in [
            "{{ 'a' | upper }}",
            "a {{{ b }} }}",
            "it's {{",
            "\\ {{ '}}' }}",
            "{{}}",
        ] {
            for template in [escape(text), constant(text)] {
                assert_eq!(rendered(&template), text, "{template}");
            }
        }
    }

    fn rendered(template: &str) -> String {
        use crate::template::Template;
        use crate::template::tests::scope;

        let mut budget = 1_000;
        let template = Template::parse(template).unwrap();
        template.render_text(&scope(), &mut budget).unwrap()
    }
}
