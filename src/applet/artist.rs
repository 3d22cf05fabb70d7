//! `artist`: the predecessor's name for one that draws; a preset of `image`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::image::{self, Image, Painter};
use super::{Applet, Completion, Context, Description, Effect, Error};
use crate::template::Templated;

/// What the author of a flow sets on an `artist` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who draws, with the first of his models in the catalogue.
    #[serde(default = "stability")]
    pub generator: Templated<Painter>,
    /// In which style: up to 500 characters. Empty: none.
    #[serde(default = "image::usual_style")]
    #[schemars(length(max = 500))]
    pub style: String,
}

/// Has one image drawn of the node's input.
#[derive(Clone, Debug)]
pub struct Artist {
    image: Image,
}

impl Artist {
    /// Over the applet that has images drawn.
    #[must_use]
    pub const fn new(image: Image) -> Self {
        Self { image }
    }
}

impl Applet for Artist {
    const KIND: &'static str = "artist";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Artist",
            text: "Has Stability AI, or who `generator` says, draw the node's input and outputs {image, prompt, \
                   generator}: image with everything but the style set. The image is a file of the run, {ref, \
                   media_type, size_bytes, sha256}, whose bytes ReadPayload gives. The key is the server's.",
            handles: &[],
            effect: Effect::Idempotent,
            reasons: image::REASONS,
            example: || json!({"style": "digital art"}),
            raw: &[],
            deferred: &[],
            default_timeout: image::DEFAULT_TIMEOUT,
            max_timeout: image::MAX_TIMEOUT,
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Idempotent
    }

    fn check(config: &Config) -> Vec<crate::flow::Violation> {
        image::check_style(&config.style)
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let config = image::Config::preset(config.generator, config.style);
        let drawn = self.image.draw(&context, config).await?;
        let output = json!({
            "image": drawn.first(),
            "prompt": drawn.prompt,
            "generator": drawn.provider.name(),
        });
        Ok(Completion::Done(drawn.into_outcome(output)))
    }
}

fn stability() -> Templated<Painter> {
    Templated::Value(Painter::Stability)
}
