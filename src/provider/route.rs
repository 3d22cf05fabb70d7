//! Where a request goes and which key goes with it.

use std::fmt;

use sha2::{Digest, Sha256};
use url::Url;

use super::{Provider, Providers};
use crate::config::Secret;

/// What a node says about where its requests go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen<'a> {
    /// A key of its own, out of a secret; empty is none.
    pub api_key: Option<&'a str>,
    /// An address of its own; empty is none.
    pub base_url: Option<&'a str>,
    /// Whether its headers say who it is, so that it needs no key.
    pub has_credentials: bool,
}

/// Where a request goes and which key goes with it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Whose API is spoken.
    pub provider: Provider,
    /// What the paths of the API are appended to; never ends with `/`.
    pub base_url: Url,
    /// The key, if there is one.
    pub key: Option<Secret>,
    /// Which way out it takes.
    pub via: Via,
}

/// Which way out a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The operator set the address: it is reached as it is.
    Environment,
    /// Anybody may have chosen it: the policy of the way out decides.
    Policy,
}

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no key, or no address.
    #[error("provider {provider} is not configured: {what}")]
    NotConfigured {
        /// Whom the node asks for.
        provider: Provider,
        /// What is missing and who can give it.
        what: String,
    },
    /// The node sends its requests to an address of its own, where no key of the server's may go.
    #[error(
        "the server's key of {provider} does not go to a base_url that a node chose: give the node an api_key that was \
         made for it ({{{{ secrets.<name> }}}})"
    )]
    KeyNotForBaseUrl {
        /// Whom the node asks for.
        provider: Provider,
    },
    /// The node's address is none.
    #[error("base_url is not an http or https URL without user, query and fragment: {0}")]
    BaseUrl(String),
}

impl Refusal {
    /// For programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotConfigured { .. } => "PROVIDER_NOT_CONFIGURED",
            Self::KeyNotForBaseUrl { .. } => "KEY_NOT_FOR_BASE_URL",
            Self::BaseUrl(_) => "URL_INVALID",
        }
    }
}

/// Who pays: a provider and a key, or an address where there is no key. Holds a hash of the key, never the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// Whose limits count.
    pub provider: Provider,
    hash: [u8; 32],
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.provider)
    }
}

impl Route {
    /// The URL of a path of the API, `chat/completions`.
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base_url.path().trim_end_matches('/')
        ));
        url
    }

    /// Who pays for it.
    #[must_use]
    pub fn credential(&self) -> Credential {
        // The address belongs to it: what a server says of a key that an author has sent it holds nowhere else.
        let mut hash = Sha256::new();
        hash.update(self.base_url.as_str());
        if let Some(key) = &self.key {
            hash.update([0]);
            hash.update(key.expose());
        }
        Credential {
            provider: self.provider,
            hash: hash.finalize().into(),
        }
    }
}

impl Providers {
    /// Where a node's requests go. The node's key wins over the environment's, which goes only to the environment's
    /// address, or to the provider's own where the environment names none.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: nothing may be sent.
    pub fn route(&self, provider: Provider, chosen: Chosen<'_>) -> Result<Route, Refusal> {
        let account = self.account(provider);
        let own_key = chosen.api_key.filter(|key| !key.trim().is_empty());
        let own_url = match chosen.base_url.filter(|url| !url.trim().is_empty()) {
            Some(text) => Some(base_url(text).map_err(Refusal::BaseUrl)?),
            None => None,
        };
        let (usual, via) = match (account.base_url, provider.default_base_url()) {
            (Some(url), _) => (Some(url), Via::Environment),
            (None, Some(text)) => (base_url(text).ok(), Via::Policy),
            (None, None) => (None, Via::Policy),
        };
        // An author who writes down the usual address has chosen nothing.
        let own_url = own_url.filter(|own| Some(own) != usual.as_ref());

        let is_own_url = own_url.is_some();
        let (base_url, via) = match (own_url, usual) {
            (Some(own), _) => (own, Via::Policy),
            (None, Some(usual)) => (usual, via),
            (None, None) => {
                let what = format!(
                    "it has no address; set base_url, or {}_BASE_URL on the server",
                    provider.variable()
                );
                return Err(Refusal::NotConfigured { provider, what });
            }
        };
        let key = match own_key {
            Some(key) => Some(Secret::new(key.trim())),
            None if is_own_url => None,
            None => account.key,
        };
        if key.is_none() && provider.needs_key() && !chosen.has_credentials {
            if is_own_url {
                return Err(Refusal::KeyNotForBaseUrl { provider });
            }
            let what = format!(
                "it has no key; set api_key to a secret, or {}_API_KEY on the server",
                provider.variable()
            );
            return Err(Refusal::NotConfigured { provider, what });
        }
        Ok(Route {
            provider,
            base_url,
            key,
            via,
        })
    }

    /// Whether a node without a key and an address of its own can use a provider; if not, what is missing.
    #[must_use]
    pub fn find_refusal(&self, provider: Provider) -> Option<Refusal> {
        self.route(provider, Chosen::default()).err()
    }
}

/// Reads an address that paths are appended to.
///
/// # Errors
///
/// Why it is none, in words, without any part of it that may be secret.
pub fn base_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text.trim()).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("its scheme is {}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}
