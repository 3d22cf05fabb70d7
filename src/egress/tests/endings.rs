//! How exchanges end: limits, timeouts, lost connections, cancellation.

use std::io::Write;

use super::*;

#[tokio::test]
async fn an_answer_may_have_the_longest_body_but_not_a_byte_more() {
    let server = TestServer::start(|seen| {
        let extra = usize::from(seen.target == "/more");
        Reply::ok(vec![b'x'; MAX_BODY_BYTES + extra])
    })
    .await;

    let answer = send_open(get(server.url("/"))).await.unwrap();
    let error = send_open(get(server.url("/more"))).await.unwrap_err();

    assert_eq!(answer.body.len(), MAX_BODY_BYTES);
    let limit = MAX_BODY_BYTES;
    assert_eq!(error.cause, Cause::ResponseTooLarge { limit });
    assert_eq!(error.progress, Progress::Answered(200));
}

#[tokio::test]
async fn a_body_is_counted_after_decompression() {
    let pack = |length: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![b'x'; length]).unwrap();
        encoder.finish().unwrap()
    };
    let (small, bomb) = (pack(1000), pack(MAX_BODY_BYTES + 1));
    let server = TestServer::start(move |seen| {
        assert!(seen.header("accept-encoding").unwrap().contains("gzip"));
        let body = if seen.target == "/bomb" {
            &bomb
        } else {
            &small
        };
        Reply::new("200 OK", &["Content-Encoding: gzip"], body)
    })
    .await;

    let answer = send_open(get(server.url("/"))).await.unwrap();
    let error = send_open(get(server.url("/bomb"))).await.unwrap_err();

    assert_eq!(answer.body.len(), 1000);
    assert!(
        matches!(error.cause, Cause::ResponseTooLarge { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn headers_have_a_limit() {
    let server = TestServer::start(|seen| {
        let many: Vec<_> = (0..110).map(|n| format!("X-{n}: v")).collect();
        let long = [format!("X-Long: {}", "v".repeat(70_000))];
        let headers = if seen.target == "/many" {
            &many[..]
        } else {
            &long
        };
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        Reply::new("200 OK", &headers, "")
    })
    .await;

    for path in ["/many", "/long"] {
        let error = send_open(get(server.url(path))).await.unwrap_err();

        assert!(
            matches!(error.cause, Cause::HeadersTooLarge { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_request_that_is_never_answered_times_out_as_maybe_sent() {
    let server = TestServer::start(|_| Reply::Hang(Vec::new())).await;
    let mut request = post(server.url("/"));
    request.deadline = Instant::now() + Duration::from_millis(300);

    let error = send_open(request).await.unwrap_err();

    assert!(matches!(error.cause, Cause::Timeout { .. }), "{error}");
    assert_eq!(error.progress, Progress::MaybeSent);
}

#[tokio::test]
async fn a_request_that_found_no_tls_session_in_time_was_not_sent() {
    // It accepts connections (the kernel does) and says nothing, so the handshake never ends.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut request = post(format!("https://{}/", silent.local_addr().unwrap()));
    request.deadline = Instant::now() + Duration::from_millis(300);

    let error = send_open(request).await.unwrap_err();

    assert!(matches!(error.cause, Cause::Timeout { .. }), "{error}");
    assert_eq!(error.progress, Progress::Unsent);
}

#[tokio::test]
async fn a_body_that_stops_half_way_times_out_as_answered() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec();
    let server = TestServer::start(move |_| Reply::Hang(head.clone())).await;
    let mut request = post(server.url("/"));
    request.deadline = Instant::now() + Duration::from_millis(300);

    let error = send_open(request).await.unwrap_err();

    assert!(matches!(error.cause, Cause::Timeout { .. }), "{error}");
    assert_eq!(error.progress, Progress::Answered(200));
}

#[tokio::test]
async fn a_connection_that_closes_too_early_is_broken() {
    let cases = [
        ("", Progress::MaybeSent),
        ("HTTP/1.1 20", Progress::MaybeSent),
        ("no HTTP at all\r\n\r\n", Progress::MaybeSent),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            Progress::Answered(200),
        ),
    ];

    for (bytes, progress) in cases {
        let server = TestServer::start(move |_| Reply::Whole(bytes.into())).await;
        let error = send_open(post(server.url("/"))).await.unwrap_err();

        assert!(
            matches!(error.cause, Cause::Broken { .. }),
            "{bytes:?}: {error}"
        );
        assert_eq!(error.progress, progress, "{bytes:?}: {error}");
    }
}

#[tokio::test]
async fn a_refused_connection_was_not_sent_and_does_not_tell_the_address() {
    let port = {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
        unused.local_addr().unwrap().port()
    };
    for request in [post::<String>, get::<String>] {
        let error = send_open(request(format!("http://localhost:{port}/")));
        let error = error.await.unwrap_err();

        assert!(matches!(error.cause, Cause::Unreachable { .. }), "{error}");
        assert_eq!(error.progress, Progress::Unsent);
        assert!(error.to_string().contains("connection refused"), "{error}");
        assert!(!error.to_string().contains("127."), "{error}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unresolved() {
    // A label of more than 63 characters is refused without asking any server.
    let host = "x".repeat(64);

    let error = send_open(post(format!("http://{host}/")))
        .await
        .unwrap_err();

    assert_eq!(error.cause, Cause::Unresolved { host });
    assert_eq!(error.progress, Progress::Unsent);
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_unless_verification_is_skipped() {
    let server = TestServer::start_tls(|_| Reply::ok("tls")).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let mut unverified = post(&url);
    unverified.verification = Verification::Skipped;

    let error = send_open(post(&url)).await.unwrap_err();
    let answer = send_open(unverified).await.unwrap();

    assert!(
        matches!(
            error.cause,
            Cause::Tls {
                certificate: true,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.progress, Progress::Unsent);
    assert_eq!(&answer.body[..], b"tls");
}

#[tokio::test]
async fn a_cancelled_request_is_dropped_at_once() {
    let server = TestServer::start(|_| Reply::Hang(Vec::new())).await;
    let request = post(server.url("/"));
    let cancelled = request.cancelled.clone();

    let (outcome, ()) = tokio::join!(send_open(request), async {
        server.arrival().await;
        cancelled.cancel();
    });
    let mut late = post(server.url("/"));
    late.cancelled = cancelled;
    let never = send_open(late).await.unwrap_err();

    let error = outcome.unwrap_err();
    assert_eq!(
        (error.cause, error.progress),
        (Cause::Cancelled, Progress::MaybeSent)
    );
    assert_eq!(
        (never.cause, never.progress),
        (Cause::Cancelled, Progress::Unsent)
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_request_without_a_body_says_so_where_one_is_expected() {
    let server = TestServer::start(|_| Reply::ok("")).await;
    for (delivery, method, length) in [
        (Delivery::AtMostOnce, Method::POST, Some("0")),
        (Delivery::Repeatable, Method::POST, Some("0")),
        (Delivery::AtMostOnce, Method::GET, None),
        (Delivery::Repeatable, Method::GET, None),
    ] {
        let mut request = get(server.url("/"));
        (request.delivery, request.method) = (delivery, method);

        send_open(request).await.unwrap();

        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.header("content-length"), length, "{seen:?}");
        assert_eq!(seen.header("transfer-encoding"), None, "{seen:?}");
        assert!(seen.header("user-agent").unwrap().starts_with("synapps/"));
    }
}
