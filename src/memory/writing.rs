//! A value on its way into the store: measured, and with what it is found by.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Error, MAX_VALUE_BYTES, Result, text};
use crate::store::memories::Writing;
use crate::store::memories::vectors::Vector;
use crate::value::{canonical, measure};

/// What is to be stored.
#[derive(Clone, Debug)]
pub struct New {
    /// Its name in the collection: 1 to 200 characters.
    pub key: String,
    /// The value, at most [`MAX_VALUE_BYTES`].
    pub value: Arc<Value>,
    /// Tags, none twice.
    pub tags: Vec<String>,
    /// The text search configuration that finds its words.
    pub language: String,
    /// The same for every attempt at the same write.
    pub idempotency_key: String,
    /// The run that writes.
    pub run_id: Uuid,
    /// The node that writes.
    pub node_id: String,
}

/// The same, ready for the store.
#[derive(Clone, Debug)]
pub struct Ready {
    new: New,
    text: String,
    aside: String,
    size_bytes: i64,
    writer: String,
}

impl New {
    /// Makes it ready for the store: work for [`crate::cpu::Cpu`] where the value is large.
    ///
    /// # Errors
    ///
    /// [`Error::ValueTooLarge`].
    pub fn ready(self) -> Result<Ready> {
        let bytes = measure(&self.value, u64::MAX).map_or(u64::MAX, |measure| measure.bytes);
        if bytes > MAX_VALUE_BYTES {
            return Err(Error::ValueTooLarge { bytes });
        }
        let names = json!([self.key, self.tags]);
        let size = bytes + measure(&names, u64::MAX).map_or(0, |measure| measure.bytes);
        // A step may write again, with another value, when its loop is begun again: that is another write.
        let write = json!([self.idempotency_key, canonical::hash(&self.value), names]);
        Ok(Ready {
            text: text::of_value(&self.value),
            aside: text::aside(&self.key, &self.tags),
            size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
            writer: canonical::hash(&write)[..32].to_owned(),
            new: self,
        })
    }
}

impl Ready {
    /// Its name in the collection.
    pub(super) fn key(&self) -> &str {
        &self.new.key
    }

    /// The text search configuration that finds its words.
    pub(super) fn language(&self) -> &str {
        &self.new.language
    }

    /// What it is found by.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// As the store takes it.
    pub(super) fn writing<'a>(&'a self, vector: Option<&'a Vector>) -> Writing<'a> {
        Writing {
            key: &self.new.key,
            value: &self.new.value,
            tags: &self.new.tags,
            language: &self.new.language,
            text: &self.text,
            aside: &self.aside,
            size_bytes: self.size_bytes,
            writer: &self.writer,
            run_id: self.new.run_id,
            node_id: &self.new.node_id,
            vector,
        }
    }
}
