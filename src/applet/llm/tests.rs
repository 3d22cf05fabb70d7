//! What the applet says of configs; what it does is tested against servers, in `tests/it/llm`.

use serde_json::{Value, json};

use crate::applet::trial::{self, wrong};

fn at(field: &str, reason: &'static str) -> (String, &'static str) {
    (field.to_owned(), reason)
}

#[test]
fn the_predecessors_keys_are_taken() {
    let data = json!({
        "provider": "ollama", "model": "llama3.1", "system_prompt": "Be brief, {{ input.name }}.", "temperature": 0.3,
        "max_tokens": 1024, "top_p": 1, "stop_sequences": "END", "structured_output": true, "json_schema": {"type": "object"},
        "base_url": "http://localhost:11434", "headers": {"X-Team": "a"}, "extra": {"options": {"num_ctx": 4096}},
    });

    assert_eq!(wrong("llm", data), []);
    assert_eq!(wrong("llm", json!({})), []);
    assert_eq!(wrong("writer", json!({"system_prompt": "Write."})), []);
    assert_eq!(
        wrong("writer", json!({"model": "x"})),
        [at("model", "UNKNOWN_FIELD")]
    );
    let templates = json!({
        "provider": "{{ input.provider }}", "model": "{{ input.model }}", "temperature": "{{ input.t }}",
        "max_tokens": "{{ input.n }}", "top_p": "{{ input.p }}", "base_url": "{{ input.url }}", "user_prompt": "{{ content }}",
        "api_key": "{{ secrets.key }}", "messages": "{{ input.history }}",
    });
    assert_eq!(wrong("llm", templates), []);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let stops = |count| Value::from(vec!["x"; count]);
    let cases = [
        (
            json!({"provider": "stability"}),
            "provider",
            "UNKNOWN_VALUE",
        ),
        (json!({"provider": "custom"}), "model", "REQUIRED"),
        (json!({"model": " "}), "model", "OUT_OF_BOUNDS"),
        (json!({"temperature": 2.1}), "temperature", "OUT_OF_BOUNDS"),
        (json!({"top_p": -0.1}), "top_p", "OUT_OF_BOUNDS"),
        (json!({"max_tokens": 0}), "max_tokens", "OUT_OF_BOUNDS"),
        (json!({"max_tokens": 32_769}), "max_tokens", "OUT_OF_BOUNDS"),
        (
            json!({"stop_sequences": stops(17)}),
            "stop_sequences",
            "OUT_OF_BOUNDS",
        ),
        (
            json!({"stop_sequences": ""}),
            "stop_sequences",
            "OUT_OF_BOUNDS",
        ),
        (
            json!({"system_prompt": null}),
            "system_prompt",
            "WRONG_TYPE",
        ),
        (
            json!({"json_schema": {"type": "nonsense"}}),
            "json_schema",
            "INVALID_EXPRESSION",
        ),
        (json!({"messages": "$.["}), "messages", "INVALID_EXPRESSION"),
        (
            json!({"base_url": "ftp://x", "api_key": "{{ secrets.a }}"}),
            "base_url",
            "INVALID_URL",
        ),
        (
            json!({"base_url": "https://x.example"}),
            "base_url",
            "KEY_NOT_FOR_BASE_URL",
        ),
        (
            json!({"api_key": "sk-literal"}),
            "api_key",
            "LITERAL_SECRET",
        ),
        (
            json!({"headers": {"bad name": "x"}}),
            "headers.bad name",
            "INVALID_HEADER",
        ),
        (
            json!({"headers": {"Content-Type": "x"}}),
            "headers.Content-Type",
            "INVALID_HEADER",
        ),
        (
            json!({"provider": "ollama", "base_url": "http://x.example", "headers": {"Authorization": "Bearer abc"}}),
            "headers.Authorization",
            "LITERAL_SECRET",
        ),
        (
            json!({"headers": {"authorization": "Bearer {{ secrets.a }}"}}),
            "headers.authorization",
            "NOT_ALLOWED_HERE",
        ),
        (
            json!({"extra": {"messages": []}}),
            "extra.messages",
            "NOT_ALLOWED_HERE",
        ),
        (
            json!({"system_prompt": "{{ secrets.a }}"}),
            "system_prompt",
            "SECRET_NOT_ALLOWED_HERE",
        ),
    ];
    for (data, field, reason) in cases {
        assert_eq!(wrong("llm", data.clone()), [at(field, reason)], "{data}");
    }
}

#[test]
fn what_cannot_be_meant_by_a_fallback_is_refused_too() {
    let fallback = |entry: Value| json!({"fallback": [entry]});
    let cases = [
        (
            fallback(json!({"provider": "custom"})),
            "fallback[0].model",
            "REQUIRED",
        ),
        (
            fallback(json!({"provider": "openai", "api_key": "sk"})),
            "fallback[0].api_key",
            "LITERAL_SECRET",
        ),
        (
            fallback(json!({"provider": "google", "base_url": "https://x.example"})),
            "fallback[0].base_url",
            "KEY_NOT_FOR_BASE_URL",
        ),
    ];
    for (data, field, reason) in cases {
        assert_eq!(wrong("llm", data.clone()), [at(field, reason)], "{data}");
    }
    let unknown = wrong(
        "llm",
        fallback(json!({"provider": "openai", "on": ["BAD_WEATHER"]})),
    );
    assert_eq!(unknown.len(), 1);
}

#[test]
fn hosts_are_those_that_are_named() {
    let data = json!({
        "provider": "ollama", "base_url": "http://models:8080/x", "fallback": [
            {"provider": "ollama"}, {"provider": "custom", "model": "m", "base_url": "https://a.example/v1"},
            {"provider": "ollama", "base_url": "http://{{ input.host }}"},
        ],
    });

    let inspection = trial::inspect("llm", data);

    assert_eq!(inspection.hosts, ["models:8080", "a.example"]);
    let read = trial::inspect(
        "llm",
        json!({"fallback": [{"provider": "openai", "api_key": "{{ secrets.spare }}"}]}),
    );
    assert_eq!(
        (read.violations, read.secrets),
        (vec![], vec!["spare".to_owned()])
    );
}
