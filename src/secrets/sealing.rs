//! Sealing a value, so that only who has the key can read it, and only where it was put.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes. Namespace, name and version are authenticated too: a sealed value
//! that somebody has copied to another row does not open there.

use chacha20poly1305::XNonce;
use chacha20poly1305::aead::{Aead, Generate, Payload};

use super::KeyRing;
use crate::ids::Namespace;
use crate::store::secrets::Sealed;

/// Bytes of a nonce, which a sealed value begins with.
const NONCE_BYTES: usize = 24;

/// Where a value belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Whose secret it is.
    pub namespace: &'a Namespace,
    /// The secret.
    pub name: &'a str,
    /// The version.
    pub version: i32,
}

impl Place<'_> {
    /// What is authenticated beside the value. No namespace or name has a NUL in it.
    fn authenticated(&self) -> Vec<u8> {
        let mut bytes = b"synapps secret 1".to_vec();
        for part in [self.namespace.as_str(), self.name] {
            bytes.push(0);
            bytes.extend(part.as_bytes());
        }
        bytes.push(0);
        bytes.extend(self.version.to_be_bytes());
        bytes
    }
}

/// A value does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is sealed with a key that is not at hand.
    #[error("it is sealed with key {key_id}, which this process does not have")]
    NoKey {
        /// The id of the key.
        key_id: String,
    },
    /// It is not what was sealed there with this key.
    #[error("key {key_id} does not open it: it was changed, or belongs elsewhere")]
    Broken {
        /// The id of the key.
        key_id: String,
    },
}

impl Error {
    /// The id of the key that it is sealed with.
    #[must_use]
    pub fn key_id(&self) -> &str {
        match self {
            Self::NoKey { key_id } | Self::Broken { key_id } => key_id,
        }
    }
}

/// Seals a value with the first key.
#[must_use]
pub fn seal(keys: &KeyRing, place: Place<'_>, value: &str) -> Sealed {
    let key = keys.first();
    let nonce = XNonce::generate();
    let aad = place.authenticated();
    let payload = Payload {
        msg: value.as_bytes(),
        aad: &aad,
    };
    let sealed = key
        .cipher
        .encrypt(&nonce, payload)
        .expect("a value is far shorter than what this cipher can seal");
    Sealed {
        key_id: key.id.clone(),
        bytes: [nonce.as_slice(), &sealed].concat(),
    }
}

/// Opens a sealed value.
///
/// # Errors
///
/// If the key is not at hand, or the value is not the one that was sealed there.
pub fn open(keys: &KeyRing, place: Place<'_>, sealed: &Sealed) -> Result<String, Error> {
    let key_id = || sealed.key_id.clone();
    let key = keys
        .find_key(&sealed.key_id)
        .ok_or_else(|| Error::NoKey { key_id: key_id() })?;
    let broken = || Error::Broken { key_id: key_id() };
    let (nonce, bytes) = sealed
        .bytes
        .split_at_checked(NONCE_BYTES)
        .ok_or_else(broken)?;
    let nonce = XNonce::try_from(nonce).map_err(|_| broken())?;
    let aad = place.authenticated();
    let payload = Payload {
        msg: bytes,
        aad: &aad,
    };
    let value = key.cipher.decrypt(&nonce, payload).map_err(|_| broken())?;
    String::from_utf8(value).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(texts: &[&str]) -> KeyRing {
        KeyRing::parse(&texts.join(","), "here").unwrap()
    }

    fn place<'a>(namespace: &'a Namespace, name: &'a str, version: i32) -> Place<'a> {
        Place {
            namespace,
            name,
            version,
        }
    }

    #[test]
    fn a_value_opens_with_its_key_in_its_place_only() {
        let (one, other) = (KeyRing::generate(), KeyRing::generate());
        let (a, b) = (Namespace::from("a"), Namespace::from("b"));
        let keys = ring(&[&one]);

        let sealed = seal(&keys, place(&a, "name", 1), "hunter22");

        assert_eq!(sealed.bytes.len(), NONCE_BYTES + 8 + 16);
        assert_eq!(
            open(&ring(&[&other, &one]), place(&a, "name", 1), &sealed).as_deref(),
            Ok("hunter22")
        );
        let key_id = keys.first_id().to_owned();
        assert_eq!(
            open(&ring(&[&other]), place(&a, "name", 1), &sealed),
            Err(Error::NoKey {
                key_id: key_id.clone()
            })
        );
        for elsewhere in [
            place(&b, "name", 1),
            place(&a, "name", 2),
            place(&a, "nam", 1),
        ] {
            let broken = Error::Broken {
                key_id: key_id.clone(),
            };
            assert_eq!(open(&keys, elsewhere, &sealed), Err(broken));
        }
    }

    #[test]
    fn no_two_sealed_values_are_the_same_and_a_changed_one_does_not_open() {
        let keys = ring(&[&KeyRing::generate()]);
        let namespace = Namespace::from("a");
        let here = place(&namespace, "name", 1);

        let sealed = seal(&keys, here, "hunter22");

        assert_ne!(sealed, seal(&keys, here, "hunter22"));
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert!(open(&keys, here, &changed).is_err(), "{at}");
        }
        let cut = Sealed {
            bytes: sealed.bytes[..10].to_vec(),
            ..sealed
        };
        assert!(open(&keys, here, &cut).is_err());
    }
}
