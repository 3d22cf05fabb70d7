//! What each provider is asked, and what its images become.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use synapps::value::canonical;

use super::painter::{PNG, Painter, Reply, within};
use super::{KEY, content, drawn, server};

#[tokio::test(flavor = "multi_thread")]
async fn openai_draws_within_its_answer() {
    let painter = Painter::start(|_, _| within(PNG)).await;
    let server = server(&painter).await;

    let (run, output) = drawn(&server, "image", json!({}), json!({"text": " a fox "})).await;

    let seen = painter.only();
    assert_eq!(seen.line, "POST /v1/images/generations");
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert!(
        seen.header("idempotency-key")
            .unwrap()
            .contains(&run.run_id)
    );
    assert_eq!(
        seen.body,
        json!({
            "model": "dall-e-3", "prompt": "a fox, photorealistic style", "n": 1, "size": "1024x1024",
            "quality": "standard", "response_format": "b64_json",
        })
    );
    let sha256 = canonical::hex(&canonical::digest(PNG));
    let file = json!({
        "ref": format!("f-{sha256}"), "media_type": "image/png", "size_bytes": PNG.len(), "sha256": sha256,
    });
    assert_eq!(
        output,
        json!({
            "image": file, "images": [file], "prompt": "a fox", "provider": "openai", "model": "dall-e-3",
            "revised_prompt": "As I see it",
        })
    );
    assert_eq!(content(&server, &run, &output["image"]).await, PNG);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_behind_urls_are_fetched_without_the_key() {
    let jpeg: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 1, 2, 3];
    let painter = Painter::start(move |seen, url| match seen.line.as_str() {
        "GET /made/1.jpg?token=x" => Reply::new("200 OK", jpeg),
        _ => Reply::json(&json!({"data": [{"url": format!("{url}/made/1.jpg?token=x")}]})),
    })
    .await;
    let server = server(&painter).await;

    let config = json!({"response_format": "url", "model": "dall-e-2", "n": 3, "style": "", "extra": {"user": "me"}});
    let (run, output) = drawn(&server, "image", config, json!("a fox")).await;

    let seen = painter.seen();
    assert_eq!(seen[0].body["n"], 3);
    assert_eq!(seen[0].body["prompt"], "a fox");
    assert_eq!(seen[0].body["user"], "me");
    assert_eq!(seen[0].body["response_format"], "url");
    assert_eq!(seen[1].header("authorization"), None);
    assert_eq!(output["image"]["media_type"], "image/jpeg");
    assert_eq!(content(&server, &run, &output["image"]).await, jpeg);
}

#[tokio::test(flavor = "multi_thread")]
async fn later_models_of_openai_are_not_asked_what_they_refuse_and_their_tokens_count() {
    let painter = Painter::start(|_, _| {
        let data = json!([{"b64_json": STANDARD.encode(PNG)}]);
        Reply::json(&json!({"data": data, "usage": {"input_tokens": 12, "output_tokens": 340}}))
    })
    .await;
    let server = server(&painter).await;

    let (run, _) = drawn(
        &server,
        "image",
        json!({"model": "gpt-image-1"}),
        json!("a fox"),
    )
    .await;

    let body = painter.only().body;
    assert_eq!(body.get("response_format"), None);
    assert_eq!(body.get("quality"), None);
    let usage = run.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (12, 340));
}

