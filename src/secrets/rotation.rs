//! Sealing all secrets anew, with the first key of the ring: `synapps secrets rotate`.
//!
//! It may run beside services that serve, as long as each of them has the new key already, and may be stopped and run
//! again at any time: a value is opened, sealed and written one by one, and only if it is still the one that was read.

use tracing::error;

use super::KeyRing;
use super::sealing::{self, Place};
use crate::store::secrets::{not_sealed_with, reseal};
use crate::store::{Result, Store};

/// How many values are read at once.
const BATCH: i64 = 100;

/// What became of the values that were sealed with another key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Sealed with the first key now.
    pub resealed: u64,
    /// Changed or deleted by somebody else meanwhile.
    pub gone: u64,
    /// Left as they are, because no key of the ring opens them.
    pub unreadable: u64,
}

/// Seals all values with the first key that are sealed with another one, in all namespaces.
///
/// # Errors
///
/// As every query; what was sealed by then stays so.
pub async fn rotate(store: &Store, keys: &KeyRing) -> Result<Rotated> {
    let mut rotated = Rotated::default();
    let mut conn = store.conn().await?;
    let mut after = None;
    loop {
        let batch = not_sealed_with(&mut conn, keys.first_id(), after.as_ref(), BATCH).await?;
        let Some(last) = batch.last() else {
            return Ok(rotated);
        };
        after = Some(last.place.clone());
        for old in &batch {
            let place = Place {
                namespace: &old.place.namespace,
                name: &old.place.name,
                version: old.place.version,
            };
            match sealing::open(keys, place, &old.sealed) {
                Ok(value) => {
                    let sealed = sealing::seal(keys, place, &value);
                    if reseal(&mut conn, old, &sealed).await? {
                        rotated.resealed += 1;
                    } else {
                        rotated.gone += 1;
                    }
                }
                Err(why) => {
                    rotated.unreadable += 1;
                    error!(
                        namespace = %old.place.namespace,
                        secret.name = old.place.name,
                        secret.version = old.place.version,
                        key.id = why.key_id(),
                        "a secret cannot be sealed anew: {why}"
                    );
                }
            }
        }
    }
}
