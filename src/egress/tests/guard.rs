//! Where requests may go, and where redirects lead them.

use super::*;

#[tokio::test]
async fn what_is_not_public_is_blocked_in_whatever_notation() {
    let egress = egress("");
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "①②⑦.0.0.1",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
        "localhost",
        "LOCALHOST",
        "loc%61lhost",
    ];

    for host in hosts {
        let outcome = egress.send(get(format!("http://{host}/"))).await;

        assert_blocked(outcome, host);
    }
}

#[tokio::test]
async fn a_blocked_name_does_not_tell_its_address() {
    let error = egress("")
        .send(post("http://localhost/"))
        .await
        .unwrap_err();

    assert_eq!(error.progress, Progress::Unsent);
    let message = error.to_string();
    assert!(message.contains("localhost"), "{message}");
    assert!(
        !message.contains("127.") && !message.contains("loopback"),
        "{message}"
    );
}

#[tokio::test]
async fn a_rule_opens_one_port_and_no_other() {
    let server = TestServer::start(|_| Reply::ok("")).await;
    let other = TestServer::start(|_| Reply::ok("")).await;
    let egress = egress(&format!("127.0.0.1/32:{}", server.address.port()));
    let by_name = |server: &TestServer| format!("http://localhost:{}/", server.address.port());

    egress.send(get(server.url("/"))).await.unwrap();
    egress.send(get(by_name(&server))).await.unwrap();
    assert_blocked(egress.send(get(other.url("/"))).await, "address");
    assert_blocked(egress.send(get(by_name(&other))).await, "name");

    assert_eq!(server.seen().len(), 2);
    assert_eq!(other.seen().len(), 0);
}

#[tokio::test]
async fn only_urls_of_http_without_a_user_are_requested() {
    for url in [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "data:,x",
        "http://user@127.0.0.1/",
        "http://user:secret@127.0.0.1/",
    ] {
        let error = send_open(get(url)).await.unwrap_err();

        assert!(matches!(error.cause, Cause::BadUrl(_)), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.progress, Progress::Unsent);
    }
}

#[tokio::test]
async fn a_redirect_to_a_blocked_address_is_blocked() {
    let inner = TestServer::start(|_| Reply::ok("inside")).await;
    let targets = [
        inner.url("/"),
        format!("http://localhost:{}/", inner.address.port()),
        format!("//0x7f.1:{}/", inner.address.port()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ];
    for target in targets {
        let location = target.clone();
        let outer = TestServer::start(move |_| Reply::redirect("302 Found", &location)).await;
        let egress = egress(&format!("127.0.0.1/32:{}", outer.address.port()));

        let outcome = egress.send(get(outer.url("/"))).await;

        assert_eq!(
            outcome.as_ref().unwrap_err().progress,
            Progress::Answered(302)
        );
        assert_blocked(outcome, &target);
    }
    let outer = TestServer::start(|_| Reply::redirect("302 Found", "file:///etc/passwd")).await;
    let error = send_open(get(outer.url("/"))).await.unwrap_err();

    assert!(matches!(error.cause, Cause::BadUrl(_)), "{error}");
    assert_eq!(inner.seen().len(), 0);
}

#[tokio::test]
async fn redirects_are_followed_and_keep_or_change_the_method() {
    for (status, method, body) in [
        ("302 Found", "GET", ""),
        ("303 See Other", "GET", ""),
        ("307 Temporary Redirect", "POST", "payload"),
    ] {
        let server = TestServer::start(move |seen| match seen.target.as_str() {
            "/from" => Reply::redirect(status, "/to?a=b"),
            _ => Reply::ok("there"),
        })
        .await;

        let answer = send_open(post(server.url("/from"))).await.unwrap();

        assert_eq!(answer.url.as_str(), server.url("/to?a=b"));
        assert_eq!(answer.method.as_str(), method);
        assert_eq!((answer.redirects, &answer.body[..]), (1, &b"there"[..]));
        let last = server.seen().pop().unwrap();
        assert_eq!((last.method.as_str(), last.body.as_str()), (method, body));
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_does_not_bring_credentials() {
    let other = TestServer::start(|_| Reply::ok("")).await;
    let location = format!("http://localhost:{}/", other.address.port());
    let server = TestServer::start(move |_| Reply::redirect("307 Temporary Redirect", &location));
    let server = server.await;
    let mut request = post(server.url("/"));
    let token = HeaderValue::from_static("Bearer token");
    request.headers.insert(AUTHORIZATION, token);
    let other_value = HeaderValue::from_static("kept");
    request.headers.insert("x-trace", other_value);

    send_open(request).await.unwrap();

    assert_eq!(
        server.seen()[0].header("authorization"),
        Some("Bearer token")
    );
    let last = &other.seen()[0];
    assert_eq!(last.header("authorization"), None);
    assert_eq!(last.header("x-trace"), Some("kept"));
    assert_eq!(last.body, "payload");
}

#[tokio::test]
async fn redirects_have_a_limit_and_can_be_left_unfollowed() {
    let server = TestServer::start(|_| Reply::redirect("302 Found", "/again")).await;
    let mut unfollowed = get(server.url("/"));
    unfollowed.redirects = Redirects::Return;

    let answer = send_open(unfollowed).await.unwrap();
    let error = send_open(get(server.url("/"))).await.unwrap_err();

    assert_eq!(answer.status, 302);
    assert_eq!(error.cause, Cause::TooManyRedirects { limit: 10 });
    assert_eq!(server.seen().len(), 1 + 11);
}
