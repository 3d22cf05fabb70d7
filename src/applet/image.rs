//! `image`: has a provider draw, and gives files as output.
//!
//! What comes back as base64 or behind a URL becomes a file of the run; the output names it. A repeated attempt draws
//! again, with the same idempotency key: it costs a second time where the provider does not heed the key.

mod attempt;
mod check;
mod config;
mod exchange;
mod failure;
mod flux;
mod media;
mod openai;
mod order;
mod stability;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Applet, Completion, Context, Description, Effect, Error, Outcome};
use crate::flow::Violation;
use crate::provider::Providers;
use attempt::Drawn;

pub(super) use check::style as check_style;
pub(super) use config::style as usual_style;
pub use config::{Config, Painter, ResponseFormat};
pub(super) use failure::REASONS;

/// The bound of an attempt where the node sets none.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);
/// The longest bound that a node may set.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_mins(10);

/// Has images drawn.
#[derive(Clone, Debug)]
pub struct Image {
    providers: Providers,
}

impl Image {
    /// With the server's providers.
    #[must_use]
    pub const fn new(providers: Providers) -> Self {
        Self { providers }
    }

    /// Draws what a config says.
    pub(super) async fn draw(&self, context: &Context, config: Config) -> Result<Drawn, Error> {
        let order = order::of(context, config)?;
        attempt::run(&self.providers, context, order).await
    }
}

impl Applet for Image {
    const KIND: &'static str = "image";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Image",
            text: "Has a provider draw `prompt`, or the node's input, and outputs {image, images, prompt, provider, \
                   model} and revised_prompt where the provider tells it. Each image is a file of the run, {ref, \
                   media_type, size_bytes, sha256}, whose bytes ReadPayload gives; it has at most 20 MiB. A key is a \
                   secret of the node's own or the server's; the server's goes only to the server's own address of \
                   the provider.",
            handles: &[],
            effect: Effect::Idempotent,
            reasons: REASONS,
            example: || {
                json!({
                    "provider": "openai",
                    "prompt": "A lighthouse in a storm, seen from {{ input.place }}",
                    "style": "watercolour",
                })
            },
            raw: &[],
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
        let drawn = self.draw(&context, config).await?;
        let mut output = Map::from_iter([
            ("image".to_owned(), drawn.first()),
            ("images".to_owned(), drawn.images.clone().into()),
            ("prompt".to_owned(), drawn.prompt.as_str().into()),
            ("provider".to_owned(), drawn.provider.name().into()),
            ("model".to_owned(), drawn.model.as_str().into()),
        ]);
        if let Some(revised) = &drawn.revised_prompt {
            output.insert("revised_prompt".to_owned(), revised.as_str().into());
        }
        Ok(Completion::Done(drawn.into_outcome(Value::Object(output))))
    }
}

impl Drawn {
    /// The first image, or the empty text.
    pub(super) fn first(&self) -> Value {
        self.images.first().cloned().unwrap_or_else(|| "".into())
    }

    /// The outcome of the step with this output.
    pub(super) fn into_outcome(self, output: Value) -> Outcome {
        let mut details = Map::from_iter([
            ("provider".to_owned(), self.provider.name().into()),
            ("model".to_owned(), self.model.into()),
            ("images".to_owned(), self.images.len().into()),
        ]);
        if !self.usage.is_empty() {
            details.insert("usage".to_owned(), failure::shown(self.usage));
        }
        Outcome {
            details,
            usage: self.usage,
            ..Outcome::of(Arc::new(output))
        }
    }
}
