//! Finding the values of a redactor in a text.
//!
//! All patterns are looked for at once, in time linear in the text: in the text itself, and if a pattern could be
//! written with escapes, in each [`View`] of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, Input, MatchKind};
use serde_json::Value;

use super::views::{Ending, Escaping, View};
use super::{MARKER, MIN_BYTES, forms};

/// Backslashes that are not torn apart, however deep texts stand in texts.
const MAX_BACKSLASHES: usize = 16;

/// Patterns of some values.
pub struct Matcher {
    values: Vec<Arc<str>>,
    patterns: Vec<Vec<u8>>,
    automaton: NFA,
    may_be_escaped: bool,
    /// Numbers, lists and objects whose JSON is a value.
    parsed: Vec<Value>,
    /// How much of a pattern has been seen in each state; only texts that come in pieces need it.
    depths: OnceLock<HashMap<StateID, usize>>,
}

/// What was found in a text.
#[derive(Debug, Default)]
pub struct Found {
    /// Where values stand: ascending, and no two overlap.
    pub spans: Vec<Range<usize>>,
    /// Where a value may begin that goes on behind the text's end; the text's length if none does.
    pub open_from: usize,
}

impl Matcher {
    /// Patterns of these values; `None` if none of them is long enough.
    pub fn of(values: Vec<Arc<str>>) -> Option<Self> {
        let values: Vec<_> = values
            .into_iter()
            .filter(|value| value.trim().len() >= MIN_BYTES)
            .collect();
        let mut patterns: Vec<_> = values.iter().flat_map(|value| forms::of(value)).collect();
        if patterns.is_empty() {
            return None;
        }
        patterns.sort_unstable();
        patterns.dedup();
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .build(&patterns)
            .expect("a few secrets have fewer bytes than an automaton may have states");
        let parsed = values
            .iter()
            .filter_map(|value| serde_json::from_str(value.trim()).ok())
            .filter(|value: &Value| value.is_number() || value.is_array() || value.is_object())
            .collect();
        Some(Self {
            may_be_escaped: patterns.iter().any(|form| forms::may_be_escaped(form)),
            values,
            patterns,
            automaton,
            parsed,
            depths: OnceLock::new(),
        })
    }

    /// The values.
    pub fn values(&self) -> &[Arc<str>] {
        &self.values
    }

    /// Whether a number, list or object is what a value is the JSON of.
    pub fn is_json_of_one(&self, value: &Value) -> bool {
        self.parsed.iter().any(|known| is_same(known, value))
    }

    /// Whether a value stands in a text.
    pub fn is_in(&self, text: &str) -> bool {
        let mut found = self.contains(text.as_bytes());
        self.visit(text, Ending::Final, &mut |bytes, _| {
            found = found || self.contains(bytes);
        });
        found
    }

