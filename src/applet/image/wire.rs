//! What the providers' APIs have in common: a JSON body goes out, and images come back as base64 or behind URLs.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::order::Order;
use super::{flux, openai, stability};
use crate::llm::{Failure, Reason, Tokens};
use crate::provider::{Provider, Route};

/// Fields of bodies that configs have keys of their own for.
pub(super) const OWN_KEYS: [&str; 8] = [
    "model",
    "prompt",
    "text_prompts",
    "n",
    "samples",
    "size",
    "quality",
    "response_format",
];

/// The most images that are taken from one answer; more than were asked for are not.
const MAX_IMAGES: usize = 4;

/// A request, but for headers that all have.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) url: Url,
    pub(super) body: Value,
    /// Those that say who is asking.
    pub(super) credentials: HeaderMap,
}

/// What an answer brings.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Images.
    Images(Images),
    /// A place where they will be.
    Later(Url),
    /// Not yet what will be there.
    Pending,
}

/// Images, at least one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Images {
    pub(super) pictures: Vec<Picture>,
    /// What the provider made of the prompt.
    pub(super) revised_prompt: Option<String>,
    /// What was used, as far as the provider says.
    pub(super) tokens: Option<Tokens>,
}

/// One image.
#[derive(Debug, PartialEq)]
pub(super) enum Picture {
    /// Here it is.
    Content(Bytes),
    /// There it is.
    At(Url),
}

/// The request for an order.
pub(super) fn compose(order: &Order, route: &Route) -> Result<Composed, Failure> {
    let mut composed = match order.provider {
        Provider::Stability => stability::compose(order, route)?,
        Provider::Flux => flux::compose(order, route)?,
        _ => openai::compose(order, route)?,
    };
    patch(&mut composed.body, &order.extra);
    Ok(composed)
}

/// What an answer of 200 says.
pub(super) fn read(provider: Provider, body: &Value) -> Result<Answer, Failure> {
    let answer = match provider {
        Provider::Stability => stability::read(body)?,
        Provider::Flux => flux::read(body)?,
        _ => openai::read(body)?,
    };
    Ok(match answer {
        Answer::Images(mut images) => {
            if images.pictures.is_empty() {
                return Err(malformed("holds no image"));
            }
            images.pictures.truncate(MAX_IMAGES);
            Answer::Images(images)
        }
        other => other,
    })
}

/// `Authorization: Bearer …`, or another header with the key alone.
pub(super) fn credentials(route: &Route, header: Option<HeaderName>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let Some(key) = &route.key else {
        return Ok(headers);
    };
    let (name, text) = match header {
        Some(name) => (name, key.expose().to_owned()),
        None => (
            http::header::AUTHORIZATION,
            format!("Bearer {}", key.expose()),
        ),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        let message = "the key holds a line break or a control character";
        Failure::new(Reason::AuthenticationFailed, message)
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

/// An image of an answer: base64, a URL of data, or a URL to fetch it from.
pub(super) fn picture(text: &str) -> Result<Picture, Failure> {
    if let Some(data) = text.strip_prefix("data:") {
        let content = data.split_once(";base64,").map(|(_, content)| content);
        let content = content.ok_or_else(|| malformed("has an image that is not base64"))?;
        return Ok(Picture::Content(decode(content)?));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        let url = text
            .parse()
            .map_err(|_| malformed("has a URL that is none"))?;
        return Ok(Picture::At(url));
    }
    Ok(Picture::Content(decode(text)?))
}

/// Whether a text is a path below a base URL.
pub(super) fn is_path(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    let path = text.trim_matches('/');
    !path.is_empty() && path.bytes().all(is_known) && path.split('/').all(|part| part != "..")
}

/// The answer is not what the provider's API answers.
pub(super) fn malformed(what: &str) -> Failure {
    Failure::new(
        Reason::AnswerMalformed,
        format!("the provider's answer {what}"),
    )
}

/// What stands before the first image in a text: images have no place in errors.
pub(super) fn before_content(text: &str) -> &str {
    const LONGEST_WORD: usize = 200;
    let mut run = 0;
    for (place, byte) in text.bytes().enumerate() {
        let is_base64 = byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
        run = if is_base64 { run + 1 } else { 0 };
        if run > LONGEST_WORD {
            return &text[..place - LONGEST_WORD];
        }
    }
    text
}

/// Tokens as OpenAI counts them.
pub(super) fn tokens(body: &Value) -> Option<Tokens> {
    let usage = body.get("usage")?;
    Some(Tokens {
        input: usage["input_tokens"].as_u64()?,
        output: usage["output_tokens"].as_u64().unwrap_or(0),
    })
}

/// With or without padding, in either alphabet, broken into lines or not.
fn decode(text: &str) -> Result<Bytes, Failure> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let compact: std::borrow::Cow<'_, str> = if text.bytes().any(|byte| byte.is_ascii_whitespace())
    {
        text.split_ascii_whitespace().collect::<String>().into()
    } else {
        text.into()
    };
    let is_url_safe = compact.bytes().any(|byte| byte == b'-' || byte == b'_');
    let alphabet = if is_url_safe { URL_SAFE } else { STANDARD };
    GeneralPurpose::new(&alphabet, config)
        .decode(compact.as_bytes())
        .map(Bytes::from)
        // The text itself is not told: it is an image.
        .map_err(|_| malformed("has an image that is not base64"))
}

/// A merge patch (RFC 7396).
fn patch(target: &mut Value, changes: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (key, change) in changes {
        match change {
            Value::Null => {
                fields.remove(key);
            }
            Value::Object(changes) => patch(fields.entry(key).or_insert(Value::Null), changes),
            other => {
                fields.insert(key.clone(), other.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn base64_is_read_in_all_its_forms() {
        let content = Picture::Content(Bytes::from_static(&[0xfb, 0xff, 0xfe, 0x01]));
        for text in [
            "+//+AQ==",
            "+//+AQ",
            "-__-AQ==",
            "+//+\nAQ==\n",
            "data:image/png;base64,+//+AQ==",
        ] {
            assert_eq!(picture(text).unwrap(), content, "{text}");
        }
        for wrong in ["!", "A", "data:image/png,x", "ftp://host/x"] {
            let failure = picture(wrong).unwrap_err();
            assert_eq!(failure.reason, Reason::AnswerMalformed, "{wrong}");
        }
    }

    #[test]
    fn a_merge_patch_changes_what_it_names() {
        let mut body = json!({"steps": 30, "seed": 1, "nested": {"a": 1, "b": 2}});
        let changes = json!({"steps": 10, "seed": null, "nested": {"b": {"c": 3}}, "more": []});

        patch(&mut body, changes.as_object().unwrap());

        let expected = json!({"steps": 10, "nested": {"a": 1, "b": {"c": 3}}, "more": []});
        assert_eq!(body, expected);
    }

    #[test]
    fn content_is_not_repeated_in_errors() {
        let text = format!("{{\"b64_json\":\"{}", "iVBORw0KGgo".repeat(50));

        assert_eq!(before_content(&text), "{\"b64_json\":\"");
        assert_eq!(before_content("<html>no</html>"), "<html>no</html>");
    }

    #[test]
    fn a_path_stays_below_its_base() {
        assert!(is_path("images/generations") && is_path("/v1/flux-pro-1.1"));
        for wrong in ["", "/", "../x", "a/../b", "a?b", "a b", "http://x", "a%2e"] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }
}
