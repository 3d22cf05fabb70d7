//! Why a call failed: what providers say in their many ways, brought to one list of reasons.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{MAX_RETRY_AFTER, Reason, Tokens};
use crate::redact::Redactor;

/// The longest piece of a provider's answer that a failure holds, in bytes.
const MAX_EXCERPT_BYTES: usize = 4 * 1024;
/// The longest message, in bytes.
const MAX_MESSAGE_BYTES: usize = 1_000;

/// A call that failed. Holds no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.name())]
pub struct Failure {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// The beginning of what the provider said.
    pub answer: Option<String>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// What was used all the same.
    pub tokens: Option<Tokens>,
}

impl Failure {
    /// A failure without more.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            status: None,
            answer: None,
            retry_after: None,
            tokens: None,
        }
    }

    /// The same with the beginning of what came.
    #[must_use]
    pub fn with_answer(mut self, text: &str) -> Self {
        self.answer = Some(text.to_owned());
        self
    }

    /// Of an answer with a status that is no success.
    pub(crate) fn of_status(
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
        host: &str,
    ) -> Self {
        let said = serde_json::from_str(body)
            .ok()
            .and_then(|body| message_of(&body));
        let reason = classify(status.as_u16(), body);
        let message = match &said {
            Some(said) => format!("{host} answered {status}: {said}"),
            None => format!("{host} answered {status}"),
        };
        let retry_after = matches!(reason, Reason::RateLimited | Reason::ProviderUnavailable)
            .then(|| find_retry_after(headers, body))
            .flatten();
        Self {
            status: Some(status.as_u16()),
            retry_after,
            ..Self::new(reason, message)
        }
        .with_answer(body)
    }

    /// Of an error that came within an answer of 200: its `error`, an object or a text.
    pub(super) fn of_error(error: &Value) -> Self {
        let body = error.to_string();
        let code = error["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok());
        let reason = classify(code.unwrap_or_else(|| status_of(&body)), &body);
        let said = message_of(error).unwrap_or_else(|| body.clone());
        let message = format!("the provider broke off its answer: {said}");
        Self::new(reason, message).with_answer(&body)
    }

    /// The same as it may be shown: without what the redactor knows, and then short. (Cut first, half of a key would
    /// not be found.)
    #[must_use]
    pub fn shown(self, redactor: &Redactor) -> Self {
        let show = |text: &str, bytes| cut(&redactor.text(text), bytes);
        Self {
            message: show(&self.message, MAX_MESSAGE_BYTES),
            answer: self.answer.map(|answer| show(&answer, MAX_EXCERPT_BYTES)),
            ..self
        }
    }
}

/// What the providers mean by a status, given the text that comes with it.
fn classify(status: u16, text: &str) -> Reason {
    const NO_ROOM: [&str; 9] = [
        "context_length_exceeded",
        "maximum context length",
        "context window",
        "context size",
        "context length",
        "prompt is too long",
        "input token count",
        "too many tokens",
        "request_too_large",
    ];
    const FILTERED: [&str; 4] = [
        "content_filter",
        "content_policy_violation",
        "content management policy",
        "prohibited_content",
    ];
    const BAD_KEY: [&str; 3] = ["api_key_invalid", "api key not valid", "invalid_api_key"];
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match status {
        // llama.cpp says it with 500 where others say it with 400.
        400 | 413 | 422 | 500 if says(&NO_ROOM) => Reason::ContextTooLong,
        400 | 422 if says(&FILTERED) => Reason::ContentFiltered,
        400 if says(&BAD_KEY) => Reason::AuthenticationFailed,
        400 if says(&["model_not_found"]) => Reason::ModelNotFound,
        401 | 403 => Reason::AuthenticationFailed,
        402 => Reason::QuotaExhausted,
        404 => Reason::ModelNotFound,
        408 => Reason::Timeout,
        413 => Reason::ContextTooLong,
        429 if says(&["insufficient_quota", "billing_hard_limit"]) => Reason::QuotaExhausted,
        429 => Reason::RateLimited,
        409 | 425 | 500.. => Reason::ProviderUnavailable,
        _ => Reason::InvalidRequest,
    }
}

/// The status that an error without one would have had.
fn status_of(error: &str) -> u16 {
    const WORDS: [(&str, u16); 8] = [
        ("overloaded", 529),
        ("rate_limit", 429),
        ("authentication", 401),
        ("invalid_api_key", 401),
        ("permission", 403),
        ("not_found", 404),
        ("not found", 404),
        ("invalid_request", 400),
    ];
    let error = error.to_ascii_lowercase();
    let found = WORDS.iter().find(|(word, _)| error.contains(word));
    found.map_or(500, |(_, status)| *status)
}

