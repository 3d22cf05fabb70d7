//! From Python's dialect of regular expressions to that of `fancy-regex`.
//!
//! Most is the same. Here is what means something else there, and what a replacement may hold. Not carried over:
//! octal escapes, `\N{…}`, `(?a)`, and that Python tries a non-empty match where an empty one was just found.

/// How `$` is to be read; see [`translate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dollar {
    /// As it stands: the end of the text, or of a line with the flag `m`.
    Plain,
    /// Also before a line feed at the end of the text, as Python reads it without `m`.
    BeforeLastLineFeed,
}

/// What [`translate`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The pattern for `fancy-regex`.
    pub pattern: String,
    /// Whether there is a `$` outside of classes and escapes.
    pub has_dollar: bool,
}

/// Translates a pattern.
///
/// `\Z` is the very end; in a class `[`, `&` and `~` are letters, and with the flag `x` white space and `#` too;
/// `{` that begins no repetition is a letter.
#[must_use]
pub fn translate(pattern: &str, is_verbose: bool, dollar: Dollar) -> Translated {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut has_dollar = false;
    let mut rest = pattern;
    // In a class, whether only `[` or `[^` has been seen: there `]` is a letter.
    let mut class: Option<bool> = None;
    while let Some(character) = rest.chars().next() {
        let length = character.len_utf8();
        let after = &rest[length..];
        if character == '\\' {
            let escaped = after.chars().next();
            match escaped {
                Some('Z') if class.is_none() => out.push_str(r"\z"),
                Some(escaped) => out.extend(['\\', escaped]),
                None => out.push('\\'),
            }
            rest = &after[escaped.map_or(0, char::len_utf8)..];
            class = class.map(|_| false);
            continue;
        }
        match (class, character) {
            (None, '[') => {
                class = Some(true);
                out.push('[');
                if let Some(negated) = after.strip_prefix('^') {
                    out.push('^');
                    rest = negated;
                    continue;
                }
            }
            (Some(false), ']') => {
                class = None;
                out.push(']');
            }
            (Some(_), _) => {
                class = Some(false);
                let is_letter = matches!(character, '[' | ']' | '&' | '~')
                    || (is_verbose && (character.is_whitespace() || character == '#'));
                if is_letter {
                    out.push('\\');
                }
                out.push(character);
            }
            (None, '$') => {
                has_dollar = true;
                out.push_str(match dollar {
                    Dollar::Plain => "$",
                    Dollar::BeforeLastLineFeed => r"(?=\n?\z)",
                });
            }
            (None, '{') if !begins_repetition(after) => out.push_str(r"\{"),
            (None, _) => out.push(character),
        }
        rest = after;
    }
    Translated {
        pattern: out,
        has_dollar,
    }
}

/// Whether `{` is followed by `2}`, `2,}`, `,2}` or `2,3}`.
fn begins_repetition(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else {
        return false;
    };
    let (from, to) = inside.split_once(',').unwrap_or((inside, ""));
    !(inside.is_empty() || inside == ",")
        && [from, to]
            .iter()
            .all(|bound| bound.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A piece of a replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// What a group matched, nothing if it took no part.
    Group(usize),
}

/// Reads a replacement: `\1`, `\g<1>`, `\g<name>`, `\n` and its like.
///
/// # Errors
///
/// A group that does not exist, an escape that Python refuses.
pub fn replacement(text: &str, names: &[Option<&str>]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let Some(escaped) = after.chars().next() else {
            return Err(r"\ at its end has nothing to escape".to_owned());
        };
        rest = &after[escaped.len_utf8()..];
        let group = match escaped {
            'g' => {
                let (name, behind) = after[1..]
                    .strip_prefix('<')
                    .and_then(|name| name.split_once('>'))
                    .ok_or_else(|| r"\g needs a group: \g<name>".to_owned())?;
                rest = behind;
                find_group(name, names)?
            }
            '1'..='9' => {
                // Two digits at most, as Python reads them.
                let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
                rest = &after[digits..];
                find_group(&after[..digits], names)?
            }
            'n' | 't' | 'r' | 'f' | 'v' | 'a' | 'b' | '\\' => {
                plain.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    _ => '\\',
                });
                continue;
            }
            _ if escaped.is_ascii_alphanumeric() => {
                return Err(format!(r"\{escaped} is no escape of a replacement"));
            }
            _ => {
                plain.extend(['\\', escaped]);
                continue;
            }
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Group(group));
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn find_group(name: &str, names: &[Option<&str>]) -> Result<usize, String> {
    let number = if name.bytes().all(|byte| byte.is_ascii_digit()) {
        name.parse().ok().filter(|number| *number < names.len())
    } else {
        names.iter().position(|known| *known == Some(name))
    };
    number.ok_or_else(|| format!("the pattern has no group {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(pattern: &str) -> String {
        translate(pattern, false, Dollar::Plain).pattern
    }

    #[test]
    fn only_what_differs_is_changed() {
        for same in [
            r"(?P<a>\w+)\s*(?:b|c){2,3}?$",
            r"[^a-z\]]",
            "[]a]",
            "x{2}",
            "x{,3}",
        ] {
            let expected = if same == "[]a]" { r"[\]a]" } else { same };
            assert_eq!(translated(same), expected);
        }
        assert_eq!(translated(r"a\Z[\Z]"), r"a\z[\Z]");
        assert_eq!(translated("[[&&~]"), r"[\[\&\&\~]");
        assert_eq!(translated("[^]x]"), r"[^\]x]");
        assert_eq!(translated("a{b}{"), r"a\{b}\{");
        assert_eq!(
            translate("[a #] # x", true, Dollar::Plain).pattern,
            r"[a\ \#] # x"
        );
        let dollar = translate(r"a$[$]\$", false, Dollar::BeforeLastLineFeed);
        assert_eq!(dollar.pattern, r"a(?=\n?\z)[$]\$");
        assert!(dollar.has_dollar);
    }

    #[test]
    fn replacements_are_those_of_python() {
        let names = [None, Some("a"), None];
        let read = |text| replacement(text, &names);

        assert_eq!(
            read(r"<\g<a>\2\g<0>.\n\\\.>"),
            Ok(vec![
                Piece::Text("<".to_owned()),
                Piece::Group(1),
                Piece::Group(2),
                Piece::Group(0),
                Piece::Text(".\n\\\\.>".to_owned())
            ])
        );
        for refused in [r"\3", r"\12", r"\g<b>", r"\g<3>", r"\g", r"\q", "\\"] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
