//! Payloads of all sizes become the fork's own.

use serde_json::{Value, json};
use synapps::proto::{DeleteRunRequest, ReadPayloadRequest, RunState};
use synapps::value::canonical;

use super::{answers, data, forked, from, get, of, reused, step, text};
use crate::support::calls::Calls;
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::{wire, within};

/// The output of a step, as its reference gives it.
async fn read(calls: &Calls, run_id: &str, node: &str) -> Value {
    let run = calls.get(run_id).await;
    let reference = step(&run, node).output.clone().unwrap();
    let request = ReadPayloadRequest {
        run_id: run_id.to_owned(),
        r#ref: reference.r#ref,
    };
    let mut stream = calls
        .runs()
        .read_payload(request)
        .await
        .unwrap()
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = within("a piece", stream.message()).await.unwrap() {
        bytes.extend_from_slice(&piece.data);
    }
    assert_eq!(canonical::hex(&canonical::digest(&bytes)), reference.sha256);
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_outputs_are_copied_and_outlive_the_original() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let (large, larger) = (json!("x".repeat(60_000)), json!("y".repeat(3 << 20)));
    answers(&bin, "/large", &large);
    answers(&bin, "/larger", &larger);
    let flow = flow_with_ends("large")
        .node("get", "http_request", get(&bin, "/large"))
        .node("large", "transform", data())
        .node("gets", "http_request", get(&bin, "/larger"))
        .node("larger", "transform", data())
        .node("last", "transform", text("{{ results.large.output }}!"))
        .edge("start", "get")
        .edge("get", "large")
        .edge("large", "gets")
        .edge("gets", "larger")
        .edge("larger", "last")
        .edge("last", "end")
        .build();
    let run_id = server
        .save_and_start(flow, &json!({ "much": "z".repeat(100_000), "exact": 0.1 }))
        .await;
    let original = server.finished_run(&run_id).await;
    assert_eq!(original.state(), RunState::Succeeded);

    let whole = forked(&server, of(&run_id)).await;
    let part = forked(&server, from(&run_id, &["last"])).await;
    let delete = DeleteRunRequest { run_id };
    server.runs().delete_run(delete).await.unwrap();
    let later = forked(&server, from(&part.run_id, &["large"])).await;

    assert_eq!(reused(&whole).len(), 7);
    assert_eq!(reused(&part).len(), 6);
    assert_eq!(reused(&later).len(), 6);
    assert_eq!((bin.count("/large"), bin.count("/larger")), (1, 1));
    for run in [&whole, &part, &later] {
        assert_eq!(read(&server, &run.run_id, "large").await, large);
        assert_eq!(read(&server, &run.run_id, "larger").await, larger);
        let input = wire::json(run.input.as_ref());
        assert_eq!(input["exact"], 0.1);
        let last = read(&server, &run.run_id, "end").await;
        assert_eq!(last.as_str().map(str::len), Some(60_001));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_output_that_is_lost_is_computed_again() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    answers(&bin, "/large", &json!("x".repeat(60_000)));
    let flow = flow_with_ends("lost")
        .node("get", "http_request", get(&bin, "/large"))
        .edge("start", "get")
        .edge("get", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.finished_run(&run_id).await;
    let sql = server.sql().await;
    sql.execute("DELETE FROM payload_chunks WHERE step_path = 'get'", &[])
        .await
        .unwrap();

    let run = forked(&server, of(&run_id)).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(bin.count("/large"), 2);
    assert_eq!(step(&run, "get").reused_from_run_id, "");
}
