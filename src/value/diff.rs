//! What differs between two JSON values, place by place, and never more of it than an answer can hold.
//!
//! A place is written as a path of RFC 9535 (`$.headers['X-Key'][3]`), `$` being the value as a whole. Values are equal
//! as JSON is: `1` and `1.0` are, the order of keys is nothing. Of two lists their common beginning and end are set
//! aside, so that one item put in between is one difference.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io;

use serde_json::{Map, Value};

use super::equal;

/// The most bytes that one value is shown with.
pub const SHOWN_BYTES: usize = 2_048;

/// The most bytes of a path.
const PATH_BYTES: usize = 512;

/// What stands where a text was cut.
const CUT: char = '…';

/// One place in which two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where: of an item that only one list has, its place in that one.
    pub path: String,
    /// What the first value has there, if it has anything.
    pub base: Option<Value>,
    /// What the second value has there, if it has anything.
    pub compare: Option<Value>,
    /// Whether something of it was too long to be shown: a text is then its beginning, a list or an object the
    /// beginning of its JSON text.
    pub is_cut: bool,
}

/// How much may still be said: shared by all the diffs of one answer.
#[derive(Clone, Debug)]
pub struct Budget {
    differences: usize,
    bytes: usize,
    is_truncated: bool,
}

impl Budget {
    /// At most so many differences, of so many bytes in all, as they are on the wire.
    #[must_use]
    pub fn new(differences: usize, bytes: usize) -> Self {
        Self {
            differences,
            bytes,
            is_truncated: false,
        }
    }

    /// Takes one difference of about so many bytes out of it; if it is used up, notes that something is left out.
    pub fn take(&mut self, bytes: usize) -> bool {
        let left = self.bytes.checked_sub(bytes);
        match (self.differences.checked_sub(1), left) {
            (Some(differences), Some(bytes)) if !self.is_truncated => {
                self.differences = differences;
                self.bytes = bytes;
                true
            }
            _ => {
                self.is_truncated = true;
                false
            }
        }
    }

    /// Whether something was left out: nothing more is said then.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }
}

/// Where two values differ, within the budget. Absent is not null: what one side lacks is a difference.
#[must_use]
pub fn diff(base: Option<&Value>, compare: Option<&Value>, budget: &mut Budget) -> Vec<Difference> {
    let mut walk = Walk {
        path: "$".to_owned(),
        found: Vec::new(),
        budget,
    };
    walk.pair(base, compare);
    walk.found
}

struct Walk<'a> {
    path: String,
    found: Vec<Difference>,
    budget: &'a mut Budget,
}

impl Walk<'_> {
    /// Compares what is at the path; once nothing more can be said it only returns.
    fn pair(&mut self, base: Option<&Value>, compare: Option<&Value>) {
        match (base, compare) {
            (None, None) => {}
            (Some(Value::Object(base)), Some(Value::Object(compare))) => {
                self.objects(base, compare);
            }
            (Some(Value::Array(base)), Some(Value::Array(compare))) => self.lists(base, compare),
            (Some(base), Some(compare)) if equal(base, compare) => {}
            _ => self.note(base, compare),
        }
    }

    fn objects(&mut self, base: &Map<String, Value>, compare: &Map<String, Value>) {
        for (key, value) in base {
            self.at_key(key, Some(value), compare.get(key));
        }
        for (key, value) in compare {
            if !base.contains_key(key) {
                self.at_key(key, None, Some(value));
            }
        }
    }

    fn lists(&mut self, base: &[Value], compare: &[Value]) {
        let same = |(base, compare): &(&Value, &Value)| equal(base, compare);
        let head = base.iter().zip(compare).take_while(same).count();
        let (base, compare) = (&base[head..], &compare[head..]);
        let tail = base.iter().rev().zip(compare.iter().rev());
        let tail = tail.take_while(same).count();
        let (base, compare) = (&base[..base.len() - tail], &compare[..compare.len() - tail]);
        for offset in 0..base.len().max(compare.len()) {
            self.at_index(head + offset, base.get(offset), compare.get(offset));
        }
    }

    fn at_key(&mut self, key: &str, base: Option<&Value>, compare: Option<&Value>) {
        let length = self.path.len();
        write_name(key, &mut self.path);
        self.within(length, base, compare);
    }

    fn at_index(&mut self, index: usize, base: Option<&Value>, compare: Option<&Value>) {
        let length = self.path.len();
        write!(self.path, "[{index}]").expect("writing to a string does not fail");
        self.within(length, base, compare);
    }

    fn within(&mut self, length: usize, base: Option<&Value>, compare: Option<&Value>) {
        if !self.budget.is_truncated() {
            self.pair(base, compare);
        }
        self.path.truncate(length);
    }

    fn note(&mut self, base: Option<&Value>, compare: Option<&Value>) {
        let mut is_cut = false;
        let mut show = |value: &Value| {
            let (shown, cut) = shown(value);
            is_cut |= cut;
            shown
        };
        let (base, compare) = (base.map(&mut show), compare.map(&mut show));
        let path = match cut(&self.path, PATH_BYTES) {
            Some(path) => {
                is_cut = true;
                path
            }
            None => self.path.clone(),
        };
        let bytes = path.len()
            + [&base, &compare]
                .into_iter()
                .flatten()
                .map(weight)
                .sum::<usize>();
        if self.budget.take(bytes) {
            self.found.push(Difference {
                path,
                base,
                compare,
                is_cut,
            });
        }
    }
}

/// The name of a member, as a path has it: `.name` where it needs no quotes, else `['…']`.
fn write_name(key: &str, path: &mut String) {
    let plain = |(at, character): (usize, char)| match character {
        'a'..='z' | 'A'..='Z' | '_' => true,
        '0'..='9' => at > 0,
        _ => false,
    };
    if !key.is_empty() && key.char_indices().all(plain) {
        path.push('.');
        path.push_str(key);
        return;
    }
    path.push_str("['");
    for character in key.chars() {
        match character {
            '\'' | '\\' => path.extend(['\\', character]),
            '\0'..='\u{1f}' => {
                write!(path, "\\u{:04x}", u32::from(character))
                    .expect("writing to a string does not fail");
            }
            _ => path.push(character),
        }
    }
    path.push_str("']");
}

/// The value, or of one that is too long its beginning, and whether it is that.
fn shown(value: &Value) -> (Value, bool) {
    let beginning = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => cut(text, SHOWN_BYTES),
        Value::Array(_) | Value::Object(_) => {
            let mut text = Beginning(Vec::new());
            // It fails where the bound is reached, and goes no further.
            let fits = serde_json::to_writer(&mut text, value).is_ok();
            (!fits).then(|| {
                let mut text = String::from_utf8_lossy(&text.0).into_owned();
                // A character that was cut in two.
                text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
                text.push(CUT);
                text
            })
        }
    };
    match beginning {
        Some(text) => (Value::String(text), true),
        None => (value.clone(), false),
    }
}

/// Takes the beginning of a text that may be long, and refuses the rest.
struct Beginning(Vec<u8>);

impl io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = SHOWN_BYTES - self.0.len();
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(room);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The beginning of a text of more than so many bytes.
fn cut(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("{}{CUT}", &text[..text.floor_char_boundary(most)]))
}

/// The most bytes that a value takes on the wire, where each number is a double and everything has a frame.
fn weight(value: &Value) -> usize {
    const FRAME: usize = 16;
    FRAME
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(entries) => entries
                .iter()
                .map(|(key, value)| FRAME + key.len() + weight(value))
                .sum(),
        }
}
