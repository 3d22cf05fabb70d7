//! Clients while a process stops: those that read are told where to go on, those that never read hold nobody up.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use synapps::proto::WatchRunRequest;
use tokio::task::JoinSet;
use tonic::Code;

use super::{LEASE, long};
use crate::crash::{all_succeed, start_many};
use crate::support::binary::Binary;
use crate::support::bounded;
use crate::support::calls::{assert_error, assert_gapless, events_of, metadata};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;

#[tokio::test(flavor = "multi_thread")]
async fn watches_under_load_end_with_the_place_to_go_on_from() {
    const RUNS: usize = 30;
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let mut leaving = Binary::start_on(&database, &[LEASE]).await;
    leaving.save(long(&bin)).await;
    let runs = start_many(&leaving, "long", RUNS).await;
    let mut watches = JoinSet::new();
    for run in runs.clone() {
        let mut watch = leaving.watch(&run, 0).await;
        watches.spawn(async move {
            let mut seen = Vec::new();
            loop {
                match watch.message().await {
                    Ok(Some(message)) => seen.push(message),
                    Ok(None) => return (run, seen, None),
                    Err(error) => return (run, seen, Some(error)),
                }
            }
        });
    }
    bin.requested_in_all(RUNS * 4).await;

    leaving.signal(Signal::TERM);
    let watched = bounded(
        Duration::from_secs(30),
        "the ends of the watches",
        watches.join_all(),
    )
    .await;
    let heir = Binary::start_on(&database, &[LEASE]).await;
    all_succeed(&heir, &runs).await;

    let mut cut = 0;
    for (run, seen, error) in watched {
        let before = events_of(&seen);
        let last = before.last().map_or(0, |event| event.sequence);
        if let Some(error) = error {
            cut += 1;
            assert_error(&error, Code::Unavailable, "DRAINING");
            assert_eq!(metadata(&error, "sequence"), last.to_string());
        }
        let after = events_of(&heir.watched(&run, last).await);
        assert_gapless(&[before, after].concat());
    }
    assert!(cut > RUNS / 2, "{cut} watches were told to go on elsewhere");
    assert!(leaving.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_do_not_keep_a_process_beyond_its_time() {
    const CLIENTS: usize = 60;
    let bin = HttpBin::start().await;
    let mut binary = Binary::start(&["--drain-timeout=3s"]).await;
    let texts: Vec<(String, &str, serde_json::Value)> = (0..60)
        .map(|at| {
            (
                format!("n{at}"),
                "transform",
                json!({ "source": "{{ input }}" }),
            )
        })
        .chain([(
            "get".to_owned(),
            "http_request",
            json!({ "url": bin.url("/held") }),
        )])
        .collect();
    let texts: Vec<_> = texts
        .iter()
        .map(|(id, kind, config)| (id.as_str(), *kind, config.clone()))
        .collect();
    let _held = bin.hold("/held");
    let run_id = binary
        .save_and_start(chain("talkative", &texts), &json!("x".repeat(30_000)))
        .await;
    bin.requested("/held", 1).await;
    let mut unread = Vec::new();
    for _ in 0..CLIENTS {
        // A connection each, whose window fills.
        let calls = crate::support::calls::Calls::to(binary.address());
        let request = WatchRunRequest {
            run_id: run_id.clone(),
            include_payloads: true,
            ..WatchRunRequest::default()
        };
        unread.push(calls.runs().watch_run(request).await.unwrap());
    }

    // The drain timeout, what connections may take to close, and room for a slow machine.
    let bound = Duration::from_secs(3 + 2 + 3);
    let ended = bounded(bound, "the stop", binary.terminate()).await;

    assert!(ended.success(), "{}", binary.log().text());
    drop(unread);
}
