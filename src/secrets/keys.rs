//! The keys that secrets are sealed with.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use chacha20poly1305::aead::Generate;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

use crate::value::canonical;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Hexadecimal digits of a key's id.
const ID_DIGITS: usize = 8;

/// Base64 with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const READ_STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const READ_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// Keys: the first seals, all open. What it prints are ids.
#[derive(Clone)]
pub struct KeyRing {
    first: Key,
    others: Vec<Key>,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) cipher: XChaCha20Poly1305,
}

/// Why there is no key. No text of these holds a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the file with the keys of secrets, {}, cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is none in it.
    #[error(
        "there is no key of secrets in {0}: it takes 32 random bytes in base64, as of `openssl rand -base64 32`"
    )]
    Empty(String),
    /// One of them is no key.
    #[error(
        "key {number} of {place} is not 32 bytes in base64 (`openssl rand -base64 32` makes a key)"
    )]
    Malformed {
        /// Where it stands.
        place: String,
        /// Which one, counted from 1.
        number: usize,
    },
}

impl KeyRing {
    /// The keys in a file.
    ///
    /// # Errors
    ///
    /// All kinds of [`Error`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Keys in base64, standard or URL-safe, separated by commas or white space. `place` is where they stand, for
    /// errors.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] and [`Error::Malformed`].
    pub fn parse(text: &str, place: &str) -> Result<Self, Error> {
        let mut keys = text
            .split(|char: char| char == ',' || char.is_whitespace())
            .filter(|part| !part.is_empty())
            .enumerate()
            .map(|(index, part)| {
                Key::parse(part).ok_or_else(|| Error::Malformed {
                    place: place.to_owned(),
                    number: index + 1,
                })
            });
        let first = keys
            .next()
            .ok_or_else(|| Error::Empty(place.to_owned()))??;
        Ok(Self {
            first,
            others: keys.collect::<Result<_, _>>()?,
        })
    }

    /// A new key, as [`KeyRing::parse`] reads it.
    #[must_use]
    pub fn generate() -> String {
        STANDARD.encode(<[u8; KEY_BYTES]>::generate())
    }

    /// The id of the key that seals: the first 8 hexadecimal digits of its SHA-256.
    #[must_use]
    pub fn first_id(&self) -> &str {
        &self.first.id
    }

    pub(super) fn first(&self) -> &Key {
        &self.first
    }

    pub(super) fn find_key(&self, id: &str) -> Option<&Key> {
        std::iter::once(&self.first)
            .chain(&self.others)
            .find(|key| key.id == id)
    }
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let bytes = READ_STANDARD
            .decode(text)
            .or_else(|_| READ_URL_SAFE.decode(text))
            .ok()?;
        if bytes.len() != KEY_BYTES {
            return None;
        }
        let mut id = canonical::hex(&canonical::digest(&bytes));
        id.truncate(ID_DIGITS);
        Some(Self {
            id,
            cipher: XChaCha20Poly1305::new_from_slice(&bytes).ok()?,
        })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = std::iter::once(&self.first).chain(&self.others);
        f.debug_tuple("KeyRing")
            .field(&ids.map(|key| key.id.as_str()).collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_all_writings_of_base64() {
        let one = STANDARD.encode([0xFB; 32]);
        let other = KeyRing::generate();
        let unpadded = one
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_");

        let keys = KeyRing::parse(&format!("\n{one},{other}\n{unpadded} "), "here").unwrap();

        assert_eq!(keys.others.len(), 2);
        assert_eq!(keys.first_id(), keys.others[1].id);
        assert_ne!(keys.first_id(), keys.others[0].id);
        assert!(keys.find_key(&keys.others[0].id).is_some());
        assert!(keys.find_key("00000000").is_none());
        assert!(!format!("{keys:?}").contains(&other));
    }

    #[test]
    fn what_is_no_key_is_named_by_its_place_only() {
        let good = KeyRing::generate();
        for (text, number) in [("c2hvcnQ=", 1), (&*format!("{good},not-a-key!"), 2)] {
            let error = KeyRing::parse(text, "here").unwrap_err().to_string();

            assert!(error.contains(&format!("key {number} of here")), "{error}");
            assert!(
                !error.contains("c2hv") && !error.contains("not-a"),
                "{error}"
            );
        }
        assert!(matches!(
            KeyRing::parse(" ,\n", "here"),
            Err(Error::Empty(_))
        ));
        assert!(KeyRing::read(Path::new("/nowhere/at/all")).is_err());
    }
}
