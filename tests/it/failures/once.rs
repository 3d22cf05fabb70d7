//! Requests that may happen once only: repeated where nothing was done for certain, and nowhere else.

use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{ErrorPort, RetryPolicy, RunState, StepState, WaitReason};

use super::{attempts, failure, milliseconds, output, run, state, step};
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

/// `start`, then `post`, which posts to this URL; `end` comes after it.
fn posting(id: &str, url: &str) -> FlowBuilder {
    flow_with_ends(id)
        .edge("start", "post")
        .edge("post", "end")
        .node("post", "http_request", post(url))
}

fn post(url: &str) -> Value {
    json!({"method": "POST", "url": url})
}

/// A URL that nobody listens on.
fn refused() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

fn safe_on(reason: &str) -> RetryPolicy {
    RetryPolicy {
        safe_on: vec![reason.to_owned()],
        ..attempts(3)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_is_sent_again() {
    let server = TestServer::start().await;
    let flow = posting("refused", &refused()).retry(attempts(3)).build();

    let run = run(&server, flow, json!({})).await;

    assert_eq!(failure(&run), ("CONNECT_FAILED", "post", 3));
    let post = step(&run, "post");
    assert_eq!(post.attempts.len(), 3);
    for attempt in &post.attempts {
        let error = attempt.error.as_ref().unwrap();
        let details = wire::object_of(error.details.as_ref().unwrap());
        assert_eq!(
            (&*error.code, &details["sent"]),
            ("CONNECT_FAILED", &json!(false))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_sent_again_only_where_the_author_says_so() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    for path in ["/plain", "/safe", "/other"] {
        bin.answer_first(path, 1, Answer::status(503));
    }
    let plain = posting("plain", &bin.url("/plain")).retry(attempts(3));
    let safe = posting("safe", &bin.url("/safe")).retry(safe_on("HTTP_5XX"));
    let other = posting("other", &bin.url("/other")).retry(safe_on("HTTP_4XX"));

    let plain = run(&server, plain.build(), json!({})).await;
    let safe = run(&server, safe.build(), json!({})).await;
    let other = run(&server, other.build(), json!({})).await;

    assert_eq!(failure(&plain), ("HTTP_5XX", "post", 1));
    assert_eq!(output(&safe)["data"]["count"], 2);
    assert_eq!(failure(&other), ("HTTP_5XX", "post", 1));
    assert_eq!(
        ["/plain", "/safe", "/other"].map(|path| bin.count(path)),
        [1, 2, 1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_waits_for_somebodys_word_whatever_the_node_says_of_failures() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = posting("doubt", &bin.url("/slow"))
        .retry(safe_on("TIMEOUT"))
        .on_error(Action::Port(ErrorPort {}))
        .with(|node| node.timeout = Some(milliseconds(300)))
        .node("told", "transform", json!({}))
        .edge_from("post", "error", "told")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;

    let run = server.run_in_state(&run_id, RunState::Waiting).await;

    assert_eq!(run.wait_reason(), WaitReason::OutcomeUnknown);
    assert_eq!(state(&run, "post"), StepState::OutcomeUnknown);
    assert_eq!(state(&run, "told"), StepState::Pending);
    assert_eq!(bin.count("/slow"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_failure_of_it_is_passed_on_like_any_other() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/no", Answer::status(402));
    let flow = posting("no", &bin.url("/no"))
        .on_error(Action::DefaultOutput(wire::value(&json!("unpaid"))))
        .build();

    let run = run(&server, flow, json!({})).await;

    assert_eq!(output(&run), json!("unpaid"));
    assert_eq!(state(&run, "post"), StepState::Failed);
    assert_eq!(bin.count("/no"), 1);
}
