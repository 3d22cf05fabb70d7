//! The bounds of values, found in one walk without serialising them.

use std::fmt::{self, Write as _};
use std::ops::ControlFlow;

use serde_json::{Number, Value};

use super::{MAX_INTEGER, MAX_NESTING};

/// Why the service does not take a value. Paths are relative to the value, empty for the value itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A text or key holds U+0000, which Postgres cannot store.
    #[error("holds the character U+0000, which cannot be stored")]
    NulCharacter {
        /// The text, or the object whose key it is in.
        path: String,
    },
    /// Lists and objects nest too deep.
    #[error("nests deeper than {MAX_NESTING} levels")]
    TooDeep {
        /// The first list or object that is too deep.
        path: String,
    },
    /// Its compact JSON is too long.
    #[error("is larger than {bound} bytes as compact JSON")]
    TooLarge {
        /// The most bytes.
        bound: u64,
    },
    /// An integer that clients could not read without loss.
    #[error(
        "is {value}, an integer beyond ±{MAX_INTEGER} (2^53), which clients would lose digits of: give it as text"
    )]
    NumberOutOfRange {
        /// The number.
        path: String,
        /// The number itself.
        value: String,
    },
}

impl Error {
    /// For programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NulCharacter { .. } => "NUL_CHARACTER",
            Self::TooDeep { .. } => "TOO_DEEP",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::NumberOutOfRange { .. } => "NUMBER_OUT_OF_RANGE",
        }
    }

    /// The place inside the value: `items[3].id`, empty for the value itself.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::NulCharacter { path }
            | Self::TooDeep { path }
            | Self::NumberOutOfRange { path, .. } => path,
            Self::TooLarge { .. } => "",
        }
    }

    /// The bound that was passed, if there is one.
    #[must_use]
    pub const fn bound(&self) -> Option<u64> {
        match self {
            Self::NulCharacter { .. } => None,
            Self::TooDeep { .. } => Some(MAX_NESTING as u64),
            Self::TooLarge { bound } => Some(*bound),
            Self::NumberOutOfRange { .. } => Some(MAX_INTEGER as u64),
        }
    }
}

/// How large a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Length of its compact JSON.
    pub bytes: u64,
    /// Levels of lists and objects.
    pub depth: usize,
}

/// Checks a value that somebody sent and gives its size in bytes of compact JSON.
///
/// # Errors
///
/// The first rule it breaks; integers beyond ±2^53 are among them, whole doubles too, for that is how they arrive.
pub fn check(value: &Value, max_bytes: u64) -> Result<u64, Error> {
    let mut first = None;
    let bytes = walk(value, max_bytes, &mut |error| {
        first = Some(error);
        ControlFlow::Break(())
    });
    first.map_or(Ok(bytes), Err)
}

