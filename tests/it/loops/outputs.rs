//! What comes out of a loop: the outputs of its items, in the order of the list.

use serde_json::json;

use super::{expression, looping, of_step, output, run, single, step, told};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::history::kind;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn outputs_stand_in_the_order_of_the_items_whatever_the_concurrency() {
    let server = TestServer::start().await;
    let items: Vec<i64> = (0..40).map(|n| n * 7 % 40).collect();
    let expected: Vec<i64> = items.iter().map(|n| n * n).collect();

    for concurrency in [1, 3, 40, 1_000] {
        let flow = looping(
            &format!("squares-{concurrency}"),
            json!({
                "array_source": "{{ input }}",
                "concurrency": concurrency,
                "body": single("square", "transform", expression("item * item")),
            }),
        );
        let run = run(&server, flow, json!(items)).await;

        assert_eq!(output(&run), json!(expected), "{concurrency}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_ends_last_keeps_its_place() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let first = bin.hold("/0");
    let body = json!({
        "nodes": [
            {"id": "ask", "type": "http_request", "data": {"url": bin.url("/{{ index }}")}},
            {"id": "say", "type": "transform", "data": expression("item ~ ' by ' ~ content.data.path")},
        ],
        "edges": [{"source": "ask", "target": "say"}],
    });
    let flow = looping(
        "places",
        json!({ "array_source": ["a", "b", "c"], "body": body }),
    );
    let run_id = server.save_and_start(flow, &json!({})).await;

    // The others are through before the first is answered.
    server
        .event_once(&run_id, 0, |event| {
            event.step_path == "loop[2]/say" && kind(event) == "step_succeeded"
        })
        .await;
    server
        .event_once(&run_id, 0, |event| {
            event.step_path == "loop[1]/say" && kind(event) == "step_succeeded"
        })
        .await;
    first.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(output(&run), json!(["a by /0", "b by /1", "c by /2"]));
    let events = server.events_after(&run_id, 0).await;
    assert_eq!(of_step(&events, "loop[0]/say").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_go_their_own_ways_through_the_body() {
    let server = TestServer::start().await;
    let body = json!({
        "nodes": [
            {"id": "large", "type": "if_else", "data": {"operation": "cel", "expression": "content > 10"}},
            {"id": "halve", "type": "transform", "data": expression("content / 2")},
            {"id": "double", "type": "transform", "data": expression("content * 2")},
            {"id": "result", "type": "merge", "data": {"strategy": "first_wins"}},
        ],
        "edges": [
            {"source": "large", "source_handle": "true", "target": "halve"},
            {"source": "large", "source_handle": "false", "target": "double"},
            {"source": "halve", "target": "result"},
            {"source": "double", "target": "result"},
        ],
    });
    let flow = looping(
        "ways",
        json!({ "array_source": "{{ input }}", "body": body }),
    );

    let run = run(&server, flow, json!([1, 20, 3, 40])).await;

    assert_eq!(output(&run), json!([2, 10, 6, 20]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_several_ends_gives_an_object_of_those_that_an_item_reached() {
    let server = TestServer::start().await;
    let body = json!({
        "nodes": [
            {"id": "large", "type": "if_else", "data": {"operation": "cel", "expression": "content > 10"}},
            {"id": "halved", "type": "transform", "data": expression("content / 2")},
            {"id": "kept", "type": "transform", "data": {}},
            {"id": "place", "type": "transform", "data": expression("index")},
        ],
        "edges": [
            {"source": "large", "source_handle": "true", "target": "halved"},
            {"source": "large", "source_handle": "false", "target": "kept"},
        ],
    });
    let flow = looping("ends", json!({ "array_source": [4, 40], "body": body }));

    let run = run(&server, flow, json!({})).await;

    assert_eq!(
        output(&run),
        json!([{"kept": 4, "place": 0}, {"halved": 20, "place": 1}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_the_body_says_alone_what_an_item_gives() {
    let server = TestServer::start().await;
    let body = json!({
        "nodes": [
            {"id": "large", "type": "if_else", "data": {"operation": "cel", "expression": "content > 10"}},
            {"id": "kept", "type": "end"},
            {"id": "beside", "type": "transform", "data": {}},
        ],
        "edges": [
            {"source": "large", "source_handle": "true", "target": "kept"},
            {"source": "large", "source_handle": "false", "target": "beside"},
        ],
    });
    let flow = looping("end", json!({ "array_source": [4, 40], "body": body }));

    let run = run(&server, flow, json!({})).await;

    assert_eq!(output(&run), json!([null, 40]));
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_of_the_body_get_the_item_and_templates_name_it_its_index_and_what_was_before() {
    let server = TestServer::start().await;
    let body = json!({
        "nodes": [
            {"id": "root", "type": "transform", "data": {"source": "{{ content }}"}},
            {"id": "other", "type": "transform", "data": {"source": "{{ content.sku }}"}},
            {"id": "all", "type": "transform", "data": {"source": {
                "content": "{{ content }}",
                "item": "{{ item }}",
                "index": "{{ index }}",
                "before": "{{ results.rate.output }}",
                "root": "{{ results.root.output.sku }}",
                "input": "{{ input.rate }}",
            }}},
        ],
        "edges": [
            {"source": "root", "target": "all"},
            {"source": "other", "target": "all"},
        ],
    });
    let flow = chain(
        "names",
        &[
            ("rate", "transform", json!({"source": "{{ input.rate }}"})),
            (
                "loop",
                "for_each",
                json!({"array_source": "{{ input.items }}", "body": body}),
            ),
        ],
    );

    let items = json!([{"sku": "A"}, {"sku": "B"}]);
    let run = run(&server, flow, json!({"rate": 0.5, "items": items})).await;

    let seen = |index: usize, sku: &str| {
        json!({
            "content": {"root": {"sku": sku}, "other": sku},
            "item": {"sku": sku},
            "index": index,
            "before": 0.5,
            "root": sku,
            "input": 0.5,
        })
    };
    assert_eq!(output(&run), json!([seen(0, "A"), seen(1, "B")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_loop_gets_the_list_and_finds_it_in_results() {
    let server = TestServer::start().await;
    let config = json!({
        "array_source": "{{ input }}",
        "body": single("twice", "transform", expression("item * 2")),
    });
    let flow = flow_with_ends("after")
        .node("loop", "for_each", config)
        .node("sum", "transform", expression("content | sum"))
        .node(
            "last",
            "transform",
            json!({"source": "{{ results.loop.output.2 }}"}),
        )
        .edge("start", "loop")
        .edge("loop", "sum")
        .edge("sum", "last")
        .edge("sum", "end")
        .edge("last", "end")
        .build();

    let run = run(&server, flow, json!([1, 2, 3])).await;

    assert_eq!(output(&run), json!({"sum": 12, "last": 6}));
    assert_eq!(
        told(step(&run, "loop").details.as_ref()),
        json!({"items": 3, "succeeded": 3, "failed": 0, "truncated": false})
    );
    // Steps of the items are not top-level ones.
    assert_eq!((run.progress, run.total_steps), (5, 5));
    assert_eq!(run.results.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_another_flow_which_gets_each_item_as_its_input() {
    let server = TestServer::start().await;
    server
        .save(chain(
            "price",
            &[(
                "multiply",
                "transform",
                expression("input.price * input.quantity"),
            )],
        ))
        .await;
    let flow = looping(
        "order",
        json!({"array_source": "{{ input }}", "body": "price"}),
    );

    let lines = json!([{"price": 2, "quantity": 3}, {"price": 5, "quantity": 1}]);
    let run = run(&server, flow, lines).await;

    assert_eq!(output(&run), json!([6, 5]));
    let steps = server.steps(&run.run_id, "loop").await;
    assert_eq!(super::paths(&steps), ["loop[0]/flow", "loop[1]/flow"]);
    for (step, total) in steps.iter().zip([6, 5]) {
        let child = server.get(&step.child_run_id).await;
        assert_eq!(output(&child), json!(total));
        assert_eq!(
            (child.parent_run_id, child.flow_id),
            (run.run_id.clone(), "price".to_owned())
        );
    }
}
