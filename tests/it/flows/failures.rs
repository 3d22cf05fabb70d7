//! What nodes say about their failures and flows about their open runs: kept as it was sent, or refused by name.

use prost_types::Duration;
use serde_json::{Value, json};
use synapps::proto::on_error::Action;
use synapps::proto::{
    ConflictAction, ContinueRun, ErrorPort, FallbackNode, Flow, FlowPolicy, Node, OnError,
    RetryPolicy, ValidateFlowRequest,
};

use super::{as_sent, create, get, update};
use crate::support::calls::Calls;
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

#[expect(clippy::unnecessary_wraps, reason = "the fields are optional")]
fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn retry() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 5,
        initial_interval: Some(Duration {
            seconds: 0,
            nanos: 250_000_000,
        }),
        coefficient: 1.5,
        max_interval: seconds(3_600),
        jitter: 0.2,
        non_retryable_reasons: vec!["HTTP_4XX".to_owned()],
        safe_on: vec!["HTTP_5XX".to_owned(), "TIMEOUT".to_owned()],
        total_timeout: seconds(86_400),
    }
}

fn fallback(node_id: &str) -> Action {
    Action::Fallback(FallbackNode {
        node_id: node_id.to_owned(),
    })
}

fn on_error(action: Action) -> impl FnOnce(&mut Node) {
    |node| {
        node.on_error = Some(OnError {
            action: Some(action),
        });
    }
}

fn post() -> Value {
    json!({"method": "POST", "url": "http://h.example/"})
}

