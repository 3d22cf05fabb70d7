//! `writer`: the predecessor's name for a model that writes; a preset of `llm`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::llm::{self, Llm, Speaker, Text, Texts};
use super::{Applet, Completion, Context, Description, Effect, Error};
use crate::template::Templated;

/// The model that it asks.
const MODEL: &str = "gpt-4o";
/// How freely it writes.
const TEMPERATURE: f64 = 0.7;
/// How much it writes at most.
const MAX_TOKENS: u32 = 1_000;

/// What the author of a flow sets on a `writer` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the writer is told above its task. Empty: nothing.
    #[serde(default)]
    pub system_prompt: Text,
}

/// Has a fixed model write about the node's input.
#[derive(Clone, Debug)]
pub struct Writer {
    llm: Llm,
}

impl Writer {
    /// Over the applet that asks models.
    #[must_use]
    pub fn new(llm: Llm) -> Self {
        Self { llm }
    }
}

impl Applet for Writer {
    const KIND: &'static str = "writer";

    type Config = Config;

    fn description() -> Description {
        Description {
            version: 1,
            title: "Writer",
            text: "Has OpenAI's gpt-4o write about the node's input (temperature 0.7, at most 1,000 tokens) and outputs \
                   the text: llm with everything but the system prompt set. The key is the server's.",
            handles: &[],
            effect: Effect::Idempotent,
            reasons: llm::REASONS,
            example: || json!({"system_prompt": "You are a creative storyteller. Write a short story about the idea."}),
            raw: &[],
            deferred: &[],
            default_timeout: llm::DEFAULT_TIMEOUT,
            max_timeout: llm::MAX_TIMEOUT,
        }
    }

    fn effect(_config: &Config) -> Effect {
        Effect::Idempotent
    }

    async fn run(&self, context: Context, config: Config) -> Result<Completion, Error> {
        let config = llm::Config {
            provider: Templated::Value(Speaker::Openai),
            model: Some(MODEL.to_owned()),
            system_prompt: config.system_prompt,
            user_prompt: None,
            messages: Value::Null,
            temperature: Some(Templated::Value(TEMPERATURE)),
            max_tokens: Templated::Value(MAX_TOKENS),
            top_p: None,
            stop_sequences: Texts::default(),
            structured_output: false,
            json_schema: None,
            api_key: None,
            base_url: None,
            headers: Map::new(),
            extra: Map::new(),
            fallback: Vec::new(),
        };
        self.llm.run(context, config).await
    }
}
