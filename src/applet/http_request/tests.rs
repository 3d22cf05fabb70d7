//! The applet against real servers on loopback.

mod bodies;
mod failures;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Config, HttpRequest};
use crate::applet::trial;
use crate::applet::{Applet, Certainty, Completion, Context, Effect, Error, Outcome};
use crate::cpu::Cpu;
use crate::egress::Egress;
use crate::egress::test_server::{Reply, Seen, TestServer};
use crate::flow::Violation;
use crate::ids::{Namespace, NodeId, RunId, StepPath};
use crate::redact::Redactor;
use crate::secrets::Granted;
use crate::template::Scope;

fn config(value: Value) -> Config {
    serde_json::from_value(value).unwrap()
}

/// An attempt whose effect is the config's own.
fn context(config: &Config, input: Value) -> Context {
    let input = Arc::new(input);
    let (run_id, node_id) = (RunId::new(Uuid::now_v7()), NodeId::from("ask"));
    Context {
        namespace: Namespace::default_namespace(),
        run_id,
        node_id: node_id.clone(),
        step_path: StepPath::from(&node_id),
        attempt: 1,
        idempotency_key: "key-1".to_owned(),
        effect: HttpRequest::effect(config),
        input: Arc::clone(&input),
        inputs: Vec::new(),
        scope: Scope {
            secrets: crate::template::Secrets::default(),
            input: Arc::clone(&input),
            content: input,
            results: Arc::default(),
            run_id,
            node_id,
            item: None,
            extra: BTreeMap::new(),
        },
        deadline: Instant::now() + Duration::from_secs(20),
        cancelled: CancellationToken::new(),
        woken: None,
        cpu: Cpu::start().unwrap(),
        egress: Egress::new("127.0.0.0/8".parse().unwrap()).unwrap(),
        secrets: Granted::default(),
        redactor: Redactor::default(),
        pen: trial::pen(),
        files: trial::files(),
    }
}

async fn run_in(context: Context, config: Config) -> Result<Outcome, Error> {
    match HttpRequest.run(context, config).await? {
        Completion::Done(outcome) => Ok(outcome),
        _ => panic!("an http_request does not wait"),
    }
}

/// Runs one attempt and gives its output.
async fn run(config: Value, input: Value) -> Result<Value, Error> {
    let config = self::config(config);
    let outcome = run_in(context(&config, input), config).await?;
    Ok((*outcome.output).clone())
}

/// What arrives at a server when this config runs.
async fn arriving(mut config: Value, input: Value) -> Seen {
    let server = TestServer::start(|_| Reply::ok("")).await;
    let path = config["url"].as_str().unwrap_or("/").to_owned();
    config["url"] = server.url(&path).into();
    run(config, input).await.unwrap();
    server.seen().remove(0)
}

fn violations(config: Value) -> Vec<Violation> {
    HttpRequest::check(&self::config(config))
}

#[tokio::test]
async fn the_answer_comes_out_with_status_url_method_data_and_headers() {
    let server = TestServer::start(|_| {
        let headers = [
            "Content-Type: application/json",
            "X-Many: a",
            "X-Many: b",
            "Set-Cookie: a=1; Expires=Sun, 06 Nov 2094 08:49:37 GMT",
            "Set-Cookie: b=2",
        ];
        Reply::new("201 Created", &headers, r#"{"id": 7}"#)
    })
    .await;
    let config = config(json!({"url": server.url("/orders"), "method": "POST"}));

    let outcome = run_in(context(&config, json!({"a": 1})), config)
        .await
        .unwrap();

    let expected = json!({
        "status_code": 201,
        "ok": true,
        "url": server.url("/orders"),
        "method": "POST",
        "data": {"id": 7},
        "headers": {
            "connection": "close",
            "content-length": "9",
            "content-type": "application/json",
            "x-many": "a, b",
            "set-cookie": ["a=1; Expires=Sun, 06 Nov 2094 08:49:37 GMT", "b=2"],
        },
    });
    assert_eq!(*outcome.output, expected);
    assert_eq!(outcome.port, None);
    let details = json!({"status_code": 201, "response_bytes": 9, "redirects": 0});
    assert_eq!(Value::Object(outcome.details), details);
}

#[tokio::test]
async fn headers_of_the_answer_can_be_left_out() {
    let server = TestServer::start(|_| Reply::ok("")).await;

    let output = run(
        json!({"url": server.url("/"), "include_response_headers": false}),
        Value::Null,
    );

    let keys: Vec<_> = output
        .await
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys, ["data", "method", "ok", "status_code", "url"]);
}

#[tokio::test]
async fn data_is_json_where_the_body_is_and_text_elsewhere() {
    let cases: [(&str, &[u8], Value); 8] = [
        ("application/json", b"[1, true]", json!([1, true])),
        ("application/problem+json", b"\xef\xbb\xbf{}", json!({})),
        ("text/plain", b" 12 ", json!(12)),
        ("text/html", b"<p>", json!("<p>")),
        ("application/json", b"{broken", json!("{broken")),
        ("text/plain", b"", json!("")),
        ("text/plain; charset=ISO-8859-1", b"caf\xe9", json!("café")),
        ("text/plain", b"caf\xe9", json!("caf\u{fffd}")),
    ];
    for (content_type, body, expected) in cases {
        let header = format!("Content-Type: {content_type}");
        let server = TestServer::start(move |_| Reply::new("200 OK", &[&header], body)).await;

        let output = run(json!({"url": server.url("/")}), Value::Null).await;

        assert_eq!(output.unwrap()["data"], expected, "{content_type}");
    }
}