/// A flow with every way to handle a failure.
fn careful(id: &str) -> Flow {
    let kept = wire::value(&json!({"total": 0, "why": [null]}));
    let mut flow = flow_with_ends(id)
        .node("call", "http_request", post())
        .retry(retry())
        .with(on_error(Action::Port(ErrorPort {})))
        .node("told", "transform", json!({}))
        .with(on_error(fallback("plan-b")))
        .node("plan-b", "transform", json!({}))
        .with(on_error(Action::DefaultOutput(kept)))
        .node("extra", "transform", json!({}))
        .with(on_error(Action::ContinueRun(ContinueRun {})))
        .edge("start", "call")
        .edge("call", "end")
        .edge_from("call", "error", "told")
        .edge("start", "extra")
        .policy(FlowPolicy {
            max_open_runs: 2,
            concurrency_key: "{{ input.user }}".to_owned(),
            on_conflict: ConflictAction::CancelRunning.into(),
            ..FlowPolicy::default()
        })
        .build();
    for node in &mut flow.nodes {
        node.position.get_or_insert_default();
    }
    flow
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_failure_is_read_back_as_it_was_sent() {
    let server = TestServer::start().await;
    let sent = careful("careful");

    let created = create(&server, sent.clone()).await.unwrap();
    let read = get(&server, "careful", 0).await.unwrap();
    let again = update(&server, read.clone(), "").await.unwrap();

    assert_eq!(as_sent(&created), sent);
    assert_eq!(read, created);
    assert_eq!(again, created);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_it_makes_another_graph() {
    let server = TestServer::start().await;
    let mut hashes = vec![create(&server, careful("f")).await.unwrap().content_hash];
    let changes: [fn(&mut Flow); 5] = [
        |flow| flow.nodes[2].retry = None,
        |flow| flow.nodes[4].on_error = None,
        |flow| flow.policy.as_mut().unwrap().max_open_runs = 0,
        |flow| flow.policy.as_mut().unwrap().concurrency_key.clear(),
        |flow| flow.policy.as_mut().unwrap().on_conflict = 0,
    ];

    for change in changes {
        let mut flow = careful("f");
        change(&mut flow);
        let sent = flow.clone();
        let stored = update(&server, flow, "").await.unwrap();
        assert_eq!(as_sent(&stored), sent);
        assert_eq!(get(&server, "f", 0).await.unwrap(), stored);
        hashes.push(stored.content_hash);
    }

    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_retry_policy_leaves_out_is_shown_with_its_default() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("f")
        .node("m", "merge", json!({}))
        .retry(RetryPolicy::default())
        .with(|node| node.on_error = Some(OnError::default()))
        .edge("start", "m")
        .edge("m", "end")
        .build();

    let created = create(&server, flow).await.unwrap();

    let node = &created.nodes[2];
    assert_eq!(node.on_error, None);
    let expected = RetryPolicy {
        max_attempts: 1,
        initial_interval: seconds(1),
        coefficient: 2.0,
        max_interval: seconds(60),
        ..RetryPolicy::default()
    };
    assert_eq!(node.retry, Some(expected));
    assert_eq!(get(&server, "f", 0).await.unwrap(), created);
}

/// Fields and reasons of all that is wrong with a flow.
async fn violations(server: &Calls, flow: FlowBuilder) -> Vec<(String, String)> {
    let request = ValidateFlowRequest {
        flow: Some(flow.build()),
    };
    let answer = server.flows().validate_flow(request).await.unwrap();
    let violations = answer.into_inner().violations.into_iter();
    violations.map(|one| (one.field, one.reason)).collect()
}

fn at(field: &str, reason: &str) -> (String, String) {
    (format!("flow.{field}"), reason.to_owned())
}

/// `start`, then a node under trial; beside it `spare` on the way to `end`.
fn trial(kind: &str, config: Value) -> FlowBuilder {
    flow_with_ends("f")
        .node("spare", "transform", json!({}))
        .edge("start", "spare")
        .edge("spare", "end")
        .node("here", kind, config)
        .edge("start", "here")
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_policies_out_of_bounds_are_refused_field_by_field() {
    let server = TestServer::start().await;
    let negative = RetryPolicy {
        max_attempts: -1,
        initial_interval: seconds(-1),
        coefficient: f64::NAN,
        max_interval: seconds(0),
        jitter: 1.5,
        non_retryable_reasons: vec![String::new()],
        safe_on: vec!["x".to_owned(); 51],
        total_timeout: seconds(30 * 86_400 + 1),
    };

    let mut found = violations(&server, trial("transform", json!({})).retry(negative)).await;

    found.sort();
    let expected = [
        ("coefficient", "OUT_OF_BOUNDS"),
        ("initial_interval", "OUT_OF_BOUNDS"),
        ("jitter", "OUT_OF_BOUNDS"),
        ("max_attempts", "OUT_OF_BOUNDS"),
        ("max_interval", "OUT_OF_BOUNDS"),
        ("non_retryable_reasons[0]", "REQUIRED"),
        ("safe_on", "OUT_OF_BOUNDS"),
        ("total_timeout", "OUT_OF_BOUNDS"),
    ];
    let expected = expected.map(|(field, reason)| at(&format!("nodes[3].retry.{field}"), reason));
    assert_eq!(found, expected);
    let pure = trial("transform", json!({})).retry(retry());
    assert_eq!(violations(&server, pure).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_lead_nowhere_are_refused() {
    const NODE: &str = "nodes[3].on_error.fallback.node_id";
    let server = TestServer::start().await;
    let plain = || trial("transform", json!({}));
    let branch = || trial("if_else", json!({"value": 1}));

    for (flow, expected) in [
        (plain().with(on_error(fallback("spare"))), Vec::new()),
        (
            plain().with(on_error(fallback("gone"))),
            vec![at(NODE, "UNKNOWN_FALLBACK")],
        ),
        (
            plain().with(on_error(fallback(""))),
            vec![at(NODE, "UNKNOWN_FALLBACK")],
        ),
        (
            plain().with(on_error(fallback("here"))),
            vec![at(NODE, "SELF_LOOP")],
        ),
        (
            plain().with(on_error(fallback("start"))),
            vec![at(NODE, "EDGE_INTO_START")],
        ),
        (
            plain()
                .with(on_error(fallback("spare")))
                .edge("spare", "here"),
            vec![at(NODE, "CYCLE")],
        ),
        (
            branch().with(on_error(Action::DefaultOutput(wire::value(&json!(1))))),
            vec![at("nodes[3].on_error.default_output", "SEVERAL_HANDLES")],
        ),
        (
            plain().with(on_error(Action::DefaultOutput(wire::value(
                &json!({"a": "\0"}),
            )))),
            vec![at("nodes[3].on_error.default_output.a", "NUL_CHARACTER")],
        ),
        (
            plain().with(on_error(Action::Port(ErrorPort {}))),
            Vec::new(),
        ),
        (
            plain().edge_from("here", "error", "end"),
            vec![at("edges[3].source_handle", "UNKNOWN_HANDLE")],
        ),
        (
            branch()
                .with(on_error(Action::Port(ErrorPort {})))
                .edge_from("here", "error", "end")
                .edge_from("here", "false", "end"),
            Vec::new(),
        ),
    ] {
        let shown = format!("{:?}", flow.clone().build().nodes[3].on_error);
        assert_eq!(violations(&server, flow).await, expected, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_open_runs_that_cannot_hold_are_refused() {
    let server = TestServer::start().await;
    let with = |max_open_runs, key: &str, on_conflict| {
        flow_with_ends("f").edge("start", "end").policy(FlowPolicy {
            max_open_runs,
            concurrency_key: key.to_owned(),
            on_conflict,
            ..FlowPolicy::default()
        })
    };
    let queue = i32::from(ConflictAction::Queue);

    for (flow, expected) in [
        (with(1, "", queue), Vec::new()),
        (with(0, "{{ input.a ~ input.b }}", queue), Vec::new()),
        (
            with(-1, "", 0),
            vec![at("policy.max_open_runs", "OUT_OF_BOUNDS")],
        ),
        (
            with(1_000_001, "", 0),
            vec![at("policy.max_open_runs", "OUT_OF_BOUNDS")],
        ),
        (
            with(0, "{{ content }}", 0),
            vec![at("policy.concurrency_key", "UNKNOWN_NAME")],
        ),
        (
            with(0, "{{ results.start.output }}", 0),
            vec![at("policy.concurrency_key", "UNKNOWN_NAME")],
        ),
        (
            with(0, "{{ input | }}", 0),
            vec![at("policy.concurrency_key", "INVALID_TEMPLATE")],
        ),
        (
            with(0, &"k".repeat(1_001), 0),
            vec![at("policy.concurrency_key", "TOO_LONG")],
        ),
        (
            with(0, "", queue),
            vec![at("policy.max_open_runs", "REQUIRED")],
        ),
        (
            with(1, "", 99),
            vec![at("policy.on_conflict", "UNKNOWN_ENUM_VALUE")],
        ),
    ] {
        let shown = format!("{:?}", flow.clone().build().policy);
        assert_eq!(violations(&server, flow).await, expected, "{shown}");
    }
}
