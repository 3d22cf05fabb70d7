//! OpenAI's chat completions, which many servers speak.
//!
//! <https://platform.openai.com/docs/api-reference/chat>

use serde_json::{Value, json};

use super::Reading;
use crate::llm::{Failure, Format, Request, Role};
use crate::provider::Provider;

/// What a request whose answer is to fit a schema calls it.
const SCHEMA_NAME: &str = "structured_response";

pub(super) fn body(request: &Request, provider: Provider) -> Value {
    let mut messages: Vec<Value> = request
        .messages
        .iter()
        .map(|message| json!({"role": role(message.role), "content": message.content}))
        .collect();
    let sampling = &request.sampling;
    // Models that reason refuse the older name.
    let reasons = provider == Provider::Openai && is_reasoning(&request.model);
    let max_tokens = if reasons {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    let mut body = json!({
        "model": request.model,
        "stream": true,
        "stream_options": {"include_usage": true},
        max_tokens: sampling.max_tokens,
    });
    // Nor do they take these.
    if !reasons {
        if let Some(temperature) = sampling.temperature {
            body["temperature"] = json!(temperature);
        }
        if let Some(top_p) = sampling.top_p {
            body["top_p"] = json!(top_p);
        }
    }
    if !sampling.stop.is_empty() {
        body["stop"] = json!(sampling.stop);
    }
    match &request.format {
        Format::Text => {}
        Format::Json => {
            body["response_format"] = json!({"type": "json_object"});
            // OpenAI refuses the mode unless a message speaks of JSON.
            let speaks = request.messages.iter().any(|message| {
                let content = message.content.as_bytes();
                content
                    .windows(4)
                    .any(|word| word.eq_ignore_ascii_case(b"json"))
            });
            if !speaks {
                let instruction = crate::llm::json::instruction(None);
                messages.insert(0, json!({"role": "system", "content": instruction}));
            }
        }
        Format::Schema(schema) => {
            let schema = json!({"name": SCHEMA_NAME, "schema": schema});
            body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
        }
    }
    body["messages"] = Value::Array(messages);
    body
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

/// Whether OpenAI's model reasons unseen before it answers: the o series and GPT-5.
fn is_reasoning(model: &str) -> bool {
    let series = model
        .strip_prefix('o')
        .and_then(|rest| rest.chars().next())
        .is_some_and(|next| next.is_ascii_digit());
    series || (model.starts_with("gpt-5") && !model.contains("chat"))
}

pub(super) fn take(frame: &Value, reading: &mut Reading) -> Result<(), Failure> {
    reading.name_model(frame.get("model"));
    if let Some(usage) = frame.get("usage") {
        reading.count(usage.get("prompt_tokens"), usage.get("completion_tokens"));
    }
    let Some(choice) = frame.get("choices").and_then(|choices| choices.get(0)) else {
        return Ok(());
    };
    // A server that does not stream answers with the message as a whole.
    let piece = choice.get("delta").or_else(|| choice.get("message"));
    if let Some(piece) = piece {
        reading.push(piece.get("content"))?;
        if let Some(refusal) = piece.get("refusal").and_then(Value::as_str) {
            reading.refuse(refusal);
        }
    }
    if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
        match reason {
            "length" => reading.is_truncated = true,
            "content_filter" => reading.refuse("content_filter"),
            _ => {}
        }
        reading.end(reason);
    }
    Ok(())
}
