//! `llm`: asks a language model, and gives its answer as output while watchers see it grow.
//!
//! A repeated attempt asks again, with the same idempotency key: it costs tokens a second time where the provider does
//! not heed the key, and changes nothing else in the world.

pub(super) mod check;
mod compose;
mod config;
pub(in crate::applet) mod headers;
mod outcome;
#[cfg(test)]
mod tests;
mod tries;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::compiled::Compiled;
use super::{Applet, Completion, Context, Description, Effect, Error};
use crate::flow::Violation;
use crate::provider::Providers;

pub use config::{Config, Fallback, Speaker, Text, Texts};
pub(super) use outcome::REASONS;

/// The bound of an attempt where the node sets none.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);
/// The longest bound that a node may set.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_mins(10);

/// Asks language models.
#[derive(Clone, Debug)]
pub struct Llm {
    providers: Providers,
    compiled: Arc<Compiled>,
}

impl Llm {
    /// With the server's providers.
    #[must_use]
    pub fn new(providers: Providers, compiled: Arc<Compiled>) -> Self {
        Self {
            providers,
            compiled,
        }
    }
}

impl Applet for Llm {
    const KIND: &'static str = "llm";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Language model",
            text: "Asks a model and outputs the text of its answer, or its value where structured_output asks for JSON. \
                   The prompt is user_prompt, or the node's input. Watchers with deltas see the answer as it comes. \
                   Step and run keep tokens, cost, model and finish reason. A key is a secret of the node's own or the \
                   server's; the server's goes only to the server's own address of the provider. When an attempt \
                   fails, the models of fallback are asked in turn.",
            handles: &[],
            effect: Effect::Idempotent,
            reasons: REASONS,
            example: || {
                json!({
                    "provider": "openai",
                    "model": "gpt-4o-mini",
                    "system_prompt": "You answer in one sentence.",
                    "user_prompt": "What is {{ input.topic }}?",
                    "temperature": 0.2,
                    "max_tokens": 200,
                    "fallback": [{"provider": "anthropic", "on": ["RATE_LIMITED", "PROVIDER_UNAVAILABLE"]}],
                })
            },
            raw: &["json_schema"],
            deferred: &[],
            default_timeout: DEFAULT_TIMEOUT,
            max_timeout: MAX_TIMEOUT,
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Idempotent
    }

    fn check(config: &Config) -> Vec<Violation> {
        check::saved(config)
    }

    fn check_rendered(config: &Config) -> Vec<Violation> {
        check::rendered(config)
    }

    fn hosts(config: &Config) -> Vec<String> {
        check::hosts(config)
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let cpu = context.cpu.clone();
        let of = context.clone();
        let (question, targets) = cpu.run(move || compose::compose(&of, config)).await??;
        self.ask(&context, &question, &targets)
            .await
            .map(Completion::Done)
    }
}
