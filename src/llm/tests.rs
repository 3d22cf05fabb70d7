//! Calls against what providers send, to the byte.

mod bodies;
mod http;
mod streams;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ::bytes::Bytes;
use ::http::{HeaderMap, Response};
use ::http_body_util::StreamBody;
use futures_util::stream;
use http_body::Frame;
use serde_json::{Map, Value, json};

use super::wire::Reading;
use super::*;
use crate::config;
use crate::egress::Egress;
use crate::provider::{Chosen, Provider, Providers};

/// An answer in the words of each provider: `Héllo, wörld 😀!`, 12 tokens for 7.
fn transcript(provider: Provider) -> String {
    let lines: &[&str] = match provider {
        Provider::Anthropic => &[
            "event: message_start",
            r#"data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"claude-x","stop_reason":null,"usage":{"input_tokens":10,"cache_read_input_tokens":2,"output_tokens":1}}}"#,
            "",
            "event: content_block_start",
            r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            "",
            "event: ping",
            r#"data: {"type": "ping"}"#,
            "",
            "event: content_block_delta",
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Héllo, "}}"#,
            "",
            "event: content_block_delta",
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"wörld 😀!"}}"#,
            "",
            "event: content_block_stop",
            r#"data: {"type":"content_block_stop","index":0}"#,
            "",
            "event: message_delta",
            r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}"#,
            "",
            "event: message_stop",
            r#"data: {"type":"message_stop"}"#,
            "",
            "",
        ],
        Provider::Google => &[
            r#"data: {"candidates":[{"content":{"parts":[{"text":"unseen","thought":true},{"text":"Héllo, "}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":2,"thoughtsTokenCount":3},"modelVersion":"gemini-x"}"#,
            "",
            r#"data: {"candidates":[{"content":{"parts":[{"text":"wörld 😀!"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":19}}"#,
            "",
            "",
        ],
        Provider::Ollama => &[
            r#"{"model":"llama-x","created_at":"2026","message":{"role":"assistant","content":"Héllo, "},"done":false}"#,
            r#"{"model":"llama-x","message":{"role":"assistant","content":"wörld 😀!"},"done":false}"#,
            r#"{"model":"llama-x","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":7}"#,
            "",
        ],
        _ => &[
            ": keep-alive",
            "",
            r#"data: {"id":"c","object":"chat.completion.chunk","model":"gpt-x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            "",
            r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"Héllo, "},"finish_reason":null}]}"#,
            "",
            r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"wörld 😀!"},"finish_reason":null}]}"#,
            "",
            r#"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            "",
            r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19}}"#,
            "",
            "data: [DONE]",
            "",
            "",
        ],
    };
    lines.join("\n")
}

/// The text of every [`transcript`].
const TEXT: &str = "Héllo, wörld 😀!";

fn content_type(provider: Provider) -> &'static str {
    match provider {
        Provider::Ollama => "application/x-ndjson",
        _ => "text/event-stream; charset=utf-8",
    }
}

fn route(provider: Provider, base_url: &str) -> Route {
    // Trusted certificates are read with it, which takes a while.
    static PROVIDERS: LazyLock<Providers> =
        LazyLock::new(|| Providers::new(&config::Providers::default()).unwrap());
    let chosen = Chosen {
        api_key: Some("sk-test-key"),
        base_url: Some(base_url),
        has_credentials: false,
    };
    PROVIDERS.route(provider, chosen).unwrap()
}

fn request() -> Request {
    Request {
        model: "some-model".to_owned(),
        messages: vec![
            Message {
                role: Role::System,
                content: "Be kind.".to_owned(),
            },
            Message {
                role: Role::User,
                content: "Greet me".to_owned(),
            },
        ],
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: None,
            max_tokens: 64,
            stop: Vec::new(),
        },
        format: Format::Text,
        extra: Map::new(),
    }
}

/// Reads an answer that comes in these pieces, and what was said of it meanwhile.
async fn read(
    provider: Provider,
    status: u16,
    content_type: &str,
    pieces: Vec<Result<Bytes, std::io::Error>>,
) -> (Result<Answer, Failure>, String) {
    static EGRESS: LazyLock<Egress> = LazyLock::new(|| Egress::trusted().unwrap());
    let frames = pieces.into_iter().map(|piece| piece.map(Frame::data));
    let body = reqwest::Body::wrap(StreamBody::new(stream::iter(frames)));
    let response = Response::builder().status(status);
    let response = response
        .header("content-type", content_type)
        .body(body)
        .unwrap();
    let route = route(provider, "http://127.0.0.1:9/v1");
    let client = EGRESS.client(&route.base_url).unwrap();
    let (request, headers) = (request(), HeaderMap::new());
    let call = Call {
        client: &client,
        route: &route,
        request: &request,
        headers: &headers,
        idempotency_key: "key",
        redactor: &Redactor::default(),
        deadline: Instant::now() + Duration::from_secs(10),
    };
    let mut reading = Reading::default();
    let mut said = String::new();
    let outcome = exchange::read(call, response.into(), &mut reading, &mut |text: &str| {
        said.push_str(text);
    })
    .await;
    let outcome = match outcome {
        Err(_) if reading.is_whole => Ok(()),
        outcome => outcome,
    };
    let outcome = outcome.and_then(|()| reading.check_end());
    let outcome = outcome.map_err(|failure| failure.shown(call.redactor));
    (outcome.map(|()| reading.into_answer()), said)
}

fn whole(body: &str) -> Vec<Result<Bytes, std::io::Error>> {
    vec![Ok(Bytes::copy_from_slice(body.as_bytes()))]
}

fn lost() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionReset)
}

fn format(schema: Option<Value>) -> Format {
    schema.map_or(Format::Json, Format::Schema)
}

fn schema() -> Value {
    json!({"type": "object", "required": ["a"]})
}
