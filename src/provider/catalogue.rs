//! The models that the service knows by name. Others can be used as well; only what is said of them here is not known.

use super::{Provider, Providers};

/// What is known of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// What a config's `model` says.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// The most tokens of prompt and answer together; 0 where it does not apply (images).
    pub context_window: u32,
    /// The most tokens of an answer; 0 where it does not apply.
    pub max_output_tokens: u32,
    /// Whether its answer comes token by token.
    pub supports_streaming: bool,
    /// Whether it also reads images.
    pub supports_vision: bool,
}

/// What one provider offers to an applet on this server.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Which one.
    pub provider: Provider,
    /// `None` if nodes can use it without a key and an address of their own; otherwise what is missing.
    pub refusal: Option<String>,
    /// The models that are known by name, the default one first; any other name is passed on.
    pub models: &'static [Model],
}

const fn text(
    id: &'static str,
    name: &'static str,
    context_window: u32,
    max_output_tokens: u32,
    supports_vision: bool,
) -> Model {
    Model {
        id,
        name,
        context_window,
        max_output_tokens,
        supports_streaming: true,
        supports_vision,
    }
}

const fn image(id: &'static str, name: &'static str) -> Model {
    Model {
        id,
        name,
        context_window: 0,
        max_output_tokens: 0,
        supports_streaming: false,
        supports_vision: false,
    }
}

// From the providers' own pages on models.
const OPENAI: &[Model] = &[
    text("gpt-4o", "GPT-4o", 128_000, 16_384, true),
    text("gpt-4o-mini", "GPT-4o mini", 128_000, 16_384, true),
    text("gpt-4.1", "GPT-4.1", 1_047_576, 32_768, true),
    text("o3-mini", "o3-mini", 200_000, 100_000, false),
];
const ANTHROPIC: &[Model] = &[
    text(
        "claude-sonnet-4-6",
        "Claude Sonnet 4.6",
        200_000,
        64_000,
        true,
    ),
    text(
        "claude-haiku-4-5-20251001",
        "Claude Haiku 4.5",
        200_000,
        64_000,
        true,
    ),
    text("claude-opus-4-6", "Claude Opus 4.6", 200_000, 128_000, true),
];
const GOOGLE: &[Model] = &[
    text(
        "gemini-2.5-flash",
        "Gemini 2.5 Flash",
        1_048_576,
        65_536,
        true,
    ),
    text("gemini-2.5-pro", "Gemini 2.5 Pro", 1_048_576, 65_536, true),
];
const OLLAMA: &[Model] = &[
    text("llama3.1", "Llama 3.1", 131_072, 131_072, false),
    text("mistral", "Mistral", 32_768, 32_768, false),
    text("codellama", "Code Llama", 16_384, 16_384, false),
];
const OPENAI_IMAGES: &[Model] = &[image("dall-e-3", "DALL-E 3")];
const STABILITY: &[Model] = &[
    image("stable-diffusion-xl-1024-v1-0", "Stable Diffusion XL 1.0"),
    image("stable-diffusion-3", "Stable Diffusion 3"),
];
const FLUX: &[Model] = &[
    image("flux-1.1-pro", "FLUX 1.1 [pro]"),
    image("flux-1-dev", "FLUX.1 [dev]"),
];

/// The language models of a provider, the default one first.
#[must_use]
pub const fn language_models(provider: Provider) -> &'static [Model] {
    match provider {
        Provider::Openai => OPENAI,
        Provider::Anthropic => ANTHROPIC,
        Provider::Google => GOOGLE,
        Provider::Ollama => OLLAMA,
        Provider::Custom | Provider::Stability | Provider::Flux => &[],
    }
}

/// The image models of a provider, the default one first.
#[must_use]
pub const fn image_models(provider: Provider) -> &'static [Model] {
    match provider {
        Provider::Openai => OPENAI_IMAGES,
        Provider::Stability => STABILITY,
        Provider::Flux => FLUX,
        Provider::Anthropic | Provider::Google | Provider::Ollama | Provider::Custom => &[],
    }
}

impl Providers {
    /// What nodes of a kind can choose from; nothing for kinds that call no models.
    #[must_use]
    pub fn offers(&self, kind: &str) -> Vec<Offer> {
        type Models = fn(Provider) -> &'static [Model];
        let (providers, models): (&[Provider], Models) = match kind {
            "llm" => (&Provider::LANGUAGE, language_models),
            "writer" => (&[Provider::Openai], language_models),
            "image" | "artist" => (&Provider::IMAGE, image_models),
            _ => return Vec::new(),
        };
        let offer = |provider: &Provider| Offer {
            provider: *provider,
            refusal: self
                .find_refusal(*provider)
                .map(|refusal| refusal.to_string()),
            models: models(*provider),
        };
        providers.iter().map(offer).collect()
    }
}
