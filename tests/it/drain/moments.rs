//! What a run may be doing when its process is told to stop.

use serde_json::json;
use synapps::proto::{RetryPolicy, RunState, StartRunRequest, StepAttempt, StepState};

use super::LEASE;
use crate::control::{a_signal, signal};
use crate::crash::{all_succeed, assert_sound};
use crate::support::calls::{Calls, assert_gapless};
use crate::support::database::Database;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::history::{has, kinds};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

async fn server(database: &Database) -> TestServer {
    let builder = TestServer::builder().database(database).flag(LEASE);
    builder.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_cut_off_counts_for_nothing() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let held = bin.hold("/get");
    // Twice at most: the one that is cut off, and two more.
    bin.answer_first("/get", 2, Answer::status(503));
    let leaving = server(&database).await;
    let policy = RetryPolicy {
        max_attempts: 2,
        initial_interval: Some(seconds(1)),
        ..RetryPolicy::default()
    };
    let flow = flow_with_ends("flow")
        .node("get", "http_request", json!({ "url": bin.url("/get") }))
        .retry(policy)
        .edge("start", "get")
        .edge("get", "end")
        .build();
    let run_id = leaving.save_and_start(flow, &json!({})).await;
    bin.requested("/get", 1).await;

    leaving.stop().await;
    drop(held);
    let heir = server(&database).await;

    let run = heir.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let events = heir.events_after(&run_id, 0).await;
    assert_gapless(&events);
    let said = kinds(&events);
    assert!(has(&events, "step_interrupted get"), "{said:#?}");
    assert!(!has(&events, "run_recovered"), "{said:#?}");
    let steps = heir.steps(&run_id, "").await;
    let get = steps.iter().find(|step| step.node_id == "get").unwrap();
    let states: Vec<StepState> = get.attempts.iter().map(StepAttempt::state).collect();
    assert_eq!(
        states,
        [StepState::Failed, StepState::Failed, StepState::Succeeded]
    );
    let first = get.attempts[0].error.as_ref().unwrap();
    assert_eq!(first.code, "INTERRUPTED");
    let keys: Vec<String> = bin
        .seen()
        .into_iter()
        .map(|seen| seen.idempotency_key)
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(
        keys.iter().all(|key| !key.is_empty() && *key == keys[0]),
        "{keys:?}"
    );
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_children_waits_retries_and_what_is_written_meanwhile_go_on_elsewhere() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let leaving = server(&database).await;
    let held = ["/item", "/child", "/last"].map(|path| bin.hold(path));
    bin.answer_first("/flaky", 1, Answer::status(503));
    let get = |path: &str| json!({ "url": bin.url(path) });
    leaving
        .save(chain("child", &[("get", "http_request", get("/child"))]))
        .await;
    let body = json!({ "nodes": [{ "id": "get", "type": "http_request", "data": get("/item") }] });
    let looped = json!({ "array_source": "{{ input }}", "concurrency": 3, "body": body });
    let flaky = flow_with_ends("flaky")
        .node("get", "http_request", get("/flaky"))
        .retry(RetryPolicy {
            max_attempts: 2,
            initial_interval: Some(seconds(2)),
            ..RetryPolicy::default()
        })
        .edge("start", "get")
        .edge("get", "end")
        .build();
    let signalled = flow_with_ends("signalled")
        .node("wait", "wait_signal", json!({ "name": "go" }))
        .edge("start", "wait")
        .edge_from("wait", "received", "end")
        .build();
    let flows = [
        chain("loop", &[("loop", "for_each", looped)]),
        chain(
            "parent",
            &[("call", "subflow", json!({ "flow_id": "child" }))],
        ),
        chain("delay", &[("wait", "delay", json!({ "seconds": 3 }))]),
        flaky,
        chain("last", &[("get", "http_request", get("/last"))]),
        signalled,
    ];
    let mut runs = Vec::new();
    for flow in flows {
        runs.push(leaving.save_and_start(flow, &json!([1, 2, 3, 4, 5])).await);
    }
    bin.requested("/item", 3).await;
    for path in ["/child", "/last", "/flaky"] {
        bin.requested(path, 1).await;
    }
    let waits = |run: &synapps::proto::Run| run.state() == RunState::Waiting;
    leaving
        .run_once(&runs[5], "the wait for a signal", waits)
        .await;

    let heir = server(&database).await;
    let written = async {
        // Through whichever replica answers: the run is being given back, or was.
        signal(&heir, a_signal(&runs[5], "go", &json!("now"))).await
    };
    let (_, written) = tokio::join!(leaving.stop(), written);
    written.unwrap();
    drop(held);

    all_succeed(&heir, &runs).await;
    assert_eq!(bin.count("/flaky"), 2);
    for run_id in &runs {
        let events = heir.events_after(run_id, 0).await;
        assert_sound(&events);
        assert!(!has(&events, "run_recovered"), "{:#?}", kinds(&events));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_being_started_or_ended_at_that_moment_is_not_lost() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let leaving = server(&database).await;
    leaving
        .save(chain(
            "quick",
            &[("get", "http_request", json!({ "url": bin.url("/quick") }))],
        ))
        .await;
    let calls = Calls::clone(&leaving);
    let starting = tokio::spawn(async move {
        let mut started = Vec::new();
        // Until the process takes nothing more.
        loop {
            let request = StartRunRequest {
                flow_id: "quick".to_owned(),
                ..StartRunRequest::default()
            };
            match calls.runs().start_run(request).await {
                Ok(answer) => started.push(answer.into_inner().run.unwrap().run_id),
                Err(_) => return started,
            }
        }
    });
    bin.requested_in_all(50).await;

    leaving.stop().await;
    let started = starting.await.unwrap();
    let heir = server(&database).await;

    assert!(started.len() >= 50);
    all_succeed(&heir, &started).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_older_version_lives_nothing_is_written_that_it_could_not_read() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let sql = database.sql().await;
    let older = "INSERT INTO executors (executor_id, address, version, event_format, lease_until) \
        VALUES (gen_random_uuid(), '', '0.0.9', 2, now() + interval '1 hour')";
    sql.batch_execute(older).await.unwrap();
    let held = bin.hold("/get");
    let leaving = server(&database).await;
    let get = json!({ "url": bin.url("/get") });
    let run_id = leaving
        .save_and_start(chain("flow", &[("get", "http_request", get)]), &json!({}))
        .await;
    bin.requested("/get", 1).await;

    leaving.stop().await;
    let format = "SELECT event_format FROM workflow_runs";
    let format: i16 = sql.query_one(format, &[]).await.unwrap().get(0);
    drop(held);
    let heir = server(&database).await;

    assert_eq!(format, 1, "either version may take it");
    let run = heir.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(bin.count("/get"), 2);
    let events = heir.events_after(&run_id, 0).await;
    assert_sound(&events);
    assert!(
        !has(&events, "step_interrupted get"),
        "{:#?}",
        kinds(&events)
    );
}
