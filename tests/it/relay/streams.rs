//! The streams between replicas: as few as can be, and nothing is lost where they fail.

use serde_json::json;

use super::between::{Between, Pass};
use super::{Seen, on, speaks, telling, text};
use crate::llm::model::ModelServer;
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::watch::asking;

/// An owner that others find behind a service of the test, and another server.
async fn pair_over(between: &Between, flag: &str) -> (TestServer, TestServer) {
    let database = Database::migrated().await;
    let owner = on(&database).flag(&between.flag()).flag(flag).start().await;
    between.lead_to(owner.address());
    let other = on(&database).flag(flag).start().await;
    (owner, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_watchers_of_a_run_share_one_stream_which_ends_with_the_last_of_them() {
    let model = ModelServer::start().await;
    let between = Between::start().await;
    let (owner, other) = pair_over(&between, &speaks(&model)).await;
    let speech = model.speech();
    let run_id = owner.save_and_start(telling("flow"), &json!("Hi")).await;

    let watches = (0..50).map(|_| Seen::of(&other, &run_id));
    let mut watches = futures_util::future::join_all(watches).await;
    speech.say("Hello");
    for seen in &mut watches {
        assert!(!seen.polling);
        seen.text_becomes("Hello").await;
    }
    assert_eq!(between.followed(), 1);

    drop(watches);
    between.open_become(0).await;
    let mut again = Seen::of(&other, &run_id).await;
    again.text_becomes("Hello").await;
    speech.end();
    again.succeeded(&other, &run_id).await;
    assert_eq!(between.followed(), 2);
    between.open_become(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_opened_where_nobody_watches_and_for_runs_that_are_here() {
    let bin = HttpBin::start().await;
    let between = Between::start().await;
    let (owner, other) = pair_over(&between, "--lease=2s").await;
    let run_id = owner.save_and_start(asking("flow", &bin), &json!({})).await;
    owner.finished_run(&run_id).await;
    // It has ended: there is nothing to be told.
    other.finished_run(&run_id).await;
    let here = other.start("flow", &json!({})).await;
    other.finished_run(&here).await;

    assert_eq!(between.followed(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_cannot_be_reached_is_polled() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let database = Database::migrated().await;
    let owner = on(&database).flag("--advertise=127.0.0.1:1").start().await;
    let other = on(&database).start().await;
    let run_id = owner.save_and_start(asking("flow", &bin), &json!({})).await;
    bin.requested("/slow", 1).await;

    let seen = Seen::of(&other, &run_id).await;
    assert!(seen.polling);
    held.release();

    seen.succeeded(&other, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_says_nothing_is_polled_too() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let between = Between::start().await;
    let (owner, other) = pair_over(&between, "--lease=2s").await;
    between.pass(Pass::First);
    let run_id = owner.save_and_start(asking("flow", &bin), &json!({})).await;
    bin.requested("/slow", 1).await;

    let seen = Seen::of(&other, &run_id).await;
    assert!(!seen.polling, "it has said that it drives the run");
    held.release();

    seen.succeeded(&other, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_cut_again_and_again_cost_neither_events_nor_text() {
    let model = ModelServer::start().await;
    let between = Between::start().await;
    let (owner, other) = pair_over(&between, &speaks(&model)).await;
    between.pass(Pass::CutAfter(2));
    let speech = model.speech();
    let run_id = owner.save_and_start(telling("flow"), &json!("Hi")).await;

    let mut seen = Seen::of(&other, &run_id).await;
    let mut said = String::new();
    for word in ["one ", "two ", "three"] {
        said += word;
        speech.say(word);
        seen.text_becomes(&said).await;
    }
    speech.end();

    assert!(between.followed() > 1);
    assert_eq!(text(&seen.messages), said);
    seen.succeeded(&other, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_too_large_to_be_sent_are_read_from_the_store() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let between = Between::start().await;
    let (owner, other) = pair_over(&between, "--lease=2s").await;
    let get = json!({ "url": bin.url("/slow") });
    // As payloads that lie beside their events: none of them in chunks, all of them at once more than a message holds.
    let large = json!({ "operation": "template", "template": "x".repeat(30_000) });
    let names: Vec<String> = (0..12).map(|at| format!("large{at}")).collect();
    let mut nodes = vec![("get", "http_request", get)];
    nodes.extend(
        names
            .iter()
            .map(|name| (name.as_str(), "transform", large.clone())),
    );
    let run_id = owner
        .save_and_start(chain("flow", &nodes), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let seen = Seen::of(&other, &run_id).await;
    assert!(!seen.polling);
    held.release();

    let events = seen.succeeded(&other, &run_id).await;
    assert_eq!(events.len(), other.events_after(&run_id, 0).await.len());
}
