//! The secrets of the database, opened when steps need them, and kept in memory until they change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tracing::error;
use uuid::Uuid;

use super::granted::Secret;
use super::hosts::Rule;
use super::sealing::{self, Place};
use super::{Granted, KeyRing};
use crate::ids::Namespace;
use crate::redact::Redactor;
use crate::store::{Result, Store, secrets};

/// How many secrets are kept open.
const CACHED: usize = 2_000;
/// How many redactors are kept ready.
const REDACTORS: usize = 500;
/// How long what is in memory may stand in for the database where a step sends no secret and only what it gets is
/// redacted.
const FRESH: Duration = Duration::from_secs(5);

/// A handle to the secrets; cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Option<KeyRing>,
    opened: Cache<(Namespace, String), Arc<Opened>>,
    /// By the editions of the secrets that they know.
    redactors: Cache<Vec<Uuid>, Redactor>,
}

/// A secret whose values are known.
struct Opened {
    edition: Uuid,
    seen_at: Instant,
    hosts: Arc<[Rule]>,
    /// Newest first.
    versions: Arc<[Version]>,
}

struct Version {
    enabled: bool,
    value: std::result::Result<Arc<str>, sealing::Error>,
}

/// The secrets that a revision names, as they are now.
#[derive(Default)]
pub struct Known {
    redactor: Redactor,
    secrets: BTreeMap<String, Arc<Opened>>,
}

/// Why a step cannot have a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is none of this name.
    #[error("there is no secret {0}; CreateSecret makes one")]
    NotFound(String),
    /// No version of it is enabled.
    #[error("secret {0} is disabled; EnableSecret or a new version makes it usable")]
    Disabled(String),
    /// This process cannot open it.
    #[error("secret {name} cannot be read: {source}")]
    Unreadable {
        /// The secret.
        name: String,
        /// Why not.
        source: sealing::Error,
    },
}

impl Denied {
    /// For programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "SECRET_NOT_FOUND",
            Self::Disabled(_) => "SECRET_DISABLED",
            Self::Unreadable { .. } => "SECRET_UNREADABLE",
        }
    }
}

impl Vault {
    /// The secrets, as far as these keys open them.
    #[must_use]
    pub fn new(keys: Option<KeyRing>) -> Self {
        Self {
            inner: Arc::new(Inner {
                keys,
                opened: Cache::new(CACHED),
                redactors: Cache::new(REDACTORS),
            }),
        }
    }

    /// The keys; without any no secret can be stored.
    #[must_use]
    pub fn keys(&self) -> Option<&KeyRing> {
        self.inner.keys.as_ref()
    }

    /// What is known of these secrets. If an attempt is to use some of them (`used`), the database is asked whether what
    /// is in memory still holds, with one small query; what has changed is read anew.
    ///
    /// # Errors
    ///
    /// As every query.
    pub async fn known(
        &self,
        store: &Store,
        namespace: &Namespace,
        named: &BTreeSet<String>,
        used: &BTreeSet<String>,
    ) -> Result<Known> {
        if named.is_empty() && used.is_empty() {
            return Ok(Known::default());
        }
        let wanted: BTreeSet<&str> = named.iter().chain(used).map(String::as_str).collect();
        let at_hand = used.is_empty().then(|| self.fresh(namespace, &wanted));
        let secrets = match at_hand.flatten() {
            Some(secrets) => secrets,
            None => self.refresh(store, namespace, &wanted).await?,
        };
        Ok(Known {
            redactor: self.redactor(&secrets),
            secrets,
        })
    }

    /// All of these secrets out of memory, if they were seen a moment ago.
    fn fresh(
        &self,
        namespace: &Namespace,
        names: &BTreeSet<&str>,
    ) -> Option<BTreeMap<String, Arc<Opened>>> {
        names
            .iter()
            .map(|name| {
                let key = (namespace.clone(), (*name).to_owned());
                let opened = self.inner.opened.get(&key)?;
                (opened.seen_at.elapsed() < FRESH).then_some((key.1, opened))
            })
            .collect()
    }

