//! The bounded queue: who may wait for a start, who is refused, and with what words.

use serde_json::json;
use synapps::proto::{
    ConflictAction, ExecuteRunRequest, FlowPolicy, ForkRunRequest, RunState, StartRunRequest,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::calls::{Calls, assert_error, metadata};
use crate::support::database::Database;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::server::{Builder, TestServer};
use crate::support::within;

/// A server that has room for one run and a queue of three.
fn narrow() -> Builder {
    let builder = TestServer::builder().flag("--max-open-runs=1");
    builder.flag("--max-queued-runs-per-namespace=3")
}

fn request(flow_id: &str, request_id: &str) -> StartRunRequest {
    StartRunRequest {
        flow_id: flow_id.to_owned(),
        request_id: request_id.to_owned(),
        ..StartRunRequest::default()
    }
}

async fn start(calls: &Calls, request: StartRunRequest) -> Result<String, Status> {
    let started = calls.runs().start_run(request).await?;
    Ok(started.into_inner().run.unwrap().run_id)
}

/// Starts a run, again and again until it is let in: one that has begun may be counted as waiting for a little longer.
async fn let_in(calls: &Calls, request: StartRunRequest) -> String {
    let trying = async {
        loop {
            match start(calls, request.clone()).await {
                Ok(run_id) => return run_id,
                Err(refused) => assert_error(&refused, Code::ResourceExhausted, "QUEUE_FULL"),
            }
        }
    };
    within("a place in the queue", trying).await
}

/// Starts one run that is held and three that wait; gives them all.
async fn crowd(server: &Calls, bin: &HttpBin) -> Vec<String> {
    let get = json!({ "url": bin.url("/slow") });
    let flow = chain("slow", &[("get", "http_request", get)]);
    server.save(flow).await;
    let mut runs = vec![start(server, request("slow", "r0")).await.unwrap()];
    bin.requested("/slow", 1).await;
    for n in 1..4 {
        let named = request("slow", &format!("r{n}"));
        runs.push(let_in(server, named).await);
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_with_limit_and_value_and_takes_runs_again_later() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let server = narrow().start().await;
    let runs = crowd(&server, &bin).await;

    let refused = start(&server, request("slow", "r4")).await.unwrap_err();
    held.release();
    for run in &runs {
        assert_eq!(server.finished_run(run).await.state(), RunState::Succeeded);
    }
    // The queue may be taken for full a moment longer.
    let started = async {
        loop {
            if let Ok(run) = start(&server, request("slow", "r4")).await {
                return run;
            }
        }
    };
    let again = within("a place", started).await;

    assert_error(&refused, Code::ResourceExhausted, "QUEUE_FULL");
    let details = refused.get_error_details();
    assert!(details.retry_info().is_some(), "{details:?}");
    assert_eq!(details.quota_failure().unwrap().violations.len(), 1);
    let name = "SYNAPPS_MAX_QUEUED_RUNS_PER_NAMESPACE";
    assert_eq!(metadata(&refused, "limitName"), name);
    assert_eq!(metadata(&refused, "limit"), "3");
    assert_eq!(metadata(&refused, "value"), "3");
    assert!(!runs.contains(&again));
    assert_eq!(
        server.finished_run(&again).await.state(),
        RunState::Succeeded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_started_a_run_is_answered_however_full_the_queue_is() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let server = narrow().start().await;
    let runs = crowd(&server, &bin).await;

    let again = start(&server, request("slow", "r2")).await.unwrap();
    let other = StartRunRequest {
        priority: 3,
        ..request("slow", "r2")
    };
    let reused = start(&server, other).await.unwrap_err();

    assert_eq!(again, runs[2]);
    assert_error(&reused, Code::AlreadyExists, "REQUEST_ID_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_executions_and_runs_that_wait_for_their_flow_are_refused_too() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let server = narrow().start().await;
    let runs = crowd(&server, &bin).await;
    let counted = FlowPolicy {
        max_open_runs: 1,
        on_conflict: ConflictAction::Queue.into(),
        ..FlowPolicy::default()
    };
    let flow = flow_with_ends("counted")
        .edge("start", "end")
        .policy(counted);
    server.save(flow.build()).await;
    let execute = ExecuteRunRequest {
        flow_id: "slow".to_owned(),
        ..ExecuteRunRequest::default()
    };
    let fork = ForkRunRequest {
        run_id: runs[0].clone(),
        from_nodes: vec!["get".to_owned()],
        ..ForkRunRequest::default()
    };

    let refused = [
        server
            .runs()
            .execute_run(execute)
            .await
            .map(drop)
            .unwrap_err(),
        server.runs().fork_run(fork).await.map(drop).unwrap_err(),
        start(&server, request("counted", "")).await.unwrap_err(),
    ];

    for refused in refused {
        assert_error(&refused, Code::ResourceExhausted, "QUEUE_FULL");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_open_runs_lets_only_so_many_wait() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let server = TestServer::builder()
        .flag("--max-queued-runs=2")
        .start()
        .await;
    let get = json!({ "url": bin.url("/slow") });
    let one = FlowPolicy {
        max_open_runs: 1,
        on_conflict: ConflictAction::Queue.into(),
        ..FlowPolicy::default()
    };
    let flow = flow_with_ends("narrow")
        .node("get", "http_request", get)
        .edge("start", "get")
        .edge("get", "end")
        .policy(one);
    server.save(flow.build()).await;
    server
        .save(flow_with_ends("free").edge("start", "end").build())
        .await;

    let mut runs = vec![start(&server, request("narrow", "")).await.unwrap()];
    bin.requested("/slow", 1).await;
    for _ in 0..2 {
        runs.push(let_in(&server, request("narrow", "")).await);
    }
    let refused = start(&server, request("narrow", "")).await.unwrap_err();
    let free = server.start("free", &json!({})).await;
    held.release();

    assert_error(&refused, Code::ResourceExhausted, "QUEUE_FULL");
    assert_eq!(metadata(&refused, "limitName"), "SYNAPPS_MAX_QUEUED_RUNS");
    assert_eq!(
        server.finished_run(&free).await.state(),
        RunState::Succeeded
    );
    for run in runs {
        assert_eq!(server.finished_run(&run).await.state(), RunState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_let_in_however_full_the_queue_is() {
    let bin = HttpBin::start().await;
    let (slow, first) = (bin.hold("/slow"), bin.hold("/first"));
    let builder = TestServer::builder().flag("--max-open-runs=1");
    let server = builder.flag("--max-queued-runs=1").start().await;
    let get = json!({ "url": bin.url("/slow") });
    server
        .save(chain("slow", &[("get", "http_request", get)]))
        .await;
    let get = json!({ "url": bin.url("/first") });
    let calls = json!({ "flow_id": "slow" });
    let flow = chain(
        "calls",
        &[("get", "http_request", get), ("call", "subflow", calls)],
    );

    let parent = server.save_and_start(flow, &json!({})).await;
    bin.requested("/first", 1).await;
    let waiting = server.start("slow", &json!({})).await;
    let refused = start(&server, request("slow", "")).await.unwrap_err();
    first.release();
    slow.release();

    assert_error(&refused, Code::ResourceExhausted, "QUEUE_FULL");
    for run in [parent, waiting] {
        assert_eq!(server.finished_run(&run).await.state(), RunState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_one_bound() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let one = narrow().start().await;
    let other = narrow().database(one.database()).start().await;
    let mut runs = crowd(&one, &bin).await;
    // One of the three goes on in the other replica, which has room for one.
    bin.requested("/slow", 2).await;
    runs.push(start(&other, request("slow", "r4")).await.unwrap());

    for server in [&one, &other] {
        let refused = start(server, request("slow", "")).await.unwrap_err();
        assert_error(&refused, Code::ResourceExhausted, "QUEUE_FULL");
    }
    held.release();
    for run in &runs {
        assert_eq!(one.finished_run(run).await.state(), RunState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_during_an_outage_are_refused_soon_and_leave_nothing() {
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let builder = TestServer::builder()
        .database(&database)
        .url(proxy.url(&database));
    let server = builder.start().await;
    server
        .save(flow_with_ends("free").edge("start", "end").build())
        .await;
    proxy.close();
    let mut reachable = false;
    let refused_once = async {
        while !reachable {
            reachable = start(&server, request("free", "")).await.is_err();
        }
    };
    within("the outage", refused_once).await;

    let starts = (0..300).map(|_| start(&server, request("free", "")));
    let answers = within("the answers", futures_util::future::join_all(starts)).await;
    proxy.open();

    for answer in answers {
        let refused = answer.unwrap_err();
        assert_error(&refused, Code::Unavailable, "DATABASE_UNAVAILABLE");
        assert!(refused.get_error_details().retry_info().is_some());
    }
    let started = async {
        loop {
            if let Ok(run) = start(&server, request("free", "")).await {
                return run;
            }
        }
    };
    let run = within("the end of the outage", started).await;
    assert_eq!(server.finished_run(&run).await.state(), RunState::Succeeded);
    let count = "SELECT count(*) FROM workflow_runs";
    let count: i64 = database
        .sql()
        .await
        .query_one(count, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 1);
}
