//! Loops inside of loops.

use serde_json::json;
use synapps::proto::{RunState, StepState};

use super::{expression, looping, output, paths, run, single, step};
use crate::support::calls::assert_gapless;
use crate::support::server::TestServer;

/// Rows of cells: an inner loop over the cells of each row.
fn grid(id: &str, cell: &str) -> synapps::proto::Flow {
    let body = json!({
        "nodes": [
            {"id": "row", "type": "transform", "data": {"source": "{{ item.cells }}"}},
            {"id": "inner", "type": "for_each", "data": {
                "concurrency": 2,
                "body": single("cell", "transform", expression(cell)),
            }},
            {"id": "total", "type": "transform", "data": expression("{'name': item.name, 'row': index, 'sum': content | sum}")},
        ],
        "edges": [{"source": "row", "target": "inner"}, {"source": "inner", "target": "total"}],
    });
    looping(
        id,
        json!({"array_source": "{{ input.rows }}", "body": body}),
    )
}

fn rows() -> serde_json::Value {
    json!({"factor": 10, "rows": [
        {"name": "a", "cells": [1, 2, 3]},
        {"name": "b", "cells": []},
        {"name": "c", "cells": [4]},
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inner_loop_sees_its_own_item_and_the_results_around_it() {
    let server = TestServer::start().await;
    let flow = grid(
        "grid",
        "item * input.factor + (results.row.output | length)",
    );

    let run = run(&server, flow, rows()).await;

    assert_eq!(
        output(&run),
        json!([
            {"name": "a", "row": 0, "sum": 69},
            {"name": "b", "row": 1, "sum": 0},
            {"name": "c", "row": 2, "sum": 41},
        ])
    );
    assert_gapless(&server.events_after(&run.run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_inner_items_are_found_by_their_paths() {
    let server = TestServer::start().await;
    let run = run(&server, grid("grid", "item"), rows()).await;
    let id = &run.run_id;

    let first = server.steps(id, "loop[0]").await;
    let inner = server.steps(id, "loop[0]/inner").await;
    let one = server.steps(id, "loop[0]/inner[2]").await;
    let none = server.steps(id, "loop[1]/inner").await;

    assert_eq!(
        paths(&first),
        ["loop[0]/row", "loop[0]/inner", "loop[0]/total"]
    );
    assert_eq!(first[1].r#loop.unwrap().items, 3);
    assert_eq!(
        paths(&inner),
        [
            "loop[0]/inner[0]/cell",
            "loop[0]/inner[1]/cell",
            "loop[0]/inner[2]/cell"
        ]
    );
    assert_eq!(paths(&one), ["loop[0]/inner[2]/cell"]);
    assert_eq!(one[0].node_id, "cell");
    assert_eq!(none, []);
    for nothing in [
        "loop[3]",
        "loop[0]/row",
        "loop[0]/inner[3]",
        "inner",
        "loop[x]",
    ] {
        assert_eq!(server.steps(id, nothing).await, [], "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_run_four_deep() {
    let server = TestServer::start().await;
    let leaf = single("leaf", "transform", expression("item"));
    let body = (1..4).fold(leaf, |body, level| {
        single(&format!("l{level}"), "for_each", json!({ "body": body }))
    });
    let flow = looping("deep", json!({"array_source": "{{ input }}", "body": body}));
    let deep = json!([[[[1, 2], [3]], []], [[[4]]]]);

    let run = run(&server, flow, deep.clone()).await;

    assert_eq!(output(&run), deep);
    let leaves = server.steps(&run.run_id, "loop[0]/l3[0]/l2[0]/l1").await;
    assert_eq!(
        paths(&leaves),
        [
            "loop[0]/l3[0]/l2[0]/l1[0]/leaf",
            "loop[0]/l3[0]/l2[0]/l1[1]/leaf"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_deep_inside_fails_each_loop_around_it() {
    let server = TestServer::start().await;
    let flow = grid("grid", "10 // (item - 2)");

    let run = run(&server, flow, rows()).await;

    assert_eq!(run.state(), RunState::Failed);
    let error = run.error.as_ref().unwrap();
    assert_eq!((&*error.code, &*error.node_id), ("ITEM_FAILED", "loop"));
    let details = super::told(error.details.as_ref());
    assert_eq!(details["step_path"], "loop[0]/inner");
    assert_eq!(details["code"], "ITEM_FAILED");
    assert_eq!(details["details"]["step_path"], "loop[0]/inner[1]/cell");
    assert_eq!(step(&run, "loop").state(), StepState::Failed);
    let inner = server.steps(&run.run_id, "loop[0]").await;
    assert_eq!(inner[1].state(), StepState::Failed);
    assert_gapless(&server.events_after(&run.run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outer_loop_may_bear_what_fails_an_inner_one() {
    let server = TestServer::start().await;
    let inner = json!({"body": single("cell", "transform", expression("10 // item"))});
    let body = single("inner", "for_each", inner);
    let config = json!({"array_source": "{{ input }}", "on_item_error": "collect", "body": body});

    let run = run(
        &server,
        looping("bear", config),
        json!([[1, 2], [5, 0], [10]]),
    )
    .await;

    let list = output(&run);
    assert_eq!((&list[0], &list[2]), (&json!([10, 5]), &json!([1])));
    let error = &list[1]["error"];
    assert_eq!(error["code"], "ITEM_FAILED");
    assert_eq!(error["step_path"], "loop[1]/inner");
    assert_eq!(error["details"]["step_path"], "loop[1]/inner[1]/cell");
    assert_eq!(super::progress(&run), [3, 3, 2, 1]);
}
