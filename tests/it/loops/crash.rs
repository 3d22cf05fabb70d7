//! The program is killed in the middle of a loop: what items have done stays done.

use std::collections::BTreeMap;

use serde_json::json;
use synapps::proto::RunEvent;
use synapps::proto::run_event::Event;

use super::{expression, looping, output, progress};
use crate::support::binary::Binary;
use crate::support::calls::assert_gapless;
use crate::support::http_bin::HttpBin;

const ITEMS: usize = 300;
const AT_ONCE: usize = 20;

/// Asserts that no step that had succeeded was begun or done once more.
fn assert_nothing_repeated(events: &[RunEvent]) {
    let mut done: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events {
        let path = event.step_path.as_str();
        match event.event {
            Some(Event::StepSucceeded(_)) => {
                let before = done.insert(path, event.sequence);
                assert_eq!(before, None, "{path} succeeded twice");
            }
            Some(Event::StepStarted(_)) => {
                let before = done.get(path);
                assert_eq!(before, None, "{path} began again: {event:?}");
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_finished_item_is_repeated_after_a_kill() {
    let bin = HttpBin::start().await;
    let mut binary = Binary::start(&[]).await;
    let body = json!({
        "nodes": [
            {"id": "get", "type": "http_request", "data": {"url": bin.url("/{{ item }}")}},
            {"id": "path", "type": "transform", "data": expression("[index, content.data.path]")},
        ],
        "edges": [{"source": "get", "target": "path"}],
    });
    let config = json!({"array_source": "{{ input }}", "concurrency": AT_ONCE, "body": body});
    let items: Vec<String> = (0..ITEMS).map(|n| format!("i{n}")).collect();
    let run_id = binary
        .save_and_start(looping("many", config), &json!(items))
        .await;

    for requests in [60, 190] {
        bin.requested_in_all(requests).await;
        binary.kill().await;
        binary = binary.restart().await;
    }
    let run = binary.finished_run(&run_id).await;

    let expected: Vec<_> = (0..ITEMS).map(|n| json!([n, format!("/i{n}")])).collect();
    assert_eq!(output(&run), json!(expected));
    let items = super::count(ITEMS);
    assert_eq!(progress(&run), [items, items, items, 0]);
    let events = binary.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert_nothing_repeated(&events);
    let repeated = bin.seen().len() - ITEMS;
    assert!(repeated <= 2 * AT_ONCE, "{repeated} requests were repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inner_loop_goes_on_where_it_was() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/1-1");
    let mut binary = Binary::start(&[]).await;
    let get = json!({"nodes": [
        {"id": "get", "type": "http_request", "data": {"url": bin.url("/{{ item }}-{{ index }}")}},
    ]});
    let body = json!({
        "nodes": [
            {"id": "row", "type": "transform", "data": expression("[item, item, item]")},
            {"id": "inner", "type": "for_each", "data": {"concurrency": 1, "body": get}},
            {"id": "paths", "type": "transform", "data": expression("content | map(attribute='data') | map(attribute='path') | list")},
        ],
        "edges": [{"source": "row", "target": "inner"}, {"source": "inner", "target": "paths"}],
    });
    let config = json!({"array_source": [0, 1, 2], "concurrency": 1, "body": body});
    let run_id = binary
        .save_and_start(looping("inner", config), &json!({}))
        .await;
    bin.requested("/1-1", 1).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;
    let run = binary.finished_run(&run_id).await;

    let row = |n: usize| json!([format!("/{n}-0"), format!("/{n}-1"), format!("/{n}-2")]);
    assert_eq!(output(&run), json!([row(0), row(1), row(2)]));
    assert_eq!((bin.count("/1-1"), bin.seen().len()), (2, 10));
    let events = binary.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert_nothing_repeated(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_were_collected_before_a_kill_are_in_the_list() {
    let bin = HttpBin::start().await;
    bin.answer("/0", crate::support::http_bin::Answer::status(404));
    let held = bin.hold("/2");
    let mut binary = Binary::start(&[]).await;
    let get = json!({"url": bin.url("/{{ index }}")});
    let config = json!({
        "array_source": ["a", "b", "c"],
        "concurrency": 1,
        "on_item_error": "collect",
        "body": super::single("get", "http_request", get),
    });
    let run_id = binary
        .save_and_start(looping("collect", config), &json!({}))
        .await;
    bin.requested("/2", 1).await;

    binary.kill().await;
    held.release();
    let binary = binary.restart().await;
    let run = binary.finished_run(&run_id).await;

    let list = output(&run);
    assert_eq!(list[0]["error"]["code"], "HTTP_4XX");
    assert_eq!(list[1]["data"]["path"], "/1");
    assert_eq!(list[2]["data"]["path"], "/2");
    assert_eq!((bin.count("/0"), bin.count("/1")), (1, 1));
    assert_nothing_repeated(&binary.events_after(&run_id, 0).await);
}
