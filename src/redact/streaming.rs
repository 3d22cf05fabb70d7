//! Redacting a text that comes piece by piece.

use super::views::Ending;
use super::{MARKER, Redactor};

/// A text that is shown while it comes.
///
/// What may be the beginning of a value is held back until it is known whether it is one, so that all pieces together
/// are what [`Redactor::text`] makes of the whole. Most pieces come out as they went in.
#[derive(Clone, Debug)]
pub struct Redacting {
    redactor: Redactor,
    held: String,
    /// Bytes at the beginning of `held` that belong to a value whose marker is out already.
    covered: usize,
}

impl Redacting {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            held: String::new(),
            covered: 0,
        }
    }

    /// Takes the next piece, and gives what may be shown now; it may be empty.
    #[must_use = "what is not shown now is not given again"]
    pub fn push(&mut self, piece: &str) -> String {
        let Some(matcher) = self.redactor.matcher() else {
            return piece.to_owned();
        };
        self.held.push_str(piece);
        let found = matcher.find(&self.held, Ending::Open);
        self.release(&found.spans, found.open_from)
    }

    /// Gives the rest: the text has come to its end. What comes after that is another text.
    #[must_use = "what is not shown now is not given again"]
    pub fn finish(&mut self) -> String {
        match self.redactor.matcher() {
            Some(matcher) if !self.held.is_empty() => {
                let found = matcher.find(&self.held, Ending::Final);
                self.release(&found.spans, self.held.len())
            }
            _ => String::new(),
        }
    }

    /// Forgets what is held back: the text begins anew.
    pub fn restart(&mut self) {
        self.held.clear();
        self.covered = 0;
    }

    /// Gives what is held up to `until`, without the values at `spans`.
    fn release(&mut self, spans: &[std::ops::Range<usize>], until: usize) -> String {
        let mut shown = String::with_capacity(until);
        let mut from = self.covered;
        for span in spans {
            if span.start < from {
                // It overlaps one whose marker is out.
                from = from.max(span.end);
                continue;
            }
            if span.start >= until {
                break;
            }
            shown.push_str(&self.held[from..span.start]);
            shown.push_str(MARKER);
            from = span.end;
        }
        if from < until {
            shown.push_str(&self.held[from..until]);
        }
        self.held.drain(..until);
        self.covered = from.saturating_sub(until);
        shown
    }
}
