//! Why a request failed its step.

use chrono::{DateTime, Utc};
use http::header::RETRY_AFTER;
use serde_json::Value;

use super::answer;
use crate::applet::{Certainty, Effect, Error};
use crate::egress::{self, Answer, Cause, Progress};
use crate::redact::Redactor;
use crate::secrets::NotForHost;

/// Named reasons, with their meaning.
pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "HTTP_4XX",
        "the answer's status is 400 to 499; the details hold the answer",
    ),
    (
        "HTTP_5XX",
        "the answer's status is 500 or above; the details hold the answer",
    ),
    (
        "EGRESS_BLOCKED",
        "the URL, or a redirect, leads to an address that is not allowed",
    ),
    (
        "SECRET_NOT_FOR_HOST",
        "a secret in the request may not be sent to its host, or to that of a redirect",
    ),
    (
        "URL_INVALID",
        "the rendered URL, or a redirect's, cannot be requested",
    ),
    ("INVALID_HEADER", "a rendered header cannot be sent"),
    ("RESOLVE_FAILED", "the host's name has no address"),
    ("CONNECT_FAILED", "no connection came about"),
    (
        "TLS_FAILED",
        "no TLS session came about, or the certificate is not trusted",
    ),
    ("TIMEOUT", "no whole answer came in time"),
    (
        "CONNECTION_LOST",
        "the connection broke off before the answer was whole",
    ),
    (
        "RESPONSE_TOO_LARGE",
        "the answer's body is longer than 10 MiB, or its headers than 64 KiB or 100",
    ),
    ("TOO_MANY_REDIRECTS", "more than 10 redirects"),
    ("CANCELLED", "the run was cancelled, or failed elsewhere"),
    (
        "HTTP_CLIENT_FAILED",
        "the service's HTTP client could not be set up",
    ),
    ("PANICKED", "a bug in the service"),
];

/// The longest data that the details of an error hold, in bytes.
const MAX_DATA_BYTES: usize = 16 * 1024;
/// The longest wait that a server can ask for by `Retry-After`, in seconds: a day.
const MAX_RETRY_AFTER_SECONDS: u64 = 24 * 60 * 60;

/// The error of a request that brought no whole answer.
pub(super) fn of_exchange(error: egress::Error, effect: Effect) -> Error {
    let egress::Error { cause, progress } = error;
    let message = cause.to_string();
    let (reason, passes, ambiguous) = match cause {
        Cause::BadUrl(_) => ("URL_INVALID", false, false),
        Cause::Blocked { .. } => ("EGRESS_BLOCKED", false, false),
        Cause::Withheld(_) => (NotForHost::REASON, false, false),
        Cause::Unresolved { .. } => ("RESOLVE_FAILED", true, false),
        Cause::Unreachable { .. } => ("CONNECT_FAILED", true, false),
        Cause::Tls { certificate, .. } => ("TLS_FAILED", !certificate, false),
        Cause::Timeout { .. } => ("TIMEOUT", true, true),
        Cause::Cancelled => ("CANCELLED", false, true),
        Cause::Broken { .. } => ("CONNECTION_LOST", true, true),
        Cause::ResponseTooLarge { .. } => ("RESPONSE_TOO_LARGE", false, false),
        // Where the status is not known, it is not known what became of the request.
        Cause::HeadersTooLarge { .. } => {
            ("RESPONSE_TOO_LARGE", false, progress == Progress::MaybeSent)
        }
        Cause::TooManyRedirects { .. } => ("TOO_MANY_REDIRECTS", false, false),
        Cause::Setup(_) => ("HTTP_CLIENT_FAILED", true, false),
    };
    let unsent = progress == Progress::Unsent;
    let repeatable = effect != Effect::AtMostOnce;
    let mut error = Error::permanent(reason, message).with_detail("sent", !unsent);
    error.retryable = passes && (repeatable || unsent);
    if let Progress::Answered(status) = progress {
        error = error.with_detail("status_code", status);
    }
    if ambiguous && !unsent && !repeatable {
        error.certainty = Certainty::Unknown;
    }
    error
}

/// The error of an answer of 400 or above: a known outcome, with the answer in its details.
pub(super) fn of_status(answer: &Answer, effect: Effect, redactor: &Redactor) -> Error {
    let status = answer.status.as_u16();
    let reason = if status < 500 { "HTTP_4XX" } else { "HTTP_5XX" };
    let host = answer.url.host_str().unwrap_or_default();
    let message = format!("{host} answered {}", answer.status);
    let mut error = Error::permanent(reason, message)
        .with_detail("sent", true)
        .with_detail("status_code", status)
        .with_detail("answer", excerpt(answer, redactor));
    error.retryable = matches!(status, 408 | 425 | 429 | 500..) && effect != Effect::AtMostOnce;
    match find_retry_after(answer) {
        Some(seconds) => error.with_detail("retry_after_seconds", seconds),
        None => error,
    }
}

/// The error of work that panicked; the process survives it.
pub(super) fn panicked() -> Error {
    Error::permanent("PANICKED", "a bug in the service ended the attempt")
}

/// The answer as it would be put out, with data of bounded length and without the credentials that the server may
/// have repeated in it.
fn excerpt(answer: &Answer, redactor: &Redactor) -> Value {
    let mut excerpt = answer::output(answer, true);
    if answer.body.len() > MAX_DATA_BYTES {
        // Cut last: half of a secret would not be found.
        let mut text = redactor.text(&answer::text(answer)).into_owned();
        text.truncate(text.floor_char_boundary(MAX_DATA_BYTES));
        excerpt["data"] = text.into();
        excerpt["data_truncated"] = true.into();
    }
    for field in ["url", "data", "headers"] {
        redactor.value(&mut excerpt[field]);
    }
    excerpt
}

/// How long the server asks to wait, in seconds: by number or by date (RFC 9110, section 10.2.3).
fn find_retry_after(answer: &Answer) -> Option<u64> {
    let text = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = if let Ok(seconds) = text.parse() {
        seconds
    } else {
        let until = DateTime::parse_from_rfc2822(text).ok()?;
        let wait = until.signed_duration_since(Utc::now());
        u64::try_from(wait.num_seconds()).unwrap_or(0)
    };
    Some(seconds.min(MAX_RETRY_AFTER_SECONDS))
}
