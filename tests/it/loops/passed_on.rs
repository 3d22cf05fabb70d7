//! A loop that fails for good, and what its node says of that.

use serde_json::json;
use synapps::proto::on_error::Action;
use synapps::proto::{ErrorPort, FallbackNode, Flow, RunState, StepState};

use super::{output, progress, run, single, step};
use crate::support::binary::Binary;
use crate::support::calls::assert_gapless;
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

/// `loop` asks `/0`, `/1` and `/2` at once; `end` comes after it, and `spare` is there for what fails.
fn asking(id: &str, bin: &HttpBin, method: &str) -> FlowBuilder {
    let call = json!({"method": method, "url": bin.url("/{{ index }}")});
    let config = json!({
        "array_source": ["a", "b", "c"],
        "body": single("call", "http_request", call),
    });
    flow_with_ends(id)
        .node("spare", "transform", json!({}))
        .edge("start", "loop")
        .edge("loop", "end")
        .edge("spare", "end")
        .node("loop", "for_each", config)
}

fn by_port(id: &str, bin: &HttpBin) -> Flow {
    asking(id, bin, "GET")
        .on_error(Action::Port(ErrorPort {}))
        .edge_from("loop", "error", "spare")
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_error_leaves_by_its_port_once_all_items_are_cut_off() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/1", Answer::status(404));
    let _held = [bin.hold("/0"), bin.hold("/2")];
    let gate = bin.hold("/1");
    let run_id = server
        .save_and_start(by_port("port", &bin), &json!({"n": 1}))
        .await;
    bin.requested_in_all(3).await;

    gate.release();
    let run = server.finished_run(&run_id).await;

    let given = &output(&run)["spare"];
    assert_eq!(given["input"], json!({"n": 1}));
    assert_eq!(given["error"]["code"], "ITEM_FAILED");
    assert_eq!(given["error"]["details"]["step_path"], "loop[1]/call");
    assert_eq!(given["error"]["details"]["code"], "HTTP_4XX");
    assert_eq!(step(&run, "loop").state(), StepState::Failed);
    assert_eq!(progress(&run), [3, 3, 0, 1]);
    let steps = server.steps(&run_id, "loop").await;
    let states: Vec<_> = steps.iter().map(synapps::proto::Step::state).collect();
    assert_eq!(
        states,
        [
            StepState::Cancelled,
            StepState::Failed,
            StepState::Cancelled
        ]
    );
    assert_eq!(bin.seen().len(), 3);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_fallbacks_and_default_outputs() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/1", Answer::status(404));
    let fallback = asking("fallback", &bin, "GET").on_error(Action::Fallback(FallbackNode {
        node_id: "spare".to_owned(),
    }));
    let default = asking("default", &bin, "GET")
        .on_error(Action::DefaultOutput(wire::value(&json!([]))))
        .edge("start", "spare");

    let fallback = run(&server, fallback.build(), json!({"n": 1})).await;
    let default = run(&server, default.build(), json!({"n": 1})).await;

    assert_eq!(output(&fallback), json!({"spare": {"n": 1}}));
    assert_eq!(output(&default), json!({"loop": [], "spare": {"n": 1}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_it_is_cut_off_changes_nothing() {
    let bin = HttpBin::start().await;
    bin.answer("/1", Answer::status(404));
    let held = bin.hold("/2");
    let mut binary = Binary::start(&[]).await;
    let mut flow = by_port("port", &bin);
    // What comes after the failed loop waits, so that the kill falls after the failure.
    let after = bin.hold("/after");
    flow.nodes[2].r#type = "http_request".to_owned();
    flow.nodes[2].data = Some(wire::fields(&json!({"url": bin.url("/after")})));
    let run_id = binary.save_and_start(flow, &json!({})).await;
    bin.requested("/after", 1).await;

    binary.kill().await;
    drop((held, after));
    let binary = binary.restart().await;
    let run = binary.finished_run(&run_id).await;

    assert_eq!(output(&run)["spare"]["status_code"], 200);
    assert_eq!(progress(&run)[3], 1);
    assert_eq!((bin.count("/1"), bin.count("/after")), (1, 2));
    assert_gapless(&binary.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_of_another_item_is_cut_off_and_not_sent_again() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/1", Answer::status(404));
    let _held = [bin.hold("/0"), bin.hold("/2")];
    let gate = bin.hold("/1");
    let run_id = server
        .save_and_start(
            asking("post", &bin, "POST").edge("start", "spare").build(),
            &json!({}),
        )
        .await;
    bin.requested_in_all(3).await;

    gate.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Failed);
    assert_eq!(run.error.as_ref().unwrap().code, "ITEM_FAILED");
    let steps = server.steps(&run_id, "loop").await;
    let states: Vec<_> = steps.iter().map(synapps::proto::Step::state).collect();
    assert_eq!(
        states,
        [
            StepState::Cancelled,
            StepState::Failed,
            StepState::Cancelled
        ]
    );
    assert_eq!(bin.seen().len(), 3);
    assert_gapless(&server.events_after(&run_id, 0).await);
}
