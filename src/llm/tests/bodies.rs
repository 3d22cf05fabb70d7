//! Requests as their providers want them.

use super::*;

fn body(provider: Provider, request: &Request) -> Value {
    let route = route(provider, "http://127.0.0.1:9/v1");
    wire::compose(&route, request).unwrap().body
}

#[test]
fn each_provider_is_asked_in_its_own_words() {
    let mut request = request();
    request.sampling.stop = vec!["END".to_owned()];
    request.messages.push(Message {
        role: Role::Assistant,
        content: "Hi".to_owned(),
    });

    assert_eq!(
        body(Provider::Openai, &request),
        json!({
            "model": "some-model", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 64,
            "temperature": 0.5, "stop": ["END"], "messages": [
                {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Greet me"},
                {"role": "assistant", "content": "Hi"},
            ],
        })
    );
    assert_eq!(
        body(Provider::Anthropic, &request),
        json!({
            "model": "some-model", "stream": true, "max_tokens": 64, "temperature": 0.5, "stop_sequences": ["END"],
            "system": "Be kind.", "messages": [
                {"role": "user", "content": "Greet me"}, {"role": "assistant", "content": "Hi"},
            ],
        })
    );
    assert_eq!(
        body(Provider::Google, &request),
        json!({
            "generationConfig": {"maxOutputTokens": 64, "temperature": 0.5, "stopSequences": ["END"]},
            "systemInstruction": {"parts": [{"text": "Be kind."}]}, "contents": [
                {"role": "user", "parts": [{"text": "Greet me"}]}, {"role": "model", "parts": [{"text": "Hi"}]},
            ],
        })
    );
    assert_eq!(
        body(Provider::Ollama, &request),
        json!({
            "model": "some-model", "stream": true,
            "options": {"num_predict": 64, "temperature": 0.5, "stop": ["END"]}, "messages": [
                {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Greet me"},
                {"role": "assistant", "content": "Hi"},
            ],
        })
    );
}

#[test]
fn json_is_asked_for_as_the_provider_can() {
    let with = |provider, schema: Option<Value>| {
        let request = Request {
            format: format(schema),
            ..request()
        };
        body(provider, &request)
    };

    let openai = with(Provider::Custom, Some(schema()));
    assert_eq!(
        openai["response_format"],
        json!({"type": "json_schema", "json_schema": {"name": "structured_response", "schema": schema()}})
    );
    assert_eq!(openai["messages"].as_array().unwrap().len(), 2);
    let openai = with(Provider::Openai, None);
    assert_eq!(openai["response_format"], json!({"type": "json_object"}));
    assert!(
        openai["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("JSON")
    );
    let anthropic = with(Provider::Anthropic, Some(schema()));
    assert!(
        anthropic["system"]
            .as_str()
            .unwrap()
            .contains(&schema().to_string())
    );
    let google = with(Provider::Google, Some(schema()));
    assert_eq!(
        google["generationConfig"]["responseMimeType"],
        "application/json"
    );
    assert_eq!(google["generationConfig"]["responseJsonSchema"], schema());
    assert_eq!(with(Provider::Ollama, Some(schema()))["format"], schema());
    assert_eq!(with(Provider::Ollama, None)["format"], "json");
}

#[test]
fn models_that_reason_are_asked_without_what_they_refuse() {
    let asked = |provider, model: &str| {
        let request = Request {
            model: model.to_owned(),
            ..request()
        };
        let body = body(provider, &request);
        (
            body.get("max_completion_tokens").is_some(),
            body.get("temperature").is_some(),
        )
    };

    for model in ["o3-mini", "o1", "gpt-5", "gpt-5-mini"] {
        assert_eq!(asked(Provider::Openai, model), (true, false), "{model}");
    }
    for model in [
        "gpt-4o",
        "gpt-4.1",
        "omni",
        "gpt-5-chat-latest",
        "x::y-high",
    ] {
        assert_eq!(asked(Provider::Openai, model), (false, true), "{model}");
    }
    assert_eq!(asked(Provider::Custom, "o3-mini"), (false, true));
    let both = Request {
        sampling: Sampling {
            top_p: Some(0.5),
            ..request().sampling
        },
        ..request()
    };
    let anthropic = body(Provider::Anthropic, &both);
    assert!(anthropic.get("temperature").is_none() && anthropic["top_p"] == 0.5);
}

#[test]
fn a_model_is_named_as_it_is() {
    for (model, path) in [
        ("gemini-x", "/v1/models/gemini-x:streamGenerateContent"),
        (
            "models/gemini-x",
            "/v1/models/gemini-x:streamGenerateContent",
        ),
        (
            "../../x?y#z",
            "/v1/models/..%2F..%2Fx%3Fy%23z:streamGenerateContent",
        ),
    ] {
        let request = Request {
            model: model.to_owned(),
            ..request()
        };
        let route = route(Provider::Google, "http://127.0.0.1:9/v1/");
        let composed = wire::compose(&route, &request).unwrap();
        assert_eq!(composed.url.path(), path);
        assert_eq!(composed.url.query(), Some("alt=sse"));
        assert_eq!(composed.headers["x-goog-api-key"], "sk-test-key");
        assert!(!composed.url.as_str().contains("sk-test-key"));
    }
    for model in ["ns::m", "anthropic/claude", "qwen-high", "deepseek-r1-zero"] {
        let request = Request {
            model: model.to_owned(),
            ..request()
        };
        assert_eq!(body(Provider::Custom, &request)["model"], model);
    }
}

#[test]
fn extra_is_a_merge_patch_that_cannot_take_over() {
    let extra = json!({
        "seed": 5, "max_tokens": null, "options": {"num_ctx": 8192}, "model": "other", "messages": [], "stream": false,
    });
    let Value::Object(extra) = extra else {
        unreachable!()
    };
    let request = Request { extra, ..request() };

    let body = body(Provider::Ollama, &request);

    assert_eq!(body["seed"], 5);
    assert_eq!(
        body["options"],
        json!({"num_predict": 64, "temperature": 0.5, "num_ctx": 8192})
    );
    assert_eq!(
        (&body["model"], &body["stream"]),
        (&json!("some-model"), &json!(true))
    );
    assert_eq!(body["messages"].as_array().unwrap().len(), 2);
}
