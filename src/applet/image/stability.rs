//! Stability AI: `POST {base}/v1/generation/{model}/text-to-image`.

use serde_json::{Value, json};

use super::order::Order;
use super::wire::{self, Answer, Composed, Images};
use crate::llm::{Failure, Reason};
use crate::provider::Route;

/// Width and height where the size cannot be read.
const USUAL_SIDE: u32 = 1024;

/// Styles that the provider knows by name, beside what the prompt says.
const PRESETS: [&str; 17] = [
    "3d-model",
    "analog-film",
    "anime",
    "cinematic",
    "comic-book",
    "digital-art",
    "enhance",
    "fantasy-art",
    "isometric",
    "line-art",
    "low-poly",
    "modeling-compound",
    "neon-punk",
    "origami",
    "photographic",
    "pixel-art",
    "tile-texture",
];

/// The request for an order.
pub(super) fn compose(order: &Order, route: &Route) -> Result<Composed, Failure> {
    let mut prompts = vec![json!({"text": order.styled_prompt(), "weight": 1})];
    if !order.negative_prompt.is_empty() {
        prompts.push(json!({"text": order.negative_prompt, "weight": -1}));
    }
    let (width, height) = sides(&order.size);
    let mut body = json!({
        "text_prompts": prompts,
        "cfg_scale": 7,
        "steps": 30,
        "samples": order.n,
        "width": width,
        "height": height,
    });
    if let Some(preset) = preset(&order.style) {
        body["style_preset"] = preset.into();
    }
    // The name of a model is a part of the path, and may be anything.
    let mut url = route.base_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        let parts = ["v1", "generation", &order.model, "text-to-image"];
        path.pop_if_empty().extend(parts);
    }
    Ok(Composed {
        url,
        body,
        credentials: wire::credentials(route, None)?,
    })
}

/// What an answer says. Of several images those that were filtered are missing.
pub(super) fn read(body: &Value) -> Result<Answer, Failure> {
    let artifacts = body["artifacts"]
        .as_array()
        .ok_or_else(|| wire::malformed("holds no list of artifacts"))?;
    let mut images = Images::default();
    let mut filtered = 0;
    for artifact in artifacts {
        match artifact["finishReason"].as_str() {
            Some("CONTENT_FILTERED") => filtered += 1,
            Some("ERROR") => {}
            _ => {
                let text = artifact["base64"].as_str();
                let text = text.ok_or_else(|| wire::malformed("has an artifact without base64"))?;
                images.pictures.push(wire::picture(text)?);
            }
        }
    }
    if images.pictures.is_empty() && filtered > 0 {
        let message = "the provider has drawn, and keeps the images back for what is on them";
        return Err(Failure::new(Reason::ContentFiltered, message));
    }
    Ok(Answer::Images(images))
}

pub(super) fn sides(size: &str) -> (u32, u32) {
    let read = || {
        let (width, height) = size.split_once(['x', 'X', '×'])?;
        let side = |text: &str| text.trim().parse().ok().filter(|side| *side > 0);
        Some((side(width)?, side(height)?))
    };
    read().unwrap_or((USUAL_SIDE, USUAL_SIDE))
}

fn preset(style: &str) -> Option<&'static str> {
    let style = style.to_lowercase().replace([' ', '_'], "-");
    let style = match style.as_str() {
        "photorealistic" => "photographic",
        other => other,
    };
    PRESETS.into_iter().find(|preset| *preset == style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_read_are_the_usual_one() {
        assert_eq!(sides("512x768"), (512, 768));
        assert_eq!(sides(" 512 X 768 "), (512, 768));
        for odd in ["large", "", "0x5", "5", "-1x5", "99999999999x1"] {
            assert_eq!(sides(odd), (1024, 1024), "{odd}");
        }
    }

    #[test]
    fn styles_with_a_name_there_are_told_by_it() {
        assert_eq!(preset("Digital Art"), Some("digital-art"));
        assert_eq!(preset("photorealistic"), Some("photographic"));
        assert_eq!(preset("like my aunt"), None);
    }
}
