//! The drafts of one run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::reader::Piece;
use super::{Author, Kind, MOST_BYTES};

/// The most drafts of attempts that have ended which are kept for readers that have yet to show them.
const MOST_ENDED: usize = 64;

/// The most bytes of them.
const MOST_ENDED_BYTES: usize = 4 * MOST_BYTES;

/// Which text it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DraftKey {
    pub(super) author: Author,
    pub(super) kind: Kind,
}

/// A text as far as it has grown.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Raised each time that the text begins anew.
    pub(super) edition: u32,
    /// Where `text` starts in the whole text, in bytes.
    pub(super) start: u64,
    /// The last part of the whole text.
    pub(super) text: String,
    /// When the attempt ended, in the order in which attempts of the run did.
    ended: Option<u64>,
}

impl Draft {
    pub(super) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The length of the whole text.
    pub(super) fn len(&self) -> u64 {
        self.start + self.text.len() as u64
    }

    fn append(&mut self, text: &str) {
        self.text.push_str(text);
        // Not at every piece: what remains has to be moved.
        if self.text.len() > MOST_BYTES + MOST_BYTES / 2 {
            let mut cut = self.text.len() - MOST_BYTES;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.text.drain(..cut);
            self.start += cut as u64;
        }
    }

    /// Adds what a piece has beyond what is there. Where something is missing before it, the text goes on there without.
    fn place(&mut self, piece: &Piece) {
        let known = self.len();
        if piece.edition != self.edition || piece.offset > known {
            self.edition = piece.edition;
            self.start = piece.offset;
            self.text.clear();
            self.append(&piece.text);
            return;
        }
        let overlap = usize::try_from(known - piece.offset).unwrap_or(usize::MAX);
        if let Some(rest) = piece.text.get(overlap..) {
            self.append(rest);
        }
    }
}

/// The drafts of one run.
#[derive(Debug)]
pub(in crate::hub) struct Shelf {
    drafts: Mutex<Drafts>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Drafts {
    pub(super) texts: BTreeMap<DraftKey, Draft>,
    ended: u64,
}

impl Shelf {
    pub(in crate::hub) fn new() -> Self {
        Self {
            drafts: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn append(&self, key: DraftKey, text: &str) {
        self.lock().texts.entry(key).or_default().append(text);
        self.tell();
    }

    /// The text goes on as a piece of it says, also if it was taken for ended.
    pub(super) fn place(&self, key: DraftKey, piece: &Piece) {
        let mut drafts = self.lock();
        let draft = drafts.texts.entry(key).or_default();
        draft.ended = None;
        draft.place(piece);
        drop(drafts);
        self.tell();
    }

    pub(super) fn restart(&self, key: &DraftKey) {
        if let Some(draft) = self.lock().texts.get_mut(key) {
            draft.edition += 1;
            draft.start = 0;
            draft.text.clear();
        }
        self.tell();
    }

    /// The attempt has ended: its drafts are kept only for those who read here now.
    pub(super) fn end(&self, author: &Author) {
        let mut drafts = self.lock();
        if self.changes.receiver_count() == 0 {
            drafts.texts.retain(|key, _| key.author != *author);
            return;
        }
        drafts.ended += 1;
        let order = drafts.ended;
        for (key, draft) in &mut drafts.texts {
            if key.author == *author {
                draft.ended = Some(order);
            }
        }
        let ended = drafts
            .texts
            .values()
            .filter_map(|one| Some((one.ended?, one.text.len())));
        let mut ended: Vec<(u64, usize)> = ended.collect();
        ended.sort_unstable_by_key(|(order, _)| std::cmp::Reverse(*order));
        let mut bytes = 0;
        let too_many = ended.iter().enumerate().find(|(number, (_, size))| {
            bytes += size;
            *number >= MOST_ENDED || bytes > MOST_ENDED_BYTES
        });
        if let Some((_, &(oldest, _))) = too_many {
            drafts
                .texts
                .retain(|_, draft| draft.ended.is_none_or(|at| at > oldest));
        }
    }

    /// Forgets drafts of attempts that have ended, if nobody reads here; says whether nothing is left.
    pub(in crate::hub) fn is_idle(&self) -> bool {
        let mut drafts = self.lock();
        if self.changes.receiver_count() > 0 {
            return false;
        }
        drafts.texts.retain(|_, draft| !draft.is_ended());
        drafts.texts.is_empty()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Drafts> {
        // Every change is complete before anything could panic.
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
