//! Reasons that are steps: what they wait for, what nobody knows of them, what cuts them off.

use serde_json::{Value, json};
use synapps::proto::{
    ApprovalDecision, CancelRunRequest, ExplainRunResponse, ObstacleKind, RetryPolicy, RunState,
    StepWait, obstacle::Detail,
};
use synapps::store::inbox::Request;

use super::{explain, explained, kinds, one, post};
use crate::support::calls::Calls;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

/// What a run of this one node waits for.
async fn wait_of(
    server: &Calls,
    node: (&str, Value),
    kind: ObstacleKind,
) -> (ExplainRunResponse, StepWait, String) {
    let flow = flow_with_ends("one")
        .node("it", node.0, node.1)
        .edge("start", "it");
    // Of several ways out the end takes one.
    let flow = match kind {
        ObstacleKind::Signal => flow.edge_from("it", "received", "end"),
        _ => flow.edge("it", "end"),
    };
    let flow = flow.build();
    let run = server.save_and_start(flow, &json!({})).await;
    let answer = explained(server, &run, kind).await;
    let (obstacle, detail) = one(&answer, kind);
    let Detail::Wait(wait) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!((wait.step_path.as_str(), wait.attempt), ("it", 1));
    assert!(wait.since_time.is_some());
    (answer, wait, obstacle.rpc)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_for_its_time() {
    let server = TestServer::start().await;
    let delay = ("delay", json!({ "seconds": 3600 }));

    let (answer, wait, _) = wait_of(&server, delay, ObstacleKind::Delay).await;

    assert_eq!(kinds(&answer), [ObstacleKind::Delay]);
    let until = wait.until_time.unwrap().seconds;
    // The two times were taken one after the other.
    assert!((3599..=3601).contains(&(until - wait.since_time.unwrap().seconds)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_for_a_signal() {
    let server = TestServer::start().await;
    let signal = ("wait_signal", json!({ "name": "paid", "timeout": 3600 }));

    let (_, wait, rpc) = wait_of(&server, signal, ObstacleKind::Signal).await;

    assert_eq!((wait.signal.as_str(), rpc.as_str()), ("paid", "SignalRun"));
    assert!(wait.until_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_for_an_approval() {
    let server = TestServer::start().await;
    let config = json!({ "title": "Ship it?", "expires_in": 3600, "default_decision": "rejected" });
    let flow = flow_with_ends("asks")
        .node("it", "approval", config)
        .edge("start", "it")
        .edge_from("it", "approved", "end")
        .build();
    let run = server.save_and_start(flow, &json!({})).await;

    let answer = explained(&server, &run, ObstacleKind::Approval).await;

    let (obstacle, detail) = one(&answer, ObstacleKind::Approval);
    let Detail::Wait(wait) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(wait.approval_title, "Ship it?");
    assert_eq!(wait.default_decision(), ApprovalDecision::Rejected);
    assert!(wait.until_time.is_some());
    assert_eq!(obstacle.rpc, "ResolveApproval");
    let sql = server.sql().await;
    let etag = "SELECT etag FROM approvals WHERE run_id::text = $1";
    if let Some(row) = sql.query_opt(etag, &[&run]).await.unwrap() {
        assert_eq!(row.get::<_, String>(0), wait.approval_etag);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_for_its_next_attempt() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/flaky", Answer::status(503));
    let flow = flow_with_ends("flaky")
        .node("get", "http_request", json!({ "url": bin.url("/flaky") }))
        .retry(RetryPolicy {
            max_attempts: 5,
            initial_interval: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            max_interval: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..RetryPolicy::default()
        })
        .edge("start", "get")
        .edge("get", "end")
        .build();
    let run = server.save_and_start(flow, &json!({})).await;

    let answer = explained(&server, &run, ObstacleKind::Retry).await;

    let (_, detail) = one(&answer, ObstacleKind::Retry);
    let Detail::Wait(wait) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!((wait.attempt, wait.max_attempts), (1, 5));
    assert!(wait.until_time.is_some());
    assert_eq!(wait.last_error.unwrap().step_path, "get");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_for_its_child() {
    let server = TestServer::start().await;
    let delay = json!({ "seconds": 3600 });
    server
        .save(chain("inner", &[("sleep", "delay", delay)]))
        .await;
    let call = ("subflow", json!({ "flow_id": "inner" }));

    let (answer, wait, _) = wait_of(&server, call, ObstacleKind::Child).await;

    let run_id = answer.run.unwrap().run_id;
    server
        .run_in_state(&wait.child_run_id, RunState::Waiting)
        .await;
    let answer = explained(&server, &run_id, ObstacleKind::Child).await;
    let (_, detail) = one(&answer, ObstacleKind::Child);
    let Detail::Wait(wait) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(wait.child_state(), RunState::Waiting);
    explained(&server, &wait.child_run_id, ObstacleKind::Delay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_knows_whether_an_attempt_took_effect() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = flow_with_ends("posts")
        .node(
            "post",
            "http_request",
            json!({ "method": "POST", "url": bin.url("/slow") }),
        )
        .with(|node| {
            node.timeout = Some(prost_types::Duration {
                seconds: 0,
                nanos: 200_000_000,
            });
        })
        .edge("start", "post")
        .edge("post", "end")
        .build();
    let run = server.save_and_start(flow, &json!({})).await;

    let answer = explained(&server, &run, ObstacleKind::OutcomeUnknown).await;

    let (obstacle, detail) = one(&answer, ObstacleKind::OutcomeUnknown);
    let Detail::Undecided(undecided) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(
        (undecided.step_path.as_str(), undecided.attempt),
        ("post", 1)
    );
    assert_eq!(undecided.error.unwrap().code, "TIMEOUT");
    assert_eq!(obstacle.rpc, "ResolveStep");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_has_paused_it() {
    let server = TestServer::start().await;
    let flow = chain("sleeper", &[("sleep", "delay", json!({ "seconds": 3600 }))]);
    let run = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run, RunState::Waiting).await;
    let reason = "lunch".to_owned();
    post(server.database(), &run, Request::Pause { reason }).await;

    let answer = explained(&server, &run, ObstacleKind::Paused).await;

    let (obstacle, detail) = one(&answer, ObstacleKind::Paused);
    let Detail::Paused(paused) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(paused.reason, "lunch");
    assert!(paused.pause_time.is_some());
    assert_eq!(obstacle.rpc, "ResumeRun");
    one(&answer, ObstacleKind::Delay);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_cancelled_and_waits_for_what_is_in_flight() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let call = json!({ "flow_id": "posts" });
    let post = json!({ "method": "POST", "url": bin.url("/slow") });
    server
        .save(chain("posts", &[("post", "http_request", post)]))
        .await;
    let run = server
        .save_and_start(chain("outer", &[("call", "subflow", call)]), &json!({}))
        .await;
    bin.requested("/slow", 1).await;
    // The child cannot end: somebody else's hand is on it.
    let sql = server.sql().await;
    let child: String = sql
        .query_one(
            "SELECT run_id::text FROM workflow_runs WHERE parent_run_id IS NOT NULL",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    sql.batch_execute(&format!(
        "BEGIN; SELECT 1 FROM workflow_runs WHERE run_id = '{child}' FOR UPDATE"
    ))
    .await
    .unwrap();
    let request = CancelRunRequest {
        run_id: run.clone(),
        reason: "no more".to_owned(),
        ..CancelRunRequest::default()
    };
    server.runs().cancel_run(request).await.unwrap();

    let answer = explained(&server, &run, ObstacleKind::Ending).await;
    sql.batch_execute("COMMIT").await.unwrap();

    let (_, detail) = one(&answer, ObstacleKind::Ending);
    let Detail::Ending(ending) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(ending.outcome(), RunState::Cancelled);
    assert_eq!(ending.reason, "no more");
    assert!(ending.grace_end_time.is_some());
    assert_eq!(server.finished_run(&run).await.state(), RunState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_failed_and_waits_for_what_is_in_flight() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let late = bin.hold("/late");
    bin.answer("/late", Answer::status(500));
    let get = |path: &str| json!({ "url": bin.url(path) });
    server
        .save(chain("gets", &[("get", "http_request", get("/slow"))]))
        .await;
    let flow = flow_with_ends("outer")
        .node("call", "subflow", json!({ "flow_id": "gets" }))
        .node("bad", "http_request", get("/late"))
        .edge("start", "call")
        .edge("start", "bad")
        .edge("call", "end")
        .edge("bad", "end");
    let run = server.save_and_start(flow.build(), &json!({})).await;
    bin.requested("/slow", 1).await;
    bin.requested("/late", 1).await;
    // The child cannot end: somebody else's hand is on it.
    let sql = server.sql().await;
    let lock = "BEGIN; SELECT 1 FROM workflow_runs WHERE parent_run_id IS NOT NULL FOR UPDATE";
    sql.batch_execute(lock).await.unwrap();
    drop(late);

    let answer = explained(&server, &run, ObstacleKind::Ending).await;
    sql.batch_execute("COMMIT").await.unwrap();

    let (_, detail) = one(&answer, ObstacleKind::Ending);
    let Detail::Ending(ending) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(ending.outcome(), RunState::Failed);
    assert!(ending.reason.contains("HTTP_5XX"), "{}", ending.reason);
    assert_eq!(server.finished_run(&run).await.state(), RunState::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_executor_is_not_sure_of_its_lease() {
    let server = TestServer::builder().flag("--lease=2s").start().await;
    let bin = HttpBin::start().await;
    let get = json!({ "url": bin.url("/get") });
    server
        .save(chain("gets", &[("get", "http_request", get)]))
        .await;
    // The lease cannot be renewed: somebody else's hand is on it.
    let sql = server.sql().await;
    let lock = "BEGIN; SELECT 1 FROM executors FOR UPDATE";
    sql.batch_execute(lock).await.unwrap();

    let held = crate::support::within("a run that is held back", async {
        loop {
            let run = server.start("gets", &json!({})).await;
            if kinds(&explain(&server, &run).await).contains(&ObstacleKind::LeaseNotFirm) {
                return run;
            }
        }
    });
    let run = held.await;
    sql.batch_execute("COMMIT").await.unwrap();

    let run = server.finished_run(&run).await;
    assert_eq!(run.state(), RunState::Succeeded);
}
