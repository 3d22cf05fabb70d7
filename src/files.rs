//! What a run keeps that is no JSON: images and the like.
//!
//! A file is named by its content, so that a repeated attempt stores nothing twice and a value that names one means the
//! same in every run that holds it. It belongs to its run: where a value moves to another run (a child, its parent, a
//! fork), the files that it names are copied along within the database.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::ids::RunKey;
use crate::run::event::ChunkKey;
use crate::store::{self, Store, payloads};
use crate::value::canonical;

/// What the names of files begin with.
const BEGIN: &str = "f-";
/// What their paths begin with within their run. No step's path begins so.
const PLACE: &str = "#file/";
/// Hexadecimal digits of SHA-256.
const DIGITS: usize = 64;

/// The name of a file: `f-` and the SHA-256 of its content in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRef(String);

impl FileRef {
    /// The name of a file of this content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let digest = canonical::hex(&canonical::digest(content));
        Self(format!("{BEGIN}{digest}"))
    }

    /// Reads a name; `None` for a text that is none.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(BEGIN)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == DIGITS && digits.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of its content, in hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.0[BEGIN.len()..]
    }

    /// Where its chunks lie within its run.
    #[must_use]
    pub fn place(&self) -> ChunkKey {
        ChunkKey {
            path: format!("{PLACE}{}", &self.0[BEGIN.len()..]),
            attempt: 0,
            epoch: 0,
        }
    }
}

/// The files that a value names.
#[must_use]
pub fn named_in(value: &Value) -> BTreeSet<FileRef> {
    let mut found = BTreeSet::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(entries) => {
                let name = entries.get("ref").and_then(Value::as_str);
                found.extend(name.and_then(FileRef::find));
                open.extend(entries.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

/// The files of one run; cheap to clone.
#[derive(Clone, Debug)]
pub struct Files {
    store: Store,
    run: RunKey,
    max_bytes: u64,
}

/// Why a file is not kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is too large.
    #[error("a file of {bytes} bytes is larger than {bound} bytes, the most of one payload")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most.
        bound: u64,
    },
    /// The store refuses, or cannot be reached.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Files {
    /// The files of a run, of at most so many bytes each.
    #[must_use]
    pub fn new(store: Store, run: RunKey, max_bytes: u64) -> Self {
        Self {
            store,
            run,
            max_bytes,
        }
    }

    /// Keeps a file and gives what names it in an output: `{ref, media_type, size_bytes, sha256}`. `ReadPayload` gives
    /// its content. A repeated call with the same content changes nothing.
    ///
    /// # Errors
    ///
    /// If it is too large, and as every query.
    pub async fn put(&self, content: Bytes, media_type: &str) -> Result<Value, Error> {
        let bytes = content.len() as u64;
        if bytes > self.max_bytes {
            return Err(Error::TooLarge {
                bytes,
                bound: self.max_bytes,
            });
        }
        let name = FileRef::of(&content);
        let mut conn = self.store.conn().await?;
        payloads::write(&mut conn, &self.run, &name.place(), &content).await?;
        Ok(json!({
            "ref": name.as_str(),
            "media_type": media_type,
            "size_bytes": bytes,
            "sha256": name.sha256(),
        }))
    }

    /// Copies the files that a value names from another run, as far as that has them.
    ///
    /// # Errors
    ///
    /// As every query.
    pub async fn bring(&self, from: &RunKey, value: &Value) -> store::Result<()> {
        for file in named_in(value) {
            let mut conn = self.store.conn().await?;
            let place = file.place();
            payloads::copy(&mut conn, (from, &place), (&self.run, &place)).await?;
        }
        Ok(())
    }

    /// Copies all files of another run.
    ///
    /// # Errors
    ///
    /// As every query.
    pub async fn bring_all(&self, from: &RunKey) -> store::Result<()> {
        let mut conn = self.store.conn().await?;
        payloads::copy_below(&mut conn, from, &self.run, PLACE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_content_and_found_in_a_value() {
        let file = FileRef::of(b"content");
        let value = json!({"images": [{"ref": file.as_str(), "x": 1}, {"ref": "f-0"}], "ref": 5});

        assert_eq!(FileRef::find(file.as_str()), Some(file.clone()));
        assert_eq!(named_in(&value), BTreeSet::from([file]));
    }

    #[test]
    fn what_is_no_name_is_not_taken_for_one() {
        let digits = "0".repeat(DIGITS);
        for wrong in ["", "e5", "f-", &digits, &format!("f-{}g", &digits[1..])] {
            assert_eq!(FileRef::find(wrong), None, "{wrong}");
        }
        assert_eq!(FileRef::find(&format!("f-{}A", &digits[1..])), None);
    }
}