#[tokio::test(flavor = "multi_thread")]
async fn stability_draws_artifacts_and_keeps_what_passes_its_filter() {
    let painter = Painter::start(|_, _| {
        let of = |text: &str, reason: &str| json!({"base64": STANDARD.encode([PNG, text.as_bytes()].concat()), "finishReason": reason});
        let artifacts = [of("1", "SUCCESS"), of("2", "CONTENT_FILTERED"), of("3", "SUCCESS")];
        Reply::json(&json!({"artifacts": artifacts}))
    })
    .await;
    let server = server(&painter).await;

    let config = json!({
        "provider": "stability", "prompt": "{{ input.what }}", "negative_prompt": "dogs", "size": "512x768", "n": 3,
        "style": "Pixel Art", "extra": {"steps": 10},
    });
    let (_, output) = drawn(&server, "image", config, json!({"what": "a fox"})).await;

    let seen = painter.only();
    assert_eq!(
        seen.line,
        "POST /v1/generation/stable-diffusion-xl-1024-v1-0/text-to-image"
    );
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(
        seen.body,
        json!({
            "text_prompts": [{"text": "a fox, Pixel Art style", "weight": 1}, {"text": "dogs", "weight": -1}],
            "cfg_scale": 7, "steps": 10, "samples": 3, "width": 512, "height": 768, "style_preset": "pixel-art",
        })
    );
    assert_eq!(output["images"].as_array().unwrap().len(), 2);
    assert_eq!(output["provider"], "stability");
    assert_eq!(output.get("revised_prompt"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_is_spoken_to_as_the_predecessor_did() {
    let painter = Painter::start(|_, _| within(PNG)).await;
    let server = server(&painter).await;

    let config = json!({"provider": "flux", "extra": {"endpoint": "/v2/paint"}});
    drawn(
        &server,
        "image",
        json!({"provider": "flux"}),
        json!("a fox"),
    )
    .await;
    drawn(&server, "image", config, json!("a fox")).await;

    let seen = painter.seen();
    assert_eq!(seen[0].line, "POST /v1/images/generations");
    assert_eq!(
        seen[0].body,
        json!({
            "model": "flux-1.1-pro", "prompt": "a fox", "style": "photorealistic", "n": 1, "size": "1024x1024",
            "response_format": "b64_json",
        })
    );
    assert_eq!(seen[1].line, "POST /v1/v2/paint");
    assert_eq!(seen[1].body["endpoint"], "/v2/paint");
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_is_asked_again_until_it_has_drawn() {
    let painter = Painter::start(|seen, url| match seen.line.as_str() {
        "GET /get?id=7" => Reply::json(
            &json!({"id": "7", "status": "Ready", "result": {"sample": format!("{url}/x")}}),
        ),
        "GET /x" => Reply::new("200 OK", b"GIF89a;"),
        _ => Reply::json(&json!({"id": "7", "polling_url": format!("{url}/get?id=7")})),
    })
    .await;
    let server = server(&painter).await;

    let (_, output) = drawn(
        &server,
        "image",
        json!({"provider": "flux"}),
        json!("a fox"),
    )
    .await;

    assert_eq!(output["image"]["media_type"], "image/gif");
    let lines: Vec<_> = painter.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        ["POST /v1/images/generations", "GET /get?id=7", "GET /x"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artist_draws_with_stability_unless_told_otherwise() {
    let painter = Painter::start(|seen, _| {
        if seen.line.contains("generation/") {
            let artifact = json!({"base64": STANDARD.encode(PNG), "finishReason": "SUCCESS"});
            return Reply::json(&json!({"artifacts": [artifact]}));
        }
        within(PNG)
    })
    .await;
    let server = server(&painter).await;

    let (run, by_stability) = drawn(
        &server,
        "artist",
        json!({"style": "digital art"}),
        json!({"content": "a fox"}),
    )
    .await;
    let (_, by_openai) = drawn(
        &server,
        "artist",
        json!({"generator": "openai"}),
        json!("a fox"),
    )
    .await;

    assert_eq!(by_stability["generator"], "stability");
    assert_eq!(by_stability["prompt"], "a fox");
    assert_eq!(content(&server, &run, &by_stability["image"]).await, PNG);
    assert_eq!(by_openai["generator"], "openai");
    let seen = painter.seen();
    assert_eq!(
        seen[0].body["text_prompts"][0]["text"],
        "a fox, digital art style"
    );
    assert_eq!(seen[0].body["style_preset"], "digital-art");
    assert_eq!(seen[1].body["prompt"], "a fox, photorealistic style");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_prompt_gives_the_usual_landscape() {
    let painter = Painter::start(|_, _| within(PNG)).await;
    let server = server(&painter).await;

    let (_, output) = drawn(&server, "image", json!({}), json!("  ")).await;

    assert_eq!(
        output["prompt"],
        "A beautiful landscape with mountains and a lake."
    );
}
