//! Calls over real connections on loopback.

use super::*;
use crate::egress::test_server::{Reply, Seen, TestServer};

async fn ask_at(server: &TestServer, provider: Provider, seconds: f64) -> Result<Answer, Failure> {
    let route = route(provider, &server.url("/v1"));
    ask_by(&route, "127.0.0.0/8", seconds).await
}

async fn ask_by(route: &Route, policy: &str, seconds: f64) -> Result<Answer, Failure> {
    let egress = Egress::new(policy.parse().unwrap()).unwrap();
    let client = match egress.client(&route.base_url) {
        Ok(client) => client,
        Err(error) => return Err(Failure::from(&error.cause)),
    };
    let (request, mut headers) = (request(), HeaderMap::new());
    headers.insert("x-extra", "yes".parse().unwrap());
    let call = Call {
        client: &client,
        route,
        request: &request,
        headers: &headers,
        idempotency_key: "the-key",
        redactor: &Redactor::of(["sk-test-key"]),
        deadline: Instant::now() + Duration::from_secs_f64(seconds),
    };
    ask(call, |_| {}).await
}

fn streamed(provider: Provider) -> Reply {
    let content_type = format!("Content-Type: {}", content_type(provider));
    Reply::new("200 OK", &[&content_type], transcript(provider))
}

#[tokio::test]
async fn the_key_goes_into_the_providers_header_and_nowhere_else() {
    for (provider, header, value, target) in [
        (
            Provider::Openai,
            "authorization",
            "Bearer sk-test-key",
            "/v1/chat/completions",
        ),
        (
            Provider::Custom,
            "authorization",
            "Bearer sk-test-key",
            "/v1/chat/completions",
        ),
        (
            Provider::Anthropic,
            "x-api-key",
            "sk-test-key",
            "/v1/v1/messages",
        ),
        (
            Provider::Google,
            "x-goog-api-key",
            "sk-test-key",
            "/v1/models/some-model:streamGenerateContent?alt=sse",
        ),
        (
            Provider::Ollama,
            "authorization",
            "Bearer sk-test-key",
            "/v1/api/chat",
        ),
    ] {
        let server = TestServer::start(move |_: &Seen| streamed(provider)).await;

        let answer = ask_at(&server, provider, 10.0).await;

        assert_eq!(answer.unwrap().text, TEXT, "{provider}");
        let seen = server.seen().remove(0);
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("POST", target)
        );
        assert_eq!(seen.header(header), Some(value));
        assert_eq!(seen.header("idempotency-key"), Some("the-key"));
        assert_eq!(seen.header("x-extra"), Some("yes"));
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert!(!seen.body.contains("sk-test-key"));
    }
}

#[tokio::test]
async fn a_slow_answer_ends_in_time_and_a_slow_end_is_no_failure() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n";
    let server =
        TestServer::start(move |_| Reply::Hang(format!("{head}{begun}").into_bytes())).await;

    let failure = ask_at(&server, Provider::Openai, 0.3).await.unwrap_err();

    assert_eq!(failure.reason, Reason::Timeout);
    assert_eq!(
        failure.tokens,
        Some(Tokens {
            input: 3,
            output: 1
        }),
        "it is paid for all the same"
    );
    let ended = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let all = format!("{head}{begun}{ended}");
    let server = TestServer::start(move |_| Reply::Hang(all.clone().into_bytes())).await;
    let answer = ask_at(&server, Provider::Openai, 0.3).await;
    assert_eq!(answer.unwrap().text, "a");
}

#[tokio::test]
async fn an_answer_that_says_what_is_wrong_is_told_without_the_key() {
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-test-key"}}"#;
    let server = TestServer::start(move |_| {
        Reply::new(
            "429 Too Many Requests",
            &["Retry-After: 7", "Content-Type: application/json"],
            body,
        )
    })
    .await;

    let failure = ask_at(&server, Provider::Openai, 10.0).await.unwrap_err();

    assert_eq!(
        (failure.reason, failure.status),
        (Reason::RateLimited, Some(429))
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert!(failure.message.contains("[redacted]"));
    assert!(!format!("{failure:?}").contains("sk-test-key"));
}

#[tokio::test]
async fn redirects_are_not_followed_with_the_key() {
    let elsewhere = TestServer::start(|_| streamed(Provider::Openai)).await;
    let location = elsewhere.url("/v1/chat/completions");
    let server =
        TestServer::start(move |_| Reply::redirect("307 Temporary Redirect", &location)).await;

    let failure = ask_at(&server, Provider::Openai, 10.0).await.unwrap_err();

    assert_eq!(failure.reason, Reason::InvalidRequest);
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn who_cannot_be_reached_or_may_not_be_is_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", closed.local_addr().unwrap());
    drop(closed);
    let unreachable = route(Provider::Openai, &url);

    let failure = ask_by(&unreachable, "127.0.0.0/8", 10.0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ProviderUnavailable);
    let failure = ask_by(&unreachable, "", 10.0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::EgressBlocked);
    // By name it shows only when the name is resolved.
    let named = route(Provider::Openai, &url.replace("127.0.0.1", "localhost"));
    let failure = ask_by(&named, "", 10.0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::EgressBlocked);
}
