//! The program is killed in the middle of a fork.

use serde_json::json;
use synapps::proto::RunState;

use super::{fork, from, of, reused, step, text};
use crate::support::binary::Binary;
use crate::support::calls::assert_gapless;
use crate::support::flows::flow_with_ends;
use crate::support::history::kinds;
use crate::support::http_bin::HttpBin;

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_was_cut_off_goes_on_and_takes_what_it_would_have_taken() {
    let bin = HttpBin::start().await;
    let get = |path: &str| json!({ "url": bin.url(path) });
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    let flow = flow_with_ends("cut")
        .node("first", "http_request", pay)
        .node("slow", "http_request", get("/slow"))
        .node("side", "http_request", get("/side"))
        .node(
            "late",
            "transform",
            text("{{ results.first.output.data.count }}"),
        )
        .node(
            "last",
            "http_request",
            json!({ "url": bin.url("/last/{{ content.late }}") }),
        )
        .edge("start", "first")
        .edge("first", "slow")
        .edge("slow", "late")
        .edge("start", "side")
        .edge("side", "last")
        .edge("late", "last")
        .edge("last", "end")
        .build();
    let mut binary = Binary::start(&[]).await;
    let run_id = binary.save_and_start(flow, &json!({})).await;
    binary.finished_run(&run_id).await;

    let held = bin.hold("/slow");
    let mut request = from(&run_id, &["slow"]);
    request.request_id = "fork".to_owned();
    let forked = fork(&binary, request.clone()).await.unwrap().run.unwrap();
    bin.requested("/slow", 2).await;
    binary.kill().await;
    held.release();
    let binary = binary.restart().await;
    let again = fork(&binary, request).await.unwrap();
    let run = binary.finished_run(&forked.run_id).await;

    assert!(!again.started);
    assert_eq!(again.run.unwrap().run_id, forked.run_id);
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_gapless(&binary.events_after(&run.run_id, 0).await);
    assert_eq!(step(&run, "slow").attempt, 2);
    assert_eq!(
        (bin.count("/pay"), bin.count("/side"), bin.count("/slow")),
        (1, 1, 3)
    );
    // `late` is computed again and says the same, so that `last` is not asked again.
    assert_eq!(reused(&run), ["start", "end", "first", "side", "last"]);
    assert_eq!(bin.count("/last/1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_outlast_kills_while_they_take_large_outputs() {
    let bin = HttpBin::start().await;
    let large = json!({ "operation": "template", "template": "x".repeat(40_000) });
    let mut flow = flow_with_ends("many");
    let mut before = "start".to_owned();
    for at in 0..12 {
        let id = format!("large{at}");
        flow = flow
            .node(&id, "transform", large.clone())
            .edge(&before, &id);
        before = id;
    }
    let last = json!({ "url": bin.url("/last") });
    let flow = flow
        .node("last", "http_request", last)
        .edge(&before, "last")
        .edge("last", "end")
        .build();
    let mut binary = Binary::start(&[]).await;
    let run_id = binary.save_and_start(flow, &json!({})).await;
    binary.finished_run(&run_id).await;

    let mut forks = Vec::new();
    for _ in 0..10 {
        let run = fork(&binary, of(&run_id)).await.unwrap().run.unwrap();
        forks.push(run.run_id);
    }
    binary.kill().await;
    let binary = binary.restart().await;

    for id in &forks {
        let run = binary.finished_run(id).await;
        let events = binary.events_after(id, 0).await;
        assert_eq!(run.state(), RunState::Succeeded, "{:?}", kinds(&events));
        assert_gapless(&events);
        assert_eq!(reused(&run).len(), 15);
    }
    assert_eq!(bin.count("/last"), 1);
}
