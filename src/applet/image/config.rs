//! What the author of a flow sets on an `image` node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::applet::http_request::Secret;
use crate::applet::llm::Text;
use crate::provider::Provider;
use crate::template::Templated;

/// What the author of a flow sets on an `image` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who draws.
    #[serde(default = "openai")]
    pub provider: Templated<Painter>,
    /// The model's name, passed on as it is: up to 200 characters. Without one the first of the provider's models in
    /// the catalogue.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub model: Option<String>,
    /// What is drawn: 1 to 10,000 characters. Without it the node's input: a text as it is, of an object the first text
    /// that is not blank of its `prompt`, `text`, `input`, `content` and `message`, otherwise compact JSON. Where that
    /// is blank, a beautiful landscape with mountains and a lake.
    #[serde(default)]
    pub prompt: Option<Text>,
    /// What is kept out of the image: up to 10,000 characters. Only stability takes it.
    #[serde(default)]
    pub negative_prompt: Option<Text>,
    /// Width and height in pixels, `1024x1024`; up to 50 characters. Of stability, what cannot be read so counts as
    /// 1024x1024.
    #[serde(default = "size")]
    #[schemars(length(max = 50))]
    pub size: String,
    /// In which style: up to 500 characters. It is added to the prompt; flux gets it as a field of its own. Empty: none.
    #[serde(default = "style")]
    #[schemars(length(max = 500))]
    pub style: String,
    /// How well, in the provider's words: `standard`, `hd`; up to 50 characters. Only openai takes it.
    #[serde(default = "quality")]
    #[schemars(length(max = 50))]
    pub quality: String,
    /// How many images, 1 to 4. dall-e-3 draws one at a time.
    #[serde(default = "one")]
    pub n: Templated<u32>,
    /// How the provider is asked to hand the images over; the output is the same.
    #[serde(default)]
    pub response_format: ResponseFormat,
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
    /// A merge patch (RFC 7396) on the body of the request, in the words of the provider's API (`steps` and `cfg_scale`
    /// of stability …): objects are merged, null removes. What has a key of its own here (prompt, model, n …) is
    /// refused. Of flux, `endpoint` also is the path that the request goes to.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A provider that draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Painter {
    /// OpenAI.
    Openai,
    /// Stability AI.
    Stability,
    /// Black Forest Labs.
    Flux,
}

impl From<Painter> for Provider {
    fn from(painter: Painter) -> Self {
        match painter {
            Painter::Openai => Self::Openai,
            Painter::Stability => Self::Stability,
            Painter::Flux => Self::Flux,
        }
    }
}

/// How a provider hands images over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Within its answer.
    #[default]
    B64Json,
    /// Behind a URL, from which the service fetches them at once.
    Url,
}

impl ResponseFormat {
    /// As the provider reads it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::B64Json => "b64_json",
            Self::Url => "url",
        }
    }
}

impl Config {
    /// With everything as it is unless set.
    pub(in crate::applet) fn preset(provider: Templated<Painter>, style: String) -> Self {
        Self {
            provider,
            model: None,
            prompt: None,
            negative_prompt: None,
            size: size(),
            style,
            quality: quality(),
            n: one(),
            response_format: ResponseFormat::default(),
            api_key: None,
            base_url: None,
            headers: Map::new(),
            extra: Map::new(),
        }
    }
}

fn openai() -> Templated<Painter> {
    Templated::Value(Painter::Openai)
}

fn size() -> String {
    "1024x1024".to_owned()
}

/// The style where none is set.
pub(in crate::applet) fn style() -> String {
    "photorealistic".to_owned()
}

fn quality() -> String {
    "standard".to_owned()
}

fn one() -> Templated<u32> {
    Templated::Value(1)
}
