//! Where the items come from, and how many there may be.

use serde_json::{Value, json};
use synapps::proto::run_event::Event;
use synapps::proto::{RunState, StepState};

use super::{expression, looping, output, progress, run, single, step, told};
use crate::support::history::has;
use crate::support::server::TestServer;

fn body() -> Value {
    single("same", "transform", expression("item"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_body_the_output_is_the_items() {
    let server = TestServer::start().await;
    let flow = looping("items", json!({"array_source": "{{ input.items }}"}));

    let run = run(&server, flow, json!({"items": [1, null, {"a": []}]})).await;

    assert_eq!(output(&run), json!([1, null, {"a": []}]));
    let events = server.events_after(&run.run_id, 0).await;
    assert!(!has(&events, "loop_started loop"));
    assert_eq!(server.steps(&run.run_id, "loop").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_gives_an_empty_list_without_a_turn() {
    let server = TestServer::start().await;
    let flow = looping(
        "empty",
        json!({"array_source": "{{ input }}", "body": body()}),
    );

    let run = run(&server, flow, json!([])).await;

    assert_eq!(output(&run), json!([]));
    assert_eq!(step(&run, "loop").state(), StepState::Succeeded);
    assert_eq!(server.steps(&run.run_id, "loop").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_the_items_are_the_nodes_input() {
    let server = TestServer::start().await;
    let flow = looping("input", json!({"body": body()}));

    let run = run(&server, flow, json!(["x", "y"])).await;

    assert_eq!(output(&run), json!(["x", "y"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_may_be_a_list_in_json() {
    let server = TestServer::start().await;
    let config = json!({"array_source": "{{ input.text }}", "body": body()});
    server.save(looping("text", config)).await;
    let long: Vec<usize> = (0..20_000).collect();
    let long = json!(long).to_string();

    for text in ["[1, {\"a\": [true]}]", "  []", &*long] {
        let run_id = server.start("text", &json!({ "text": text })).await;
        let run = server.finished_run(&run_id).await;
        let list: Value = serde_json::from_str(text).unwrap();
        if list.as_array().unwrap().len() > 1_000 {
            assert_eq!(run.error.unwrap().code, "TOO_MANY_ITEMS");
        } else {
            assert_eq!(output(&run), list);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_fails_the_step_by_name() {
    let server = TestServer::start().await;
    let config = json!({"array_source": "{{ input.it }}", "body": body()});
    server.save(looping("no-list", config)).await;

    for it in [
        json!({"a": 1}),
        json!("abc"),
        json!("[1,"),
        json!(7),
        json!(null),
    ] {
        let run_id = server.start("no-list", &json!({ "it": it })).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Failed, "{it}");
        let error = run.error.as_ref().unwrap();
        assert_eq!(
            (&*error.code, &*error.node_id, error.attempt),
            ("NOT_A_LIST", "loop", 1),
            "{it}"
        );
        assert_eq!(step(&run, "loop").r#loop, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_items_fail_the_step_before_any_has_begun() {
    let server = TestServer::start().await;
    let config = json!({"array_source": "{{ input }}", "max_items": 3, "body": body()});
    let flow = looping("most", config);

    let enough = run(&server, flow, json!([1, 2, 3])).await;
    let run_id = server.start("most", &json!([1, 2, 3, 4])).await;
    let many = server.finished_run(&run_id).await;

    assert_eq!(output(&enough), json!([1, 2, 3]));
    let error = many.error.as_ref().unwrap();
    assert_eq!(error.code, "TOO_MANY_ITEMS");
    assert_eq!(
        told(error.details.as_ref()),
        json!({"count": 4, "bound": 3})
    );
    assert_eq!(server.steps(&run_id, "loop").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_items_are_left_out_where_the_author_wants_it() {
    let server = TestServer::start().await;
    let config = json!({
        "array_source": "{{ input }}", "max_items": 2, "on_excess": "truncate", "body": body(),
    });
    let flow = looping("most", config);
    let bare = json!({"array_source": "{{ input }}", "max_items": 2, "on_excess": "truncate"});

    let run_of_all = run(&server, flow, json!(["a", "b", "c"])).await;
    let bare = run(&server, looping("bare", bare), json!(["a", "b", "c"])).await;

    assert_eq!(output(&run_of_all), json!(["a", "b"]));
    assert_eq!(output(&bare), json!(["a", "b"]));
    assert_eq!(progress(&run_of_all), [2, 2, 2, 0]);
    for run in [&run_of_all, &bare] {
        let details = told(step(run, "loop").details.as_ref());
        assert_eq!(
            (&details["items"], &details["truncated"]),
            (&json!(2), &json!(true))
        );
    }
    let started = server
        .event_once(&run_of_all.run_id, 0, |event| {
            matches!(event.event, Some(Event::LoopStarted(_)))
        })
        .await;
    let Some(Event::LoopStarted(started)) = started.event else {
        unreachable!("it is one")
    };
    assert_eq!((started.items, started.truncated), (2, true));
}
