//! Keys and addresses of the providers of models, their prices and limits.

use std::path::PathBuf;

use clap::Args;

use super::Secret;
use crate::provider::Provider;

/// The providers of models: keys and addresses have the names that the providers' own tools use.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Providers")]
pub struct Providers {
    /// The key of OpenAI
    #[arg(
        long,
        env = "OPENAI_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub openai_api_key: Option<Secret>,

    /// Where OpenAI is. Unset: its public API
    #[arg(long, env = "OPENAI_BASE_URL", value_name = "URL")]
    pub openai_base_url: Option<String>,

    /// The key of Anthropic
    #[arg(
        long,
        env = "ANTHROPIC_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub anthropic_api_key: Option<Secret>,

    /// Where Anthropic is. Unset: its public API
    #[arg(long, env = "ANTHROPIC_BASE_URL", value_name = "URL")]
    pub anthropic_base_url: Option<String>,

    /// The key of Google's Gemini API
    #[arg(
        long,
        env = "GOOGLE_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub google_api_key: Option<Secret>,

    /// Where the Gemini API is. Unset: Google's public API
    #[arg(long, env = "GOOGLE_BASE_URL", value_name = "URL")]
    pub google_base_url: Option<String>,

    /// Where Ollama is. Unset: port 11434 of this machine, if flows may call it
    #[arg(long, env = "OLLAMA_BASE_URL", value_name = "URL")]
    pub ollama_base_url: Option<String>,

    /// The key of a server that speaks OpenAI's chat completions, if it wants one
    #[arg(
        long,
        env = "CUSTOM_LLM_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub custom_llm_api_key: Option<Secret>,

    /// Where that server is, up to what comes before /chat/completions
    #[arg(long, env = "CUSTOM_LLM_BASE_URL", value_name = "URL")]
    pub custom_llm_base_url: Option<String>,

    /// The key of Stability AI
    #[arg(
        long,
        env = "STABILITY_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub stability_api_key: Option<Secret>,

    /// Where Stability AI is. Unset: its public API
    #[arg(long, env = "STABILITY_BASE_URL", value_name = "URL")]
    pub stability_base_url: Option<String>,

    /// The key of Black Forest Labs
    #[arg(long, env = "FLUX_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub flux_api_key: Option<Secret>,

    /// Where Black Forest Labs is. Unset: its public API
    #[arg(long, env = "FLUX_BASE_URL", value_name = "URL")]
    pub flux_base_url: Option<String>,

    /// A JSON file with the prices of models, in US dollars for a million tokens or for one image:
    /// {"openai/gpt-4o": {"input": 2.5, "output": 10}}. Unset: no costs are told
    #[arg(long, env = "SYNAPPS_PRICES", value_name = "FILE")]
    pub prices: Option<PathBuf>,

    /// What each key may use in a minute, over all steps of this process:
    /// openai=requests:60,tokens:100000;anthropic=requests:50. Unset: as much as the provider lets
    #[arg(long, env = "SYNAPPS_PROVIDER_LIMITS", value_name = "LIMITS")]
    pub provider_limits: Option<String>,
}

impl Providers {
    /// Key and address of each provider, as they were set.
    pub fn accounts(&self) -> impl Iterator<Item = (Provider, Option<&Secret>, Option<&str>)> {
        [
            (
                Provider::Openai,
                &self.openai_api_key,
                &self.openai_base_url,
            ),
            (
                Provider::Anthropic,
                &self.anthropic_api_key,
                &self.anthropic_base_url,
            ),
            (
                Provider::Google,
                &self.google_api_key,
                &self.google_base_url,
            ),
            (Provider::Ollama, &None, &self.ollama_base_url),
            (
                Provider::Custom,
                &self.custom_llm_api_key,
                &self.custom_llm_base_url,
            ),
            (
                Provider::Stability,
                &self.stability_api_key,
                &self.stability_base_url,
            ),
            (Provider::Flux, &self.flux_api_key, &self.flux_base_url),
        ]
        .into_iter()
        .map(|(provider, key, base_url)| {
            // An empty variable sets nothing: deployments leave such behind.
            let key = key.as_ref().filter(|key| !key.expose().trim().is_empty());
            let base_url = base_url.as_deref().filter(|url| !url.trim().is_empty());
            (provider, key, base_url)
        })
    }
}
