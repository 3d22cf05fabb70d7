//! The services that models are called from: who they are, where they are, and with which key.
//!
//! A key of the server's environment goes only to the address that the environment (or nobody) chose: an author who
//! sends requests elsewhere brings a key of his own. What the operator set as an address is reached as it is, any other
//! address only as far as the [`Policy`](crate::egress::Policy) of the way out lets it.

pub mod catalogue;
pub mod limits;
pub mod prices;
mod route;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::{self, BaseUrl, Secret};
use crate::egress::{self, Egress};
use limits::Limits;
use prices::Prices;

pub use route::{Chosen, Credential, Refusal, Route, Via, base_url};

/// A service that models are called from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// OpenAI: chat completions, images.
    Openai,
    /// Anthropic: messages.
    Anthropic,
    /// Google's Gemini API.
    Google,
    /// A server of Ollama.
    Ollama,
    /// Any server that speaks OpenAI's chat completions.
    Custom,
    /// Stability AI: images.
    Stability,
    /// Black Forest Labs: images.
    Flux,
}

impl Provider {
    /// Those that speak.
    pub const LANGUAGE: [Self; 5] = [
        Self::Openai,
        Self::Anthropic,
        Self::Google,
        Self::Ollama,
        Self::Custom,
    ];

    /// Those that draw.
    pub const IMAGE: [Self; 3] = [Self::Openai, Self::Stability, Self::Flux];

    /// Its name in configs and settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Google => "google",
            Self::Ollama => "ollama",
            Self::Custom => "custom",
            Self::Stability => "stability",
            Self::Flux => "flux",
        }
    }

    /// The provider of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let mut all = Self::LANGUAGE.into_iter().chain(Self::IMAGE);
        all.find(|provider| provider.name() == name)
    }

    /// Where it is unless somebody says otherwise; `None` where somebody has to.
    #[must_use]
    pub const fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::Openai => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Google => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::Ollama => Some("http://localhost:11434"),
            Self::Custom => None,
            Self::Stability => Some("https://api.stability.ai"),
            Self::Flux => Some("https://api.bfl.ai/v1"),
        }
    }

    /// Whether it answers nobody without a key.
    #[must_use]
    pub const fn needs_key(self) -> bool {
        !matches!(self, Self::Ollama | Self::Custom)
    }

    /// What an operator sets to give its key and address: the beginning of the variables' names.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Openai => "OPENAI",
            Self::Anthropic => "ANTHROPIC",
            Self::Google => "GOOGLE",
            Self::Ollama => "OLLAMA",
            Self::Custom => "CUSTOM_LLM",
            Self::Stability => "STABILITY",
            Self::Flux => "FLUX",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the server knows of all providers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Providers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accounts: BTreeMap<Provider, Account>,
    limits: Limits,
    prices: Prices,
    /// To what the operator has named.
    trusted: Egress,
}

/// What the server's environment says of one provider.
#[derive(Clone, Debug, Default)]
struct Account {
    key: Option<Secret>,
    base_url: Option<Url>,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An address is none.
    #[error(
        "{variable}_BASE_URL is not an http or https URL without user, query and fragment: {message}"
    )]
    BaseUrl {
        /// The beginning of the variable's name.
        variable: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The limits cannot be read.
    #[error("SYNAPPS_PROVIDER_LIMITS: {0}")]
    Limits(String),
    /// The prices cannot be read.
    #[error("SYNAPPS_PRICES: {0}")]
    Prices(String),
    /// The way out to them cannot be opened.
    #[error(transparent)]
    Egress(#[from] egress::Error),
}

impl Providers {
    /// Reads the settings, and the file of prices if there is one.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used; no message holds a key.
    pub fn new(settings: &config::Providers) -> Result<Self, Error> {
        let mut accounts = BTreeMap::new();
        for (provider, key, url) in set_up(settings) {
            let base_url = match url.map(|url| route::base_url(url.as_str())) {
                Some(Err(message)) => {
                    let variable = provider.variable();
                    return Err(Error::BaseUrl { variable, message });
                }
                Some(Ok(url)) => Some(url),
                None => None,
            };
            // An empty variable sets nothing: deployments leave such behind.
            let key = key.filter(|key| !key.expose().trim().is_empty()).cloned();
            accounts.insert(provider, Account { key, base_url });
        }
        let limits = match &settings.provider_limits {
            Some(text) => text.parse().map_err(Error::Limits)?,
            None => Limits::default(),
        };
        let prices = match &settings.prices {
            Some(path) => Prices::read(path).map_err(Error::Prices)?,
            None => Prices::default(),
        };
        Ok(Self(Arc::new(Inner {
            accounts,
            limits,
            prices,
            trusted: Egress::trusted()?,
        })))
    }

    /// The way out that a route takes, where `guarded` is that of the flow's author.
    #[must_use]
    pub fn egress<'a>(&'a self, route: &Route, guarded: &'a Egress) -> &'a Egress {
        match route.via {
            Via::Environment => &self.0.trusted,
            Via::Policy => guarded,
        }
    }

    /// How many requests and tokens each key may use, shared by the whole process.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What is paid.
    #[must_use]
    pub fn prices(&self) -> &Prices {
        &self.0.prices
    }

    fn account(&self, provider: Provider) -> Account {
        self.0.accounts.get(&provider).cloned().unwrap_or_default()
    }
}

/// Key and address of each provider, as they were set.
fn set_up(
    settings: &config::Providers,
) -> impl Iterator<Item = (Provider, Option<&Secret>, Option<&Url>)> {
    let config::Providers {
        openai_api_key,
        openai_base_url,
        anthropic_api_key,
        anthropic_base_url,
        google_api_key,
        google_base_url,
        ollama_base_url,
        custom_llm_api_key,
        custom_llm_base_url,
        stability_api_key,
        stability_base_url,
        flux_api_key,
        flux_base_url,
        prices: _,
        provider_limits: _,
    } = settings;
    [
        (Provider::Openai, openai_api_key, openai_base_url),
        (Provider::Anthropic, anthropic_api_key, anthropic_base_url),
        (Provider::Google, google_api_key, google_base_url),
        (Provider::Ollama, &None, ollama_base_url),
        (Provider::Custom, custom_llm_api_key, custom_llm_base_url),
        (Provider::Stability, stability_api_key, stability_base_url),
        (Provider::Flux, flux_api_key, flux_base_url),
    ]
    .into_iter()
    .map(|(provider, key, url)| {
        let url = url.as_ref().and_then(BaseUrl::find);
        (provider, key.as_ref(), url)
    })
}
