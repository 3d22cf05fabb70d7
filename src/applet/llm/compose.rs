//! From a rendered config and the node's input to what is asked of whom.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::check;
use super::config::{Config, Fallback, Speaker, Text};
use super::headers;
use crate::applet::http_request::Secret;
use crate::applet::{Context, Error};
use crate::expression::json_path::JsonPath;
use crate::llm::{Format, Message, Reason, Role, Sampling};
use crate::provider::{Chosen, Provider, catalogue};
use crate::template::Templated;
use crate::value;

/// The most messages of a conversation.
const MAX_MESSAGES: usize = 1_000;
/// The temperature where neither it nor `top_p` is set.
const TEMPERATURE: f64 = 0.7;

/// What is asked, of whomever.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) messages: Vec<Message>,
    pub(super) sampling: Sampling,
    pub(super) format: Format,
}

/// Who is asked.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) provider: Provider,
    pub(super) model: String,
    pub(super) headers: HeaderMap,
    pub(super) extra: Map<String, Value>,
    /// After which failures of the one before; empty for the first.
    pub(super) on: Vec<Reason>,
    api_key: Option<Secret>,
    base_url: Option<String>,
    has_credentials: bool,
}

impl Target {
    /// What the node says about where its requests go.
    pub(super) fn chosen(&self) -> Chosen<'_> {
        Chosen {
            api_key: self.api_key.as_ref().map(Secret::reveal),
            base_url: self.base_url.as_deref(),
            has_credentials: self.has_credentials,
        }
    }
}

/// The question and those who are asked in turn.
pub(super) fn compose(context: &Context, config: Config) -> Result<(Question, Vec<Target>), Error> {
    let messages = conversation(context, &config)?;
    let top_p = number(config.top_p)?.filter(|share| *share < 1.0);
    let temperature = match number(config.temperature)? {
        None if top_p.is_some() => None,
        None => Some(TEMPERATURE),
        given => given,
    };
    let sampling = Sampling {
        temperature,
        top_p,
        max_tokens: config.max_tokens.into_value().map_err(invalid)?,
        stop: config.stop_sequences.as_slice().to_vec(),
    };
    let format = match (config.structured_output, config.json_schema) {
        (false, _) => Format::Text,
        (true, None) => Format::Json,
        (true, Some(schema)) => Format::Schema(schema),
    };
    let first = Fallback {
        provider: config.provider,
        model: config.model,
        on: Vec::new(),
        api_key: config.api_key,
        base_url: config.base_url,
        headers: config.headers,
        extra: config.extra,
    };
    let targets = std::iter::once(first).chain(config.fallback).map(target);
    let question = Question {
        messages,
        sampling,
        format,
    };
    Ok((question, targets.collect::<Result<_, _>>()?))
}

fn number(number: Option<Templated<f64>>) -> Result<Option<f64>, Error> {
    number
        .map(Templated::into_value)
        .transpose()
        .map_err(invalid)
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::permanent("INVALID_CONFIG", error.to_string())
}

fn target(of: Fallback) -> Result<Target, Error> {
    let speaker: Speaker = of.provider.into_value().map_err(invalid)?;
    let provider = Provider::from(speaker);
    let usual = catalogue::language_models(provider).first();
    let named = of.model.map(|name| name.trim().to_owned());
    let model = named.or_else(|| usual.map(|model| model.id.to_owned()));
    let model = model.ok_or_else(|| invalid(format!("{provider} needs a model")))?;
    Ok(Target {
        provider,
        model,
        has_credentials: check::has_credentials(&of.headers),
        headers: headers::of(&of.headers)?,
        extra: of.extra,
        on: of.on,
        api_key: of.api_key,
        base_url: of.base_url,
    })
}

fn conversation(context: &Context, config: &Config) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    let Text(system) = &config.system_prompt;
    if !system.trim().is_empty() {
        messages.push(Message {
            role: Role::System,
            content: system.clone(),
        });
    }
    let history = history(context, &config.messages)?;
    let has_history = !history.is_empty();
    messages.extend(history);
    let prompt = match &config.user_prompt {
        Some(Text(prompt)) => prompt.clone(),
        None => value::coerce_text(&context.input).into_owned(),
    };
    if !prompt.trim().is_empty() {
        messages.push(Message {
            role: Role::User,
            content: prompt,
        });
    } else if !has_history {
        let message = "there is nothing to ask: the prompt is blank, and there is no conversation";
        return Err(Error::permanent("EMPTY_PROMPT", message));
    }
    Ok(messages)
}

fn history(context: &Context, messages: &Value) -> Result<Vec<Message>, Error> {
    let found;
    let list = match messages {
        Value::Null => return Ok(Vec::new()),
        Value::String(path) => {
            found = JsonPath::parse(path)?.get(&context.input)?;
            &found
        }
        given => given,
    };
    let wrong = |what: String| Error::permanent("INVALID_MESSAGES", format!("messages{what}"));
    let items = match list {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) if items.len() > MAX_MESSAGES => {
            let count = items.len();
            return Err(wrong(format!(
                " has {count} entries, at most {MAX_MESSAGES} are allowed"
            )));
        }
        Value::Array(items) => items,
        other => return Err(wrong(format!(" is {}, not a list", value::kind(other)))),
    };
    let message = |(index, item): (usize, &Value)| {
        let role = match item["role"].as_str() {
            Some("system") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            _ => {
                let what = "has no role that is system, user, assistant or tool";
                return Err(wrong(format!("[{index}] {what}")));
            }
        };
        match item["content"].as_str() {
            Some(text) => Ok(Message {
                role,
                content: text.to_owned(),
            }),
            None => Err(wrong(format!("[{index}] has no content that is a text"))),
        }
    };
    items.iter().enumerate().map(message).collect()
}
