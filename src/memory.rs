//! What `memory` nodes keep beyond their run, and how it is found again.
//!
//! Entries lie in collections, which the authors of flows name, inside the caller's namespace. They are found by key,
//! by words (Postgres' full-text search), by tags and, where Postgres has the extension `vector` and the operator has
//! named an embedder, by meaning: then both rankings are fused. An embedder that does not answer costs the ranking by
//! meaning and nothing else.

pub mod embedder;
mod fusion;
mod text;
mod writing;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::memories::search::{Matching, Search};
use crate::store::memories::vectors::{Readiness, Vector};
use crate::store::memories::{Put, search, usage, vectors};
use crate::store::{self, Store, memories};
use embedder::Embedder;

pub use crate::store::memories::search::Hit;
pub use crate::store::memories::{Collection, Entry, Limits};
pub use writing::{New, Ready};

/// The largest value of an entry, as compact JSON, in bytes.
pub const MAX_VALUE_BYTES: u64 = 1024 * 1024;
/// The most entries that one search gives.
pub const MAX_HITS: u32 = 50;
/// How many characters of a query count, the first ones.
pub const MAX_QUERY_CHARS: usize = 10_000;

/// How long an embedder may take; the attempt's own deadline holds too.
const EMBEDDER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many entries are removed in one transaction when a collection is cleared.
const CLEAR_AT_ONCE: i64 = 1_000;

/// What is kept; cheap to clone.
#[derive(Clone)]
pub struct Memory {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    limits: Limits,
    embedder: Option<Embedder>,
    /// Text search configurations that the database is known to have.
    languages: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("limits", &self.parts.limits)
            .field("embedder", &self.parts.embedder)
            .finish_non_exhaustive()
    }
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Query {
    /// An entry with any of its words is found; blank: the newest are.
    pub text: String,
    /// Only entries that have one of these; all if there are none.
    pub tags: Vec<String>,
    /// The text search configuration, which should be that of the entries.
    pub language: String,
    /// The most entries: 1 to [`MAX_HITS`].
    pub limit: u32,
}

/// What was found, the best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The entries with their scores, from 0 to 1.
    pub hits: Vec<Hit>,
    /// What the order says.
    pub ranking: Ranking,
}

/// What the order of hits says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// The newest first.
    Newest,
    /// How well words fit.
    Text,
    /// How well words and meaning fit, together.
    Hybrid,
}

impl Ranking {
    /// For programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Text => "text",
            Self::Hybrid => "hybrid",
        }
    }
}

/// How long a call that may ask the embedder lasts at most.
#[derive(Clone, Debug)]
pub struct Patience {
    /// When the answer is no longer of use.
    pub deadline: Instant,
    /// Set when nobody waits any more.
    pub cancelled: CancellationToken,
}

