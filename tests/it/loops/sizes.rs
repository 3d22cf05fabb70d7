//! Long loops, large lists, large items.

use prost::Message as _;
use serde_json::{Value, json};
use synapps::proto::run_event::Event;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{RunState, RunView, StepState, WatchRunRequest, payload};

use super::{expression, looping, output, progress, run, single, step};
use crate::support::calls::{assert_gapless, collected, events_of};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::within;

const MANY: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_two_thousand_items_is_shown_in_a_few_bytes() {
    let server = TestServer::start().await;
    let config = json!({
        "array_source": "{{ input }}",
        "max_items": MANY,
        "concurrency": 100,
        "body": single("next", "transform", expression("item + 1")),
    });
    let items: Vec<usize> = (0..MANY).collect();
    let run = run(&server, looping("many", config), json!(items)).await;
    assert_eq!(output(&run)[MANY - 1], json!(MANY));

    let full = server.get_as(&run.run_id, RunView::Full).await;
    let with_snapshot = WatchRunRequest {
        run_id: run.run_id.clone(),
        include_snapshot: true,
        ..WatchRunRequest::default()
    };
    let watch = server.runs().watch_run(with_snapshot).await.unwrap();
    let watch = collected(watch.into_inner());
    let messages = within("the end of the watch", watch).await;

    let many = super::count(MANY);
    assert_eq!(progress(&full), [many, many, many, 0]);
    assert!(full.encoded_len() < 4_096, "{}", full.encoded_len());
    let Some(Message::Snapshot(snapshot)) = &messages[0].message else {
        panic!("no snapshot first: {:?}", messages[0]);
    };
    assert!(snapshot.encoded_len() < 4_096, "{}", snapshot.encoded_len());
    assert_eq!(snapshot.steps.len(), 3);
    let events = events_of(&messages);
    assert_gapless(&events);
    assert!(events.len() > MANY && events.len() < MANY + 20);
    assert_eq!(server.steps(&run.run_id, "loop").await.len(), MANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_does_not_fit_beside_its_event_is_looped_over_all_the_same() {
    let server = TestServer::start().await;
    let items: Vec<Value> = (0..400)
        .map(|n| json!({"n": n, "text": "x".repeat(200)}))
        .collect();
    let config = json!({
        "array_source": "{{ input }}",
        "body": single("n", "transform", json!({"source": "{{ item.n }}"})),
    });

    let run = run(&server, looping("large", config), json!(items)).await;

    assert_eq!(output(&run), json!((0..400).collect::<Vec<_>>()));
    let started = server
        .event_once(&run.run_id, 0, |event| {
            matches!(event.event, Some(Event::LoopStarted(_)))
        })
        .await;
    let Some(Event::LoopStarted(started)) = started.event else {
        unreachable!("it is one")
    };
    assert_eq!(started.items, 400);
    let Some(payload::Content::Ref(reference)) = started.list.unwrap().content else {
        panic!("the list is too large to be in the event");
    };
    assert!(reference.size_bytes > 32 << 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_hundred_kilobytes_go_in_and_come_out() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let texts: Vec<String> = ["a", "b", "c", "d"]
        .iter()
        .map(|letter| letter.repeat(100_000))
        .collect();
    for (n, text) in texts.iter().enumerate() {
        bin.answer(&format!("/{n}"), Answer::status(200).body(text.clone()));
    }
    let body = json!({
        "nodes": [
            {"id": "get", "type": "http_request", "data": {"url": bin.url("/{{ index }}")}},
            {"id": "text", "type": "transform", "data": {"source": "{{ content.data }}"}},
            {"id": "both", "type": "transform", "data": {"source": {
                "length": "{{ item | length }}", "text": "{{ content }}",
            }}},
        ],
        "edges": [{"source": "get", "target": "text"}, {"source": "text", "target": "both"}],
    });
    let config = json!({"array_source": "{{ input }}", "concurrency": 2, "body": body});

    let run = run(&server, looping("heavy", config), json!(texts)).await;

    let expected: Vec<Value> = texts
        .iter()
        .map(|text| json!({"length": 100_000, "text": text}))
        .collect();
    assert!(output(&run) == json!(expected), "not the texts");
    let steps = server.steps(&run.run_id, "loop[3]").await;
    assert!(steps[2].output.as_ref().unwrap().size_bytes > 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_outputs_over_the_limit_fails_the_loop() {
    let server = TestServer::builder()
        .flag("--max-payload-bytes=100000")
        .start()
        .await;
    let body = single("text", "transform", expression("'x' * 30000"));
    let flow = looping("over", json!({"array_source": "{{ input }}", "body": body}));

    let three = run(&server, flow, json!([1, 2, 3])).await;
    let run_id = server.start("over", &json!([1, 2, 3, 4])).await;
    let four = server.finished_run(&run_id).await;

    assert_eq!(three.state(), RunState::Succeeded, "{:?}", three.error);
    assert_eq!(four.state(), RunState::Failed);
    let error = four.error.as_ref().unwrap();
    assert_eq!(
        (&*error.code, &*error.step_path),
        ("OUTPUT_TOO_LARGE", "loop")
    );
    assert!(error.message.contains("100000"), "{error:?}");
    assert_eq!(step(&four, "loop").state(), StepState::Failed);
    assert_eq!(progress(&four), [4, 4, 4, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_over_the_limit_is_an_error_like_any_other() {
    let server = TestServer::builder()
        .flag("--max-payload-bytes=100000")
        .start()
        .await;
    let body = single("text", "transform", expression("'x' * item"));
    let config = json!({"array_source": "{{ input }}", "on_item_error": "collect", "body": body});

    let run = run(&server, looping("item", config), json!([1, 100_000, 3])).await;

    let list = output(&run);
    assert_eq!((&list[0], &list[2]), (&json!("x"), &json!("xxx")));
    assert_eq!(list[1]["error"]["code"], "OUTPUT_TOO_LARGE");
    assert_eq!(list[1]["error"]["step_path"], "loop[1]/text");
}
