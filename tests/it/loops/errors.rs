//! Items that fail: what becomes of the loop, and what can be done about it inside of the item.

use serde_json::{Value, json};
use synapps::proto::{Flow, RunState, StepState, WaitReason};

use super::{expression, looping, of_step, output, progress, run, step, told};
use crate::support::calls::{Calls, assert_gapless};
use crate::support::history::{has, kind};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

/// Asks for `/0`, `/1` … for the items of the run's input, three at a time.
fn asking(bin: &HttpBin, on_item_error: &str) -> Flow {
    let config = json!({
        "array_source": "{{ input }}",
        "concurrency": 3,
        "on_item_error": on_item_error,
        "body": {
            "nodes": [
                {"id": "get", "type": "http_request", "data": {"url": bin.url("/{{ index }}")}},
                {"id": "path", "type": "transform", "data": {"source": "{{ content.data.path }}"}},
            ],
            "edges": [{"source": "get", "target": "path"}],
        },
    });
    looping(on_item_error, config)
}

/// The states of the steps inside a path.
async fn states(server: &Calls, run_id: &str, path: &str) -> Vec<StepState> {
    let steps = server.steps(run_id, path).await;
    steps.iter().map(synapps::proto::Step::state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_item_fails_the_loop_and_cuts_off_the_others() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/1", Answer::status(500).body("no"));
    let _held = [bin.hold("/0"), bin.hold("/2")];
    let gate = bin.hold("/1");
    let flow = asking(&bin, "fail");
    let run_id = server.save_and_start(flow, &json!([1, 2, 3, 4, 5])).await;
    bin.requested_in_all(3).await;

    gate.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Failed);
    let error = run.error.as_ref().unwrap();
    assert_eq!(
        (&*error.code, &*error.node_id, &*error.step_path),
        ("ITEM_FAILED", "loop", "loop")
    );
    let details = told(error.details.as_ref());
    assert_eq!(
        (&details["code"], &details["step_path"], &details["attempt"]),
        (&json!("HTTP_5XX"), &json!("loop[1]/get"), &json!(1))
    );
    assert_eq!(details["details"]["status_code"], 500);
    assert_eq!(step(&run, "loop").state(), StepState::Failed);
    assert_eq!(progress(&run), [5, 3, 0, 1]);
    for (item, get) in [
        (0, StepState::Cancelled),
        (1, StepState::Failed),
        (2, StepState::Cancelled),
    ] {
        let states = states(&server, &run_id, &format!("loop[{item}]")).await;
        assert_eq!(states, [get, StepState::Cancelled], "{item}");
    }
    assert_eq!(server.steps(&run_id, "loop[3]").await, []);
    assert_eq!(bin.seen().len(), 3);
    assert_gapless(&server.events_after(&run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_collected_in_place_of_the_outputs() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    for path in ["/1", "/3"] {
        bin.answer(path, Answer::status(404));
    }

    let run = run(&server, asking(&bin, "collect"), json!([0, 0, 0, 0, 0])).await;

    let list = output(&run);
    assert_eq!(
        (&list[0], &list[2], &list[4]),
        (&json!("/0"), &json!("/2"), &json!("/4"))
    );
    for item in [1, 3] {
        let error = &list[item]["error"];
        assert_eq!(error["code"], "HTTP_4XX");
        assert_eq!(error["step_path"], format!("loop[{item}]/get"));
        assert_eq!(error["attempt"], 1);
        assert_eq!(error["details"]["status_code"], 404);
        assert!(error["message"].as_str().unwrap().contains("404"));
    }
    assert_eq!(progress(&run), [5, 5, 3, 2]);
    assert_eq!(
        told(step(&run, "loop").details.as_ref()),
        json!({"items": 5, "succeeded": 3, "failed": 2, "truncated": false})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_items_are_left_out_where_the_author_wants_it() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    for path in ["/0", "/2"] {
        bin.answer(path, Answer::status(404));
    }
    let flow = asking(&bin, "skip");

    let some = run(&server, flow, json!([0, 0, 0, 0])).await;
    let run_id = server.start("skip", &json!([0])).await;
    let none = server.finished_run(&run_id).await;

    assert_eq!(output(&some), json!(["/1", "/3"]));
    assert_eq!(progress(&some), [4, 4, 2, 2]);
    assert_eq!(output(&none), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_cuts_off_the_rest_of_its_item_only() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/bad/0", Answer::status(500));
    let _held = bin.hold("/slow/0");
    let gate = bin.hold("/bad/0");
    let get = |path: &str| json!({"url": bin.url(&format!("/{path}/{{{{ index }}}}"))});
    let body = json!({
        "nodes": [
            {"id": "slow", "type": "http_request", "data": get("slow")},
            {"id": "bad", "type": "http_request", "data": get("bad")},
            {"id": "both", "type": "transform", "data": expression("index")},
        ],
        "edges": [{"source": "slow", "target": "both"}, {"source": "bad", "target": "both"}],
    });
    let config = json!({"array_source": [0, 0, 0], "on_item_error": "skip", "body": body});
    let run_id = server
        .save_and_start(looping("cut", config), &json!({}))
        .await;
    bin.requested("/slow/0", 1).await;
    bin.requested("/bad/0", 1).await;

    gate.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(output(&run), json!([1, 2]));
    assert_eq!(
        states(&server, &run_id, "loop[0]").await[..2],
        [StepState::Cancelled, StepState::Failed]
    );
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert!(has(&events, "step_cancelled slow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_an_item_is_tried_again_by_its_own_policy() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer_first("/1", 2, Answer::status(503));
    let mut flow = asking(&bin, "fail");
    let retry = json!({"max_attempts": 3, "initial_interval": "0.05s"});
    in_get(&mut flow, "retry", &retry);

    let run = run(&server, flow, json!([0, 0])).await;

    assert_eq!(output(&run), json!(["/0", "/1"]));
    assert_eq!((bin.count("/0"), bin.count("/1")), (1, 3));
    let retried = &server.steps(&run.run_id, "loop[1]").await[0];
    let attempts: Vec<_> = retried
        .attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.state()))
        .collect();
    assert_eq!(
        attempts,
        [
            (1, StepState::Failed),
            (2, StepState::Failed),
            (3, StepState::Succeeded)
        ]
    );
    assert_eq!(progress(&run), [2, 2, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_goes_on_by_its_error_port() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/1", Answer::status(404));
    let body = json!({
        "nodes": [
            {"id": "get", "type": "http_request", "on_error": {"port": {}},
             "data": {"url": bin.url("/{{ index }}")}},
            {"id": "found", "type": "transform", "data": {"source": "{{ content.data.path }}"}},
            {"id": "missed", "type": "transform", "data": {"source": {
                "code": "{{ content.error.code }}", "path": "{{ content.error.step_path }}",
                "input": "{{ content.input }}",
            }}},
            {"id": "result", "type": "merge", "data": {"strategy": "first_wins"}},
        ],
        "edges": [
            {"source": "get", "target": "found"},
            {"source": "get", "source_handle": "error", "target": "missed"},
            {"source": "found", "target": "result"},
            {"source": "missed", "target": "result"},
        ],
    });
    let flow = looping("port", json!({"array_source": "{{ input }}", "body": body}));

    let run = run(&server, flow, json!(["a", "b"])).await;

    let missed = json!({"code": "HTTP_4XX", "path": "loop[1]/get", "input": "b"});
    assert_eq!(output(&run), json!(["/0", missed]));
    // The item has succeeded, though one of its steps has failed.
    assert_eq!(progress(&run), [2, 2, 2, 0]);
    assert_eq!(
        states(&server, &run.run_id, "loop[1]").await[0],
        StepState::Failed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn items_have_fallbacks_and_default_outputs_and_go_on_without() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/1", Answer::status(404));
    let item = |on_error: Value| {
        json!({
            "nodes": [
                {"id": "get", "type": "http_request", "on_error": on_error,
                 "data": {"url": bin.url("/{{ index }}")}},
                {"id": "spare", "type": "transform", "data": expression("{'data': {'path': content}}")},
                {"id": "result", "type": "merge", "data": {"strategy": "first_wins"}},
                {"id": "path", "type": "transform", "data": expression("content.data.path")},
            ],
            "edges": [
                {"source": "get", "target": "result"},
                {"source": "spare", "target": "result"},
                {"source": "result", "target": "path"},
            ],
        })
    };
    let fallback = item(json!({"fallback": {"node_id": "spare"}}));
    let without_spare = |on_error: Value| {
        let mut body = item(on_error);
        body["nodes"].as_array_mut().unwrap().remove(1);
        body["edges"].as_array_mut().unwrap().remove(1);
        body
    };
    let default = without_spare(json!({"default_output": {"data": {"path": "none"}}}));
    let going_on = without_spare(json!({"continue_run": {}}));

    for (id, body, second) in [
        ("fallback", fallback, json!("b")),
        ("default", default, json!("none")),
        ("going-on", going_on, json!(null)),
    ] {
        let flow = looping(id, json!({"array_source": "{{ input }}", "body": body}));
        let run = run(&server, flow, json!(["a", "b", "c"])).await;

        assert_eq!(output(&run), json!(["/0", second, "/2"]), "{id}");
        assert_eq!(progress(&run), [3, 3, 3, 0], "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nests_as_deep_as_it_may_does_not_fail_a_loop_that_collects() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    for depth in 22..30_usize {
        let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let answer = Answer::status(400).header("content-type", "application/json");
        bin.answer(&format!("/{}", depth - 22), answer.body(deep));
    }

    let run = run(&server, asking(&bin, "collect"), json!(vec![0; 8])).await;

    let list = output(&run);
    for item in 0..8 {
        assert_eq!(list[item]["error"]["code"], "HTTP_4XX", "{item}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_inside_an_item_has_its_own_time() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/1");
    let mut flow = asking(&bin, "collect");
    in_get(&mut flow, "timeout", &json!("1s"));

    let run = run(&server, flow, json!([0, 0, 0])).await;

    let list = output(&run);
    assert_eq!((&list[0], &list[2]), (&json!("/0"), &json!("/2")));
    assert_eq!(list[1]["error"]["code"], "TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_in_doubt_waits_for_somebodys_word_when_all_others_are_done() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/1");
    let mut flow = asking(&bin, "skip");
    in_get(&mut flow, "timeout", &json!("1s"));
    in_get(&mut flow, "effect", &json!("EFFECT_AT_MOST_ONCE"));
    let run_id = server
        .save_and_start(flow, &json!([0, 0, 0, 0, 0, 0]))
        .await;

    let run = server.run_in_state(&run_id, RunState::Waiting).await;

    assert_eq!(run.wait_reason(), WaitReason::OutcomeUnknown);
    assert_eq!(progress(&run), [6, 6, 5, 0]);
    assert_eq!(
        states(&server, &run_id, "loop[1]").await,
        [StepState::OutcomeUnknown, StepState::Pending]
    );
    let events = server.events_after(&run_id, 0).await;
    let kinds: Vec<_> = of_step(&events, "loop[1]/get")
        .into_iter()
        .map(kind)
        .collect();
    assert_eq!(kinds, ["step_started", "step_outcome_unknown"]);
}

/// Sets a field of the node `get` in the body of the loop.
fn in_get(flow: &mut Flow, field: &str, value: &Value) {
    let data = flow.nodes[2].data.as_mut().unwrap();
    let mut config = crate::support::wire::object_of(data);
    config["body"]["nodes"][0][field] = value.clone();
    *data = crate::support::wire::fields(&config);
}
