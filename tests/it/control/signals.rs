//! `SignalRun`: early, late, twice, from elsewhere and too many.

use serde_json::{Value, json};
use synapps::proto::{Flow, RunState, SignalRunRequest, WaitReason};
use tonic::Code;

use super::{a_signal, signal};
use crate::support::binary::Binary;
use crate::support::calls::{assert_error, assert_gapless, metadata, violated_fields};
use crate::support::database::Database;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

/// Waits for `go` and ends with what it carries.
fn waiting(id: &str) -> Flow {
    waiting_for(id, &json!({ "name": "go" }))
}

fn waiting_for(id: &str, config: &Value) -> Flow {
    flow_with_ends(id)
        .node("wait", "wait_signal", config.clone())
        .edge("start", "wait")
        .edge_from("wait", "received", "end")
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_wait_and_its_payload_is_the_output() {
    let server = TestServer::start().await;
    let run_id = server.save_and_start(waiting("flow"), &json!({})).await;
    let run = server.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(run.wait_reason(), WaitReason::Signal);

    // Not the one that it waits for.
    assert!(
        signal(&server, a_signal(&run_id, "other", &json!(1)))
            .await
            .unwrap()
    );
    assert_eq!(server.get(&run_id).await.state(), RunState::Waiting);
    let payload = json!({ "amount": 36, "of": ["a", null] });
    assert!(
        signal(&server, a_signal(&run_id, "go", &payload))
            .await
            .unwrap()
    );

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.output.as_ref()), payload);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_come_early_are_kept_and_taken_in_their_order() {
    let server = TestServer::start().await;
    let first = json!({ "name": "go" });
    let flow = flow_with_ends("flow")
        .node("open", "wait_signal", json!({ "name": "open" }))
        .node("one", "wait_signal", first.clone())
        .node("two", "wait_signal", first)
        .edge("start", "open")
        .edge_from("open", "received", "one")
        .edge_from("one", "received", "two")
        .edge_from("two", "received", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    for payload in [1, 2, 3] {
        signal(&server, a_signal(&run_id, "go", &json!(payload)))
            .await
            .unwrap();
    }

    signal(&server, a_signal(&run_id, "open", &Value::Null))
        .await
        .unwrap();

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.results.get("one")), json!(1));
    assert_eq!(wire::json(run.results.get("two")), json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_makes_a_repeated_call_one_signal() {
    let server = TestServer::start().await;
    let run_id = server.save_and_start(waiting("flow"), &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;
    let named = |payload: &Value, id: &str| SignalRunRequest {
        request_id: id.to_owned(),
        ..a_signal(&run_id, "other", payload)
    };

    let calls = (0..5).map(|_| signal(&server, named(&json!(1), "once")));
    let answers = futures_util::future::join_all(calls).await;

    let sent = answers
        .into_iter()
        .filter(|answer| *answer.as_ref().unwrap());
    assert_eq!(sent.count(), 1);
    let error = signal(&server, named(&json!(2), "once")).await.unwrap_err();
    assert_error(&error, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert!(signal(&server, named(&json!(2), "twice")).await.unwrap());
    let events = server.events_after(&run_id, 0).await;
    assert_eq!(super::times(&events, "signal_received"), 2);
    // Also when the run has ended.
    server.cancel(&run_id).await.unwrap();
    server.finished_run(&run_id).await;
    assert!(!signal(&server, named(&json!(1), "once")).await.unwrap());
    let error = signal(&server, named(&json!(1), "late")).await.unwrap_err();
    assert_error(&error, Code::FailedPrecondition, "RUN_ALREADY_DONE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_a_thousand_signals_that_nobody_has_asked_for() {
    let server = TestServer::start().await;
    let run_id = server.save_and_start(waiting("flow"), &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;
    // As many as a minute of a busy sender, at one go.
    let sql = server.sql().await;
    let id = uuid::Uuid::parse_str(&run_id).unwrap();
    let posted = "WITH counted AS (UPDATE workflow_runs SET inbox_count = inbox_count + 999, wake_at = now() \
                  WHERE run_id = $1 AND executor_id IS NULL RETURNING namespace, run_id) \
                  INSERT INTO run_inbox (namespace, run_id, kind, data) SELECT namespace, run_id, 'SIGNAL', \
                  '{\"Signal\": {\"name\": \"other\", \"payload\": null}}'::json FROM counted, generate_series(1, 999)";
    assert_eq!(sql.execute(posted, &[&id]).await.unwrap(), 999);

    assert!(
        signal(&server, a_signal(&run_id, "other", &json!(1)))
            .await
            .unwrap()
    );
    let error = signal(&server, a_signal(&run_id, "other", &json!(2))).await;

    let error = error.unwrap_err();
    assert_error(&error, Code::ResourceExhausted, "TOO_MANY_SIGNALS");
    assert_eq!(metadata(&error, "limit"), "1000");
    // Once they are in the history too.
    let left = "SELECT count(*) = 0 FROM run_inbox";
    crate::support::within("the letters", async {
        while !sql.query_one(left, &[]).await.unwrap().get::<_, bool>(0) {}
    })
    .await;
    let error = signal(&server, a_signal(&run_id, "other", &json!(2))).await;
    assert_error(
        &error.unwrap_err(),
        Code::ResourceExhausted,
        "TOO_MANY_SIGNALS",
    );
    // What the run waits for is not kept, and gets through.
    assert!(
        signal(&server, a_signal(&run_id, "go", &json!("at last")))
            .await
            .unwrap()
    );
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_a_run_elsewhere_and_outlasts_a_kill() {
    let database = Database::migrated().await;
    let mut owner = Binary::start_on(&database, &[]).await;
    let other = TestServer::builder().database(&database).start().await;
    let run_id = owner.save_and_start(waiting("flow"), &json!({})).await;
    owner.run_in_state(&run_id, RunState::Waiting).await;
    assert!(
        signal(&other, a_signal(&run_id, "go", &json!("from afar")))
            .await
            .unwrap()
    );
    let run = other.finished_run(&run_id).await;
    assert_eq!(wire::json(run.output.as_ref()), json!("from afar"));

    // Short enough to stay in the memory of its owner, which then dies.
    let soon = waiting_for("soon", &json!({ "name": "go", "timeout": 4 }));
    let run_id = owner.save_and_start(soon, &json!({})).await;
    owner
        .run_once(&run_id, "the wait", |run| {
            run.steps
                .iter()
                .any(|step| step.wait_reason() == WaitReason::Signal)
        })
        .await;
    owner.kill().await;
    assert!(
        signal(&other, a_signal(&run_id, "go", &json!("late")))
            .await
            .unwrap()
    );
    let run = other.finished_run(&run_id).await;
    // Acknowledged, so it wins over the expiry, which was due before the run was taken over.
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.output.as_ref()), json!("late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_without_its_signal_expires() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("flow")
        .node("wait", "wait_signal", json!({ "name": "go", "timeout": 1 }))
        .node("late", "transform", json!({}))
        .edge("start", "wait")
        .edge_from("wait", "received", "late")
        .edge_from("wait", "expired", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({ "kept": 1 })).await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.output.as_ref()), json!({ "kept": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_signals_are_refused() {
    let server = TestServer::start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    let run_id = server.save_and_start(flow, &json!({})).await;
    let large = json!("x".repeat(33_000));
    for (request, field) in [
        (a_signal(&run_id, "", &json!(1)), "name"),
        (a_signal(&run_id, &"x".repeat(201), &json!(1)), "name"),
        (a_signal(&run_id, "a\nb", &json!(1)), "name"),
        (a_signal(&run_id, "go", &large), "payload"),
        (a_signal(&run_id, "go", &json!({ "a": "\0" })), "payload.a"),
        (a_signal("x", "go", &json!(1)), "run_id"),
        (
            SignalRunRequest {
                request_id: "é".to_owned(),
                ..a_signal(&run_id, "go", &json!(1))
            },
            "request_id",
        ),
    ] {
        let error = signal(&server, request).await.unwrap_err();

        assert_error(&error, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(violated_fields(&error), [field]);
    }
}
