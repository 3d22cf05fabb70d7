//! From a rendered config and the node's input to what is ordered of whom.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::check::MAX_PROMPT_CHARS;
use super::config::{Config, Painter, ResponseFormat};
use crate::applet::http_request::Secret;
use crate::applet::llm::check::has_credentials;
use crate::applet::llm::headers;
use crate::applet::{Context, Error};
use crate::provider::{Chosen, Provider, catalogue};
use crate::value;

/// What is drawn where nobody says what.
const USUAL_PROMPT: &str = "A beautiful landscape with mountains and a lake.";

/// What is ordered, and of whom.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) provider: Provider,
    pub(super) model: String,
    pub(super) prompt: String,
    /// Blank if there is none.
    pub(super) negative_prompt: String,
    pub(super) size: String,
    /// Blank if there is none.
    pub(super) style: String,
    pub(super) quality: String,
    pub(super) n: u32,
    pub(super) response_format: ResponseFormat,
    pub(super) headers: HeaderMap,
    pub(super) extra: Map<String, Value>,
    api_key: Option<Secret>,
    base_url: Option<String>,
    has_credentials: bool,
}

impl Order {
    /// What the node says about where its requests go.
    pub(super) fn chosen(&self) -> Chosen<'_> {
        Chosen {
            api_key: self.api_key.as_ref().map(Secret::reveal),
            base_url: self.base_url.as_deref(),
            has_credentials: self.has_credentials,
        }
    }

    /// The prompt with its style.
    pub(super) fn styled_prompt(&self) -> String {
        match self.style.as_str() {
            "" => self.prompt.clone(),
            style => format!("{}, {style} style", self.prompt),
        }
    }
}

/// Reads a config.
pub(super) fn of(context: &Context, config: Config) -> Result<Order, Error> {
    let painter: Painter = config.provider.into_value().map_err(invalid)?;
    let provider = Provider::from(painter);
    let usual = catalogue::image_models(provider).first();
    let named = config.model.map(|name| name.trim().to_owned());
    let model = named.or_else(|| usual.map(|model| model.id.to_owned()));
    let model = model.ok_or_else(|| invalid(format!("{provider} needs a model")))?;
    Ok(Order {
        provider,
        model,
        prompt: prompt(config.prompt.map(|text| text.0), &context.input)?,
        negative_prompt: trimmed(config.negative_prompt.map(|text| text.0)),
        size: config.size.trim().to_owned(),
        style: config.style.trim().to_owned(),
        quality: config.quality.trim().to_owned(),
        n: config.n.into_value().map_err(invalid)?,
        response_format: config.response_format,
        has_credentials: has_credentials(&config.headers),
        headers: headers::of(&config.headers)?,
        extra: config.extra,
        api_key: config.api_key,
        base_url: config.base_url,
    })
}

fn prompt(own: Option<String>, input: &Value) -> Result<String, Error> {
    let prompt = match own {
        Some(own) => own.trim().to_owned(),
        None => value::coerce_text(input).trim().to_owned(),
    };
    if prompt.is_empty() {
        return Ok(USUAL_PROMPT.to_owned());
    }
    let chars = prompt.chars().count();
    if chars > MAX_PROMPT_CHARS {
        let message =
            format!("the prompt has {chars} characters, at most {MAX_PROMPT_CHARS} are sent");
        return Err(Error::permanent("PROMPT_TOO_LONG", message));
    }
    Ok(prompt)
}

fn trimmed(text: Option<String>) -> String {
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::permanent("INVALID_CONFIG", error.to_string())
}
