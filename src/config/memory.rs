//! What `memory` nodes may keep, and what finds it by meaning.

use clap::{Args, ValueEnum};
use url::Url;

use super::{BaseUrl, Providers, Secret};
use crate::memory::embedder::{Form, Settings};

/// How much is kept, and the embedder.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Memory")]
pub struct Memory {
    /// The most entries of one collection: 1 to 100,000,000
    #[arg(long, env = "SYNAPPS_MEMORY_MAX_ENTRIES", value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(i64).range(1..=100_000_000))]
    pub memory_max_entries: i64,

    /// The most bytes that the memories of one namespace may have, as JSON text: 1,024 to 17,592,186,044,416 (16 TiB)
    #[arg(long, env = "SYNAPPS_MEMORY_MAX_BYTES", value_name = "BYTES", default_value_t = 1 << 30,
          value_parser = clap::value_parser!(i64).range(1_024..=1 << 44))]
    pub memory_max_bytes: i64,

    /// What gives vectors for texts, so that memories are found by meaning too, where Postgres has the extension
    /// vector. Unset: they are found by words
    #[arg(long, env = "SYNAPPS_EMBEDDER", value_name = "PROVIDER")]
    pub embedder: Option<Provider>,

    /// The model of the embedder. Unset: text-embedding-3-small of openai, nomic-embed-text of ollama
    #[arg(
        long,
        env = "SYNAPPS_EMBEDDER_MODEL",
        value_name = "MODEL",
        required_if_eq("embedder", "custom")
    )]
    pub embedder_model: Option<String>,

    /// The base URL of the embedder, to which /embeddings is added, or /api/embed for ollama. Unset: that of the
    /// provider
    #[arg(
        long,
        env = "SYNAPPS_EMBEDDER_BASE_URL",
        value_name = "URL",
        required_if_eq("embedder", "custom")
    )]
    pub embedder_base_url: Option<Url>,

    /// The key of the embedder. Unset: that of the provider, if the base URL is unset too
    #[arg(
        long,
        env = "SYNAPPS_EMBEDDER_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub embedder_api_key: Option<Secret>,

    /// How many numbers a vector is to have: 1 to 16,000. Unset: as many as the model gives
    #[arg(long, env = "SYNAPPS_EMBEDDER_DIMENSIONS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=16_000))]
    pub embedder_dimensions: Option<u16>,
}

/// Who gives vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// OpenAI.
    Openai,
    /// Ollama.
    Ollama,
    /// Any server that is spoken to as OpenAI is.
    Custom,
}

impl Memory {
    /// The embedder, if one is set.
    #[must_use]
    pub fn embedder(&self, providers: &Providers) -> Option<Settings> {
        let (form, model, of_provider, key) = match self.embedder? {
            Provider::Openai => (
                Form::OpenAi,
                "text-embedding-3-small",
                or_else(
                    providers.openai_base_url.as_ref().and_then(BaseUrl::find),
                    "https://api.openai.com/v1",
                ),
                providers.openai_api_key.clone(),
            ),
            Provider::Ollama => (
                Form::Ollama,
                "nomic-embed-text",
                or_else(
                    providers.ollama_base_url.as_ref().and_then(BaseUrl::find),
                    "http://localhost:11434",
                ),
                None,
            ),
            // Both are required with it.
            Provider::Custom => (Form::OpenAi, "", self.embedder_base_url.clone()?, None),
        };
        // A key goes to no other address than the one it was given with.
        let key = key.filter(|_| self.embedder_base_url.is_none());
        Some(Settings {
            form,
            base_url: self.embedder_base_url.clone().unwrap_or(of_provider),
            model: self.embedder_model.clone().unwrap_or(model.to_owned()),
            api_key: self.embedder_api_key.clone().or(key),
            dimensions: self.embedder_dimensions,
        })
    }
}

fn or_else(set: Option<&Url>, usual: &str) -> Url {
    set.cloned()
        .unwrap_or_else(|| usual.parse().expect("it is a URL"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        memory: Memory,
        #[command(flatten)]
        providers: Providers,
    }

    fn embedder(flags: &[&str]) -> Result<Option<Settings>, String> {
        let line = [&["synapps"], flags].concat();
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        Ok(line.memory.embedder(&line.providers))
    }

    #[test]
    fn no_embedder_is_the_usual_case() {
        assert!(embedder(&[]).unwrap().is_none());
    }

    #[test]
    fn the_key_of_a_provider_goes_only_to_its_address() {
        let key = |flags: &[&str]| {
            let usual = ["--embedder=openai", "--openai-api-key=its-own"];
            let settings = embedder(&[&usual, flags].concat()).unwrap().unwrap();
            settings.api_key.map(|key| key.expose().to_owned())
        };

        assert_eq!(key(&[]).as_deref(), Some("its-own"));
        assert_eq!(
            key(&["--openai-base-url=http://a/v1"]).as_deref(),
            Some("its-own")
        );
        assert_eq!(key(&["--embedder-base-url=http://a/v1"]), None);
        let both = [
            "--embedder-base-url=http://a/v1",
            "--embedder-api-key=other",
        ];
        assert_eq!(key(&both).as_deref(), Some("other"));
    }

    #[test]
    fn a_custom_embedder_is_told_where_and_what_it_is() {
        let refused = embedder(&["--embedder=custom"]).unwrap_err();
        let both = ["--embedder-base-url=http://a", "--embedder-model=m"];
        let settings = embedder(&[&["--embedder=custom"], &both[..]].concat());

        assert!(refused.contains("--embedder-base-url") && refused.contains("--embedder-model"));
        assert_eq!(settings.unwrap().unwrap().model, "m");
    }
}
