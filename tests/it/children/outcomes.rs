//! What a child gets, what it gives, and why it cannot be.

use serde_json::json;
use synapps::proto::on_error::Action;
use synapps::proto::run_event::Event;
use synapps::proto::{ErrorPort, RetryPolicy, RunState, StepState, UpdateFlowRequest, WaitReason};

use super::{asking, call, calling, details, output, run, runs_of};
use crate::support::calls::assert_gapless;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::history::kinds;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_the_child_is_the_steps() {
    let server = TestServer::start().await;
    let double = json!({"operation": "expression", "expression": "input.n * 2"});
    server
        .save(chain("double", &[("double", "transform", double)]))
        .await;

    let run = run(&server, calling("top", "double"), json!({"n": 21})).await;

    assert_eq!(output(&run), json!(42));
    let child = server.get(&call(&run).child_run_id).await;
    assert_eq!(wire::json(child.input.as_ref()), json!({"n": 21}));
    assert_eq!(
        (&child.parent_run_id, &*child.flow_id, child.state()),
        (&run.run_id, "double", RunState::Succeeded)
    );
    assert_eq!(run.parent_run_id, "");
    assert_eq!(call(&run).attempt, 1);
    let events = server.events_after(&run.run_id, 0).await;
    assert_eq!(
        kinds(&events),
        [
            "run_queued",
            "run_started",
            "step_succeeded start",
            "child_started call",
            "child_ended call",
            "step_succeeded call",
            "step_succeeded end",
            "run_succeeded"
        ]
    );
    let Some(Event::ChildEnded(ended)) = &events[4].event else {
        unreachable!("it is called so")
    };
    assert_eq!(
        (&ended.run_id, ended.state()),
        (&child.run_id, RunState::Succeeded)
    );
    assert_gapless(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_author_says_what_the_child_gets_and_which_revision() {
    let server = TestServer::start().await;
    let version = |text: &str| {
        let say = json!({"template": format!("{text}: {{{{ input.name }}}}")});
        chain("greet", &[("say", "transform", say)])
    };
    server.save(version("one")).await;
    let update = UpdateFlowRequest {
        flow: Some(version("two")),
        ..UpdateFlowRequest::default()
    };
    server.flows().update_flow(update).await.unwrap();
    let node = |revision: i32| {
        json!({
            "flow_id": "{{ input.which }}", "revision": revision, "input": {"name": "{{ input.who }}!"},
        })
    };
    let flow = flow_with_ends("top")
        .node("first", "subflow", node(1))
        .node("latest", "subflow", node(0))
        .edge("start", "first")
        .edge("start", "latest")
        .edge("first", "end")
        .edge("latest", "end")
        .build();

    let run = run(&server, flow, json!({"which": "greet", "who": "Ada"})).await;

    assert_eq!(
        output(&run),
        json!({"first": "one: Ada!", "latest": "two: Ada!"})
    );
    let mut revisions: Vec<i32> = runs_of(&server, "greet")
        .await
        .iter()
        .map(|run| run.revision)
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_fails_fails_the_step_and_tells_why() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/no", Answer::status(404));
    server.save(asking("child", &bin, "/no")).await;

    let run = run(&server, calling("top", "child"), json!({})).await;

    assert_eq!(run.state(), RunState::Failed);
    let error = run.error.as_ref().unwrap();
    assert_eq!(
        (&*error.code, &*error.node_id, error.attempt),
        ("CHILD_FAILED", "call", 1)
    );
    let child = &call(&run).child_run_id;
    let details = details(&run);
    assert_eq!(details["run_id"], json!(child));
    assert_eq!(details["error"]["code"], "HTTP_4XX");
    assert_eq!(details["error"]["step_path"], "get");
    assert_eq!(server.get(child).await.state(), RunState::Failed);
    assert_eq!(call(&run).state(), StepState::Failed);
    assert_gapless(&server.events_after(&run.run_id, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_fails_leads_on_by_the_error_port() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/no", Answer::status(404));
    server.save(asking("child", &bin, "/no")).await;
    let why = json!({"source": {
        "code": "{{ content.error.code }}",
        "why": "{{ content.error.details.error.code }}",
        "input": "{{ content.input }}",
    }});
    let flow = flow_with_ends("top")
        .node("call", "subflow", json!({"flow_id": "child"}))
        .on_error(Action::Port(ErrorPort {}))
        .node("why", "transform", why)
        .edge("start", "call")
        .edge("call", "end")
        .edge_from("call", "error", "why")
        .build();

    let run = run(&server, flow, json!(5)).await;

    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let why = wire::json(run.results.get("why"));
    assert_eq!(
        why,
        json!({"code": "CHILD_FAILED", "why": "HTTP_4XX", "input": 5})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_cannot_be_fail_the_step_by_name() {
    let server = TestServer::start().await;
    let schema = json!({
        "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}},
    });
    let strict = flow_with_ends("strict")
        .edge("start", "end")
        .input_schema(&schema)
        .build();
    server.save(strict).await;
    server
        .save(chain(
            "top",
            &[(
                "call",
                "subflow",
                json!({"flow_id": "{{ input.flow }}", "revision": "{{ input.revision }}", "input": "{{ input.give }}"}),
            )],
        ))
        .await;

    for (flow, revision, give, code) in [
        ("nothing", 0, json!({"n": 1}), "FLOW_NOT_FOUND"),
        ("strict", 2, json!({"n": 1}), "REVISION_NOT_FOUND"),
        ("strict", 0, json!({"n": "x"}), "INVALID_INPUT"),
        ("strict", 0, json!({}), "INVALID_INPUT"),
        ("not an id", 0, json!({"n": 1}), "INVALID_CONFIG"),
        ("strict", -1, json!({"n": 1}), "INVALID_CONFIG"),
    ] {
        let input = json!({"flow": flow, "revision": revision, "give": give});
        let run_id = server.start("top", &input).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Failed, "{input}");
        let error = run.error.as_ref().unwrap();
        assert_eq!((&*error.code, &*error.node_id), (code, "call"), "{input}");
        assert_eq!(call(&run).child_run_id, "");
        if code == "INVALID_INPUT" {
            assert!(error.message.contains('n'), "{error:?}");
            assert_eq!(details(&run)["violations"], 1);
        }
    }
    assert_eq!(runs_of(&server, "strict").await, []);
}

/// Calls itself as often as its input says.
fn down() -> synapps::proto::Flow {
    let more = json!({"operation": "cel", "expression": "content.left > 0"});
    let again = json!({"flow_id": "down", "input": {"left": "{{ content.left - 1 }}"}});
    flow_with_ends("down")
        .node("more", "if_else", more)
        .node("call", "subflow", again)
        .node("result", "merge", json!({"strategy": "first_wins"}))
        .edge("start", "more")
        .edge_from("more", "true", "call")
        .edge("call", "result")
        .edge_from("more", "false", "result")
        .edge("result", "end")
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn children_go_eight_deep_and_no_deeper() {
    let server = TestServer::start().await;
    let enough = run(&server, down(), json!({"left": 8})).await;
    let run_id = server.start("down", &json!({"left": 9})).await;
    let many = server.finished_run(&run_id).await;

    assert_eq!(output(&enough), json!({"left": 0}));
    assert_eq!(many.state(), RunState::Failed);
    let mut at = many;
    let mut codes = Vec::new();
    loop {
        codes.push(at.error.as_ref().unwrap().code.clone());
        let child = &call(&at).child_run_id;
        if child.is_empty() {
            break;
        }
        at = server.get(child).await;
    }
    assert_eq!(codes.len(), 9);
    assert!(codes[..8].iter().all(|code| code == "CHILD_FAILED"));
    assert_eq!(codes[8], "SUBFLOW_TOO_DEEP");
    assert_eq!(details(&at)["max_depth"], 8);
    assert_eq!(runs_of(&server, "down").await.len(), 9 + 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_tried_again_starts_another_child() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer_first("/flaky", 1, Answer::status(500));
    server.save(asking("child", &bin, "/flaky")).await;
    let flow = flow_with_ends("top")
        .node("call", "subflow", json!({"flow_id": "child"}))
        .retry(RetryPolicy {
            max_attempts: 2,
            initial_interval: Some(prost_types::Duration {
                seconds: 0,
                nanos: 50_000_000,
            }),
            ..RetryPolicy::default()
        })
        .edge("start", "call")
        .edge("call", "end")
        .build();

    let run = run(&server, flow, json!({})).await;

    assert_eq!(output(&run), json!("/flaky"));
    let children = runs_of(&server, "child").await;
    let states: Vec<RunState> = children.iter().map(synapps::proto::Run::state).collect();
    assert_eq!(states, [RunState::Failed, RunState::Succeeded]);
    assert_eq!(call(&run).attempt, 2);
    assert_eq!(call(&run).child_run_id, children[1].run_id);
    assert_eq!(
        call(&run).attempts[0].error.as_ref().unwrap().code,
        "CHILD_FAILED"
    );
    assert_eq!(call(&run).wait_reason(), WaitReason::Unspecified);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_go_to_a_child_and_back() {
    let server = TestServer::start().await;
    let more = json!({"operation": "expression", "expression": "content.text ~ 'y'"});
    server
        .save(chain("more", &[("more", "transform", more)]))
        .await;
    let text = "x".repeat(200_000);

    let run = run(&server, calling("top", "more"), json!({ "text": text })).await;

    assert!(output(&run) == json!(format!("{text}y")), "not the text");
    let child = server.get(&call(&run).child_run_id).await;
    assert!(wire::json(child.input.as_ref()) == json!({ "text": text }));
}
