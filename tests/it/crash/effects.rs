//! Requests that were on their way when the program was killed: which are sent again, and which are not.

use serde_json::json;
use synapps::proto::{Effect, RunState, StepState, WaitReason};

use super::assert_sound;
use crate::support::binary::Binary;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;

#[tokio::test(flavor = "multi_thread")]
async fn a_post_in_flight_is_not_sent_again_and_its_run_waits_for_somebodys_word() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/pay");
    let mut binary = Binary::start(&[]).await;
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    let flow = chain("pay", &[("pay", "http_request", pay)]);
    let run_id = binary.save_and_start(flow, &json!({})).await;
    bin.requested("/pay", 1).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;

    let run = binary.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(run.wait_reason(), WaitReason::OutcomeUnknown);
    let step = run.steps.iter().find(|step| step.node_id == "pay").unwrap();
    assert_eq!(step.state(), StepState::OutcomeUnknown);
    assert_eq!(step.attempt, 1);
    assert_eq!(bin.count("/pay"), 1);

    let cancelled = binary.cancel(&run_id).await.unwrap();
    let ended = binary.finished_run(&run_id).await;
    assert!([RunState::Cancelling, RunState::Cancelled].contains(&cancelled.state()));
    assert_eq!(ended.state(), RunState::Cancelled);
    assert_eq!(bin.count("/pay"), 1);
    assert_sound(&binary.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_depend_on_a_lost_post_goes_on_beside_it() {
    let bin = HttpBin::start().await;
    let (held_post, held_get) = (bin.hold("/pay"), bin.hold("/stock"));
    let mut binary = Binary::start(&[]).await;
    let flow = flow_with_ends("beside")
        .node(
            "pay",
            "http_request",
            json!({ "method": "POST", "url": bin.url("/pay") }),
        )
        .node("stock", "http_request", json!({ "url": bin.url("/stock") }))
        .node(
            "after",
            "transform",
            json!({ "operation": "template", "template": "seen" }),
        )
        .edge("start", "pay")
        .edge("start", "stock")
        .edge("stock", "after")
        .edge("pay", "end")
        .edge("after", "end")
        .build();
    let run_id = binary.save_and_start(flow, &json!({})).await;
    bin.requested("/pay", 1).await;
    bin.requested("/stock", 1).await;

    binary.kill().await;
    held_post.release();
    held_get.release();
    let binary = binary.restart().await;

    let run = binary.run_in_state(&run_id, RunState::Waiting).await;
    let state = |node: &str| {
        run.steps
            .iter()
            .find(|step| step.node_id == node)
            .unwrap()
            .state()
    };
    assert_eq!(state("pay"), StepState::OutcomeUnknown);
    assert_eq!(state("after"), StepState::Succeeded);
    assert_eq!(state("end"), StepState::Pending);
    assert_eq!((bin.count("/pay"), bin.count("/stock")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_its_author_calls_idempotent_is_sent_again_with_the_same_key() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/pay");
    let mut binary = Binary::start(&[]).await;
    let flow = flow_with_ends("again")
        .node(
            "pay",
            "http_request",
            json!({ "method": "POST", "url": bin.url("/pay") }),
        )
        .effect(Effect::Idempotent)
        .edge("start", "pay")
        .edge("pay", "end")
        .build();
    let run_id = binary.save_and_start(flow, &json!({})).await;
    bin.requested("/pay", 1).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;

    let run = binary.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let seen = bin.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].idempotency_key, seen[1].idempotency_key);
    assert!(!seen[0].idempotency_key.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_was_answered_before_the_kill_is_known_to_be_done() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/after");
    let mut binary = Binary::start(&[]).await;
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    let after = json!({ "method": "POST", "url": bin.url("/after"), "body_template": "{{ results.pay.output.data.count }}" });
    let flow = flow_with_ends("known")
        .node("pay", "http_request", pay)
        .node("after", "http_request", after)
        .effect(Effect::Idempotent)
        .edge("start", "pay")
        .edge("pay", "after")
        .edge("after", "end")
        .build();
    let run_id = binary.save_and_start(flow, &json!({})).await;
    // A step starts outside only when all that it depends on is durable.
    bin.requested("/after", 1).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;

    let run = binary.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!((bin.count("/pay"), bin.count("/after")), (1, 2));
    assert_sound(&binary.events_after(&run_id, 0).await);
}
