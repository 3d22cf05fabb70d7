//! What differs between the providers: how a request is written, and how the pieces of an answer are read.

mod anthropic;
mod google;
mod ollama;
mod openai;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use url::Url;

use super::exchange::MAX_TEXT_BYTES;
use super::frames::Framing;
use super::{Answer, Failure, Reason, Request, Tokens};
use crate::config::Secret;
use crate::provider::{Provider, Route};

/// Keys of a request's body that only the config's own keys set.
pub const OWN_KEYS: [&str; 8] = [
    "model",
    "messages",
    "contents",
    "system",
    "systemInstruction",
    "system_instruction",
    "stream",
    "stream_options",
];

/// A request as its provider wants it.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Reading {
    text: String,
    finish_reason: Option<String>,
    is_truncated: bool,
    refusal: Option<String>,
    model: Option<String>,
    tokens: Option<Tokens>,
    /// Whether the provider has said that nothing of the answer is missing.
    pub(super) is_whole: bool,
    /// Whether nothing more is to come at all.
    pub(super) is_finished: bool,
}

/// Writes a request.
pub(super) fn compose(route: &Route, request: &Request) -> Result<Composed, Failure> {
    let (url, mut body) = match route.provider {
        Provider::Anthropic => (route.url("v1/messages"), anthropic::body(request)),
        Provider::Google => (google::url(route, &request.model), google::body(request)),
        Provider::Ollama => (route.url("api/chat"), ollama::body(request)),
        Provider::Openai | Provider::Custom => (
            route.url("chat/completions"),
            openai::body(request, route.provider),
        ),
        Provider::Stability | Provider::Flux => {
            let message = format!("{} does not speak", route.provider);
            return Err(Failure::new(Reason::InvalidRequest, message));
        }
    };
    let extra = request
        .extra
        .iter()
        .filter(|(key, _)| !OWN_KEYS.contains(&key.as_str()));
    merge(&mut body, extra);
    Ok(Composed {
        url,
        headers: headers(route)?,
        body,
    })
}

fn headers(route: &Route) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    if route.provider == Provider::Anthropic {
        let version = HeaderName::from_static("anthropic-version");
        headers.insert(version, HeaderValue::from_static("2023-06-01"));
    }
    let Some(key) = &route.key else {
        return Ok(headers);
    };
    match route.provider {
        Provider::Anthropic => headers.insert("x-api-key", sensitive(key, "")?),
        // Not in the URL, which ends up in logs on its way.
        Provider::Google => headers.insert("x-goog-api-key", sensitive(key, "")?),
        _ => headers.insert(AUTHORIZATION, sensitive(key, "Bearer ")?),
    };
    Ok(headers)
}

fn sensitive(key: &Secret, scheme: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(format!("{scheme}{}", key.expose())).map_err(|_| {
        let message = "the key holds characters that no header can hold";
        Failure::new(Reason::AuthenticationFailed, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the provider speaks in events or in lines.
pub(super) fn framing(provider: Provider) -> Framing {
    match provider {
        Provider::Ollama => Framing::Lines,
        Provider::Openai
        | Provider::Anthropic
        | Provider::Google
        | Provider::Custom
        | Provider::Stability
        | Provider::Flux => Framing::Events,
    }
}

/// Takes one frame of an answer.
///
/// # Errors
///
/// It is not JSON, it says that something went wrong, or the answer gets too long.
pub(super) fn take(provider: Provider, frame: &str, reading: &mut Reading) -> Result<(), Failure> {
    let is_openai = matches!(provider, Provider::Openai | Provider::Custom);
    if is_openai && frame.trim() == "[DONE]" {
        reading.is_whole = true;
        reading.is_finished = true;
        return Ok(());
    }
    let frame: Value = serde_json::from_str(frame).map_err(|error| {
        let message = format!("a piece of the answer is no JSON: {error}");
        Failure::new(Reason::AnswerMalformed, message).with_answer(frame)
    })?;
    if let Some(error) = frame.get("error").filter(|error| !error.is_null()) {
        return Err(Failure::of_error(error));
    }
    match provider {
        Provider::Anthropic => anthropic::take(&frame, reading),
        Provider::Google => google::take(&frame, reading),
        Provider::Ollama => ollama::take(&frame, reading),
        Provider::Openai | Provider::Custom | Provider::Stability | Provider::Flux => {
            openai::take(&frame, reading)
        }
    }
}

impl Reading {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn tokens(&self) -> Option<Tokens> {
        self.tokens
    }

    /// Adds a piece of text, if there is one.
    fn push(&mut self, text: Option<&Value>) -> Result<(), Failure> {
        let Some(text) = text.and_then(Value::as_str) else {
            return Ok(());
        };
        if self.text.len() + text.len() > MAX_TEXT_BYTES {
            let message = format!("the answer is longer than {MAX_TEXT_BYTES} bytes");
            return Err(Failure::new(Reason::AnswerTooLarge, message));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn end(&mut self, finish_reason: &str) {
        self.is_whole = true;
        self.finish_reason = Some(finish_reason.to_owned());
    }

    fn refuse(&mut self, why: &str) {
        let refusal = self.refusal.get_or_insert_default();
        if refusal.len() < 1_000 {
            refusal.push_str(why);
        }
    }

    /// Notes a count of tokens; each provider tells both, some of them one at a time and again.
    fn count(&mut self, input: Option<&Value>, output: Option<&Value>) {
        let number = |value: Option<&Value>| value.and_then(Value::as_u64);
        let (input, output) = (number(input), number(output));
        if input.is_none() && output.is_none() {
            return;
        }
        let tokens = self.tokens.get_or_insert_default();
        tokens.input = input.unwrap_or(tokens.input);
        tokens.output = output.unwrap_or(tokens.output);
    }

    fn name_model(&mut self, name: Option<&Value>) {
        let name = name.and_then(Value::as_str);
        if let Some(name) = name.filter(|name| !name.is_empty() && name.len() <= 200) {
            self.model = Some(name.to_owned());
        }
    }

    /// What is wrong with an answer after which nothing more comes.
    pub(super) fn check_end(&self) -> Result<(), Failure> {
        if let Some(why) = &self.refusal {
            let message = format!("the provider or the model refused to answer: {why}");
            return Err(Failure::new(Reason::ContentFiltered, message));
        }
        if !self.is_whole {
            let message = format!(
                "the answer broke off after {} characters",
                self.text.chars().count()
            );
            return Err(Failure::new(Reason::StreamCut, message));
        }
        if self.text.trim().is_empty() {
            let message = if self.is_truncated {
                "max_tokens were used up before there was text: the model may reason unseen"
            } else {
                "the answer has no text"
            };
            return Err(Failure::new(Reason::EmptyAnswer, message));
        }
        Ok(())
    }

    pub(super) fn into_answer(self) -> Answer {
        Answer {
            text: self.text,
            finish_reason: self.finish_reason.unwrap_or_else(|| "stop".to_owned()),
            is_truncated: self.is_truncated,
            model: self.model,
            tokens: self.tokens,
        }
    }
}

/// A merge patch (RFC 7396): what is null goes away, objects are merged, all else is put in place.
fn merge<'a>(target: &mut Value, patch: impl Iterator<Item = (&'a String, &'a Value)>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(entries) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                entries.remove(key);
            }
            Value::Object(patch) => merge(entries.entry(key).or_insert(Value::Null), patch.iter()),
            other => {
                entries.insert(key.clone(), other.clone());
            }
        }
    }
}
