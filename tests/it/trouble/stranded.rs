//! Runs that are claimed and never heard of: the answer to the claim was lost.

use serde_json::json;
use synapps::proto::RunState;

use super::{TICK, behind, number, succeeds};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::proxy::{Cut, Proxy};
use crate::support::within;

#[tokio::test(flavor = "multi_thread")]
async fn runs_whose_claim_was_committed_and_not_answered_are_found_and_driven() {
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    let sql = database.sql().await;
    let flow = chain("wait", &[("wait", "delay", json!({ "seconds": 3_600 }))]);
    let run = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run, RunState::Waiting).await;

    // No tick may claim it before the one whose answer is lost.
    proxy.refuse(TICK, "40001");
    let refused = proxy.count(TICK);
    proxy.executed(TICK, refused + 1).await;
    let cancel = server.cancel(&run);
    let lose = async {
        let due = "SELECT count(*) FROM run_inbox";
        let letter = async { while number(&sql, due).await == 0 {} };
        within("the letter", letter).await;
        let lost = proxy.cut_at(TICK, Cut::BeforeAnswer);
        proxy.relent();
        within("the lost answer", lost).await.unwrap();
    };
    let (asked, ()) = tokio::join!(cancel, lose);

    asked.unwrap();
    let run = server.finished_run(&run).await;
    assert_eq!(run.state(), RunState::Cancelled, "{run:?}");
    let epoch = number(&sql, "SELECT epoch FROM workflow_runs").await;
    assert_eq!(epoch, 2, "claimed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_were_claimed_just_before_the_database_went_away_go_on_when_it_is_back() {
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let server = behind(&proxy, &database).await;
    let sql = database.sql().await;
    let flow = chain("wait", &[("wait", "delay", json!({ "seconds": 6 }))]);
    let run = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run, RunState::Waiting).await;

    // Its history is read by the first statement on events after the claim.
    let cut = proxy.cut_at("\"run_events\".\"sequence\"", Cut::BeforeSending);
    within("the history", cut).await.unwrap();
    proxy.close();
    let claimed = "SELECT count(*) FROM workflow_runs WHERE executor_id IS NOT NULL";
    assert_eq!(number(&sql, claimed).await, 1);
    proxy.refused(2).await;
    proxy.open();

    succeeds(&server, &run).await;
    assert_eq!(number(&sql, "SELECT epoch FROM workflow_runs").await, 2);
}
