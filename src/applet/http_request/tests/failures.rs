//! How a step fails, and what is known of its effect then.

use super::*;

/// Runs one attempt with this effect; the server answers with the bytes and closes, or keeps silent.
async fn fail(effect: Effect, reply: Option<&'static str>, timeout: Duration) -> Error {
    let server = TestServer::start(move |_| match reply {
        Some(bytes) => Reply::Whole(bytes.into()),
        None => Reply::Hang(Vec::new()),
    })
    .await;
    let config = config(json!({"url": server.url("/"), "method": "POST"}));
    let context = Context {
        effect,
        deadline: Instant::now() + timeout,
        ..context(&config, json!({}))
    };
    run_in(context, config).await.unwrap_err()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_of_400_or_above_fails_the_step_with_the_answer_in_its_details() {
    let cases = [
        ("400 Bad Request", "HTTP_4XX", false),
        ("404 Not Found", "HTTP_4XX", false),
        ("408 Request Timeout", "HTTP_4XX", true),
        ("425 Too Early", "HTTP_4XX", true),
        ("429 Too Many Requests", "HTTP_4XX", true),
        ("500 Internal Server Error", "HTTP_5XX", true),
        ("503 Service Unavailable", "HTTP_5XX", true),
    ];
    for (status, reason, retryable) in cases {
        let headers = ["Retry-After: 7"];
        let server =
            TestServer::start(move |_| Reply::new(status, &headers, r#"{"why":"x"}"#)).await;
        let get = json!({"url": server.url("/")});
        let post = json!({"url": server.url("/"), "method": "POST"});
        let lenient = json!({"url": server.url("/"), "fail_on_status": false});

        let error = run(get, Value::Null).await.unwrap_err();
        let of_post = run(post, Value::Null).await.unwrap_err();
        let output = run(lenient, Value::Null).await.unwrap();

        let code: u16 = status[..3].parse().unwrap();
        assert_eq!(
            (error.reason, error.retryable),
            (reason, retryable),
            "{status}"
        );
        assert_eq!(error.certainty, Certainty::Known);
        assert_eq!(error.details["status_code"], code);
        assert_eq!(error.details["retry_after_seconds"], 7);
        assert_eq!(error.details["answer"]["data"], json!({"why": "x"}));
        assert_eq!((of_post.reason, of_post.retryable), (reason, false));
        assert_eq!(of_post.certainty, Certainty::Known);
        assert_eq!(
            (&output["status_code"], &output["ok"]),
            (&json!(code), &json!(false))
        );
    }
}

#[tokio::test]
async fn a_server_may_name_the_time_to_come_again() {
    let later = chrono::Utc::now() + chrono::Duration::seconds(100);
    let header = format!("Retry-After: {}", later.format("%a, %d %b %Y %H:%M:%S GMT"));
    let server = TestServer::start(move |seen| match seen.target.as_str() {
        "/date" => Reply::new("503 Service Unavailable", &[&header], ""),
        "/long" => Reply::new("503 Service Unavailable", &["Retry-After: 99999999"], ""),
        _ => Reply::new("503 Service Unavailable", &["Retry-After: soon"], ""),
    })
    .await;
    let mut waits = Vec::new();
    for path in ["/date", "/long", "/odd"] {
        let error = run(json!({"url": server.url(path)}), Value::Null)
            .await
            .unwrap_err();
        waits.push(
            error
                .details
                .get("retry_after_seconds")
                .and_then(Value::as_u64),
        );
    }

    assert!(matches!(waits[0], Some(90..=100)), "{waits:?}");
    assert_eq!(waits[1..], [Some(86_400), None]);
}

#[tokio::test]
async fn a_large_answer_is_cut_in_the_details() {
    let server = TestServer::start(|_| Reply::new("500 Oops", &[], "é".repeat(20_000))).await;

    let error = run(json!({"url": server.url("/")}), Value::Null)
        .await
        .unwrap_err();

    let answer = &error.details["answer"];
    assert_eq!(answer["data"].as_str().unwrap().len(), 16 * 1024);
    assert_eq!(answer["data_truncated"], true);
}

#[tokio::test]
async fn credentials_that_a_server_repeats_are_not_in_the_error() {
    let server = TestServer::start(|seen| {
        let sent = seen
            .header("authorization")
            .or(seen.header("x-api-key"))
            .unwrap();
        let bare = sent.rsplit(' ').next().unwrap();
        let header = format!("X-Echo: {sent}");
        Reply::new(
            "401 Unauthorized",
            &[&header],
            json!({"got": sent, bare: [bare]}).to_string(),
        )
    })
    .await;
    for (auth_type, value) in [
        ("bearer", "s3cr3t"),
        ("api_key", "s3cr3t"),
        ("basic", "user:s3cr3t"),
    ] {
        let config = json!({"url": server.url("/"), "auth_type": auth_type, "auth_value": value});

        let error = run(config, Value::Null).await.unwrap_err();

        let all = format!("{error} {error:?} {}", Value::Object(error.details.clone()));
        assert!(!all.contains("s3cr3t"), "{all}");
        assert!(!all.contains("dXNlcjpzM2NyM3Q="), "{all}");
        assert_eq!(error.details["answer"]["status_code"], 401);
    }
}

#[tokio::test]
async fn only_an_at_most_once_request_that_may_have_arrived_has_an_unknown_outcome() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let cases = [
        (None, Duration::from_millis(300), "TIMEOUT"),
        (Some(""), LONG, "CONNECTION_LOST"),
        (Some(half), LONG, "CONNECTION_LOST"),
    ];
    for (reply, timeout, reason) in cases {
        let once = fail(Effect::AtMostOnce, reply, timeout).await;
        let again = fail(Effect::Idempotent, reply, timeout).await;

        assert_eq!((once.reason, once.retryable), (reason, false));
        assert_eq!(once.certainty, Certainty::Unknown);
        assert_eq!((again.reason, again.retryable), (reason, true));
        assert_eq!(again.certainty, Certainty::Known);
    }
}

#[tokio::test]
async fn a_request_that_was_provably_not_sent_may_be_retried_whatever_its_effect() {
    let closed = {
        let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", unused.local_addr().unwrap())
    };
    // A label of more than 63 characters is refused without asking any server.
    let nowhere = format!("http://{}/", "x".repeat(64));
    for (url, reason) in [(closed, "CONNECT_FAILED"), (nowhere, "RESOLVE_FAILED")] {
        let error = run(json!({"url": url, "method": "POST"}), Value::Null)
            .await
            .unwrap_err();

        assert_eq!((error.reason, error.retryable), (reason, true));
        assert_eq!(error.certainty, Certainty::Known);
        assert_eq!(error.details["sent"], false);
    }
}

#[tokio::test]
async fn what_would_fail_again_is_permanent() {
    let loops = TestServer::start(|_| Reply::redirect("302 Found", "/")).await;
    let tls = TestServer::start_tls(|_| Reply::ok("")).await;
    let tls_url = format!("https://localhost:{}/", tls.address.port());
    let cases = [
        (
            json!({"url": "http://169.254.169.254/latest"}),
            "EGRESS_BLOCKED",
        ),
        (json!({"url": "not a URL"}), "URL_INVALID"),
        (json!({"url": "http://u:p@127.0.0.1/"}), "URL_INVALID"),
        (json!({"url": loops.url("/")}), "TOO_MANY_REDIRECTS"),
        (json!({"url": tls_url}), "TLS_FAILED"),
        (
            json!({"url": loops.url("/"), "headers": {"X-A": "a\r\nHost: b"}}),
            "INVALID_HEADER",
        ),
    ];
    for (config, reason) in cases {
        let error = run(config.clone(), Value::Null).await.unwrap_err();

        assert_eq!(
            (error.reason, error.retryable),
            (reason, false),
            "{config}: {error}"
        );
        assert_eq!(error.certainty, Certainty::Known, "{config}");
    }
    let unverified = json!({"url": tls_url, "verify_ssl": false});
    assert_eq!(run(unverified, Value::Null).await.unwrap()["ok"], true);
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_is_an_answer() {
    let server = TestServer::start(|_| Reply::redirect("302 Found", "http://10.0.0.1/")).await;
    let config = json!({"url": server.url("/"), "allow_redirects": false});

    let output = run(config, Value::Null).await.unwrap();

    assert_eq!(output["status_code"], 302);
    assert_eq!(output["headers"]["location"], "http://10.0.0.1/");
}

#[tokio::test]
async fn a_cancelled_attempt_ends_at_once() {
    for (method, certainty) in [("GET", Certainty::Known), ("POST", Certainty::Unknown)] {
        let server = TestServer::start(|_| Reply::Hang(Vec::new())).await;
        let config = config(json!({"url": server.url("/"), "method": method}));
        let context = context(&config, Value::Null);
        let cancelled = context.cancelled.clone();

        let (outcome, ()) = tokio::join!(run_in(context, config), async {
            server.arrival().await;
            cancelled.cancel();
        });

        let error = outcome.unwrap_err();
        assert_eq!((error.reason, error.retryable), ("CANCELLED", false));
        assert_eq!(error.certainty, certainty, "{method}");
    }
}
