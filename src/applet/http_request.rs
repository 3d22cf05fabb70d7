//! `http_request`: sends a request and gives the answer as output.
//!
//! An attempt that timed out may still have reached the server, so every attempt of a step sends the same
//! `Idempotency-Key`. Where the node's effect is `AT_MOST_ONCE` (POST and PATCH, unless the node says otherwise), an
//! attempt that may have reached the server and brought no whole answer fails with an unknown outcome, and no other
//! failure is called retryable unless provably nothing was sent.

mod answer;
mod compose;
mod config;
mod failure;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::flow::Violation;

pub use config::{AuthType, BodyType, Config, Method, Secret};

/// Sends HTTP requests through the guarded way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpRequest;

impl Applet for HttpRequest {
    const KIND: &'static str = "http_request";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "HTTP request",
            text: "Sends a request and outputs the answer as {status_code, ok, url, method, data, headers}: url is the \
                   last one after redirects, data is JSON if the answer is JSON, otherwise its text. Headers are named \
                   in lower case; what came several times is joined by commas, except set-cookie, which is a list. \
                   An answer of 400 or above fails the step unless fail_on_status is false. Requests go to the public \
                   internet and to what the operator allows, and an answer has at most 10 MiB.",
            handles: &[],
            effect: Effect::Idempotent,
            reasons: failure::REASONS,
            example: || {
                json!({
                    "url": "https://api.example.com/orders/{{ input.order_id }}",
                    "method": "GET",
                    "headers": {"Accept": "application/json"},
                    "query_params": {"expand": "items"},
                })
            },
            raw: &[],
            deferred: &[],
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(10),
        }
    }

    /// By the idempotent methods of RFC 9110, section 9.2.2.
    fn effect(config: &Config) -> Effect {
        match config.method {
            Method::Get | Method::Put | Method::Delete => Effect::Idempotent,
            Method::Post | Method::Patch => Effect::AtMostOnce,
        }
    }

    fn check(config: &Config) -> Vec<Violation> {
        config.violations()
    }

    fn hosts(config: &Config) -> Vec<String> {
        config.find_host().into_iter().collect()
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let config = Arc::new(config);
        let cpu = context.cpu.clone();
        let effect = context.effect;

        let rendered = Arc::clone(&config);
        let compose = move || compose::compose(&context, &rendered);
        let composed = cpu.run(compose).await.map_err(|_| failure::panicked())??;
        let redactor = composed.redactor;

        let answer = match composed.egress.send(composed.request).await {
            Ok(answer) => answer,
            Err(error) => return Err(failure::of_exchange(error, effect)),
        };

        let read = move || {
            let details = answer::details(&answer);
            if config.fail_on_status && answer.status.as_u16() >= 400 {
                return Err(failure::of_status(&answer, effect, &redactor));
            }
            let output = answer::output(&answer, config.include_response_headers);
            Ok(Completion::Done(Outcome {
                details,
                ..Outcome::of(Arc::new(output))
            }))
        };
        cpu.run(read).await.map_err(|_| failure::panicked())?
    }
}
