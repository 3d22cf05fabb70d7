//! Shows the drafts of a run to one watcher.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::shelf::{DraftKey, Shelf};
use super::{Author, Kind};
use crate::hub::Hub;
use crate::ids::{RunKey, StepPath};

/// The most bytes of one piece.
const PIECE_BYTES: usize = 32 * 1024;

/// A part of a text that has not been shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whose text it is.
    pub author: Author,
    /// What it is.
    pub kind: Kind,
    /// How often the text has begun anew.
    pub edition: u32,
    /// Where it starts in the whole text, in bytes. Less than what was shown before: the text begins anew there.
    pub offset: u64,
    /// Never ends inside a character. Empty where the text begins anew and nothing of it is there yet.
    pub text: String,
}

/// One watcher's place at the drafts of a run.
#[derive(Debug)]
pub struct Reader {
    hub: Hub,
    run: RunKey,
    /// Taken when it leaves.
    shelf: Option<Arc<Shelf>>,
    changes: watch::Receiver<u64>,
    shown: BTreeMap<DraftKey, Place>,
}

/// How far a text was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    edition: u32,
    offset: u64,
}

impl Reader {
    pub(in crate::hub) fn new(hub: Hub, run: RunKey, shelf: Arc<Shelf>) -> Self {
        let changes = shelf.changes();
        let mut shown = BTreeMap::new();
        for (key, draft) in &shelf.lock().texts {
            // What ended before belongs to what the history tells.
            if draft.is_ended() {
                let place = Place {
                    edition: draft.edition,
                    offset: draft.len(),
                };
                shown.insert(key.clone(), place);
            }
        }
        Self {
            hub,
            run,
            shelf: Some(shelf),
            changes,
            shown,
        }
    }

    /// Resolves when there may be something to show.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The reader itself holds the shelf.
            std::future::pending::<()>().await;
        }
    }

    /// A piece that was not shown yet: of any step, or of this one.
    #[must_use]
    pub fn find_next(&mut self, of: Option<&StepPath>) -> Option<Piece> {
        let shelf = self.shelf.as_ref()?;
        let drafts = shelf.lock();
        self.shown.retain(|key, _| drafts.texts.contains_key(key));
        for (key, draft) in &drafts.texts {
            if of.is_some_and(|path| *path != key.author.path) {
                continue;
            }
            let place = self.shown.get(key).copied().unwrap_or_default();
            let anew = place.edition != draft.edition;
            let from = if anew { 0 } else { place.offset };
            if !anew && from >= draft.len() {
                continue;
            }
            let offset = from.max(draft.start);
            let at = usize::try_from(offset - draft.start).unwrap_or(usize::MAX);
            let rest = &draft.text[at..];
            let mut end = rest.len().min(PIECE_BYTES);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            return Some(Piece {
                author: key.author.clone(),
                kind: key.kind,
                offset,
                text: rest[..end].to_owned(),
                edition: draft.edition,
            });
        }
        None
    }

    /// Notes that a piece was shown.
    pub fn shown(&mut self, piece: &Piece) {
        let key = DraftKey {
            author: piece.author.clone(),
            kind: piece.kind,
        };
        let place = Place {
            edition: piece.edition,
            offset: piece.offset + piece.text.len() as u64,
        };
        self.shown.insert(key, place);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Counted among the readers no longer.
        self.changes = watch::channel(0).1;
        if let Some(shelf) = self.shelf.take() {
            self.hub.tidy(&self.run, shelf);
        }
    }
}
