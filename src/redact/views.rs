//! A text as it reads once an escaping is undone, and where each byte of it stood.

/// A way of writing text inside of other text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// `\"`, `\n`, `\u00e9`, as in JSON and the languages of C.
    Backslash,
    /// `%2F`, as in URLs.
    Percent,
    /// `%2F` and `+` for a space, as in forms.
    Form,
    /// `&quot;`, as in HTML.
    Entity,
}

/// Whether a text may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// This is all: what is left of an escape at the end is text.
    Final,
    /// More may come: an escape that may be incomplete is left out.
    Open,
}

/// A text with one escaping undone.
#[derive(Clone, Debug)]
pub struct View {
    /// What it reads.
    pub bytes: Vec<u8>,
    escapes: Vec<Escape>,
    /// Bytes of the text that it covers: less than all if an incomplete escape was left out.
    covered: usize,
}

#[derive(Clone, Copy, Debug)]
struct Escape {
    /// In the view.
    at: usize,
    len: usize,
    /// In the text.
    from: usize,
    to: usize,
}

/// What stands at one place of a text.
enum Token {
    /// The byte itself.
    Plain,
    /// An escape of this many bytes.
    Escape(usize, Char),
    /// The text may end inside an escape.
    Cut,
}

enum Char {
    Byte(u8),
    Char(char),
}

/// The longest escape: two times `\uXXXX`, or `\u{XXXXXX}`.
const MAX_ESCAPE_BYTES: usize = 12;

impl Escaping {
    /// All that may stand one inside the other.
    pub const ALL: [Self; 4] = [Self::Backslash, Self::Percent, Self::Form, Self::Entity];

    const fn starts(self, byte: u8) -> bool {
        match self {
            Self::Backslash => byte == b'\\',
            Self::Percent => byte == b'%',
            Self::Form => byte == b'%' || byte == b'+',
            Self::Entity => byte == b'&',
        }
    }

    /// What stands at the beginning of `rest`, which [`Escaping::starts`].
    fn token(self, rest: &[u8]) -> Token {
        match self {
            Self::Backslash => backslash(rest),
            Self::Form if rest[0] == b'+' => Token::Escape(1, Char::Byte(b' ')),
            Self::Percent | Self::Form => percent(rest),
            Self::Entity => entity(rest),
        }
    }
}

