//! Google's Gemini API.
//!
//! <https://ai.google.dev/api/generate-content>

use serde_json::{Value, json};
use url::Url;

use super::Reading;
use crate::llm::{Failure, Format, Request, Role};
use crate::provider::Route;

pub(super) fn url(route: &Route, model: &str) -> Url {
    let mut url = route.url("");
    let model = model.strip_prefix("models/").unwrap_or(model);
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty();
        path.push("models");
        // Escaped: a model's name is no path.
        path.push(&format!("{model}:streamGenerateContent"));
    }
    url.set_query(Some("alt=sse"));
    url
}

pub(super) fn body(request: &Request) -> Value {
    let mut system: Vec<&str> = Vec::new();
    let mut contents = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System => {
                system.push(&message.content);
                continue;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        contents.push(json!({"role": role, "parts": [{"text": message.content}]}));
    }
    let sampling = &request.sampling;
    let mut config = json!({"maxOutputTokens": sampling.max_tokens});
    if let Some(temperature) = sampling.temperature {
        config["temperature"] = json!(temperature);
    }
    if let Some(top_p) = sampling.top_p {
        config["topP"] = json!(top_p);
    }
    if !sampling.stop.is_empty() {
        config["stopSequences"] = json!(sampling.stop);
    }
    match &request.format {
        Format::Text => {}
        Format::Json => config["responseMimeType"] = json!("application/json"),
        Format::Schema(schema) => {
            config["responseMimeType"] = json!("application/json");
            // `responseSchema` knows only a part of JSON Schema and refuses the rest.
            config["responseJsonSchema"] = schema.clone();
        }
    }
    let mut body = json!({"contents": contents, "generationConfig": config});
    if !system.is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": system.join("\n")}]});
    }
    body
}

pub(super) fn take(frame: &Value, reading: &mut Reading) -> Result<(), Failure> {
    reading.name_model(frame.get("modelVersion"));
    if let Some(usage) = frame.get("usageMetadata") {
        let thoughts = usage["thoughtsTokenCount"].as_u64().unwrap_or(0);
        let output = usage["candidatesTokenCount"]
            .as_u64()
            .map(|seen| Value::from(seen.saturating_add(thoughts)));
        reading.count(usage.get("promptTokenCount"), output.as_ref());
    }
    if let Some(reason) = frame["promptFeedback"]["blockReason"].as_str() {
        reading.refuse(reason);
    }
    let candidate = &frame["candidates"][0];
    let parts = candidate["content"]["parts"].as_array();
    for part in parts.into_iter().flatten() {
        if part["thought"] != true {
            reading.push(part.get("text"))?;
        }
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        match reason {
            "MAX_TOKENS" => reading.is_truncated = true,
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => {
                reading.refuse(reason);
            }
            _ => {}
        }
        reading.end(reason);
    }
    Ok(())
}
