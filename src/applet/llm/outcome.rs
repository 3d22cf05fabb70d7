//! What an attempt gives: the output, what happened on the way, and what it has used.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::applet::{Error, Outcome};
use crate::llm::{Answer, Failure, Reason};
use crate::provider::Provider;
use crate::usage::Usage;

/// What steps of the applet fail with, beside what calls do.
const OWN_REASONS: [(&str, &str); 8] = [
    (
        "EMPTY_PROMPT",
        "there is nothing to ask: the prompt is blank, and there is no conversation",
    ),
    (
        "INVALID_MESSAGES",
        "messages is no list of {role, content}, or has more than 1,000 entries",
    ),
    (
        "TEMPLATE_PATH_MISSING",
        "a template that is the whole text names a path where there is nothing",
    ),
    (
        "PATH_MISSING",
        "messages is a JSON path to where there is nothing in the node's input",
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

/// All reasons, for the catalogue.
pub(in crate::applet) const REASONS: &[(&str, &str)] = &all_reasons();

const fn all_reasons() -> [(&'static str, &'static str); Reason::ALL.len() + OWN_REASONS.len()] {
    let mut all = [("", ""); Reason::ALL.len() + OWN_REASONS.len()];
    let mut at = 0;
    while at < Reason::ALL.len() {
        let (reason, meaning) = Reason::ALL[at];
        all[at] = (reason.name(), meaning);
        at += 1;
    }
    while at < all.len() {
        all[at] = OWN_REASONS[at - Reason::ALL.len()];
        at += 1;
    }
    all
}

/// One model that was asked.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) provider: Provider,
    pub(super) model: String,
    /// `None`: it answered.
    pub(super) failure: Option<Failure>,
    pub(super) usage: Usage,
    pub(super) took: Duration,
}

/// An answer that can be used.
#[derive(Debug)]
pub(super) struct Given {
    output: Value,
    answer: Answer,
    is_repaired: bool,
}

impl Given {
    /// Text as it came.
    pub(super) fn text(mut answer: Answer) -> Self {
        Self {
            output: Value::String(std::mem::take(&mut answer.text)),
            answer,
            is_repaired: false,
        }
    }

    /// The value of JSON.
    pub(super) fn value(output: Value, answer: Answer, is_repaired: bool) -> Self {
        Self {
            output,
            answer,
            is_repaired,
        }
    }
}

/// The outcome of an attempt whose last try was answered.
pub(super) fn of(given: Given, tries: &[Try]) -> Outcome {
    let usage = total(tries);
    let mut details = about(tries, usage);
    details.insert(
        "finish_reason".to_owned(),
        given.answer.finish_reason.into(),
    );
    if let Some(model) = given.answer.model {
        details.insert("answered_by".to_owned(), model.into());
    }
    if given.is_repaired {
        details.insert("repaired".to_owned(), true.into());
    }
    Outcome {
        details,
        usage,
        ..Outcome::of(Arc::new(given.output))
    }
}

/// The error of an attempt whose tries all failed: it is that of the last one. It may pass if one of them might.
pub(super) fn failed(tries: &[Try]) -> Error {
    let usage = total(tries);
    let failures = || tries.iter().filter_map(|one| one.failure.as_ref());
    let Some(last) = failures().next_back() else {
        return Error::permanent("INVALID_CONFIG", "there is nobody to ask");
    };
    let mut error = Error::permanent(last.reason.name(), last.message.clone());
    error.retryable = failures().any(|failure| failure.reason.passes());
    error.details = about(tries, usage);
    error.usage = usage;
    if let Some(status) = last.status {
        error = error.with_detail("status_code", status);
    }
    if let Some(answer) = &last.answer {
        error = error.with_detail("answer", answer.as_str());
    }
    // The next attempt begins with the first again, so that the shortest wait is enough.
    if let Some(wait) = failures().filter_map(|failure| failure.retry_after).min() {
        error = error.with_detail("retry_after_seconds", whole_seconds(wait));
    }
    error
}

fn about(tries: &[Try], usage: Usage) -> Map<String, Value> {
    let mut details = Map::new();
    if let Some(last) = tries.last() {
        details.insert("provider".to_owned(), last.provider.name().into());
        details.insert("model".to_owned(), last.model.as_str().into());
    }
    details.insert("usage".to_owned(), shown(usage));
    if tries.len() > 1 {
        let tries = tries.iter().map(|one| {
            let mut entry = json!({
                "provider": one.provider.name(),
                "model": one.model,
                "usage": shown(one.usage),
                "seconds": one.took.as_secs_f64(),
            });
            if let Some(failure) = &one.failure {
                entry["reason"] = failure.reason.name().into();
                entry["message"] = failure.message.as_str().into();
            }
            entry
        });
        details.insert("tries".to_owned(), tries.collect());
    }
    details
}

fn shown(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micro_usd": usage.cost_micro_usd,
    })
}

fn total(tries: &[Try]) -> Usage {
    let mut total = Usage::default();
    for one in tries {
        total.add(one.usage);
    }
    total
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