    async fn refresh(
        &self,
        store: &Store,
        namespace: &Namespace,
        names: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Arc<Opened>>> {
        let names: Vec<&str> = names.iter().copied().collect();
        let mut conn = store.conn().await?;
        let editions = secrets::editions(&mut conn, namespace, &names).await?;
        let mut found = BTreeMap::new();
        let mut changed = Vec::new();
        for (name, edition) in editions {
            let key = (namespace.clone(), name);
            match self.inner.opened.get(&key) {
                Some(opened) if opened.edition == edition => {
                    let opened = Arc::new(Opened {
                        seen_at: Instant::now(),
                        hosts: Arc::clone(&opened.hosts),
                        versions: Arc::clone(&opened.versions),
                        ..*opened
                    });
                    self.inner.opened.insert(key.clone(), Arc::clone(&opened));
                    found.insert(key.1, opened);
                }
                _ => changed.push(key.1),
            }
        }
        if !changed.is_empty() {
            let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
            for stored in secrets::sealed(&mut conn, namespace, &changed).await? {
                let name = stored.name.clone();
                let opened = Arc::new(self.open(namespace, &stored));
                let key = (namespace.clone(), name.clone());
                self.inner.opened.insert(key, Arc::clone(&opened));
                found.insert(name, opened);
            }
        }
        drop(conn);
        for name in names {
            if !found.contains_key(name) {
                self.forget(namespace, name);
            }
        }
        Ok(found)
    }

    /// Forgets a secret that was deleted.
    pub fn forget(&self, namespace: &Namespace, name: &str) {
        let key = (namespace.clone(), name.to_owned());
        self.inner.opened.remove(&key);
    }

    fn open(&self, namespace: &Namespace, stored: &secrets::Stored) -> Opened {
        let name = &stored.name;
        let versions = stored.versions.iter().map(|(number, enabled, sealed)| {
            let place = Place {
                namespace,
                name,
                version: *number,
            };
            let opened = match &self.inner.keys {
                Some(keys) => sealing::open(keys, place, sealed),
                None => Err(sealing::Error::NoKey {
                    key_id: sealed.key_id.clone(),
                }),
            };
            if let Err(why) = &opened {
                error!(
                    secret.name = name,
                    secret.version = number,
                    key.id = why.key_id(),
                    "a secret cannot be read: {why}"
                );
            }
            Version {
                enabled: *enabled,
                value: opened.map(Arc::from),
            }
        });
        Opened {
            edition: stored.edition,
            seen_at: Instant::now(),
            versions: versions.collect(),
            // What was stored was a rule; should it be none any more, the secret goes nowhere.
            hosts: stored.hosts.iter().map(|rule| rule_of(rule)).collect(),
        }
    }

    fn redactor(&self, secrets: &BTreeMap<String, Arc<Opened>>) -> Redactor {
        let key: Vec<Uuid> = secrets.values().map(|opened| opened.edition).collect();
        if let Some(redactor) = self.inner.redactors.get(&key) {
            return redactor.detached();
        }
        let versions = secrets.values().flat_map(|opened| opened.versions.iter());
        let values = versions.filter_map(|version| version.value.as_deref().ok());
        let redactor = Redactor::of(values);
        self.inner.redactors.insert(key, redactor.clone());
        redactor.detached()
    }
}

/// A rule that was checked when it was stored.
fn rule_of(text: &str) -> Rule {
    text.parse().unwrap_or_else(|_| Rule::none())
}

impl Known {
    /// Takes out all values of all of them.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The values of these: of each the newest version that is enabled.
    ///
    /// # Errors
    ///
    /// The first that a step cannot have.
    pub fn grant(&self, names: &BTreeSet<String>) -> std::result::Result<Granted, Denied> {
        let mut granted = BTreeMap::new();
        for name in names {
            let opened = self
                .secrets
                .get(name)
                .ok_or_else(|| Denied::NotFound(name.clone()))?;
            let version = opened.versions.iter().find(|version| version.enabled);
            let version = version.ok_or_else(|| Denied::Disabled(name.clone()))?;
            let value = version.value.clone().map_err(|source| Denied::Unreadable {
                name: name.clone(),
                source,
            })?;
            let hosts = Arc::clone(&opened.hosts);
            granted.insert(name.clone(), Secret { value, hosts });
        }
        Ok(Granted::of(granted))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.secrets.keys()).finish()
    }
}