/// Why something is not kept or not found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value is too large.
    #[error(
        "the value has {bytes} bytes as JSON, at most {MAX_VALUE_BYTES} are kept under one key"
    )]
    ValueTooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The collection holds as many entries as it may.
    #[error("the collection {collection} holds {limit} entries, as many as it may")]
    TooManyEntries {
        /// The collection.
        collection: String,
        /// The limit.
        limit: i64,
    },
    /// The namespace holds as many bytes as it may.
    #[error(
        "the memories of the namespace may have {limit} bytes, of which {left} are left: too few for {key}"
    )]
    TooManyBytes {
        /// What was to be stored.
        key: String,
        /// The limit.
        limit: i64,
        /// What is left of it.
        left: i64,
    },
    /// The database has no such text search configuration.
    #[error("the database has no text search configuration {name}; it has {}", .known.join(", "))]
    UnknownLanguage {
        /// The name.
        name: String,
        /// All that there are.
        known: Vec<String>,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a call gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Memory {
    /// Memory on a migrated database, where entries are found by words.
    #[must_use]
    pub fn new(store: Store, limits: Limits) -> Self {
        Self::of(store, limits, None)
    }

    /// The same where entries are found by meaning too, once the place for vectors is made.
    ///
    /// An embedder without that place is of no use: that is logged, and entries are found by words.
    ///
    /// # Errors
    ///
    /// [`store::Error::Unavailable`] when the database cannot be reached.
    pub async fn with_embedder(
        store: Store,
        limits: Limits,
        embedder: Embedder,
    ) -> store::Result<Self> {
        let embedder = prepared(&store, embedder).await?;
        Ok(Self::of(store, limits, embedder))
    }

    fn of(store: Store, limits: Limits, embedder: Option<Embedder>) -> Self {
        Self {
            parts: Arc::new(Parts {
                store,
                limits,
                embedder,
                languages: Mutex::default(),
            }),
        }
    }

    /// Whether entries are found by meaning too.
    #[must_use]
    pub fn has_vectors(&self) -> bool {
        self.parts.embedder.is_some()
    }

    /// Stores an entry in place of what its key held. A repeated write changes nothing; see [`memories::put`].
    ///
    /// # Errors
    ///
    /// [`Error::TooManyEntries`], [`Error::TooManyBytes`], [`Error::UnknownLanguage`] and [`Error::Store`]; nothing is
    /// stored then.
    pub async fn store(&self, at: &Collection, ready: &Ready, patience: &Patience) -> Result<()> {
        self.check_language(ready.language()).await?;
        let vector = self.vector(ready.text(), patience).await;
        let limits = self.parts.limits;
        let mut conn = self.parts.store.conn().await?;
        match memories::put(&mut conn, at, &ready.writing(vector.as_ref()), limits).await? {
            Put::Now | Put::Before => Ok(()),
            Put::FullOfEntries => Err(Error::TooManyEntries {
                collection: at.name.clone(),
                limit: limits.entries,
            }),
            Put::FullOfBytes(left) => Err(Error::TooManyBytes {
                key: ready.key().to_owned(),
                limit: limits.size_bytes,
                left,
            }),
        }
    }

    /// The entry under a key.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn find(&self, at: &Collection, key: &str) -> Result<Option<Entry>> {
        let mut conn = self.parts.store.conn().await?;
        Ok(memories::find(&mut conn, at, key).await?)
    }

    /// Entries by words, meaning and tags, the best first; entries that fit equally well are the newest first, then by
    /// key. Where no whole word fits, beginnings of words count.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownLanguage`] and [`Error::Store`].
    pub async fn search(
        &self,
        at: &Collection,
        query: &Query,
        patience: &Patience,
    ) -> Result<Found> {
        let text = text::beginning(query.text.trim(), MAX_QUERY_CHARS);
        let limit = query.limit.clamp(1, MAX_HITS);
        if text.is_empty() {
            return self.newest(at, &query.tags, limit).await;
        }
        self.check_language(&query.language).await?;
        let vector = self.vector(text, patience).await;

        let wanted = if vector.is_some() { MAX_HITS } else { limit };
        let search = Search {
            language: &query.language,
            query: text,
            tags: &query.tags,
            limit: wanted.into(),
        };
        let mut conn = self.parts.store.conn().await?;
        let mut by_words = search::by_words(&mut conn, at, search, Matching::Words).await?;
        let near = match &vector {
            None => None,
            Some(vector) => {
                Some(vectors::nearest(&mut conn, at, vector, &query.tags, wanted.into()).await?)
            }
        };
        if by_words.is_empty() && near.as_ref().is_none_or(Vec::is_empty) {
            by_words = search::by_words(&mut conn, at, search, Matching::Beginnings).await?;
        }
        Ok(match near {
            None => Found {
                hits: by_words,
                ranking: Ranking::Text,
            },
            Some(near) => Found {
                hits: fusion::fuse(by_words, near, limit),
                ranking: Ranking::Hybrid,
            },
        })
    }

    async fn newest(&self, at: &Collection, tags: &[String], limit: u32) -> Result<Found> {
        let mut conn = self.parts.store.conn().await?;
        let entries = search::newest(&mut conn, at, tags, limit.into()).await?;
        // All that was asked for fits.
        let hits = entries.into_iter().map(|entry| Hit { entry, score: 1.0 });
        Ok(Found {
            hits: hits.collect(),
            ranking: Ranking::Newest,
        })
    }

    /// Removes the entry under a key; whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn delete(&self, at: &Collection, key: &str) -> Result<bool> {
        let mut conn = self.parts.store.conn().await?;
        Ok(memories::delete(&mut conn, at, key).await?)
    }

    /// Removes all entries of a collection that are there when it begins, and gives how many.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]; some entries may be removed by then.
    pub async fn clear(&self, at: &Collection) -> Result<i64> {
        let mut conn = self.parts.store.conn().await?;
        let until = memories::now(&mut conn).await?;
        let mut entries = 0;
        loop {
            let removed = memories::clear(&mut conn, at, until, CLEAR_AT_ONCE).await?;
            entries += removed.entries;
            if removed.entries < CLEAR_AT_ONCE {
                break;
            }
        }
        usage::forget_if_empty(&mut conn, at).await?;
        Ok(entries)
    }

    async fn check_language(&self, name: &str) -> Result<()> {
        let languages = &self.parts.languages;
        // Whoever panicked with the lock in hand has changed nothing.
        let known = || languages.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(name) {
            return Ok(());
        }
        let mut conn = self.parts.store.conn().await?;
        let found = memories::languages(&mut conn).await?;
        known().extend(found.iter().cloned());
        if found.iter().any(|one| one == name) {
            return Ok(());
        }
        Err(Error::UnknownLanguage {
            name: name.to_owned(),
            known: found,
        })
    }

    /// What stands for a text, if there is an embedder and it answers.
    async fn vector(&self, text: &str, patience: &Patience) -> Option<Vector> {
        let embedder = self.parts.embedder.as_ref()?;
        if text.trim().is_empty() {
            return None;
        }
        let deadline = patience.deadline.min(Instant::now() + EMBEDDER_TIMEOUT);
        match embedder.embed(text, deadline, &patience.cancelled).await {
            Ok(vector) => Some(vector),
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "the embedder gives no vector: going on by words alone"
                );
                None
            }
        }
    }
}

/// The embedder, if there is a place for its vectors.
async fn prepared(store: &Store, embedder: Embedder) -> store::Result<Option<Embedder>> {
    let mut conn = store.conn().await?;
    match vectors::prepare(&mut conn).await {
        Ok(Readiness::Ready) => {
            info!(
                embedder.model = embedder.model(),
                "memories are found by meaning too"
            );
            Ok(Some(embedder))
        }
        Ok(Readiness::NoExtension) => {
            warn!(
                "an embedder is set, but Postgres does not have the extension vector: memories are found by words alone"
            );
            Ok(None)
        }
        Err(error @ store::Error::Unavailable(_)) => Err(error),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "an embedder is set, but there is no place for vectors (CREATE EXTENSION vector may need another role): \
                 memories are found by words alone"
            );
            Ok(None)
        }
    }
}
