//! The program is told to stop: it ends within its bound and leaves its runs in order.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use synapps::proto::RunState;

use super::{assert_sound, order, start_many};
use crate::support::binary::Binary;
use crate::support::bounded;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;

/// What the drain timeout of the tests and the end of connections may take together, with room for a slow machine.
const BOUND: Duration = Duration::from_secs(5 + 2 + 3);

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_runs_is_bounded_and_the_next_start_goes_on_at_once() {
    let bin = HttpBin::start().await;
    let held: Vec<_> = (0..10).map(|n| bin.hold(&format!("/stock/{n}"))).collect();
    // Longer than the test takes: what goes on was handed over, not left to die.
    let mut binary = Binary::start(&["--lease=60s"]).await;
    binary.save(order(&bin)).await;
    let runs = start_many(&binary, "order", 10).await;
    for n in 0..10 {
        bin.requested(&format!("/stock/{n}"), 1).await;
    }

    let status = bounded(BOUND, "the stop", binary.terminate()).await;
    drop(held);
    let binary = binary.restart().await;

    assert!(status.success(), "{status}: {}", binary.log().text());
    for (n, run_id) in runs.iter().enumerate() {
        let run = bounded(
            Duration::from_secs(30),
            "the end of a run",
            binary.finished_run(run_id),
        )
        .await;
        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        assert_sound(&binary.events_after(run_id, 0).await);
        assert_eq!(bin.count(&format!("/pay/{n}")), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_a_post_that_is_answered_in_time() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/pay");
    let mut binary = Binary::start(&["--lease=60s", "--drain-timeout=30s"]).await;
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    let flow = chain("pay", &[("pay", "http_request", pay)]);
    let run_id = binary.save_and_start(flow, &json!({})).await;
    bin.requested("/pay", 1).await;

    binary.signal(Signal::TERM);
    binary.log().line_with("stopping").await;
    held.release();
    let status = binary.ended().await;
    let binary = binary.restart().await;

    assert!(status.success(), "{status}");
    let run = binary.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(bin.count("/pay"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_ever_for_a_post_which_is_then_in_doubt() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/pay");
    let mut binary = Binary::start(&["--drain-timeout=1s"]).await;
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    let flow = chain("pay", &[("pay", "http_request", pay)]);
    let run_id = binary.save_and_start(flow, &json!({})).await;
    bin.requested("/pay", 1).await;

    bounded(BOUND, "the stop", binary.terminate()).await;
    let binary = binary.restart().await;

    binary.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(bin.count("/pay"), 1);
    assert_sound(&binary.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/pay");
    let mut binary = Binary::start(&["--drain-timeout=10m"]).await;
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    let flow = chain("pay", &[("pay", "http_request", pay)]);
    binary.save_and_start(flow, &json!({})).await;
    bin.requested("/pay", 1).await;

    binary.signal(Signal::TERM);
    binary.log().line_with("stopping").await;
    binary.signal(Signal::INT);

    assert!(!binary.ended().await.success());
}
