//! One call of a language model: a request goes out, its answer comes back piece by piece.
//!
//! Each provider's own API is spoken over the HTTP client of the guarded way out; `wire` holds what differs between
//! them. The answer is always asked for as a stream, and an answer counts only when the provider has said that it is
//! whole: one that breaks off before is [`Reason::StreamCut`], however well it reads. All that comes is bounded, since
//! whoever writes a flow may choose who answers.

mod exchange;
mod failure;
mod frames;
pub mod json;
mod reason;
#[cfg(test)]
mod tests;
mod wire;

use std::time::{Duration, Instant};

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::provider::Route;
use crate::redact::Redactor;

pub use exchange::MAX_TEXT_BYTES;
pub use failure::Failure;
pub use reason::Reason;
pub use wire::OWN_KEYS;

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name, as its provider knows it; passed on as it is.
    pub model: String,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// How the answer is chosen.
    pub sampling: Sampling,
    /// What the answer is to be.
    pub format: Format,
    /// A merge patch (RFC 7396) on the request's body; [`OWN_KEYS`] are never taken from it.
    pub extra: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whose.
    pub role: Role,
    /// Its text.
    pub content: String,
}

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The author's, above the conversation.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
    /// A tool that the model used.
    Tool,
}

/// How an answer is chosen; what is `None` is left to the provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// The most tokens of the answer.
    pub max_tokens: u32,
    /// Texts that end the answer.
    pub stop: Vec<String>,
}

/// What an answer is to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Text.
    Text,
    /// Any JSON.
    Json,
    /// JSON that fits this schema.
    Schema(Value),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its text; empty only where nothing but a limit ended it.
    pub text: String,
    /// Why it ended, in the provider's own word.
    pub finish_reason: String,
    /// Whether the most tokens of an answer ended it.
    pub is_truncated: bool,
    /// The model that answered, where the provider says so: a name may stand for a newer one.
    pub model: Option<String>,
    /// What was used, as far as the provider says.
    pub tokens: Option<Tokens>,
}

/// What an answer has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer, unseen reasoning included.
    pub output: u64,
}

/// All that one call needs.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The guarded client for the route's address.
    pub client: &'a reqwest::Client,
    /// Where to, with which key.
    pub route: &'a Route,
    /// What is asked.
    pub request: &'a Request,
    /// Sent besides the provider's own, and instead of those of the same name.
    pub headers: &'a HeaderMap,
    /// The same for each repetition of the same call.
    pub idempotency_key: &'a str,
    /// Knows what must not show in a failure: keys above all.
    pub redactor: &'a Redactor,
    /// When to give up.
    pub deadline: Instant,
}

/// Asks a model, and gives each piece of the answer's text to `say` as it comes.
///
/// # Errors
///
/// [`Failure`], with what was used until then as far as the provider has said it.
pub async fn ask(call: Call<'_>, mut say: impl FnMut(&str) + Send) -> Result<Answer, Failure> {
    let mut reading = wire::Reading::default();
    let exchange = exchange::run(call, &mut reading, &mut say);
    let deadline = tokio::time::Instant::from_std(call.deadline);
    let outcome = match tokio::time::timeout_at(deadline, exchange).await {
        Ok(outcome) => outcome,
        // The connection is still open, but nothing is missing.
        Err(_) if reading.is_whole => Ok(()),
        Err(_) => Err(Failure::new(
            Reason::Timeout,
            format!("no whole answer from {} in time", host(call.route)),
        )),
    };
    let failure = match outcome.and_then(|()| reading.check_end()) {
        Ok(()) => return Ok(reading.into_answer()),
        Err(failure) => failure,
    };
    Err(Failure {
        tokens: reading.tokens(),
        ..failure.shown(call.redactor)
    })
}

/// About how many tokens a call may come to: four bytes of a prompt are one, and the answer may be as long as it may.
#[must_use]
pub fn estimate(request: &Request) -> u64 {
    let bytes: usize = request
        .messages
        .iter()
        .map(|message| message.content.len())
        .sum();
    let prompt = u64::try_from(bytes).unwrap_or(u64::MAX) / 4;
    prompt.saturating_add(request.sampling.max_tokens.into())
}

/// The longest wait that is taken from a provider's answer.
const MAX_RETRY_AFTER: Duration = crate::provider::limits::MAX_BLOCK;

fn host(route: &Route) -> &str {
    route.base_url.host_str().unwrap_or_default()
}
