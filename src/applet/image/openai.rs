//! OpenAI: `POST {base}/images/generations`, and whoever speaks like it.

use serde_json::{Value, json};

use super::order::Order;
use super::wire::{self, Answer, Composed, Images};
use crate::llm::Failure;
use crate::provider::Route;

/// The request for an order.
pub(super) fn compose(order: &Order, route: &Route) -> Result<Composed, Failure> {
    let mut body = json!({
        "model": order.model,
        "prompt": order.styled_prompt(),
        "n": if order.model == "dall-e-3" { 1 } else { order.n },
    });
    if !order.size.is_empty() {
        body["size"] = order.size.as_str().into();
    }
    // The later models always answer within, refuse to be asked how, and have other words for quality.
    let is_later = order.model.starts_with("gpt-image") || order.model.starts_with("chatgpt-image");
    if !is_later {
        body["response_format"] = order.response_format.name().into();
    }
    let knows_quality = !is_later || order.quality != "standard";
    if knows_quality && !order.quality.is_empty() {
        body["quality"] = order.quality.as_str().into();
    }
    Ok(Composed {
        url: route.url("images/generations"),
        body,
        credentials: wire::credentials(route, None)?,
    })
}

/// What an answer says.
pub(super) fn read(body: &Value) -> Result<Answer, Failure> {
    let items = body["data"]
        .as_array()
        .ok_or_else(|| wire::malformed("holds no list of images"))?;
    let mut images = Images {
        tokens: wire::tokens(body),
        ..Images::default()
    };
    for item in items {
        let text = item["b64_json"].as_str().or_else(|| item["url"].as_str());
        let text = text.ok_or_else(|| wire::malformed("has an image without content and URL"))?;
        images.pictures.push(wire::picture(text)?);
        let revised = item["revised_prompt"].as_str();
        images.revised_prompt = images.revised_prompt.or_else(|| revised.map(str::to_owned));
    }
    Ok(Answer::Images(images))
}