/// The same, with all rules that it breaks, up to `most`.
#[must_use]
pub fn check_all(value: &Value, max_bytes: u64, most: usize) -> Vec<Error> {
    let mut errors = Vec::new();
    walk(value, max_bytes, &mut |error| {
        errors.push(error);
        if errors.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    errors
}

/// Measures a value; `None` once it is larger than `max_bytes`, without walking the rest, or nests too deep.
#[must_use]
pub fn measure(value: &Value, max_bytes: u64) -> Option<Measure> {
    fn descend(value: &Value, level: usize, max_bytes: u64, measure: &mut Measure) -> Option<()> {
        measure.bytes += own_bytes(value);
        match value {
            Value::Array(items) => {
                enter(level, measure)?;
                for item in items {
                    descend(item, level + 1, max_bytes, measure)?;
                }
            }
            Value::Object(entries) => {
                enter(level, measure)?;
                for (key, item) in entries {
                    measure.bytes += text_bytes(key) + 1;
                    descend(item, level + 1, max_bytes, measure)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        (measure.bytes <= max_bytes).then_some(())
    }
    fn enter(level: usize, measure: &mut Measure) -> Option<()> {
        measure.depth = measure.depth.max(level + 1);
        (level < MAX_NESTING).then_some(())
    }
    let mut measure = Measure { bytes: 0, depth: 0 };
    descend(value, 0, max_bytes, &mut measure).map(|()| measure)
}

/// Writes whole doubles as the integers that they are, so that `36.0` and `36` are stored alike.
pub fn normalise(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(entries) => entries.values_mut().for_each(normalise),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Makes a value that an applet gave fit to be stored and gives its size: whole doubles become integers, integers
/// beyond ±2^53 become text, since it is not the author of the flow who chose them.
///
/// # Errors
///
/// U+0000, too deep, too large.
pub fn settle_output(value: &mut Value, max_bytes: u64) -> Result<u64, Error> {
    fn settle(value: &mut Value, level: usize) {
        match value {
            Value::Number(number) => {
                if let Some(whole) = whole(number) {
                    *number = whole.into();
                } else if !number.is_f64() && is_out_of_range(number) {
                    *value = Value::String(number.to_string());
                }
            }
            // What is deeper is refused just after.
            Value::Array(items) if level < MAX_NESTING => {
                for item in items {
                    settle(item, level + 1);
                }
            }
            Value::Object(entries) if level < MAX_NESTING => {
                for item in entries.values_mut() {
                    settle(item, level + 1);
                }
            }
            _ => {}
        }
    }
    settle(value, 0);
    let mut first = None;
    let bytes = walk(value, max_bytes, &mut |error| match error {
        // What is left of these are doubles such as 1e300.
        Error::NumberOutOfRange { .. } => ControlFlow::Continue(()),
        error => {
            first = Some(error);
            ControlFlow::Break(())
        }
    });
    first.map_or(Ok(bytes), Err)
}

/// A double that is a whole number within ±2^53.
fn whole(number: &Number) -> Option<i64> {
    if !number.is_f64() {
        return None;
    }
    let double = number.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "whole and within 2^53, so both conversions are exact"
    )]
    (double.fract() == 0.0 && double.abs() <= MAX_INTEGER as f64).then_some(double as i64)
}

/// An integer, or a double that is whole, beyond ±2^53.
fn is_out_of_range(number: &Number) -> bool {
    if let Some(integer) = number.as_i64() {
        integer.unsigned_abs() > MAX_INTEGER.unsigned_abs()
    } else if number.is_u64() {
        true
    } else {
        // A double beyond 2^53 has no fraction.
        #[expect(clippy::cast_precision_loss, reason = "2^53 is exact as a double")]
        number
            .as_f64()
            .is_some_and(|double| double.abs() > MAX_INTEGER as f64)
    }
}

/// A step on the way into a value.
#[derive(Clone, Copy)]
enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

struct Walk<'a, 'f> {
    path: Vec<Part<'a>>,
    bytes: u64,
    max_bytes: u64,
    report: &'f mut dyn FnMut(Error) -> ControlFlow<()>,
}

/// Gives every broken rule to `report`, until it breaks off, and the size as far as it got.
fn walk(value: &Value, max_bytes: u64, report: &mut dyn FnMut(Error) -> ControlFlow<()>) -> u64 {
    let mut walk = Walk {
        path: Vec::new(),
        bytes: 0,
        max_bytes,
        report,
    };
    match walk.value(value) {
        ControlFlow::Break(()) | ControlFlow::Continue(()) => walk.bytes,
    }
}

impl<'a> Walk<'a, '_> {
    fn value(&mut self, value: &'a Value) -> ControlFlow<()> {
        self.grow(own_bytes(value))?;
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if is_out_of_range(number) {
                    let error = Error::NumberOutOfRange {
                        path: self.place(),
                        value: number.to_string(),
                    };
                    (self.report)(error)?;
                }
            }
            Value::String(text) => self.text(text)?,
            Value::Array(items) => {
                if self.path.len() >= MAX_NESTING {
                    return self.too_deep();
                }
                for (index, item) in items.iter().enumerate() {
                    self.path.push(Part::Index(index));
                    self.value(item)?;
                    self.path.pop();
                }
            }
            Value::Object(entries) => {
                if self.path.len() >= MAX_NESTING {
                    return self.too_deep();
                }
                for (key, item) in entries {
                    self.text(key)?;
                    self.grow(text_bytes(key) + 1)?;
                    self.path.push(Part::Key(key));
                    self.value(item)?;
                    self.path.pop();
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn text(&mut self, text: &str) -> ControlFlow<()> {
        if text.contains('\0') {
            let error = Error::NulCharacter { path: self.place() };
            (self.report)(error)?;
        }
        ControlFlow::Continue(())
    }

    /// Goes no deeper, but on to the neighbours.
    fn too_deep(&mut self) -> ControlFlow<()> {
        let error = Error::TooDeep { path: self.place() };
        (self.report)(error)
    }

    /// Ends the walk once it is too large: the rest could be a lot.
    fn grow(&mut self, bytes: u64) -> ControlFlow<()> {
        self.bytes += bytes;
        if self.bytes <= self.max_bytes {
            return ControlFlow::Continue(());
        }
        match (self.report)(Error::TooLarge {
            bound: self.max_bytes,
        }) {
            ControlFlow::Break(()) | ControlFlow::Continue(()) => ControlFlow::Break(()),
        }
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for part in &self.path {
            match part {
                Part::Key(key) if place.is_empty() => place.push_str(key),
                Part::Key(key) => {
                    place.push('.');
                    place.push_str(key);
                }
                Part::Index(index) => {
                    write!(place, "[{index}]").expect("writing to a string does not fail");
                }
            }
        }
        // A key with U+0000 is in the path of what is below it.
        place.replace('\0', "\\u0000")
    }
}

/// Bytes of a value's compact JSON without its members: for a list or object the brackets and commas.
fn own_bytes(value: &Value) -> u64 {
    let brackets = |members: usize| 2 + members.saturating_sub(1) as u64;
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => {
            let mut count = Count(0);
            count
                .write_fmt(format_args!("{number}"))
                .expect("counting does not fail");
            count.0
        }
        Value::String(text) => text_bytes(text),
        Value::Array(items) => brackets(items.len()),
        Value::Object(entries) => brackets(entries.len()),
    }
}

/// Bytes of a text in JSON, with its quotes and escapes.
fn text_bytes(text: &str) -> u64 {
    let escapes: u64 = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
            0x00..=0x1f => 5,
            _ => 0,
        })
        .sum();
    text.len() as u64 + escapes + 2
}

/// Counts what is written to it.
struct Count(u64);

impl fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
pub(crate) mod tests;
