//! What the author of a flow sets on an `llm` node.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::applet::http_request::Secret;
use crate::llm::Reason;
use crate::provider::Provider;
use crate::template::Templated;
use crate::value;

/// What the author of a flow sets on an `llm` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose model answers. `custom` is any server that speaks OpenAI's chat completions.
    #[serde(default = "openai")]
    pub provider: Templated<Speaker>,
    /// The model's name, passed on as it is: up to 200 characters. Without one the first of the provider's models in
    /// the catalogue; `custom` has none there.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub model: Option<String>,
    /// What the model is told above the conversation. Empty: nothing.
    #[serde(default)]
    pub system_prompt: Text,
    /// What the model is asked. Without it the node's input: a text as it is, of an object the first text that is not
    /// blank of its `prompt`, `text`, `input`, `content` and `message`, otherwise compact JSON.
    #[serde(default)]
    pub user_prompt: Option<Text>,
    /// The conversation before that, oldest first: a list of `{role, content}` with the roles system, user, assistant
    /// and tool, at most 1,000; or a JSON path to it in the node's input. Null or absent: none.
    #[serde(default)]
    pub messages: Value,
    /// How freely the answer is chosen, 0 to 2 (Anthropic takes at most 1, and none beside `top_p`; OpenAI's reasoning
    /// models take none). Without it 0.7.
    #[serde(default)]
    pub temperature: Option<Templated<f64>>,
    /// The most tokens of the answer, 1 to 32,768.
    #[serde(default = "max_tokens")]
    pub max_tokens: Templated<u32>,
    /// The share of likely tokens that the answer is chosen from, 0 to 1. Without it, or 1, the provider's own.
    #[serde(default)]
    pub top_p: Option<Templated<f64>>,
    /// Texts that end the answer: up to 16 of 1 to 200 bytes, or one alone.
    #[serde(default)]
    pub stop_sequences: Texts,
    /// Whether the answer is to be JSON. The output is its value then, and an answer that is none, or does not fit
    /// `json_schema`, is asked for once more before the attempt fails.
    #[serde(default)]
    pub structured_output: bool,
    /// The JSON schema that the answer has to fit. Counts only where `structured_output` is true.
    #[serde(default)]
    pub json_schema: Option<Value>,
    /// A key of the node's own: only a secret, `{{ secrets.<name> }}`. Without it the server's, which goes only to the
    /// server's own address of the provider.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub api_key: Option<Secret>,
    /// Where the provider is, up to what comes before the paths of its API. Without it the server's own address.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Headers that are sent too, at most 100. Those that say who is asking (Authorization …) only beside a `base_url`
    /// of the node's own.
    #[serde(default)]
    #[schemars(extend("x-secret" = true, "maxProperties" = 100))]
    pub headers: Map<String, Value>,
    /// A merge patch (RFC 7396) on the body of the request, in the words of the provider's API: objects are merged, null
    /// removes. What has a key of its own here (model, messages, system, stream …) is refused.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// Who is asked instead when an attempt fails, in this order: up to 5. Each may take an equal share of the time
    /// that is left.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub fallback: Vec<Fallback>,
}

/// A model that is asked when others failed. Prompts, sampling and format are those of the node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// Whose model answers.
    pub provider: Templated<Speaker>,
    /// The model's name; without it the provider's first.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub model: Option<String>,
    /// After which failures of the one before it is asked.
    #[serde(default = "passing_reasons")]
    pub on: Vec<Reason>,
    /// As the node's.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub api_key: Option<Secret>,
    /// As the node's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// As the node's, which are not sent here.
    #[serde(default)]
    #[schemars(extend("x-secret" = true, "maxProperties" = 100))]
    pub headers: Map<String, Value>,
    /// As the node's, which does not count here.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A provider that speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// OpenAI.
    Openai,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini API.
    Google,
    /// A server of Ollama.
    Ollama,
    /// A server that speaks OpenAI's chat completions.
    Custom,
}

impl From<Speaker> for Provider {
    fn from(speaker: Speaker) -> Self {
        match speaker {
            Speaker::Openai => Self::Openai,
            Speaker::Anthropic => Self::Anthropic,
            Speaker::Google => Self::Google,
            Speaker::Ollama => Self::Ollama,
            Speaker::Custom => Self::Custom,
        }
    }
}

/// A text; a template may give another value, which becomes one as the node's input does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Err(D::Error::custom("is null; a prompt is a text")),
            value => Ok(Self(value::coerce_text(&value).into_owned())),
        }
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

/// Several texts, or one alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Texts {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// The reasons that another model or provider is most likely not to have.
pub(super) fn passing_reasons() -> Vec<Reason> {
    vec![
        Reason::RateLimited,
        Reason::ProviderUnavailable,
        Reason::Timeout,
        Reason::ModelNotFound,
        Reason::StreamCut,
    ]
}

fn openai() -> Templated<Speaker> {
    Templated::Value(Speaker::Openai)
}

fn max_tokens() -> Templated<u32> {
    Templated::Value(1024)
}
