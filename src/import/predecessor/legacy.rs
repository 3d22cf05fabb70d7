//! `writer` and `artist`, the predecessor's first applets.
//!
//! They are presets here, with the few keys that they had. A node with more keys than those becomes the `llm` or `image`
//! node that the predecessor itself made of it, with the same defaults.

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use crate::import::notes::{Notes, Place};

/// Keys of a `writer` and of an `artist`, and those that say nothing of what they do.
const OF_WRITER: &[&str] = &["system_prompt", "systemPrompt"];
const OF_ARTIST: &[&str] = &["generator", "image_generator", "imageGenerator", "style"];
const OF_ANY: &[&str] = &["position", "description", "icon", "color"];

/// The kind that a node becomes, with what its `data` must say then.
pub(super) fn settle(
    kind: Kind,
    data: &mut Map<String, Value>,
    place: &Place,
    notes: &mut Notes,
) -> Kind {
    let keys = match kind {
        Kind::Writer => OF_WRITER,
        Kind::Artist => OF_ARTIST,
        other => return other,
    };
    data.remove("legacy_applet");
    data.remove("migration_source");
    let is_known = |key: &String| keys.contains(&key.as_str()) || OF_ANY.contains(&key.as_str());
    if data.keys().all(is_known) {
        return kind;
    }
    let (becomes, defaults) = if kind == Kind::Writer {
        let defaults = json!({
            "provider": "openai", "model": "gpt-4o", "temperature": 0.7, "max_tokens": 1000,
        });
        (Kind::Llm, defaults)
    } else {
        (Kind::Image, image_defaults(data))
    };
    if let Value::Object(defaults) = defaults {
        for (key, value) in defaults {
            let camel = match key.as_str() {
                "max_tokens" => "maxTokens",
                other => other,
            };
            if !data.contains_key(camel) {
                data.entry(key).or_insert(value);
            }
        }
    }
    let description = format!(
        "has keys that {:?} does not have: it is {:?} here, with the defaults that the predecessor gave it",
        kind.name(),
        becomes.name()
    );
    notes.add(place, "KIND_CHANGED", description);
    becomes
}

/// What the predecessor meant a `generator` to decide.
fn image_defaults(data: &mut Map<String, Value>) -> Value {
    let generator = OF_ARTIST[..3]
        .iter()
        .filter_map(|key| data.remove(*key))
        .find_map(|value| value.as_str().map(str::to_lowercase))
        .unwrap_or_default();
    let named = data.get("provider").and_then(Value::as_str);
    let provider = match named.unwrap_or(&generator).trim() {
        name if name.contains("openai") || name.contains("dall") => "openai",
        name if name.contains("flux") => "flux",
        _ => "stability",
    };
    let model = match provider {
        "openai" => "dall-e-3",
        "flux" => "flux-1.1-pro",
        _ => "stable-diffusion-xl-1024-v1-0",
    };
    json!({
        "provider": provider, "model": model, "size": "1024x1024", "style": "photorealistic", "quality": "standard",
        "n": 1,
    })
}
