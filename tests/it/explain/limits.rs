//! Reasons that are limits: of open runs, of the pool, of one run's steps.

use serde_json::json;
use synapps::proto::{FlowPolicy, ObstacleKind, obstacle::Detail};

use super::{explain, explained, kinds, one};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn too_many_runs_of_its_key_are_open() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let flow = flow_with_ends("narrow")
        .node("get", "http_request", json!({ "url": bin.url("/slow") }))
        .edge("start", "get")
        .edge("get", "end")
        .policy(FlowPolicy {
            concurrency_key: "{{ input.customer }}".to_owned(),
            max_open_runs: 2,
            ..FlowPolicy::default()
        })
        .build();
    server.save(flow).await;
    let input = json!({ "customer": "ada" });
    for _ in 0..3 {
        server.start("narrow", &input).await;
    }
    let last = server.start("narrow", &input).await;

    let answer = explain(&server, &last).await;

    assert_eq!(kinds(&answer), [ObstacleKind::ConcurrencyLimit]);
    let (obstacle, detail) = one(&answer, ObstacleKind::ConcurrencyLimit);
    let Detail::ConcurrencyLimit(limit) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(limit.key, "ada");
    assert_eq!((limit.limit, limit.open, limit.ahead), (2, 2, 1));
    assert_eq!(obstacle.rpc, "CancelRun");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_is_full() {
    let server = TestServer::builder()
        .flag("--max-concurrent-steps=1")
        .start()
        .await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let get = json!({ "url": bin.url("/slow") });
    server
        .save(chain("asks", &[("get", "http_request", get)]))
        .await;
    server.start("asks", &json!({})).await;
    bin.requested("/slow", 1).await;
    let waiting = server.start("asks", &json!({})).await;

    let answer = explained(&server, &waiting, ObstacleKind::PoolFull).await;

    assert!(answer.answered_by_owner);
    let (_, detail) = one(&answer, ObstacleKind::PoolFull);
    let Detail::StepLimit(limit) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(limit.step_paths, ["get"]);
    assert_eq!((limit.in_use, limit.limit), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_executes_as_many_steps_as_it_may() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = (bin.hold("/a"), bin.hold("/b"));
    let flow = flow_with_ends("two")
        .node("a", "http_request", json!({ "url": bin.url("/a") }))
        .node("b", "http_request", json!({ "url": bin.url("/b") }))
        .edge("start", "a")
        .edge("start", "b")
        .edge("a", "end")
        .edge("b", "end")
        .policy(FlowPolicy {
            max_parallel_steps: 1,
            ..FlowPolicy::default()
        })
        .build();
    let run = server.save_and_start(flow, &json!({})).await;
    bin.requested_in_all(1).await;

    let answer = explained(&server, &run, ObstacleKind::ParallelLimit).await;

    let (_, detail) = one(&answer, ObstacleKind::ParallelLimit);
    let Detail::StepLimit(limit) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(limit.step_paths, ["b"]);
    assert_eq!((limit.in_use, limit.limit), (1, 1));
    let (_, detail) = one(&answer, ObstacleKind::Executing);
    let Detail::Executing(executing) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!((executing.step_path.as_str(), executing.attempt), ("a", 1));
    assert!(executing.confirmed);
    assert!(executing.timeout.is_some() && executing.start_time.is_some());
}
