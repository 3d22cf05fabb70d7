//! What steps show while they work: tokens of a model, lines of a program.
//!
//! A draft is a text that grows. It is no history: it lives in the memory of the process that makes the attempt, and
//! ends with it. A [`Pen`] writes it and never waits for anybody; a [`Reader`] shows what it has not shown yet, so that
//! one that comes late begins with the text so far, and one that is slow gets larger pieces.

mod mirror;
mod reader;
mod shelf;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) use self::mirror::Mirror;
pub use self::reader::{Piece, Reader};
use self::shelf::DraftKey;
pub(super) use self::shelf::Shelf;
use super::Hub;
use crate::ids::{NodeId, RunKey, StepPath};
use crate::redact::{Redacting, Redactor};

/// The most bytes that are kept of one text: the last ones.
pub const MOST_BYTES: usize = 128 * 1024;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The step's output as it grows.
    Output,
    /// What the step logs.
    Log,
}

/// The attempt that a text belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Author {
    /// The node.
    pub node_id: NodeId,
    /// The step.
    pub path: StepPath,
    /// Counted from 1.
    pub attempt: u32,
    /// The epoch in which its run is owned.
    pub epoch: i64,
}

/// Writes the texts of one attempt; cheap to clone, and free of cost until something is written.
#[derive(Clone)]
pub struct Pen {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Hub,
    run: RunKey,
    author: Author,
    shelf: OnceLock<Arc<Shelf>>,
    redactor: Redactor,
    /// What may be the beginning of a secret value and is not shown yet. Held while a piece is written, so that pieces
    /// of two writers do not get between each other.
    texts: Mutex<BTreeMap<Kind, Redacting>>,
}

impl Pen {
    /// A pen for an attempt of a step of this run.
    #[must_use]
    pub fn new(hub: Hub, run: RunKey, author: Author) -> Self {
        Self::redacting(hub, run, author, Redactor::default())
    }

    /// The same, without the values that this redactor knows.
    #[must_use]
    pub fn redacting(hub: Hub, run: RunKey, author: Author, redactor: Redactor) -> Self {
        Self {
            inner: Arc::new(Inner {
                hub,
                run,
                author,
                shelf: OnceLock::new(),
                redactor,
                texts: Mutex::default(),
            }),
        }
    }

    /// Adds to the output as it grows.
    pub fn output(&self, text: &str) {
        self.write(Kind::Output, text);
    }

    /// Adds to what the step logs.
    pub fn log(&self, text: &str) {
        self.write(Kind::Log, text);
    }

    /// Throws away the output so far: it is made anew, as by another model.
    pub fn restart(&self) {
        if let Some(shelf) = self.inner.shelf.get() {
            let mut texts = self.inner.texts();
            texts.remove(&Kind::Output);
            shelf.restart(&self.inner.key(Kind::Output));
        }
    }

    /// Shows what is still held back: the texts are whole, and no value goes on behind their ends.
    ///
    /// Without this it is never shown: a text that was cut may end within a value.
    pub fn finish(&self) {
        let Some(shelf) = self.inner.shelf.get() else {
            return;
        };
        let mut texts = self.inner.texts();
        for (kind, text) in texts.iter_mut() {
            let rest = text.finish();
            if !rest.is_empty() {
                shelf.append(self.inner.key(*kind), &rest);
            }
        }
    }

    /// Forgets what is still held back: the texts were cut.
    pub fn break_off(&self) {
        self.inner.texts().clear();
    }

    fn write(&self, kind: Kind, text: &str) {
        if text.is_empty() {
            return;
        }
        let inner = &*self.inner;
        let shelf = inner.shelf.get_or_init(|| inner.hub.shelf(&inner.run));
        let mut texts = inner.texts();
        if inner.redactor.is_empty() && texts.is_empty() {
            shelf.append(inner.key(kind), text);
            return;
        }
        let shown = texts
            .entry(kind)
            .or_insert_with(|| inner.redactor.redacting())
            .push(text);
        if !shown.is_empty() {
            shelf.append(inner.key(kind), &shown);
        }
    }
}

impl Inner {
    fn texts(&self) -> MutexGuard<'_, BTreeMap<Kind, Redacting>> {
        // Every change is complete before anything could panic.
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, kind: Kind) -> DraftKey {
        DraftKey {
            author: self.author.clone(),
            kind,
        }
    }
}

impl Drop for Inner {
    /// The attempt has come to its end.
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.take() {
            shelf.end(&self.author);
            self.hub.tidy(&self.run, shelf);
        }
    }
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pen").field(&self.inner.author).finish()
    }
}

#[cfg(test)]
mod tests;
