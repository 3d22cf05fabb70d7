//! The predecessor's own templates, imported as they are, do what their texts promise: against local servers that
//! speak as the providers do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use synapps::proto::{ImportFlowRequest, ReadPayloadRequest, Run, RunState};

use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

const CHATBOT: &str = include_str!("../conformance/predecessor-flows/chatbot-memory.json");
const PIPELINE: &str =
    include_str!("../conformance/predecessor-flows/content-engine-pipeline.yaml");
const STORY: &str = include_str!("../conformance/predecessor-flows/illustrated-story.json");

const OPENAI: &str = "/v1/chat/completions";
const OLLAMA: &str = "/api/chat";
const STABILITY: &str = "/v1/generation/stable-diffusion-xl-1024-v1-0/text-to-image";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\nnot much of an image";

/// A server whose providers are all at `bin`.
async fn server(bin: &HttpBin) -> TestServer {
    TestServer::builder()
        .flag("--openai-api-key=sk-of-this-server")
        .flag(&format!("--openai-base-url={}", bin.url("/v1")))
        .flag("--stability-api-key=sk-of-images")
        .flag(&format!("--stability-base-url={}", bin.url("")))
        .start()
        .await
}

async fn import(server: &TestServer, document: &str) -> String {
    let request = ImportFlowRequest {
        document: document.to_owned(),
        ..ImportFlowRequest::default()
    };
    let answer = server.flows().import_flow(request).await.unwrap();
    answer.into_inner().flow.unwrap().id
}

async fn run(server: &TestServer, flow_id: &str, input: &Value) -> Run {
    let run_id = server.start(flow_id, input).await;
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    run
}

fn result(run: &Run, node: &str) -> Value {
    wire::json(run.results.get(node))
}

/// A stream of `OpenAI` that says this.
fn says(text: &str) -> Answer {
    let mut body = String::new();
    for word in text.split_inclusive(' ') {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [
            {"index": 0, "delta": {"content": word}, "finish_reason": null},
        ]});
        body.extend(["data: ".to_owned(), chunk.to_string(), "\n\n".to_owned()]);
    }
    let last = json!({"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"id": "c", "model": "gpt-4o", "choices": [], "usage":
        {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}});
    for last in [last.to_string(), usage.to_string(), "[DONE]".to_owned()] {
        body.extend(["data: ", &last, "\n\n"]);
    }
    Answer::status(200)
        .header("content-type", "text/event-stream")
        .body(body)
}