#[tokio::test]
async fn every_attempt_sends_the_same_idempotency_key_unless_the_author_set_one() {
    let server = TestServer::start(|_| Reply::ok("")).await;
    for (attempt, method) in [(1, "POST"), (2, "POST"), (1, "GET")] {
        let config = config(json!({"url": server.url("/"), "method": method}));
        let context = Context {
            attempt,
            ..context(&config, Value::Null)
        };
        run_in(context, config).await.unwrap();
    }
    let own = json!({"url": "/", "headers": {"idempotency-KEY": "mine"}});

    let keys: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.header("idempotency-key").map(str::to_owned))
        .collect();
    assert_eq!(keys, vec![Some("key-1".to_owned()); 3]);
    assert_eq!(
        arriving(own, Value::Null).await.header("idempotency-key"),
        Some("mine")
    );
}

#[test]
fn the_method_decides_about_the_effect() {
    for (method, effect) in [
        ("GET", Effect::Idempotent),
        ("PUT", Effect::Idempotent),
        ("DELETE", Effect::Idempotent),
        ("POST", Effect::AtMostOnce),
        ("PATCH", Effect::AtMostOnce),
    ] {
        let config = config(json!({"url": "http://a.test/", "method": method}));

        assert_eq!(HttpRequest::effect(&config), effect, "{method}");
    }
}

#[test]
fn a_config_has_the_predecessors_defaults_and_no_other_keys() {
    let minimal = config(json!({"url": "http://a.test/"}));
    assert_eq!(HttpRequest::effect(&minimal), Effect::Idempotent);
    assert!(minimal.allow_redirects && minimal.verify_ssl);
    assert!(minimal.include_response_headers && minimal.fail_on_status);
    assert_eq!(minimal.auth_header_name, "X-API-Key");

    for wrong in [
        json!({}),
        json!({"url": "http://a.test/", "timeout_seconds": 3}),
        json!({"url": "http://a.test/", "max_retries": 3}),
        json!({"url": "http://a.test/", "method": "HEAD"}),
        json!({"url": "http://a.test/", "body_type": "xml"}),
        json!({"url": "http://a.test/", "headers": ["a"]}),
    ] {
        assert!(
            serde_json::from_value::<Config>(wrong.clone()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_config_out_of_bounds_is_refused_with_the_field() {
    let long = format!("http://a.test/{}", "x".repeat(5000));
    let many: Map<_, _> = (0..101).map(|n| (format!("x-{n}"), json!("v"))).collect();
    let cases = [
        (json!({"url": "  "}), "url"),
        (json!({"url": long}), "url"),
        (json!({"url": "a.test/path"}), "url"),
        (json!({"url": "ftp://a.test/"}), "url"),
        (json!({"url": "http://user:secret@a.test/"}), "url"),
        (json!({"url": "ftp://a.test/{{ input.x }}"}), "url"),
        (
            json!({"url": "http://a.test", "headers": {"a b": "c"}}),
            "headers.a b",
        ),
        (
            json!({"url": "http://a.test", "headers": {"Content-Length": "1"}}),
            "headers.Content-Length",
        ),
        (json!({"url": "http://a.test", "headers": many}), "headers"),
        (
            json!({"url": "http://a.test", "query_params": many}),
            "query_params",
        ),
        (
            json!({"url": "http://a.test", "auth_header_name": "a:b"}),
            "auth_header_name",
        ),
    ];
    for (config, field) in cases {
        let found = violations(config);

        assert_eq!(found.len(), 1, "{field}: {found:?}");
        assert_eq!(found[0].field, field);
        assert!(!found[0].description.contains("secret"));
    }
    for fine in [
        "{{ input.url }}",
        "https://{{ input.host }}/",
        "https://a.test/{{ input.p }}",
    ] {
        assert_eq!(
            violations(json!({"url": fine, "headers": {"": "x"}})),
            [],
            "{fine}"
        );
    }
}

#[test]
fn only_a_literal_host_is_told() {
    let hosts = |url: &str| HttpRequest::hosts(&config(json!({"url": url})));

    assert_eq!(hosts("https://API.test:8443/x"), ["api.test:8443"]);
    assert_eq!(hosts("https://api.test/{{ input.path }}"), ["api.test"]);
    assert_eq!(hosts("https://api.test?q={{ input.q }}"), ["api.test"]);
    assert_eq!(hosts("https://api.{{ input.zone }}/"), [""; 0]);
    assert_eq!(hosts("{{ input.url }}"), [""; 0]);
}

#[test]
fn the_example_is_a_config_without_faults() {
    let example = (HttpRequest::description().example)();

    assert_eq!(violations(example), []);
}
