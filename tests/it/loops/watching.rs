//! Watches of a run with a loop.

use serde_json::json;
use synapps::proto::Flow;
use synapps::proto::run_event::Event;

use super::{expression, looping, output};
use crate::support::calls::{assert_gapless, events_of};
use crate::support::history::{kind, kinds};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::{calls, within};

/// Asks for `/0`, `/1` … up to `/19`, four at a time.
fn asking(bin: &HttpBin) -> Flow {
    let body = json!({
        "nodes": [
            {"id": "get", "type": "http_request", "data": {"url": bin.url("/{{ index }}")}},
            {"id": "path", "type": "transform", "data": expression("content.data.path")},
        ],
        "edges": [{"source": "get", "target": "path"}],
    });
    let items: Vec<usize> = (0..20).collect();
    looping(
        "asking",
        json!({"array_source": items, "concurrency": 4, "body": body}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_anywhere_in_the_middle_gives_each_later_event_once() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server.save_and_start(asking(&bin), &json!({})).await;
    server.finished_run(&run_id).await;
    let all = server.events_after(&run_id, 0).await;

    assert_gapless(&all);
    for seen in (0..=all.len()).step_by(5) {
        let watched = server.watched(&run_id, i64::try_from(seen).unwrap()).await;
        assert_eq!(events_of(&watched), all[seen..], "after {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_begin_while_the_loop_runs_miss_nothing() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let gates: Vec<_> = [4, 9, 14].map(|n| bin.hold(&format!("/{n}"))).into();
    let run_id = server.save_and_start(asking(&bin), &json!({})).await;

    let mut watches = vec![(0, server.watch(&run_id, 0).await)];
    for (gate, path) in gates.into_iter().zip(["/4", "/9", "/14"]) {
        bin.requested(path, 1).await;
        let seen = server.get(&run_id).await.last_sequence;
        for after in [seen, seen / 2] {
            watches.push((after, server.watch(&run_id, after).await));
        }
        gate.release();
    }
    let run = server.finished_run(&run_id).await;
    assert_eq!(output(&run).as_array().unwrap().len(), 20);
    let all = server.events_after(&run_id, 0).await;

    assert_gapless(&all);
    for (after, watch) in watches {
        let messages = within("the end of a watch", calls::collected(watch)).await;
        let after = usize::try_from(after).unwrap();
        assert_eq!(events_of(&messages), all[after..], "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_loop_and_the_place_of_each_step() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let body = json!({"nodes": [
        {"id": "get", "type": "http_request", "data": {"url": bin.url("/{{ index }}")}},
    ]});
    let config = json!({"array_source": ["a", "b"], "concurrency": 1, "body": body});
    let run_id = server
        .save_and_start(looping("told", config), &json!({}))
        .await;
    server.finished_run(&run_id).await;

    let events = server.events_after(&run_id, 0).await;

    assert_eq!(
        kinds(&events),
        [
            "run_queued",
            "run_started",
            "step_succeeded start",
            "loop_started loop",
            "step_started get",
            "step_succeeded get",
            "step_started get",
            "step_succeeded get",
            "step_succeeded loop",
            "step_succeeded end",
            "run_succeeded",
        ]
    );
    let places: Vec<_> = events
        .iter()
        .filter(|event| event.node_id == "get")
        .map(|event| (kind(event), event.step_path.as_str(), event.attempt))
        .collect();
    assert_eq!(
        places,
        [
            ("step_started", "loop[0]/get", 1),
            ("step_succeeded", "loop[0]/get", 1),
            ("step_started", "loop[1]/get", 1),
            ("step_succeeded", "loop[1]/get", 1),
        ]
    );
    let Some(Event::LoopStarted(started)) = &events[3].event else {
        unreachable!("it is called so")
    };
    assert_eq!((started.items, started.concurrency), (2, 1));
}
