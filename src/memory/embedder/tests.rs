use std::time::Duration;

use serde_json::json;

use super::*;
use crate::egress::test_server::{Reply, Seen, TestServer};

fn embedder(server: &TestServer, form: Form, path: &str, dimensions: Option<u16>) -> Embedder {
    let settings = Settings {
        form,
        base_url: format!("http://{}{path}", server.address).parse().unwrap(),
        model: "model".to_owned(),
        api_key: Some(Secret::new("its-key")),
        dimensions,
    };
    Embedder::new(settings, Egress::trusted().unwrap())
}

async fn embed(embedder: &Embedder, text: &str) -> Result<Vector, Error> {
    let deadline = Instant::now() + Duration::from_secs(10);
    embedder
        .embed(text, deadline, &CancellationToken::new())
        .await
}

fn body(seen: &Seen) -> Value {
    serde_json::from_str(&seen.body).unwrap()
}

#[tokio::test]
async fn openai_is_asked_in_its_form() {
    let answer = |_: &Seen| Reply::ok(r#"{"data": [{"embedding": [0.5, -1, 2e-3]}]}"#);
    let server = TestServer::start(answer).await;

    let vector = embed(&embedder(&server, Form::OpenAi, "/v1/", Some(3)), "text").await;

    assert_eq!(
        vector.unwrap(),
        Vector {
            model: "openai/model/3".to_owned(),
            coordinates: vec![0.5, -1.0, 2e-3],
        }
    );
    let seen = server.seen().remove(0);
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/v1/embeddings")
    );
    assert_eq!(seen.header("authorization"), Some("Bearer its-key"));
    let expected =
        json!({"model": "model", "input": "text", "encoding_format": "float", "dimensions": 3});
    assert_eq!(body(&seen), expected);
}

#[tokio::test]
async fn ollama_is_asked_in_its_form() {
    let answer = |_: &Seen| Reply::ok(r#"{"embeddings": [[1, 0]]}"#);
    let server = TestServer::start(answer).await;

    let vector = embed(
        &embedder(&server, Form::Ollama, "", None),
        &"é".repeat(9_000),
    )
    .await;

    assert_eq!(vector.unwrap().model, "ollama/model/2");
    let seen = server.seen().remove(0);
    assert_eq!(seen.target, "/api/embed");
    let input = body(&seen)["input"].as_str().unwrap().chars().count();
    assert_eq!(input, MAX_CHARS);
}

#[tokio::test]
async fn what_is_no_vector_is_refused() {
    for answer in [
        "<html>",
        "{}",
        r#"{"data": []}"#,
        r#"{"data": [{"embedding": []}]}"#,
        r#"{"data": [{"embedding": [1, "x"]}]}"#,
        r#"{"data": [{"embedding": [1, 1e300]}]}"#,
        r#"{"data": [{"embedding": [1, 2, 3]}]}"#,
    ] {
        let server = TestServer::start(move |_| Reply::ok(answer)).await;
        let error = embed(&embedder(&server, Form::OpenAi, "", Some(2)), "text").await;
        assert!(
            matches!(error, Err(Error::Malformed(_))),
            "{answer}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_told_without_the_key() {
    let server = TestServer::start(|_| Reply::new("401 Unauthorized", &[], "its-key")).await;
    let embedder = embedder(&server, Form::OpenAi, "", None);

    let error = embed(&embedder, "text").await.unwrap_err();

    assert!(matches!(error, Error::Status(401)));
    assert!(!format!("{error:?} {error} {embedder:?}").contains("its-key"));
}
