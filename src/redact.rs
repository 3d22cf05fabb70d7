//! Replacing secret values wherever they would be shown: in outputs, details, errors and deltas.
//!
//! What an applet sends out comes back in answers, error messages and echoes, as it was sent or in another writing. A
//! [`Redactor`] knows the values of one attempt and puts [`MARKER`] in their place. It finds a value
//!
//! - as it stands, without the white space around it,
//! - as it stands in JSON, in a URL's path or query, in a form and in HTML, also written so twice over,
//! - in base64, standard and URL-safe, alone or as a part of more (`user:password`),
//! - as the number, list or object whose JSON it is.
//!
//! It is no defence against somebody who computes with a value on purpose (splits it, reverses it, hashes it): whoever
//! may write flows with a secret in them may use it.

mod forms;
mod matcher;
mod streaming;
#[cfg(test)]
mod tests;
mod views;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};

use matcher::Matcher;
pub use streaming::Redacting;

/// What stands in place of a secret value.
pub const MARKER: &str = "[redacted]";

/// The shortest value that is looked for, in bytes, white space around it not counted: shorter ones are everywhere.
pub const MIN_BYTES: usize = 4;

/// Knows the secret values of one attempt. Clones know the same values, also those that are added later.
#[derive(Clone, Default)]
pub struct Redactor {
    matcher: Arc<RwLock<Option<Arc<Matcher>>>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// A redactor of these values.
    #[must_use]
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let matcher = Matcher::of(values.into_iter().map(Arc::from).collect());
        Self {
            matcher: Arc::new(RwLock::new(matcher.map(Arc::new))),
        }
    }

    /// A redactor of the same values, which learns alone what is added later.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            matcher: Arc::new(RwLock::new(self.matcher())),
        }
    }

    /// Adds a value that was made of secrets (a header's content, a part of `user:password`). One shorter than
    /// [`MIN_BYTES`] is not added.
    pub fn add(&self, value: &str) {
        let known = self.matcher();
        let known = known.as_deref().map(Matcher::values).unwrap_or_default();
        if known.iter().any(|known| **known == *value) {
            return;
        }
        let values = known.iter().cloned().chain([Arc::from(value)]).collect();
        let matcher = Matcher::of(values).map(Arc::new);
        // Two that add at once: the second looks again at what the first has left.
        let mut guard = self.matcher.write().unwrap_or_else(PoisonError::into_inner);
        let unchanged = guard.as_deref().map_or(0, |now| now.values().len()) == known.len();
        if unchanged {
            *guard = matcher;
            return;
        }
        drop(guard);
        self.add(value);
    }

    /// Whether it knows no value, and so changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.matcher().is_none()
    }

    /// A text without the values.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.matcher() {
            Some(matcher) => matcher.redact(text),
            None => Cow::Borrowed(text),
        }
    }

    /// The same for a text that was cut off: what may be the beginning of a value at its end is left out too, for it
    /// would not be found.
    #[must_use]
    pub fn beginning(&self, text: &str) -> String {
        // Half of a character would hide that the rest is half of a value.
        let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        self.redacting().push(text)
    }

    /// Takes the values out of all strings, keys and numbers of a value. Keys that become the same are numbered.
    pub fn value(&self, value: &mut Value) {
        if let Some(matcher) = self.matcher() {
            redact(&matcher, value);
        }
    }

    /// The same for the members of an object.
    pub fn object(&self, object: &mut Map<String, Value>) {
        if let Some(matcher) = self.matcher() {
            redact_object(&matcher, object);
        }
    }

    /// The value itself if there is nothing to redact in it, otherwise a copy without the values.
    #[must_use]
    pub fn shared(&self, value: Arc<Value>) -> Arc<Value> {
        match self.matcher() {
            Some(matcher) if is_in(&matcher, &value) => {
                let mut value = Arc::unwrap_or_clone(value);
                redact(&matcher, &mut value);
                Arc::new(value)
            }
            _ => value,
        }
    }

    /// For a text that comes piece by piece.
    #[must_use]
    pub fn redacting(&self) -> Redacting {
        Redacting::new(self.clone())
    }

    fn matcher(&self) -> Option<Arc<Matcher>> {
        let guard = self.matcher.read().unwrap_or_else(PoisonError::into_inner);
        guard.clone()
    }
}

fn is_in(matcher: &Matcher, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(_) => matcher.is_json_of_one(value),
        Value::String(text) => matcher.is_in(text),
        Value::Array(items) => {
            matcher.is_json_of_one(value) || items.iter().any(|item| is_in(matcher, item))
        }
        Value::Object(entries) => {
            matcher.is_json_of_one(value)
                || entries
                    .iter()
                    .any(|(key, item)| matcher.is_in(key) || is_in(matcher, item))
        }
    }
}

fn redact(matcher: &Matcher, value: &mut Value) {
    if matcher.is_json_of_one(value) {
        *value = MARKER.into();
        return;
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            if let Cow::Owned(redacted) = matcher.redact(text) {
                *text = redacted;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(matcher, item)),
        Value::Object(entries) => redact_object(matcher, entries),
    }
}

fn redact_object(matcher: &Matcher, entries: &mut Map<String, Value>) {
    for item in entries.values_mut() {
        redact(matcher, item);
    }
    if !entries.keys().any(|key| matcher.is_in(key)) {
        return;
    }
    for (key, item) in std::mem::take(entries) {
        let redacted = matcher.redact(&key).into_owned();
        let mut free = redacted.clone();
        let mut number = 2;
        while entries.contains_key(&free) {
            free = format!("{redacted} {number}");
            number += 1;
        }
        entries.insert(free, item);
    }
}
