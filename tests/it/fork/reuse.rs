//! What is taken from the original, and what is executed.

use serde_json::json;
use synapps::proto::{RunState, StepState, UpdateFlowRequest};

use super::{answers, data, fork, forked, from, get, of, output, reused, step, text, two_ways};
use crate::support::calls::{Calls, assert_gapless};
use crate::support::flows::{chain, flow, flow_with_ends};
use crate::support::history::{has, kinds};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_follows_the_named_nodes_is_executed() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    let original = server.finished_run(&run_id).await;
    let before = server.events_after(&run_id, 0).await;

    let run = forked(&server, from(&run_id, &["after"])).await;

    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(run.forked_from, run_id);
    assert_eq!(reused(&run), ["start", "left", "said", "right"]);
    assert_eq!(
        (bin.count("/left"), bin.count("/after"), bin.count("/right")),
        (1, 2, 1)
    );
    assert_eq!(output(&run)["after"]["data"]["count"], 2);
    assert_eq!(output(&run)["right"], output(&original)["right"]);
    assert_eq!(step(&run, "left").reused_from_run_id, run_id);
    assert_eq!(step(&run, "left").details, step(&original, "left").details);
    let events = server.events_after(&run.run_id, 0).await;
    assert_gapless(&events);
    assert!(!has(&events, "step_started left"), "{:?}", kinds(&events));
    assert!(has(&events, "step_started after"));
    // The original is as it was.
    assert_eq!(server.get(&run_id).await, original);
    assert_eq!(server.events_after(&run_id, 0).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_step_that_says_the_same_again_is_not_executed() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    answers(&bin, "/left", &json!({ "said": "the same" }));
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    server.finished_run(&run_id).await;

    let same = forked(&server, from(&run_id, &["said"])).await;
    answers(&bin, "/left", &json!({ "said": "something else" }));
    let other = forked(&server, from(&run_id, &["left"])).await;

    assert_eq!(reused(&same).len(), 6, "{same:?}");
    assert_eq!(step(&same, "said").reused_from_run_id, "");
    assert_eq!(reused(&other), ["start", "right"]);
    assert_eq!((bin.count("/left"), bin.count("/after")), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_input_has_only_those_executed_that_it_changes() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let pick = |path: &str| json!({ "source": format!("{{{{ input.{path} }}}}") });
    let flow = flow_with_ends("inputs")
        .node("a", "transform", pick("a"))
        .node(
            "ask_a",
            "http_request",
            json!({ "url": bin.url("/a/{{ content }}") }),
        )
        .node("b", "transform", pick("b"))
        .node(
            "ask_b",
            "http_request",
            json!({ "url": bin.url("/b/{{ content }}") }),
        )
        .node("late", "transform", text("{{ input.a }} later"))
        .edge("start", "a")
        .edge("a", "ask_a")
        .edge("start", "b")
        .edge("b", "ask_b")
        .edge("ask_b", "late")
        .edge("ask_a", "end")
        .edge("late", "end")
        .build();
    let run_id = server
        .save_and_start(flow, &json!({ "a": 1, "b": 1 }))
        .await;
    server.finished_run(&run_id).await;

    let mut request = of(&run_id);
    request.input_overrides = Some(wire::fields(&json!({ "a": 2, "more": null })));
    let run = forked(&server, request).await;

    assert_eq!(
        wire::json(run.input.as_ref()),
        json!({ "a": 2, "b": 1, "more": null })
    );
    assert_eq!(reused(&run), ["ask_b"]);
    assert_eq!(
        (bin.count("/a/1"), bin.count("/a/2"), bin.count("/b/1")),
        (1, 1, 1)
    );
    assert_eq!(output(&run)["late"], "2 later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_revision_has_its_changed_nodes_executed() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let first = two_ways(&bin);
    let run_id = server.save_and_start(first.clone(), &json!({})).await;
    server.finished_run(&run_id).await;
    let mut second = first;
    let changed = second.nodes.iter_mut().find(|node| node.id == "after");
    changed.unwrap().data = Some(wire::fields(&get(&bin, "/new")));
    // How a node is tried and drawn changes nothing of what it gives.
    second.nodes[2].display_name = "Left".to_owned();
    let update = UpdateFlowRequest {
        flow: Some(second),
        ..UpdateFlowRequest::default()
    };
    server.flows().update_flow(update).await.unwrap();

    let same = forked(&server, of(&run_id)).await;
    let mut latest = of(&run_id);
    latest.latest_revision = true;
    let latest = forked(&server, latest).await;
    let mut back = of(&latest.run_id);
    back.revision = 1;
    let back = forked(&server, back).await;

    assert_eq!((same.revision, reused(&same).len()), (1, 7));
    assert_eq!(latest.revision, 2);
    assert_eq!(reused(&latest), ["start", "left", "said", "right"]);
    assert_eq!(output(&latest)["after"]["data"]["path"], "/new");
    assert_eq!(back.revision, 1);
    assert_eq!(step(&back, "left").reused_from_run_id, run_id);
    assert_eq!(step(&back, "after").reused_from_run_id, "");
    assert_eq!(
        (bin.count("/left"), bin.count("/new"), bin.count("/after")),
        (1, 1, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_taken_up_where_it_failed() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/after", Answer::status(500));
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    let original = server.finished_run(&run_id).await;
    assert_eq!(original.state(), RunState::Failed);
    let done = step(&original, "right").state() == StepState::Succeeded;

    bin.answer("/after", Answer::status(200));
    let run = forked(&server, of(&run_id)).await;

    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(bin.count("/left"), 1);
    assert_eq!(bin.count("/after"), 2);
    let rights = if done { 1 } else { 2 };
    assert!(bin.count("/right") <= rights, "{original:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_run_that_is_under_way_what_is_done_by_then_is_taken() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/after");
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    bin.requested("/after", 1).await;
    server
        .event_once(&run_id, 0, |event| {
            kinds(std::slice::from_ref(event)) == ["step_succeeded right"]
        })
        .await;

    let open = fork(&server, of(&run_id)).await.unwrap().run.unwrap();
    bin.requested("/after", 2).await;
    held.release();
    let run = server.finished_run(&open.run_id).await;
    let original = server.finished_run(&run_id).await;

    assert_eq!(reused(&run), ["start", "left", "said", "right"]);
    assert_eq!(original.state(), RunState::Succeeded);
    assert_eq!((bin.count("/left"), bin.count("/right")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_a_fork_says_who_computed_what_it_takes() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    server.finished_run(&run_id).await;

    let child = forked(&server, from(&run_id, &["after"])).await;
    let grandchild = forked(&server, of(&child.run_id)).await;

    assert_eq!(grandchild.forked_from, child.run_id);
    assert_eq!(reused(&grandchild).len(), 7);
    assert_eq!(step(&grandchild, "left").reused_from_run_id, run_id);
    assert_eq!(step(&grandchild, "after").reused_from_run_id, child.run_id);
    assert_eq!(output(&grandchild), output(&child));
    assert_eq!((bin.count("/left"), bin.count("/after")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_are_taken_as_they_were_and_what_was_skipped_stays_so() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let check = json!({ "operation": "equals", "source": "{{ input.kind }}", "value": "a" });
    let flow = flow_with_ends("branch")
        .node("check", "if_else", check)
        .node("yes", "http_request", get(&bin, "/yes"))
        .node("no", "http_request", get(&bin, "/no"))
        .edge("start", "check")
        .edge_from("check", "true", "yes")
        .edge_from("check", "false", "no")
        .edge("yes", "end")
        .edge("no", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({ "kind": "a" })).await;
    server.finished_run(&run_id).await;

    let same = forked(&server, of(&run_id)).await;
    let mut other = of(&run_id);
    other.input_overrides = Some(wire::fields(&json!({ "kind": "b" })));
    let other = forked(&server, other).await;

    assert_eq!(step(&same, "check").ports, ["true"]);
    assert_eq!(step(&same, "no").state(), StepState::Skipped);
    assert_eq!(step(&other, "yes").state(), StepState::Skipped);
    assert_eq!((bin.count("/yes"), bin.count("/no")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_the_runs_id_is_always_executed() {
    let server = TestServer::start().await;
    let flow = chain(
        "own",
        &[
            ("own", "transform", text("{{ run.id }}")),
            ("after", "transform", text("{{ content }}!")),
        ],
    );
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.finished_run(&run_id).await;

    let run = forked(&server, of(&run_id)).await;

    assert_eq!(reused(&run), ["start"]);
    assert_eq!(output(&run), format!("{}!", run.run_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_over_unless_they_are_named() {
    let server = TestServer::start().await;
    let flow = chain("wait", &[("wait", "delay", json!({ "seconds": 0.5 }))]);
    let run_id = server.save_and_start(flow, &json!({ "x": 1 })).await;
    server.finished_run(&run_id).await;

    let over = forked(&server, of(&run_id)).await;
    let again = forked(&server, from(&run_id, &["wait"])).await;

    let waited =
        async |calls: &Calls, id: &str| has(&calls.events_after(id, 0).await, "step_waiting wait");
    assert!(!waited(&server, &over.run_id).await);
    assert!(waited(&server, &again.run_id).await);
    assert_eq!(output(&over), json!({ "x": 1 }));
    // It has waited for the same.
    assert_eq!(reused(&again), ["start", "end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_and_sub_flows_are_taken_as_a_whole_or_executed_as_a_whole() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let called = flow("called")
        .node("ask", "http_request", get(&bin, "/called"))
        .build();
    server.save(called).await;
    let body = json!({
        "nodes": [{ "id": "each", "type": "http_request",
                    "data": { "url": bin.url("/each/{{ item }}/{{ input.unit }}") } }],
        "edges": [],
    });
    let items = json!({ "array_source": "{{ content }}", "body": body });
    let flow = flow_with_ends("whole")
        .node(
            "items",
            "transform",
            json!({ "source": "{{ input.items }}" }),
        )
        .node("loop", "for_each", items)
        .node(
            "call",
            "subflow",
            json!({ "flow_id": "called", "input": {} }),
        )
        .node("last", "transform", data())
        .edge("start", "items")
        .edge("items", "loop")
        .edge("loop", "call")
        .edge("call", "last")
        .edge("last", "end")
        .build();
    let input = json!({ "items": [1, 2], "unit": "m", "other": 1 });
    let run_id = server.save_and_start(flow, &input).await;
    let original = server.finished_run(&run_id).await;
    assert_eq!(original.state(), RunState::Succeeded, "{original:?}");

    let same = forked(&server, from(&run_id, &["last"])).await;
    let mut unit = of(&run_id);
    unit.input_overrides = Some(wire::fields(&json!({ "unit": "km" })));
    let unit = forked(&server, unit).await;

    assert_eq!(reused(&same), ["start", "end", "items", "loop", "call"]);
    assert_eq!(
        (step(&same, "loop").r#loop, bin.count("/each/1/m")),
        (None, 1)
    );
    // The body reads the input, so the loop does; what the called flow gets is the same, but not what reaches the node.
    assert_eq!(reused(&unit), Vec::<&str>::new());
    assert_eq!((bin.count("/each/2/km"), bin.count("/called")), (1, 2));
}
