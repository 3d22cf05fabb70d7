//! Ollama's own API.
//!
//! <https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion>

use serde_json::{Value, json};

use super::Reading;
use crate::llm::{Failure, Format, Request, Role};

pub(super) fn body(request: &Request) -> Value {
    let messages: Vec<Value> = request
        .messages
        .iter()
        .map(|message| {
            let role = match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            };
            json!({"role": role, "content": message.content})
        })
        .collect();
    let sampling = &request.sampling;
    let mut options = json!({"num_predict": sampling.max_tokens});
    if let Some(temperature) = sampling.temperature {
        options["temperature"] = json!(temperature);
    }
    if let Some(top_p) = sampling.top_p {
        options["top_p"] = json!(top_p);
    }
    if !sampling.stop.is_empty() {
        options["stop"] = json!(sampling.stop);
    }
    let mut body = json!({
        "model": request.model,
        "messages": messages,
        "stream": true,
        "options": options,
    });
    match &request.format {
        Format::Text => {}
        Format::Json => body["format"] = json!("json"),
        Format::Schema(schema) => body["format"] = schema.clone(),
    }
    body
}

pub(super) fn take(frame: &Value, reading: &mut Reading) -> Result<(), Failure> {
    reading.name_model(frame.get("model"));
    reading.push(frame["message"].get("content"))?;
    if frame["done"] == true {
        reading.count(frame.get("prompt_eval_count"), frame.get("eval_count"));
        let reason = frame["done_reason"].as_str().unwrap_or("stop");
        reading.is_truncated = reason == "length";
        reading.end(reason);
        reading.is_finished = true;
    }
    Ok(())
}