/// What an error says for people, wherever the providers put it.
fn message_of(body: &Value) -> Option<String> {
    // A list around it is Google's.
    let body = body.get(0).unwrap_or(body);
    let error = body.get("error").unwrap_or(body);
    let message = error.get("message").or_else(|| body.get("message"));
    let text = message.unwrap_or(error).as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// How long the provider asks to wait: by milliseconds, seconds or a date in its headers, or by Google's `retryDelay`.
fn find_retry_after(headers: &HeaderMap, body: &str) -> Option<Duration> {
    let header = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let wait = if let Some(milliseconds) = header("retry-after-ms").and_then(seconds) {
        Duration::try_from_secs_f64(milliseconds / 1000.0)
    } else if let Some(text) = header("retry-after") {
        let Some(seconds) = seconds(text) else {
            let until = DateTime::parse_from_rfc2822(text).ok()?;
            let wait = until.signed_duration_since(Utc::now());
            return Some(wait.to_std().unwrap_or_default().min(MAX_RETRY_AFTER));
        };
        Duration::try_from_secs_f64(seconds)
    } else {
        let (_, rest) = body.split_once("\"retryDelay\"")?;
        let text = rest.trim_start_matches([':', ' ', '"', '\n']);
        let (text, _) = text.split_once('s')?;
        Duration::try_from_secs_f64(seconds(text)?)
    };
    // What is no duration at all is longer than any.
    Some(wait.unwrap_or(MAX_RETRY_AFTER).min(MAX_RETRY_AFTER))
}

fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::of_status(status, &HeaderMap::new(), body, "host")
    }

    #[test]
    fn what_providers_say_becomes_a_reason() {
        for (status, body, reason) in [
            (401, "", Reason::AuthenticationFailed),
            (403, "<html>", Reason::AuthenticationFailed),
            (
                400,
                r#"{"error":{"code":"context_length_exceeded"}}"#,
                Reason::ContextTooLong,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens"}}"#,
                Reason::ContextTooLong,
            ),
            (413, "{}", Reason::ContextTooLong),
            (
                400,
                r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}"#,
                Reason::AuthenticationFailed,
            ),
            (
                400,
                r#"{"error":{"code":"content_filter"}}"#,
                Reason::ContentFiltered,
            ),
            (
                400,
                r#"{"error":{"message":"temperature is wrong"}}"#,
                Reason::InvalidRequest,
            ),
            (
                404,
                r#"{"error":"model 'x' not found"}"#,
                Reason::ModelNotFound,
            ),
            (
                429,
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Reason::QuotaExhausted,
            ),
            (429, "slow down", Reason::RateLimited),
            (500, "oops", Reason::ProviderUnavailable),
            (
                529,
                r#"{"error":{"type":"overloaded_error"}}"#,
                Reason::ProviderUnavailable,
            ),
            (302, "", Reason::InvalidRequest),
        ] {
            assert_eq!(of(status, body).reason, reason, "{status} {body}");
        }
        for (error, reason) in [
            (
                r#"{"type":"overloaded_error","message":"Overloaded"}"#,
                Reason::ProviderUnavailable,
            ),
            (r#"{"type":"rate_limit_error"}"#, Reason::RateLimited),
            (
                r#"{"code":503,"status":"UNAVAILABLE"}"#,
                Reason::ProviderUnavailable,
            ),
            (
                r#"{"message":"broken","type":"server_error","code":null}"#,
                Reason::ProviderUnavailable,
            ),
            (r#""model 'x' not found""#, Reason::ModelNotFound),
        ] {
            let error = serde_json::from_str(error).unwrap();
            assert_eq!(Failure::of_error(&error).reason, reason, "{error}");
        }
    }

    #[test]
    fn a_failure_is_short_and_holds_no_key() {
        let body = format!(
            r#"{{"error":{{"message":"bad key sk-key {}"}}}}"#,
            "é".repeat(50_000)
        );

        let failure = of(401, &body).shown(&Redactor::of(["sk-key"]));

        assert!(failure.message.len() < 1_100);
        assert!(
            failure
                .answer
                .as_ref()
                .is_some_and(|answer| answer.len() < 5_000)
        );
        assert!(!format!("{failure:?}").contains("sk-key"));
    }

    #[test]
    fn the_wait_is_read_in_all_its_forms() {
        let of = |name, value, body: &str| {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
            find_retry_after(&headers, body)
        };

        let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
        assert_eq!(of("retry-after", "7", ""), seconds(7.0));
        assert_eq!(of("retry-after", "0.5", ""), seconds(0.5));
        assert_eq!(of("retry-after-ms", "250", ""), seconds(0.25));
        assert_eq!(of("retry-after", "1e300", ""), Some(MAX_RETRY_AFTER));
        assert_eq!(of("retry-after", "-1", ""), None);
        assert_eq!(
            of("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", ""),
            seconds(0.0)
        );
        assert_eq!(of("x", "", r#"{"retryDelay": "17s"}"#), seconds(17.0));
        assert_eq!(of("x", "", r#"{"retryDelay": "soon"}"#), None);
        assert_eq!(of("x", "", "{}"), None);
    }
}