impl View {
    /// Undoes an escaping; `None` if there is none in the text.
    pub fn of(text: &[u8], escaping: Escaping, ending: Ending) -> Option<Self> {
        let first = text.iter().position(|byte| escaping.starts(*byte))?;
        let mut bytes = Vec::with_capacity(text.len());
        bytes.extend_from_slice(&text[..first]);
        let mut escapes = Vec::new();
        let mut at = first;
        while let Some(byte) = text.get(at) {
            if !escaping.starts(*byte) {
                bytes.push(*byte);
                at += 1;
                continue;
            }
            match escaping.token(&text[at..]) {
                Token::Cut if ending == Ending::Open => break,
                Token::Plain | Token::Cut => {
                    bytes.push(*byte);
                    at += 1;
                }
                Token::Escape(len, char) => {
                    let start = bytes.len();
                    match char {
                        Char::Byte(byte) => bytes.push(byte),
                        Char::Char(char) => {
                            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                    }
                    escapes.push(Escape {
                        at: start,
                        len: bytes.len() - start,
                        from: at,
                        to: at + len,
                    });
                    at += len;
                }
            }
        }
        let cut = at < text.len();
        (cut || !escapes.is_empty()).then_some(Self {
            bytes,
            escapes,
            covered: at,
        })
    }

    /// Where in the text the byte `at` of the view begins; its end for the view's end.
    pub fn start(&self, at: usize) -> usize {
        match self.before(at) {
            Some(escape) if at < escape.at + escape.len => escape.from,
            Some(escape) => escape.to + (at - escape.at - escape.len),
            None => at,
        }
    }

    /// Where in the text the byte before `at` of the view ends.
    pub fn end(&self, at: usize) -> usize {
        match at.checked_sub(1) {
            None => 0,
            Some(last) => match self.before(last) {
                Some(escape) if last < escape.at + escape.len => escape.to,
                Some(escape) => escape.to + (at - escape.at - escape.len),
                None => at,
            },
        }
    }

    /// The place in the text, moved to the beginning of the escape that it is in.
    pub fn floor(&self, place: usize) -> usize {
        let after = self.escapes.partition_point(|escape| escape.from < place);
        match after.checked_sub(1).map(|last| self.escapes[last]) {
            Some(escape) if place < escape.to => escape.from,
            _ => place.min(self.covered),
        }
    }

    /// How much of the text it covers.
    pub const fn covered(&self) -> usize {
        self.covered
    }

    /// The last escape that begins at or before this byte of the view.
    fn before(&self, at: usize) -> Option<Escape> {
        let after = self.escapes.partition_point(|escape| escape.at <= at);
        Some(self.escapes[after.checked_sub(1)?])
    }
}

fn backslash(rest: &[u8]) -> Token {
    let Some(kind) = rest.get(1) else {
        return Token::Cut;
    };
    let byte = |byte| Token::Escape(2, Char::Byte(byte));
    match kind {
        b'"' | b'\\' | b'/' | b'\'' => byte(*kind),
        b'b' => byte(8),
        b'f' => byte(12),
        b'n' => byte(b'\n'),
        b'r' => byte(b'\r'),
        b't' => byte(b'\t'),
        b'u' if rest.get(2) == Some(&b'{') => braced(rest),
        b'u' => unicode(rest),
        b'x' => number(rest, 2, 2, 16, |byte| Token::Escape(4, byte)),
        _ => Token::Plain,
    }
}

/// `\u{e9}`.
fn braced(rest: &[u8]) -> Token {
    let inside = &rest[3..rest.len().min(MAX_ESCAPE_BYTES)];
    match inside.iter().position(|byte| *byte == b'}') {
        Some(digits) => number(rest, 3, digits, 16, |char| Token::Escape(digits + 4, char)),
        None if rest.len() < MAX_ESCAPE_BYTES => Token::Cut,
        None => Token::Plain,
    }
}

/// `\u00e9`, or two halves of a character beyond U+FFFF.
fn unicode(rest: &[u8]) -> Token {
    let unit = |at: usize| {
        let digits = rest.get(at + 2..at + 6)?;
        digits.iter().try_fold(0, |unit, digit| {
            Some(unit * 16 + char::from(*digit).to_digit(16)?)
        })
    };
    if rest.len() < 6 {
        let is_hex = rest[2..].iter().all(u8::is_ascii_hexdigit);
        return if is_hex { Token::Cut } else { Token::Plain };
    }
    match unit(0) {
        Some(high @ 0xD800..=0xDBFF) => {
            let second = &rest[6..rest.len().min(MAX_ESCAPE_BYTES)];
            match unit(6) {
                Some(low @ 0xDC00..=0xDFFF) if second.starts_with(b"\\u") => {
                    let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                    char::from_u32(code).map_or(Token::Plain, |char| {
                        Token::Escape(MAX_ESCAPE_BYTES, Char::Char(char))
                    })
                }
                None if second.len() < 6 && b"\\u".starts_with(&second[..second.len().min(2)]) => {
                    Token::Cut
                }
                _ => Token::Plain,
            }
        }
        Some(code) => {
            char::from_u32(code).map_or(Token::Plain, |char| Token::Escape(6, Char::Char(char)))
        }
        None => Token::Plain,
    }
}

fn percent(rest: &[u8]) -> Token {
    let digits = &rest[1..rest.len().min(3)];
    if digits.len() < 2 {
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        return if is_hex { Token::Cut } else { Token::Plain };
    }
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    match (digit(0), digit(1)) {
        (Some(high), Some(low)) => match u8::try_from(high * 16 + low) {
            Ok(byte) => Token::Escape(3, Char::Byte(byte)),
            Err(_) => Token::Plain,
        },
        _ => Token::Plain,
    }
}

fn entity(rest: &[u8]) -> Token {
    const NAMED: [(&[u8], char); 5] = [
        (b"&amp;", '&'),
        (b"&lt;", '<'),
        (b"&gt;", '>'),
        (b"&quot;", '"'),
        (b"&apos;", '\''),
    ];
    for (name, char) in NAMED {
        if rest.starts_with(name) {
            return Token::Escape(name.len(), Char::Char(char));
        }
        if name.starts_with(rest) {
            return Token::Cut;
        }
    }
    if rest.len() >= 2 && rest[1] != b'#' {
        return Token::Plain;
    }
    let short = &rest[..rest.len().min(MAX_ESCAPE_BYTES)];
    let Some(end) = short.iter().position(|byte| *byte == b';') else {
        let is_short = rest.len() < MAX_ESCAPE_BYTES;
        let goes_on = short[1..]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'#');
        return if is_short && goes_on {
            Token::Cut
        } else {
            Token::Plain
        };
    };
    let escape = |char| Token::Escape(end + 1, char);
    match short.get(2) {
        Some(b'x' | b'X') => number(rest, 3, end - 3, 16, escape),
        Some(_) => number(rest, 2, end - 2, 10, escape),
        None => Token::Plain,
    }
}

/// The character whose number stands at `from`.
fn number(
    rest: &[u8],
    from: usize,
    digits: usize,
    radix: u32,
    escape: impl FnOnce(Char) -> Token,
) -> Token {
    let available = &rest[from.min(rest.len())..rest.len().min(from + digits)];
    if !available
        .iter()
        .all(|byte| char::from(*byte).is_digit(radix))
    {
        return Token::Plain;
    }
    if available.len() < digits {
        return Token::Cut;
    }
    std::str::from_utf8(available)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
        .and_then(char::from_u32)
        .map_or(Token::Plain, |char| escape(Char::Char(char)))
}
