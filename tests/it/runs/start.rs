//! `StartRun`: durable before it is answered, and once only for each request id.

use std::collections::BTreeMap;

use serde_json::json;
use synapps::proto::{RunState, StartRunRequest, UpdateFlowRequest};
use tonic::Code;
use uuid::Uuid;

use super::{asking, greeting, request, start};
use crate::support::calls::{assert_error, metadata, violated_fields};
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::wire;

fn named(name: &str, input: &serde_json::Value) -> StartRunRequest {
    StartRunRequest {
        request_id: name.to_owned(),
        ..request("greeting", input)
    }
}

async fn count(server: &TestServer, table: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {table}");
    server
        .sql()
        .await
        .query_one(&query, &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_in_the_database_before_its_caller_is_told() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    server.save(asking("slow", &bin, "/slow")).await;
    let sql = server.sql().await;
    let query = "SELECT kind, payload::text, labels FROM run_events JOIN workflow_runs USING (namespace, run_id) \
                 WHERE run_id = $1 AND sequence = 1";
    let statement = sql.prepare(query).await.unwrap();

    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let answer = start(
        &server,
        StartRunRequest {
            labels: labels.clone(),
            ..request("slow", &json!({ "n": 1 }))
        },
    )
    .await
    .unwrap();
    let run = answer.run.unwrap();
    let id = Uuid::parse_str(&run.run_id).unwrap();
    let row = sql.query_one(&statement, &[&id]).await.unwrap();

    assert!(answer.started);
    assert_eq!(row.get::<_, String>(0), "run_queued");
    assert_eq!(row.get::<_, String>(1), r#"{"n":1}"#);
    assert_eq!(row.get::<_, serde_json::Value>(2), json!({ "team": "a" }));
    assert_eq!(id.get_version_num(), 7);
    assert_eq!((run.flow_id.as_str(), run.revision), ("slow", 1));
    assert_eq!((run.labels, run.total_steps), (labels, 3));
    assert!(run.last_sequence >= 1 && run.create_time.is_some());
    assert!(run.input.is_none() && run.steps.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_input_is_an_empty_object() {
    let server = TestServer::start().await;
    server.save(chain("flow", &[])).await;

    let absent = StartRunRequest {
        input: None,
        ..request("flow", &json!(0))
    };
    let run_id = start(&server, absent).await.unwrap().run.unwrap().run_id;
    let run = server.finished_run(&run_id).await;

    assert_eq!(wire::json(run.input.as_ref()), json!({}));
    assert_eq!(wire::json(run.output.as_ref()), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_gives_the_same_run_and_starts_none() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;
    let input = json!({ "name": "Ada" });

    let first = start(&server, named("once", &input)).await.unwrap();
    let run_id = first.run.unwrap().run_id;
    let again = start(&server, named("once", &input)).await.unwrap();
    server.finished_run(&run_id).await;
    let late = start(&server, named("once", &input)).await.unwrap();

    assert_eq!(
        (first.started, again.started, late.started),
        (true, false, false)
    );
    assert_eq!(again.run.unwrap().run_id, run_id);
    let late = late.run.unwrap();
    assert_eq!((&late.run_id, late.state()), (&run_id, RunState::Succeeded));
    assert_eq!(count(&server, "workflow_runs").await, 1);
    assert_eq!(count(&server, "start_requests").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_of_another_request_is_refused_with_the_run_that_it_started() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;
    server.save(greeting("other")).await;
    let input = json!({ "name": "Ada" });
    let first = start(&server, named("once", &input)).await.unwrap();
    let run_id = first.run.unwrap().run_id;

    let same = named("once", &input);
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let others = [
        named("once", &json!({ "name": "Bob" })),
        StartRunRequest {
            input: None,
            ..same.clone()
        },
        StartRunRequest {
            revision: 1,
            ..same.clone()
        },
        StartRunRequest {
            flow_id: "other".to_owned(),
            ..same.clone()
        },
        StartRunRequest { labels, ..same },
    ];
    for other in others {
        let error = start(&server, other.clone()).await.unwrap_err();
        assert_error(&error, Code::AlreadyExists, "REQUEST_ID_REUSED");
        assert_eq!(metadata(&error, "runId"), run_id, "{other:?}");
    }
    assert_eq!(count(&server, "workflow_runs").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_at_once_with_one_request_id_start_one_run() {
    let server = TestServer::start().await;
    let other = TestServer::builder()
        .database(server.database())
        .start()
        .await;
    server.save(greeting("greeting")).await;
    let input = json!({ "name": "Ada" });

    let calls = (0..20).map(|number| {
        let server = if number % 2 == 0 { &server } else { &other };
        start(server, named("once", &input))
    });
    let answers = futures_util::future::try_join_all(calls).await.unwrap();

    assert_eq!(answers.iter().filter(|answer| answer.started).count(), 1);
    let mut ids: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.run.unwrap().run_id)
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(
        server.finished_run(&ids[0]).await.state(),
        RunState::Succeeded
    );
    assert_eq!(count(&server, "workflow_runs").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_request_id_each_call_starts_a_run() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;

    let one = start(&server, named("", &json!({}))).await.unwrap();
    let two = start(&server, named("", &json!({}))).await.unwrap();

    assert!(one.started && two.started);
    assert_ne!(one.run.unwrap().run_id, two.run.unwrap().run_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_its_revision_and_an_older_one_can_be_asked_for() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let flow = |text: &str| {
        let get = json!({ "url": bin.url("/slow") });
        let text = json!({ "operation": "template", "template": text });
        chain(
            "flow",
            &[("get", "http_request", get), ("text", "transform", text)],
        )
    };
    let before = server.save_and_start(flow("one"), &json!({})).await;
    bin.requested("/slow", 1).await;

    let update = UpdateFlowRequest {
        flow: Some(flow("two")),
        ..UpdateFlowRequest::default()
    };
    server.flows().update_flow(update).await.unwrap();
    let latest = server.start("flow", &json!({})).await;
    let explicit = StartRunRequest {
        revision: 1,
        ..request("flow", &json!({}))
    };
    let explicit = start(&server, explicit).await.unwrap().run.unwrap().run_id;
    held.release();

    for (run_id, revision, output) in [(before, 1, "one"), (latest, 2, "two"), (explicit, 1, "one")]
    {
        let run = server.finished_run(&run_id).await;
        assert_eq!(
            (run.revision, wire::json(run.output.as_ref())),
            (revision, json!(output))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_no_flow_or_no_revision_is_refused() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;

    let error = start(&server, request("absent", &json!({})))
        .await
        .unwrap_err();
    assert_error(&error, Code::NotFound, "FLOW_NOT_FOUND");
    let beyond = StartRunRequest {
        revision: 2,
        ..request("greeting", &json!({}))
    };
    let error = start(&server, beyond).await.unwrap_err();
    assert_error(&error, Code::NotFound, "REVISION_NOT_FOUND");
    assert_eq!(metadata(&error, "latestRevision"), "1");
    assert_eq!(count(&server, "workflow_runs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_has_to_fit_the_schema_and_each_misfit_is_named() {
    let server = TestServer::start().await;
    let schema = json!({
        "type": "object",
        "required": ["name"],
        "properties": { "name": { "type": "string" }, "items": { "items": { "type": "integer" } } },
    });
    let mut flow = greeting("greeting");
    flow.input_schema = Some(wire::fields(&schema));
    server.save(flow).await;

    let misfit = json!({ "name": 5, "items": [1, "two"] });
    let error = start(&server, named("x", &misfit)).await.unwrap_err();
    assert_error(&error, Code::InvalidArgument, "INVALID_INPUT");
    let mut fields = violated_fields(&error);
    fields.sort();
    assert_eq!(fields, ["input.items[1]", "input.name"]);
    assert_eq!(count(&server, "workflow_runs").await, 0);

    // What was refused has not used its request id up.
    let fitting = start(
        &server,
        named("x", &json!({ "name": "Ada", "items": [1.0] })),
    )
    .await;
    assert!(fitting.unwrap().started);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_start_is_told_at_once() {
    let server = TestServer::start().await;

    let wrong = StartRunRequest {
        flow_id: "no such id!".to_owned(),
        revision: -1,
        priority: 11,
        request_id: "x".repeat(201),
        labels: BTreeMap::from([(String::new(), String::new())]),
        ..request("", &json!({ "text": "a\0b" }))
    };
    let error = start(&server, wrong).await.unwrap_err();

    assert_eq!(error.code(), Code::InvalidArgument);
    let fields = violated_fields(&error);
    for field in [
        "flow_id",
        "revision",
        "priority",
        "request_id",
        "input.text",
    ] {
        assert!(
            fields.iter().any(|violated| violated == field),
            "{field}: {fields:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_what_a_server_holds_are_queued_and_run_later() {
    let server = TestServer::builder()
        .flag("--max-open-runs=1")
        .start()
        .await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let first = server
        .save_and_start(asking("slow", &bin, "/slow"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let second = server.start("slow", &json!({})).await;
    let third = server.start("slow", &json!({})).await;
    for run_id in [&second, &third] {
        assert_eq!(server.get(run_id).await.state(), RunState::Queued);
    }
    held.release();

    for run_id in [&first, &second, &third] {
        let run = server.finished_run(run_id).await;
        assert_eq!(run.state(), RunState::Succeeded);
    }
    assert_eq!(bin.count("/slow"), 3);
}
