//! Black Forest Labs: its own API, where an order is answered by a place to ask again, and servers in between, which
//! speak like OpenAI.
//!
//! The predecessor asked `{base}/images/generations` at whatever base; that path, or the one that `extra.endpoint`
//! names, is asked everywhere but at the provider itself, which has none such.

use http::HeaderName;
use serde_json::{Value, json};
use url::Url;

use super::order::Order;
use super::wire::{self, Answer, Composed, Images};
use super::{openai, stability};
use crate::llm::{Failure, Reason};
use crate::provider::Route;

/// The provider's own domain, which its servers' names end with.
const DOMAIN: &str = "bfl.ai";
/// The header that its key goes into.
const KEY: HeaderName = HeaderName::from_static("x-key");

/// The request for an order.
pub(super) fn compose(order: &Order, route: &Route) -> Result<Composed, Failure> {
    let endpoint = order.extra.get("endpoint").and_then(Value::as_str);
    if is_own(&route.base_url) && endpoint.is_none() {
        return own(order, route);
    }
    let mut body = json!({
        "model": order.model,
        "prompt": order.prompt,
        "n": order.n,
        "response_format": order.response_format.name(),
    });
    if !order.size.is_empty() {
        body["size"] = order.size.as_str().into();
    }
    if !order.style.is_empty() {
        body["style"] = order.style.as_str().into();
    }
    let path = endpoint.unwrap_or("images/generations");
    let mut credentials = wire::credentials(route, None)?;
    if is_own(&route.base_url) {
        credentials.extend(wire::credentials(route, Some(KEY))?);
    }
    Ok(Composed {
        url: route.url(path.trim_matches('/')),
        body,
        credentials,
    })
}

fn own(order: &Order, route: &Route) -> Result<Composed, Failure> {
    let (width, height) = stability::sides(&order.size);
    // The names that the predecessor had for them.
    let model = match order.model.as_str() {
        "flux-1.1-pro" => "flux-pro-1.1",
        "flux-1-dev" => "flux-dev",
        other => other,
    };
    let mut url = route.base_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(model);
    }
    Ok(Composed {
        url,
        body: json!({"prompt": order.styled_prompt(), "width": width, "height": height}),
        credentials: wire::credentials(route, Some(KEY))?,
    })
}

/// What an answer says, to an order or to asking again.
pub(super) fn read(body: &Value) -> Result<Answer, Failure> {
    if let Some(sample) = body["result"]["sample"].as_str() {
        let pictures = vec![wire::picture(sample)?];
        return Ok(Answer::Images(Images {
            pictures,
            ..Images::default()
        }));
    }
    if let Some(url) = body["polling_url"].as_str() {
        let url = url
            .parse()
            .map_err(|_| wire::malformed("has a polling_url that is none"))?;
        return Ok(Answer::Later(url));
    }
    if let Some(status) = body["status"].as_str() {
        return match status {
            "Pending" | "Queued" | "Processing" => Ok(Answer::Pending),
            "Request Moderated" | "Content Moderated" => {
                let message = "the provider refuses to draw this, or to hand it over";
                Err(Failure::new(Reason::ContentFiltered, message))
            }
            _ => {
                let message = "the provider has not drawn what was ordered";
                Err(Failure::new(Reason::ProviderUnavailable, message).with_answer(status))
            }
        };
    }
    if let Some(list) = body["images"].as_array() {
        let mut images = Images::default();
        for item in list {
            let text = item.as_str().or_else(|| item["url"].as_str());
            let text = text.ok_or_else(|| wire::malformed("has an image without a URL"))?;
            images.pictures.push(wire::picture(text)?);
        }
        return Ok(Answer::Images(images));
    }
    openai::read(body)
}

/// Whether the key may go to the place that an answer named for asking again.
pub(super) fn may_have_key(base_url: &Url, place: &Url) -> bool {
    let both_its_own = is_own(base_url) && is_own(place);
    base_url.origin() == place.origin() || both_its_own
}

fn is_own(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_below = host
        .strip_suffix(DOMAIN)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    url.scheme() == "https" && is_below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_with_the_provider() {
        let may =
            |base: &str, place: &str| may_have_key(&base.parse().unwrap(), &place.parse().unwrap());

        assert!(may(
            "https://api.bfl.ai/v1",
            "https://api.us1.bfl.ai/v1/get"
        ));
        assert!(may("http://127.0.0.1:9/v1", "http://127.0.0.1:9/get"));
        assert!(!may("https://api.bfl.ai/v1", "https://evil.example/get"));
        assert!(!may("https://api.bfl.ai/v1", "https://evilbfl.ai/get"));
        assert!(!may("https://api.bfl.ai/v1", "http://api.bfl.ai/get"));
        assert!(!may("http://127.0.0.1:9/v1", "http://127.0.0.1:8/get"));
    }
}
