//! Each provider is asked in its own words, and its answer becomes output, details and usage.

use serde_json::{Value, json};
use synapps::proto::RunState;

use super::model::{ModelServer, spoken};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

/// Provider, flag and path of its address, path of its API, header of its key.
const PROVIDERS: [(&str, &str, &str, &str); 5] = [
    ("openai", "openai", "/v1/chat/completions", "authorization"),
    ("anthropic", "anthropic", "/v1/messages", "x-api-key"),
    (
        "google",
        "google",
        "/models/the-model:streamGenerateContent?alt=sse",
        "x-goog-api-key",
    ),
    ("ollama", "ollama", "/api/chat", ""),
    (
        "custom",
        "custom-llm",
        "/v1/chat/completions",
        "authorization",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_provider_answers_byte_by_byte() {
    let model = ModelServer::start().await;
    let prices = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        prices.path(),
        r#"{"openai/the-model": {"input": 2, "output": 100}}"#,
    )
    .unwrap();
    let mut builder = TestServer::builder().flag(&format!("--prices={}", prices.path().display()));
    for (_, flag, path, header) in PROVIDERS {
        let base = if path.starts_with("/v1/chat") {
            "/v1"
        } else {
            ""
        };
        builder = builder.flag(&format!("--{flag}-base-url={}", model.url(base)));
        if !header.is_empty() {
            builder = builder.flag(&format!("--{flag}-api-key=key-of-{flag}"));
        }
    }
    let server = builder.start().await;

    for (provider, flag, path, header) in PROVIDERS {
        model.sends(&spoken(path, &["Grüß ", "dich, ", "😀!"]));
        let config = json!({
            "provider": provider, "model": "the-model", "system_prompt": "Greet {{ input.name }}.",
            "user_prompt": "Now, in {{ content.language }}", "messages": "$.before", "max_tokens": 50,
        });
        let before =
            json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]);
        let flow = chain(provider, &[("ask", "llm", config)]);
        let input = json!({"name": "Ada", "language": "German", "before": before});
        let run_id = server.save_and_start(flow, &input).await;

        let run = server.finished_run(&run_id).await;

        assert_eq!(
            run.state(),
            RunState::Succeeded,
            "{provider}: {:?}",
            run.error
        );
        assert_eq!(wire::json(run.output.as_ref()), json!("Grüß dich, 😀!"));
        let usage = run.usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (11, 5));
        let expected_cost = if provider == "openai" { 522 } else { 0 };
        assert_eq!(usage.cost_micro_usd, expected_cost, "{provider}");
        let steps = server.steps(&run_id, "").await;
        let step = steps.iter().find(|step| step.node_id == "ask").unwrap();
        let details = wire::object_of(step.details.as_ref().unwrap());
        assert_eq!(
            (&details["provider"], &details["model"]),
            (&json!(provider), &json!("the-model"))
        );
        assert_eq!(details["answered_by"], "m-1");
        assert!(details["finish_reason"].as_str().unwrap().len() > 3);
        assert_eq!(step.usage.unwrap().output_tokens, 5);

        let seen = model.seen().pop().unwrap();
        assert_eq!(seen.path, path);
        let key = seen
            .headers
            .get(header)
            .map(|value| value.to_str().unwrap());
        let expected_key = format!("key-of-{flag}");
        assert_eq!(
            key.map(|key| key.trim_start_matches("Bearer ")),
            (!header.is_empty()).then_some(&*expected_key)
        );
        assert_eq!(
            texts(&seen.body),
            ["Greet Ada.", "Hi", "Ho", "Now, in German"],
            "{provider}"
        );
    }
}

/// All texts of a conversation, wherever the provider has them.
fn texts(body: &Value) -> Vec<String> {
    let system = body.get("system").cloned();
    let system = system.or_else(|| body.pointer("/systemInstruction/parts/0/text").cloned());
    let messages = body["messages"]
        .as_array()
        .or_else(|| body["contents"].as_array());
    let content = |message: &Value| {
        let content = message
            .get("content")
            .or_else(|| message.pointer("/parts/0/text"));
        content.unwrap().clone()
    };
    let all = system
        .into_iter()
        .chain(messages.unwrap().iter().map(content));
    all.map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_is_a_preset() {
    let model = ModelServer::start().await;
    let server = TestServer::builder()
        .flag(&format!("--openai-base-url={}", model.url("/v1")))
        .flag("--openai-api-key=sk-of-the-server")
        .start()
        .await;
    model.says(&["Once ", "upon"]);
    let config = json!({"system_prompt": "You are a storyteller."});
    let flow = chain("story", &[("write", "writer", config)]);

    let run_id = server
        .save_and_start(flow, &json!({"prompt": "a fox", "text": "not this"}))
        .await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(
        wire::json(run.output.as_ref()),
        json!("Once upon"),
        "{:?}",
        run.error
    );
    let body = model.seen().remove(0).body;
    assert_eq!(
        (&body["model"], &body["temperature"], &body["max_tokens"]),
        (&json!("gpt-4o"), &json!(0.7), &json!(1000))
    );
    assert_eq!(texts(&body), ["You are a storyteller.", "a fox"]);
}