/// What the server was asked at a path, as JSON.
fn asked(bin: &HttpBin, path: &str) -> Vec<Value> {
    let seen = bin.seen().into_iter().filter(|seen| seen.path == path);
    seen.map(|seen| serde_json::from_slice(&seen.body).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chatbot_answers_the_question_and_knows_what_it_said_before() {
    let bin = HttpBin::start().await;
    let server = server(&bin).await;
    let flow = import(&server, CHATBOT).await;

    bin.answer(OPENAI, says("Nice to meet you, Ada."));
    let first = run(&server, &flow, &json!({"message": "I am Ada."})).await;
    bin.answer(OPENAI, says("You are Ada."));
    run(&server, &flow, &json!("Who am I?")).await;

    assert_eq!(
        result(&first, "memory-retrieve"),
        json!({"status": "not_found"})
    );
    assert_eq!(result(&first, "memory-store")["status"], "stored");
    assert_eq!(first.usage.unwrap().input_tokens, 20);
    let asked = asked(&bin, OPENAI);
    let said = |request: &Value| request["messages"].to_string();
    assert!(said(&asked[0]).contains("friendly and helpful assistant"));
    assert_eq!(
        asked[0]["messages"].as_array().unwrap().last().unwrap()["content"],
        "I am Ada."
    );
    assert!(
        said(&asked[1]).contains("Nice to meet you, Ada."),
        "{}",
        asked[1]
    );
    assert_eq!(
        asked[1]["messages"].as_array().unwrap().last().unwrap()["content"],
        "Who am I?"
    );
    for request in &asked {
        assert_eq!(request["model"], "gpt-4o");
        assert_eq!(request["temperature"], 0.7);
        assert_eq!(request["max_tokens"], 1000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_is_written_and_then_illustrated() {
    let bin = HttpBin::start().await;
    let server = server(&bin).await;
    let flow = import(&server, STORY).await;
    bin.answer(OPENAI, says("A fox found the moon."));
    let drawn = json!({"artifacts": [{"base64": STANDARD.encode(PNG), "finishReason": "SUCCESS", "seed": 1}]});
    let drawn = Answer::status(200)
        .header("content-type", "application/json")
        .body(drawn.to_string());
    bin.answer(STABILITY, drawn);

    let run = run(&server, &flow, &json!({"prompt": "a fox and the moon"})).await;

    let story = asked(&bin, OPENAI).remove(0);
    assert_eq!(story["messages"][1]["content"], "a fox and the moon");
    assert!(
        story["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("creative storyteller")
    );
    let image = asked(&bin, STABILITY).remove(0);
    let prompt = image["text_prompts"][0]["text"].as_str().unwrap();
    assert!(
        prompt.contains("A fox found the moon.") && prompt.contains("digital art"),
        "{prompt}"
    );
    let output = wire::json(run.output.as_ref());
    assert_eq!(output["generator"], "stability");
    assert_eq!(output["image"]["media_type"], "image/png");
    let request = ReadPayloadRequest {
        run_id: run.run_id.clone(),
        r#ref: output["image"]["ref"].as_str().unwrap().to_owned(),
    };
    let mut pieces = server
        .runs()
        .read_payload(request)
        .await
        .unwrap()
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.message().await.unwrap() {
        bytes.extend_from_slice(&piece.data);
    }
    assert_eq!(bytes, PNG);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_engine_fetches_summarizes_formats_and_keeps_an_article() {
    let bin = HttpBin::start().await;
    let server = server(&bin).await;
    // The model is on this machine, at the port that was free.
    let flow = import(
        &server,
        &PIPELINE.replace("http://localhost:11434", &bin.url("")),
    )
    .await;
    let source = json!({"title": "Rust 1.95", "body": "It is out."});
    let answer = Answer::status(200)
        .header("content-type", "application/json")
        .body(source.to_string());
    bin.answer("/article", answer);
    let lines = [
        json!({"model": "llama3.1", "message": {"role": "assistant", "content": "- Rust "}, "done": false}),
        json!({"model": "llama3.1", "message": {"role": "assistant", "content": "is out"}, "done": false}),
        json!({"model": "llama3.1", "message": {"role": "assistant", "content": ""}, "done": true,
               "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 4}),
    ];
    let lines: String = lines
        .iter()
        .flat_map(|line| [line.to_string(), "\n".to_owned()])
        .collect();
    let answer = Answer::status(200).header("content-type", "application/x-ndjson");
    bin.answer(OLLAMA, answer.body(lines));

    let input = json!({"topic": "Rust", "url": bin.url("/article")});
    let run = run(&server, &flow, &input).await;

    let asked = asked(&bin, OLLAMA).remove(0);
    assert_eq!(asked["model"], "llama3.1");
    assert!(
        asked["messages"][1]["content"]
            .as_str()
            .unwrap()
            .contains("It is out."),
        "{asked}"
    );
    let article = result(&run, "format");
    assert_eq!(article["title"], "Rust");
    assert_eq!(article["source_url"], input["url"]);
    assert!(
        article["content"]
            .as_str()
            .unwrap()
            .contains("## Summary\n\n- Rust is out"),
        "{article}"
    );
    let stored = json!({"key": "content-engine-article", "status": "stored", "namespace": "content-engine",
                        "backend": "postgres"});
    assert_eq!(result(&run, "store"), stored);
    assert_eq!(wire::json(run.output.as_ref()), stored);
    assert_eq!(run.usage.unwrap().output_tokens, 4);
}
