//! Inputs of runs, and the requests to start them.

use prost_types::Value;
use serde_json::json;
use synapps::proto::{ExecuteRunRequest, RunState, StartRunRequest};
use tonic::{Code, Status};

use super::values::{nested_lists, nested_objects, number};
use super::{assert_unharmed, told};
use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::flows::flow_with_ends;
use crate::support::server::TestServer;
use crate::support::wire;

fn started_with(input: Value) -> StartRunRequest {
    StartRunRequest {
        flow_id: "f".to_owned(),
        input: Some(input),
        ..StartRunRequest::default()
    }
}

/// The same refusal of `StartRun` and `ExecuteRun`.
async fn refusal(server: &Calls, request: StartRunRequest) -> Status {
    let execute = ExecuteRunRequest {
        flow_id: request.flow_id.clone(),
        revision: request.revision,
        input: request.input.clone(),
        request_id: request.request_id.clone(),
        labels: request.labels.clone(),
        priority: request.priority,
        ..ExecuteRunRequest::default()
    };
    let started = server.runs().start_run(request).await;
    let started = started.expect_err("a run was started");
    let executed = server.runs().execute_run(execute).await;
    let executed = executed.expect_err("a run was started");
    assert_eq!(executed.code(), started.code());
    assert_eq!(told(&executed), told(&started));
    started
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server
        .save(flow_with_ends("f").edge("start", "end").build())
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_of_a_mebibyte_is_taken_and_one_byte_more_is_not() {
    let server = server().await;
    // With its quotes.
    let most = "x".repeat((1 << 20) - 2);

    let run_id = server.start("f", &json!(most)).await;
    let status = refusal(
        &server,
        started_with(wire::value(&json!(most.clone() + "x"))),
    )
    .await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(
        told(&status),
        [("input".to_owned(), "TOO_LARGE".to_owned())]
    );
    assert!(status.message().contains("1048576"), "{status:?}");
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_nest_too_deep_are_refused() {
    let server = server().await;

    let kept = server
        .runs()
        .start_run(started_with(nested_objects(30)))
        .await;
    kept.unwrap();
    for deep in [nested_lists(31), nested_objects(31), nested_lists(45)] {
        let status = refusal(&server, started_with(deep)).await;
        let told = told(&status);
        assert_eq!((told.len(), &*told[0].1), (1, "TOO_DEEP"), "{told:?}");
        assert!(told[0].0.starts_with("input"), "{told:?}");
    }
    for deep in [nested_lists(100), nested_objects(60)] {
        let status = refusal(&server, started_with(deep)).await;
        assert_error(&status, Code::InvalidArgument, "MALFORMED_REQUEST");
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_an_input_is_told_at_once() {
    let server = server().await;
    let input = json!({"a": ["ok", "a\0b"], "b\0": 1, "c": {"d": 9_007_199_254_740_994_i64}});

    let status = refusal(&server, started_with(wire::value(&input))).await;
    let nan = refusal(&server, started_with(number(f64::NAN))).await;

    assert_error(&status, Code::InvalidArgument, "INVALID_REQUEST");
    let mut found = told(&status);
    found.sort();
    let found: Vec<(&str, &str)> = found.iter().map(|one| (&*one.0, &*one.1)).collect();
    assert_eq!(
        found,
        [
            ("input", "NUL_CHARACTER"),
            ("input.a[1]", "NUL_CHARACTER"),
            ("input.c.d", "NUMBER_OUT_OF_RANGE"),
        ]
    );
    assert_eq!(
        told(&nan),
        [("input".to_owned(), "NOT_A_NUMBER".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_start_is_checked_at_once() {
    let server = server().await;
    let request = StartRunRequest {
        flow_id: "no id".to_owned(),
        revision: -1,
        input: Some(number(f64::INFINITY)),
        request_id: "é\0".to_owned(),
        labels: [
            ("k\0".to_owned(), String::new()),
            ("l".to_owned(), "v\0".to_owned()),
        ]
        .into(),
        priority: 11,
    };

    let status = refusal(&server, request).await;
    let later = StartRunRequest {
        priority: -11,
        ..started_with(number(1.0))
    };
    let later = refusal(&server, later).await;

    assert_error(&status, Code::InvalidArgument, "INVALID_REQUEST");
    let mut fields = violated_fields(&status);
    fields.sort();
    assert_eq!(
        fields,
        [
            "flow_id",
            "input",
            "labels[k\\0]",
            "labels[l]",
            "priority",
            "request_id",
            "revision"
        ]
    );
    assert_error(&later, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violated_fields(&later), ["priority"]);
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_does_not_fit_the_schema_starts_nothing() {
    let server = TestServer::start().await;
    let schema = json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    });
    let flow = flow_with_ends("f")
        .edge("start", "end")
        .input_schema(&schema);
    server.save(flow.build()).await;

    let status = refusal(
        &server,
        started_with(wire::value(&json!({"age": -1, "more": 1}))),
    )
    .await;
    let absent = StartRunRequest {
        input: None,
        ..started_with(number(1.0))
    };
    let absent = refusal(&server, absent).await;
    let fitting = server.start("f", &json!({"name": "Ada", "age": 36})).await;

    assert_error(&status, Code::InvalidArgument, "INVALID_INPUT");
    assert_eq!(metadata(&status, "violationCount"), "3");
    assert!(
        violated_fields(&status).contains(&"input.age".to_owned()),
        "{status:?}"
    );
    assert_error(&absent, Code::InvalidArgument, "INVALID_INPUT");
    assert_eq!(
        server.finished_run(&fitting).await.state(),
        RunState::Succeeded
    );
}
