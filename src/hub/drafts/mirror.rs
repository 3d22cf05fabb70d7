//! The drafts of a run that another process drives, as far as it has told of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reader::Piece;
use super::shelf::{DraftKey, Shelf};
use super::{Author, Hub};
use crate::ids::{RunKey, StepPath};

/// Shows in this process what the steps of a run show in another one. What it shows ends with it.
#[derive(Debug)]
pub(in crate::hub) struct Mirror {
    hub: Hub,
    run: RunKey,
    shelf: Option<Arc<Shelf>>,
    /// Whose texts may go on.
    authors: BTreeSet<Author>,
}

impl Mirror {
    pub(in crate::hub) fn new(hub: Hub, run: RunKey) -> Self {
        Self {
            hub,
            run,
            shelf: None,
            authors: BTreeSet::new(),
        }
    }

    /// Shows a piece at its place. What of it is there already changes nothing.
    pub(in crate::hub) fn show(&mut self, piece: &Piece) {
        let shelf = self.shelf.get_or_insert_with(|| self.hub.shelf(&self.run));
        let key = DraftKey {
            author: piece.author.clone(),
            kind: piece.kind,
        };
        shelf.place(key, piece);
        if !self.authors.contains(&piece.author) {
            self.authors.insert(piece.author.clone());
        }
    }

    /// The attempt has ended.
    pub(in crate::hub) fn end(&mut self, path: &StepPath, attempt: u32) {
        let Some(shelf) = &self.shelf else {
            return;
        };
        self.authors.retain(|author| {
            let ends = author.path == *path && author.attempt == attempt;
            if ends {
                shelf.end(author);
            }
            !ends
        });
    }

    /// No text goes on, but those that are shown again.
    pub(in crate::hub) fn end_all(&mut self) {
        if let Some(shelf) = &self.shelf {
            for author in std::mem::take(&mut self.authors) {
                shelf.end(&author);
            }
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.end_all();
        if let Some(shelf) = self.shelf.take() {
            self.hub.tidy(&self.run, shelf);
        }
    }
}
