//! Anthropic's messages.
//!
//! <https://docs.anthropic.com/en/api/messages-streaming>

use serde_json::{Value, json};

use super::Reading;
use crate::llm::{Failure, Format, Request, Role, json as json_mode};

pub(super) fn body(request: &Request) -> Value {
    let mut system: Vec<&str> = Vec::new();
    let mut messages = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System => {
                system.push(&message.content);
                continue;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        messages.push(json!({"role": role, "content": message.content}));
    }
    // There is no mode for JSON that all its models have.
    let instruction = match &request.format {
        Format::Text => None,
        Format::Json => Some(json_mode::instruction(None)),
        Format::Schema(schema) => Some(json_mode::instruction(Some(schema))),
    };
    system.extend(instruction.as_deref());
    let sampling = &request.sampling;
    let mut body = json!({
        "model": request.model,
        "messages": messages,
        "max_tokens": sampling.max_tokens,
        "stream": true,
    });
    if !system.is_empty() {
        body["system"] = json!(system.join("\n"));
    }
    // Newer models refuse both together; temperatures end at 1 here.
    if let Some(top_p) = sampling.top_p {
        body["top_p"] = json!(top_p);
    } else if let Some(temperature) = sampling.temperature {
        body["temperature"] = json!(temperature.min(1.0));
    }
    if !sampling.stop.is_empty() {
        body["stop_sequences"] = json!(sampling.stop);
    }
    body
}

pub(super) fn take(frame: &Value, reading: &mut Reading) -> Result<(), Failure> {
    match frame["type"].as_str().unwrap_or_default() {
        "message_start" => head(&frame["message"], reading),
        "content_block_start" => reading.push(frame["content_block"].get("text"))?,
        "content_block_delta" => reading.push(frame["delta"].get("text"))?,
        "message_delta" => {
            count(&frame["usage"], reading);
            stop(&frame["delta"], reading);
        }
        "message_stop" => {
            reading.is_whole = true;
            reading.is_finished = true;
        }
        // A server that does not stream answers with the message as a whole.
        "message" => {
            head(frame, reading);
            for block in frame["content"].as_array().into_iter().flatten() {
                reading.push(block.get("text"))?;
            }
            stop(frame, reading);
        }
        // Pings, ends of blocks, and what may be added: the API asks to ignore what is unknown.
        _ => {}
    }
    Ok(())
}

fn head(message: &Value, reading: &mut Reading) {
    reading.name_model(message.get("model"));
    count(&message["usage"], reading);
}

/// What was written to and read from its cache is part of the prompt.
fn count(usage: &Value, reading: &mut Reading) {
    let input = usage["input_tokens"].as_u64().map(|fresh| {
        let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"]
            .iter()
            .filter_map(|key| usage[*key].as_u64());
        Value::from(cached.fold(fresh, u64::saturating_add))
    });
    reading.count(input.as_ref(), usage.get("output_tokens"));
}

fn stop(message: &Value, reading: &mut Reading) {
    let Some(reason) = message["stop_reason"].as_str() else {
        return;
    };
    match reason {
        "max_tokens" | "model_context_window_exceeded" => reading.is_truncated = true,
        "refusal" => reading.refuse("refusal"),
        _ => {}
    }
    reading.end(reason);
}