    /// A text with [`MARKER`] in place of each value.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.is_in(text) {
            return Cow::Borrowed(text);
        }
        let found = self.find(text, Ending::Final);
        let mut redacted = String::with_capacity(text.len());
        let mut from = 0;
        for span in found.spans {
            redacted.push_str(&text[from..span.start]);
            redacted.push_str(MARKER);
            from = span.end;
        }
        redacted.push_str(&text[from..]);
        Cow::Owned(redacted)
    }

    /// Where values stand in a text, and where one may have begun.
    pub fn find(&self, text: &str, ending: Ending) -> Found {
        let mut spans = Vec::new();
        let mut open_from = text.len();
        let mut views_of_text = Vec::new();
        self.visit(text, ending, &mut |bytes, views| {
            let state = self.search(bytes, |found| {
                let start = views
                    .iter()
                    .rev()
                    .fold(found.start, |at, view| view.start(at));
                let end = views.iter().rev().fold(found.end, |at, view| view.end(at));
                spans.push(start..end);
            });
            if ending == Ending::Open {
                let begun = bytes.len() - self.depth(state);
                // What a view leaves out may belong to a value, too.
                let place = views.iter().rev().fold(begun, |at, view| {
                    if at == view.bytes.len() {
                        view.covered()
                    } else {
                        view.start(at)
                    }
                });
                open_from = open_from.min(place);
                if let [view] = views {
                    views_of_text.push(View::clone(view));
                }
            }
        });
        if open_from < text.len() {
            open_from = settle(text, open_from, &views_of_text);
        }
        Found {
            spans: merge(spans, text),
            open_from,
        }
    }

    /// Calls `look` with the text and with each view of it, and the views that led there.
    fn visit(&self, text: &str, ending: Ending, look: &mut impl FnMut(&[u8], &[&View])) {
        look(text.as_bytes(), &[]);
        if !self.may_be_escaped {
            return;
        }
        for escaping in Escaping::ALL {
            let Some(outer) = View::of(text.as_bytes(), escaping, ending) else {
                continue;
            };
            look(&outer.bytes, &[&outer]);
            if escaping == Escaping::Entity {
                continue;
            }
            for escaping in Escaping::ALL {
                if let Some(inner) = View::of(&outer.bytes, escaping, ending) {
                    look(&inner.bytes, &[&outer, &inner]);
                }
            }
        }
    }

    fn contains(&self, bytes: &[u8]) -> bool {
        let found = self.automaton.try_find(&Input::new(bytes));
        found.is_ok_and(|found| found.is_some())
    }

    /// Gives the longest pattern that ends at each place to `found`, and the state at the end.
    fn search(&self, bytes: &[u8], mut found: impl FnMut(Range<usize>)) -> StateID {
        let mut state = self.start();
        for (at, byte) in bytes.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                let longest = (0..self.automaton.match_len(state))
                    .map(|index| self.automaton.match_pattern(state, index))
                    .map(|pattern| self.automaton.pattern_len(pattern))
                    .max()
                    .unwrap_or_default();
                found(at + 1 - longest..at + 1);
            }
        }
        state
    }

    fn start(&self) -> StateID {
        self.automaton
            .start_state(Anchored::No)
            .expect("an automaton that is built without a word on it searches unanchored")
    }

    /// How many bytes at the end of what led to a state are the beginning of a pattern.
    fn depth(&self, state: StateID) -> usize {
        let depths = self.depths.get_or_init(|| {
            let mut depths = HashMap::new();
            for pattern in &self.patterns {
                let mut state = self.start();
                for (before, byte) in pattern.iter().enumerate() {
                    state = self.automaton.next_state(Anchored::No, state, *byte);
                    // Also a whole pattern: its end may be the beginning of another.
                    depths.insert(state, before + 1);
                }
            }
            depths
        });
        depths.get(&state).copied().unwrap_or_default()
    }
}

/// Whether two values are the same JSON: 1 is 1.0.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other
                || one
                    .as_f64()
                    .zip(other.as_f64())
                    .is_some_and(|(one, other)| one.total_cmp(&other).is_eq())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, item)| other.get(key).is_some_and(|other| is_same(item, other)))
        }
        (one, other) => one == other,
    }
}

/// Moves the place at which a text is cut to where no escape is torn apart.
fn settle(text: &str, place: usize, views: &[View]) -> usize {
    let mut place = place;
    loop {
        let mut moved = views.iter().fold(place, |place, view| view.floor(place));
        let before = text.as_bytes()[..moved].iter().rev();
        let backslashes = before.take_while(|byte| **byte == b'\\').count();
        if backslashes <= MAX_BACKSLASHES {
            moved -= backslashes;
        }
        moved = text.floor_char_boundary(moved);
        if moved == place {
            return place;
        }
        place = moved;
    }
}

/// Overlapping spans become one; all begin and end between characters.
fn merge(mut spans: Vec<Range<usize>>, text: &str) -> Vec<Range<usize>> {
    spans.sort_unstable_by_key(|span| span.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        let span = text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end);
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}
