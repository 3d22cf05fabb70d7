//! Why an `image` node failed its step.

use std::time::Duration;

use serde_json::{Value, json};

use super::order::Order;
use crate::applet::Error;
use crate::files;
use crate::llm::Failure;
use crate::usage::Usage;

/// Named reasons, with their meaning.
pub(in crate::applet) const REASONS: &[(&str, &str)] = &[
    (
        "RATE_LIMITED",
        "too many requests, for the provider or for SYNAPPS_PROVIDER_LIMITS; passes, and a Retry-After is kept to",
    ),
    (
        "QUOTA_EXHAUSTED",
        "the provider's account has nothing left to spend",
    ),
    ("TIMEOUT", "no whole answer in time; passes"),
    (
        "CONTENT_FILTERED",
        "the provider refuses to draw this, or to hand it over",
    ),
    (
        "AUTHENTICATION_FAILED",
        "the provider does not accept the key",
    ),
    (
        "MODEL_NOT_FOUND",
        "the provider knows no such model, or is not at this address",
    ),
    (
        "INVALID_REQUEST",
        "the provider does not understand the request, such as the size",
    ),
    (
        "CONTEXT_TOO_LONG",
        "the prompt is longer than the provider takes",
    ),
    (
        "PROVIDER_UNAVAILABLE",
        "the provider cannot be reached, or answered 5xx; passes",
    ),
    (
        "STREAM_CUT",
        "the answer broke off before it was whole; passes",
    ),
    (
        "ANSWER_MALFORMED",
        "what came is not what the provider's API answers, or no image; passes",
    ),
    (
        "ANSWER_TOO_LARGE",
        "an image has more than 20 MiB, or more than a payload may, or the answer more than 64 MiB",
    ),
    (
        "PROVIDER_NOT_CONFIGURED",
        "neither the node nor the server has a key for the provider",
    ),
    (
        "KEY_NOT_FOR_BASE_URL",
        "the node has a base_url of its own and no api_key made for it: the server's key does not go there",
    ),
    (
        "SECRET_NOT_FOR_HOST",
        "a secret in api_key or headers may not be sent to the provider's host",
    ),
    (
        "EGRESS_BLOCKED",
        "base_url, or where an image is, is not on the public internet, and the operator has not allowed it",
    ),
    ("URL_INVALID", "base_url is not a URL of http or https"),
    (
        "PROMPT_TOO_LONG",
        "the prompt has more than 10,000 characters",
    ),
    (
        "FILE_NOT_KEPT",
        "the database did not take the image; passes",
    ),
    (
        "TEMPLATE_PATH_MISSING",
        "a template that is the whole text names a path where there is nothing",
    ),
    ("EXPRESSION_FAILED", "an expression could not be computed"),
    (
        "EXPRESSION_TOO_EXPENSIVE",
        "an expression used up what one evaluation may",
    ),
    ("RENDERED_TOO_LARGE", "what came out is over 16 MiB"),
    (
        "INVALID_CONFIG",
        "the config does not fit once its templates are rendered",
    ),
];

/// The error of an order that was not filled.
pub(super) fn of(failure: &Failure, order: &Order, usage: Usage) -> Error {
    let mut error = Error::permanent(failure.reason.name(), failure.message.clone())
        .with_detail("provider", order.provider.name())
        .with_detail("model", order.model.as_str());
    error.retryable = failure.reason.passes();
    error.usage = usage;
    if let Some(status) = failure.status {
        error = error.with_detail("status_code", status);
    }
    if let Some(answer) = &failure.answer {
        error = error.with_detail("answer", answer.as_str());
    }
    if let Some(wait) = failure.retry_after {
        error = error.with_detail("retry_after_seconds", whole_seconds(wait));
    }
    error
}

/// The error of an image that could not be kept.
pub(super) fn of_file(error: &files::Error) -> Error {
    match error {
        files::Error::TooLarge { .. } => Error::permanent("ANSWER_TOO_LARGE", error.to_string()),
        files::Error::Store(_) => {
            // What the database says goes to the log, not to the author.
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "an image could not be kept"
            );
            Error::retryable("FILE_NOT_KEPT", "the database did not take the image")
        }
    }
}

/// What was used, for details.
pub(super) fn shown(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micro_usd": usage.cost_micro_usd,
    })
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
