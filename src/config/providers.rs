//! The providers of models and images, as the operator has set them up.
//!
//! Their variables have the names that these providers' own tools and the predecessor use. A base URL from here is
//! trusted: it may lead to a private network.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use url::Url;

use super::Secret;

/// Keys and addresses of providers, prices and limits.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Providers")]
pub struct Providers {
    /// The key of OpenAI (models and images). Unset: only nodes with a key of their own can use it
    #[arg(
        long,
        env = "OPENAI_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub openai_api_key: Option<Secret>,

    /// The base URL of OpenAI. Unset: `https://api.openai.com/v1`
    #[arg(long, env = "OPENAI_BASE_URL", value_name = "URL")]
    pub openai_base_url: Option<BaseUrl>,

    /// The key of Anthropic (models). Unset: only nodes with a key of their own can use it
    #[arg(
        long,
        env = "ANTHROPIC_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub anthropic_api_key: Option<Secret>,

    /// The base URL of Anthropic. Unset: `https://api.anthropic.com`
    #[arg(long, env = "ANTHROPIC_BASE_URL", value_name = "URL")]
    pub anthropic_base_url: Option<BaseUrl>,

    /// The key of Google (models). Unset: only nodes with a key of their own can use it
    #[arg(
        long,
        env = "GOOGLE_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub google_api_key: Option<Secret>,

    /// The base URL of Google. Unset: `https://generativelanguage.googleapis.com/v1beta`
    #[arg(long, env = "GOOGLE_BASE_URL", value_name = "URL")]
    pub google_base_url: Option<BaseUrl>,

    /// The base URL of Ollama (models). Unset: `http://localhost:11434`
    #[arg(long, env = "OLLAMA_BASE_URL", value_name = "URL")]
    pub ollama_base_url: Option<BaseUrl>,

    /// The key of the provider `custom` (models, spoken to as OpenAI is). Unset: none is sent
    #[arg(
        long,
        env = "CUSTOM_LLM_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub custom_llm_api_key: Option<Secret>,

    /// The base URL of the provider `custom`. Unset: only nodes with a base URL of their own can use it
    #[arg(long, env = "CUSTOM_LLM_BASE_URL", value_name = "URL")]
    pub custom_llm_base_url: Option<BaseUrl>,

    /// The key of Stability (images). Unset: only nodes with a key of their own can use it
    #[arg(
        long,
        env = "STABILITY_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub stability_api_key: Option<Secret>,

    /// The base URL of Stability. Unset: `https://api.stability.ai`
    #[arg(long, env = "STABILITY_BASE_URL", value_name = "URL")]
    pub stability_base_url: Option<BaseUrl>,

    /// The key of Flux (images). Unset: only nodes with a key of their own can use it
    #[arg(long, env = "FLUX_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub flux_api_key: Option<Secret>,

    /// The base URL of Flux. Unset: `https://api.bfl.ai/v1`
    #[arg(long, env = "FLUX_BASE_URL", value_name = "URL")]
    pub flux_base_url: Option<BaseUrl>,

    /// A JSON file with prices in US dollars per million tokens, by provider and model:
    /// {"openai/gpt-4o": {"input": 2.5, "output": 10}}. What it does not name costs nothing that is known
    #[arg(long, env = "SYNAPPS_PRICES", value_name = "FILE")]
    pub prices: Option<PathBuf>,

    /// The most requests and tokens a minute for each key of a provider:
    /// openai=requests:60,tokens:100000;anthropic=requests:50. Unset: no limit but the provider's own
    #[arg(long, env = "SYNAPPS_PROVIDER_LIMITS", value_name = "LIMITS")]
    pub provider_limits: Option<String>,
}

/// A base URL. An empty variable sets nothing: deployments leave such behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Option<Url>);

impl BaseUrl {
    /// The URL, if one is set.
    #[must_use]
    pub fn find(&self) -> Option<&Url> {
        self.0.as_ref()
    }
}

impl FromStr for BaseUrl {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let url = (!text.is_empty()).then(|| text.parse()).transpose()?;
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_sets_no_url() {
        let read = |text: &str| text.parse::<BaseUrl>();

        assert_eq!(read(" ").unwrap().find(), None);
        let url: Url = "http://localhost:8000/v1".parse().unwrap();
        assert_eq!(read("http://localhost:8000/v1").unwrap().find(), Some(&url));
        assert!(read("localhost").is_err());
    }
}
