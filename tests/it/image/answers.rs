//! Answers that are no images, and configs that are refused.

use serde_json::{Value, json};
use synapps::proto::CreateFlowRequest;
use tonic::Code;

use super::painter::{PNG, Painter, Reply, within};
use super::{KEY, failure, run, server};
use crate::support::calls::{assert_error, violated_fields};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

/// The failure of an `image` node whose provider answers so.
async fn refused(config: Value, reply: Reply) -> (String, Value) {
    let painter = Painter::start(move |_, _| reply.clone()).await;
    let server = server(&painter).await;
    let error = failure(&server, config).await;
    let details = wire::object_of(error.details.as_ref().unwrap());
    assert!(!format!("{error:?}").contains(KEY));
    (error.code, details)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_becomes_a_reason() {
    let said =
        |code: &str| json!({"error": {"code": code, "message": format!("no: {KEY}")}}).to_string();
    for (reply, reason) in [
        (
            Reply::new("401 Unauthorized", said("invalid_api_key")),
            "AUTHENTICATION_FAILED",
        ),
        (
            Reply::new("400 Bad Request", said("content_policy_violation")),
            "CONTENT_FILTERED",
        ),
        (
            Reply::new("400 Bad Request", said("invalid_size")),
            "INVALID_REQUEST",
        ),
        (Reply::new("404 Not Found", "<html>"), "MODEL_NOT_FOUND"),
        (
            Reply::new("429 Too Many Requests", said("insufficient_quota")),
            "QUOTA_EXHAUSTED",
        ),
        (Reply::new("503 Unavailable", ""), "PROVIDER_UNAVAILABLE"),
        (
            Reply::new("302 Found", "").header("Location: http://127.0.0.1:1/"),
            "INVALID_REQUEST",
        ),
    ] {
        assert_eq!(refused(json!({}), reply).await.0, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_says_how_long_to_wait() {
    let reply = Reply::new("429 Too Many Requests", "{}").header("Retry-After: 7");

    let (reason, details) = refused(json!({}), reply).await;

    assert_eq!(reason, "RATE_LIMITED");
    assert_eq!(details["retry_after_seconds"], 7);
    assert_eq!(details["status_code"], 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_with_images_is_malformed() {
    let base64 = "iVBORw0KGgo".repeat(100);
    for (config, reply, reason) in [
        (
            json!({}),
            Reply::new("200 OK", "<html>"),
            "ANSWER_MALFORMED",
        ),
        (
            json!({}),
            Reply::json(&json!({"data": []})),
            "ANSWER_MALFORMED",
        ),
        (
            json!({}),
            Reply::json(&json!({"data": [{}]})),
            "ANSWER_MALFORMED",
        ),
        (json!({}), Reply::json(&json!([1])), "ANSWER_MALFORMED"),
        (
            json!({}),
            Reply::json(&json!({"data": [{"b64_json": "###"}]})),
            "ANSWER_MALFORMED",
        ),
        (json!({}), within(b"<svg/>"), "ANSWER_MALFORMED"),
        (
            json!({}),
            Reply::new("200 OK", format!("{{\"data\":[{{\"b64_json\":\"{base64}")),
            "ANSWER_MALFORMED",
        ),
        (json!({}), within(PNG).cut(), "STREAM_CUT"),
        (
            json!({"provider": "stability"}),
            Reply::json(
                &json!({"artifacts": [{"base64": "", "finishReason": "CONTENT_FILTERED"}]}),
            ),
            "CONTENT_FILTERED",
        ),
        (
            json!({"provider": "flux"}),
            Reply::json(&json!({"status": "Content Moderated"})),
            "CONTENT_FILTERED",
        ),
        (
            json!({"provider": "flux"}),
            Reply::json(&json!({"status": "Pending"})),
            "ANSWER_MALFORMED",
        ),
    ] {
        let (found, details) = refused(config, reply.clone()).await;
        assert_eq!(found, reason, "{reply:?}");
        assert!(!details.to_string().contains("iVBORw0KGgoiVBORw0KGgo"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_over_its_limit_is_refused() {
    let large = [PNG, &vec![0; 20 << 20]].concat();

    let (reason, _) = refused(json!({}), within(&large)).await;

    assert_eq!(reason, "ANSWER_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_nothing_is_waited_for_until_the_timeout() {
    let painter = Painter::start(|_, _| Reply::silence()).await;
    let server = server(&painter).await;
    let mut flow = chain("silent", &[("image", "image", json!({}))]);
    let node = flow
        .nodes
        .iter_mut()
        .find(|node| node.id == "image")
        .unwrap();
    node.timeout = Some(prost_types::Duration {
        seconds: 1,
        nanos: 0,
    });

    let run_id = server.save_and_start(flow, &json!("a fox")).await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.error.unwrap().code, "TIMEOUT");
    assert_eq!(painter.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_server_goes_only_to_its_own_address() {
    let painter = Painter::start(|_, _| within(PNG)).await;
    let elsewhere = Painter::start(|_, _| within(PNG)).await;
    let server = server(&painter).await;

    let config = json!({"base_url": "{{ input.url }}"});
    let run = run(
        &server,
        "image",
        config,
        json!({"url": elsewhere.url(), "text": "a fox"}),
    )
    .await;

    assert_eq!(run.error.unwrap().code, "KEY_NOT_FOR_BASE_URL");
    assert!(elsewhere.seen().is_empty() && painter.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_asked() {
    let server = TestServer::start().await;

    let error = failure(&server, json!({"provider": "flux"})).await;

    assert_eq!(error.code, "PROVIDER_NOT_CONFIGURED");
    assert!(error.message.contains("FLUX_API_KEY"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_that_make_no_sense_are_refused_at_save() {
    let server = TestServer::start().await;
    let cases = [
        ("image", json!({"provider": "midjourney"}), "provider"),
        ("image", json!({"n": 0}), "n"),
        ("image", json!({"n": 5}), "n"),
        ("image", json!({"model": ""}), "model"),
        ("image", json!({"prompt": "x".repeat(10_001)}), "prompt"),
        (
            "image",
            json!({"negative_prompt": "dogs"}),
            "negative_prompt",
        ),
        ("image", json!({"api_key": "sk-1234567890"}), "api_key"),
        ("image", json!({"base_url": "ftp://x"}), "base_url"),
        (
            "image",
            json!({"base_url": "https://example.com"}),
            "base_url",
        ),
        ("image", json!({"headers": {"Host": "x"}}), "headers.Host"),
        ("image", json!({"extra": {"prompt": "x"}}), "extra.prompt"),
        (
            "image",
            json!({"extra": {"endpoint": "../x"}}),
            "extra.endpoint",
        ),
        ("artist", json!({"generator": "me"}), "generator"),
        ("artist", json!({"style": "x".repeat(501)}), "style"),
        ("artist", json!({"size": "1x1"}), "size"),
    ];

    for (kind, config, field) in cases {
        let flow = chain("refused", &[("image", kind, config.clone())]);
        let request = CreateFlowRequest {
            flow: Some(flow),
            ..CreateFlowRequest::default()
        };
        let status = server.flows().create_flow(request).await.unwrap_err();
        assert_error(&status, Code::InvalidArgument, "INVALID_FLOW");
        let fields = violated_fields(&status);
        assert!(
            fields.contains(&format!("flow.nodes[2].data.{field}")),
            "{config}: {fields:?}"
        );
    }
}
