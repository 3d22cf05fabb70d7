//! Watchers that do not read.

use std::time::Duration;

use serde_json::{Value, json};
use synapps::api::Settings;
use synapps::proto::{Flow, WatchRunRequest};
use tonic::Code;

use super::bare::Bare;
use super::{past, request, to_the_end, watch};
use crate::support::calls::{assert_error, assert_gapless, events_of, metadata};
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;

/// A flow whose events, with payloads, are far more than what is on the way to a client.
fn talkative(id: &str, bin: &HttpBin) -> Flow {
    let mut nodes = vec![(
        "get".to_owned(),
        "http_request",
        json!({ "url": bin.url("/slow") }),
    )];
    for number in 0..60 {
        nodes.push((
            format!("n{number}"),
            "transform",
            json!({ "source": "{{ input }}" }),
        ));
    }
    let nodes: Vec<(&str, &str, Value)> = nodes
        .iter()
        .map(|(id, kind, config)| (id.as_str(), *kind, config.clone()))
        .collect();
    chain(id, &nodes)
}

fn long_text() -> Value {
    json!("x".repeat(30_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_holds_nobody_up_and_loses_nothing() {
    let bare = Bare::start(Settings::default()).await;
    let server = bare.connect();
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(talkative("flow", &bin), &long_text())
        .await;
    bin.requested("/slow", 1).await;

    // On a connection of its own: on a shared one it would fill the others' way too.
    let aside = bare.connect();
    let mut silent = aside.watch(&run_id, 0).await;
    let (before, _) = past(&mut silent).await;
    held.release();
    let all = events_of(&server.watched(&run_id, 0).await);
    let (after, error) = to_the_end(silent).await;

    assert!(error.is_none(), "{error:?}");
    assert_gapless(&all);
    assert_eq!([events_of(&before), events_of(&after)].concat(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_reads_nothing_for_too_long_is_told_where_to_resume() {
    let bare = Bare::start(Settings {
        slow_watcher: Duration::from_millis(100),
        ..Settings::default()
    });
    let bare = bare.await;
    let server = bare.connect();
    let bin = HttpBin::start().await;
    let run_id = server
        .save_and_start(talkative("flow", &bin), &long_text())
        .await;
    server.finished_run(&run_id).await;
    let all = server.events_after(&run_id, 0).await;

    bare.is_unwatched().await;
    let aside = bare.connect();
    let silent = aside.watch(&run_id, 0).await;
    bare.is_unwatched().await;
    let (messages, error) = to_the_end(silent).await;

    let error = error.expect("it was too slow");
    assert_error(&error, Code::ResourceExhausted, "WATCHER_TOO_SLOW");
    let seen = events_of(&messages);
    let last = seen.last().unwrap().sequence;
    assert_eq!(metadata(&error, "sequence"), last.to_string());
    let rest = WatchRunRequest {
        after_sequence: last,
        include_payloads: true,
        ..request(&run_id)
    };
    let (rest, _) = to_the_end(watch(&server, rest).await.unwrap()).await;
    assert_eq!([seen, events_of(&rest)].concat(), all);
}
