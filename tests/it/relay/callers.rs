//! What callers ask of a replica that does not own the run.

use serde_json::json;
use synapps::proto::{
    ApprovalDecision, CancelRunRequest, GetRunRequest, RunState, WaitRunRequest, WaitRunResponse,
};

use super::between::{Between, Pass};
use super::{Seen, on, pair};
use crate::control::{asked, decide, decision};
use crate::support::calls::{Calls, assert_gapless, events_of};
use crate::support::database::Database;
use crate::support::flows::flow_with_ends;
use crate::support::history::has;
use crate::support::http_bin::HttpBin;
use crate::support::within;
use crate::watch::asking;

async fn wait(server: &Calls, run_id: &str) -> WaitRunResponse {
    let request = WaitRunRequest {
        run_id: run_id.to_owned(),
        ..WaitRunRequest::default()
    };
    let answer = within("the end of a run", server.runs().wait_run(request)).await;
    answer.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_run_of_another_replica_is_told_by_its_owner() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let database = Database::migrated().await;
    let between = Between::start().await;
    let owner = on(&database).flag(&between.flag()).start().await;
    between.lead_to(owner.address());
    let other = on(&database).start().await;
    let run_id = owner.save_and_start(asking("flow", &bin), &json!({})).await;
    bin.requested("/slow", 1).await;

    let waiting = tokio::spawn({
        let (calls, run_id) = ((*other).clone(), run_id.clone());
        async move { wait(&calls, &run_id).await }
    });
    between.open_become(1).await;
    held.release();
    let waited = waiting.await.unwrap();

    assert!(waited.done);
    assert_eq!(waited.run.unwrap().state(), RunState::Succeeded);
    between.open_become(0).await;
    assert_eq!(between.followed(), 1);
    assert_eq!(between.mode(), Pass::All);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_through_another_replica_and_its_watchers_there_see_it() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let (owner, other) = pair("--lease=2s").await;
    let run_id = owner.save_and_start(asking("flow", &bin), &json!({})).await;
    bin.requested("/slow", 1).await;
    let seen = Seen::of(&other, &run_id).await;
    assert!(!seen.polling);

    let request = CancelRunRequest {
        run_id: run_id.clone(),
        ..CancelRunRequest::default()
    };
    other.runs().cancel_run(request).await.unwrap();

    let events = events_of(&seen.rest().await);
    assert_gapless(&events);
    assert!(has(&events, "run_cancelled"), "{events:#?}");
    let request = GetRunRequest {
        run_id,
        ..GetRunRequest::default()
    };
    let run = owner
        .runs()
        .get_run(request)
        .await
        .unwrap()
        .into_inner()
        .run;
    assert_eq!(run.unwrap().state(), RunState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_asks_is_decided_through_another_replica_while_its_owner_works() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let (owner, other) = pair("--lease=2s").await;
    let flow = flow_with_ends("flow")
        .node("slow", "http_request", json!({ "url": bin.url("/slow") }))
        .node("ask", "approval", json!({ "title": "Go on?" }))
        .edge("start", "slow")
        .edge("start", "ask")
        .edge("slow", "end")
        .edge_from("ask", "approved", "end")
        .build();
    let run_id = owner.save_and_start(flow, &json!({})).await;
    bin.requested("/slow", 1).await;
    let mut seen = Seen::of(&other, &run_id).await;
    assert!(!seen.polling);
    seen.event("step_waiting ask").await;

    let approval = asked(&other, &run_id).await.remove(0);
    let approved = decision(&approval, ApprovalDecision::Approved);
    decide(&other, approved).await.unwrap();
    seen.event("approval_resolved ask").await;
    held.release();

    seen.succeeded(&other, &run_id).await;
}
