//! Loops where there is hardly any room: they get through all the same.

use serde_json::{Value, json};
use synapps::proto::{Flow, FlowPolicy};

use super::{expression, looping, output, single};
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

/// Each item loops over three requests; so much for the items `items`.
fn nested(bin: &HttpBin, items: &[u32]) -> Flow {
    let get = json!({"url": bin.url("/{{ item }}")});
    let body = json!({
        "nodes": [
            {"id": "three", "type": "transform", "data": expression("[item * 10, item * 10 + 1, item * 10 + 2]")},
            {"id": "inner", "type": "for_each", "data": {"body": single("get", "http_request", get)}},
            {"id": "count", "type": "transform", "data": expression("content | length")},
        ],
        "edges": [{"source": "three", "target": "inner"}, {"source": "inner", "target": "count"}],
    });
    looping("nested", json!({"array_source": items, "body": body}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_of_one_step_at_a_time_gets_through_nested_loops() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let mut flow = nested(&bin, &[1, 2, 3]);
    flow.policy = Some(FlowPolicy {
        max_parallel_steps: 1,
        ..FlowPolicy::default()
    });

    let run = super::run(&server, flow, json!({})).await;

    assert_eq!(output(&run), json!([3, 3, 3]));
    assert_eq!((bin.seen().len(), bin.most_at_once()), (9, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_one_step_at_a_time_gets_through_loops_of_several_runs() {
    let server = TestServer::builder()
        .flag("--max-concurrent-steps=1")
        .start()
        .await;
    let bin = HttpBin::start().await;
    server.save(nested(&bin, &[1, 2])).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(server.start("nested", &json!({})).await);
    }

    for run_id in runs {
        let run = server.finished_run(&run_id).await;
        assert_eq!(output(&run), json!([3, 3]));
    }
    assert_eq!((bin.seen().len(), bin.most_at_once()), (24, 1));
}

/// Each run is parked in turn, so that its children find a place.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_one_run_at_a_time_gets_through_a_loop_of_children() {
    let server = TestServer::builder()
        .flag("--max-open-runs=1")
        .start()
        .await;
    server
        .save(chain(
            "child",
            &[("twice", "transform", expression("input * 2"))],
        ))
        .await;
    let config: Value = json!({"array_source": [1, 2, 3], "body": "child"});
    let run_id = server
        .save_and_start(looping("top", config), &json!({}))
        .await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(output(&run), json!([2, 4, 6]));
}
