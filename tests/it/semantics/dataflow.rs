//! Branches, joins, ends, and what nodes see of one another.

use serde_json::{Value, json};
use synapps::proto::{Flow, RunState, StepState};

use super::{output, result, state, step};
use crate::support::flows::{chain, flow, flow_with_ends};
use crate::support::history::{has, kind};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

fn text(template: &str) -> Value {
    json!({ "operation": "template", "template": template })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_branch_goes_on_while_a_slow_one_is_still_at_it() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let get = |path: &str| json!({ "url": bin.url(path) });
    let flow = flow_with_ends("flow")
        .node("slow", "http_request", get("/slow"))
        .node("fast", "http_request", get("/fast"))
        .node("faster", "transform", json!({}))
        .node("fastest", "http_request", get("/last"))
        .node("join", "merge", json!({}))
        .edge("start", "slow")
        .edge("start", "fast")
        .edge("fast", "faster")
        .edge("faster", "fastest")
        .edge("slow", "join")
        .edge("fastest", "join")
        .edge("join", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;

    server
        .event_once(&run_id, 0, |event| {
            kind(event) == "step_succeeded" && event.node_id == "fastest"
        })
        .await;
    let half = server.get(&run_id).await;
    held.release();
    let run = server.finished_run(&run_id).await;

    assert_eq!(state(&half, "slow"), StepState::Running);
    assert_eq!(state(&half, "join"), StepState::Pending);
    assert_eq!((half.progress, half.total_steps), (4, 7));
    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!((run.progress, run.total_steps), (7, 7));
    // In the order of the edges, not of the ends.
    assert_eq!(output(&run)[0]["data"]["path"], "/slow");
    assert_eq!(output(&run)[1]["data"]["path"], "/last");
}

/// Two branches that meet again, and a third that leads nowhere else.
fn branching(id: &str) -> Flow {
    flow_with_ends(id)
        .node(
            "if",
            "if_else",
            json!({ "source": "{{ input.paid }}", "value": true }),
        )
        .node("yes", "transform", text("paid"))
        .node("no", "transform", text("not paid"))
        .node("remind", "transform", text("please"))
        .node("join", "merge", json!({ "strategy": "object" }))
        .edge("start", "if")
        .edge_from("if", "true", "yes")
        .edge_from("if", "false", "no")
        .edge("no", "remind")
        .edge("yes", "join")
        .edge("no", "join")
        .edge("remind", "join")
        .edge("join", "end")
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_branch_not_taken_leads_to_is_skipped_and_joins_wait_for_the_rest() {
    let server = TestServer::start().await;
    server.save(branching("flow")).await;

    let paid = server.start("flow", &json!({ "paid": true })).await;
    let paid = server.finished_run(&paid).await;
    let unpaid = server.start("flow", &json!({ "paid": false })).await;
    let unpaid = server.finished_run(&unpaid).await;

    assert_eq!(paid.state(), RunState::Succeeded, "{:?}", paid.error);
    assert_eq!(output(&paid), json!({ "yes": "paid" }));
    assert_eq!(step(&paid, "if").ports, ["true"]);
    for skipped in ["no", "remind"] {
        assert_eq!(state(&paid, skipped), StepState::Skipped);
        assert_eq!(result(&paid, skipped), Value::Null);
    }
    assert_eq!(paid.progress, paid.total_steps);
    assert_eq!(
        output(&unpaid),
        json!({ "no": "not paid", "remind": "please" })
    );
    assert_eq!(state(&unpaid, "yes"), StepState::Skipped);
    let events = server.events_after(&paid.run_id, 0).await;
    assert!(has(&events, "step_skipped no") && has(&events, "step_skipped remind"));
    assert!(!has(&events, "step_skipped yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_leaves_by_the_first_case_that_fits_or_by_default() {
    let server = TestServer::start().await;
    let flow = flow("flow")
        .node("start", "start", json!({}))
        .node(
            "kind",
            "switch",
            json!({ "source": "{{ input.kind }}", "cases": ["book", 7] }),
        )
        .node("book", "end", json!({}))
        .node("seven", "end", json!({}))
        .node("other", "end", json!({}))
        .edge("start", "kind")
        .edge_from("kind", "case:book", "book")
        .edge_from("kind", "case:7", "seven")
        .edge_from("kind", "default", "other")
        .build();
    server.save(flow).await;

    for (given, end) in [
        (json!("Book"), "book"),
        (json!(7), "seven"),
        (json!("car"), "other"),
    ] {
        let input = json!({ "kind": given });
        let run_id = server.start("flow", &input).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
        // Of several ends each that was reached has its own place.
        assert_eq!(output(&run), json!({ end: input }));
        for node in ["book", "seven", "other"] {
            let expected = if node == end {
                StepState::Succeeded
            } else {
                StepState::Skipped
            };
            assert_eq!(state(&run, node), expected, "{node}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_without_an_edge_may_be_taken() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("flow")
        .node("if", "if_else", json!({ "source": 1, "value": 2 }))
        .edge("start", "if")
        .edge_from("if", "true", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(state(&run, "end"), StepState::Skipped);
    assert_eq!(output(&run), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_end_the_leaves_give_the_output() {
    let server = TestServer::start().await;
    let one = flow("one")
        .node("start", "start", json!({}))
        .node("a", "transform", text("a"))
        .edge("start", "a")
        .build();
    let several = flow("several")
        .node("a", "transform", text("a"))
        .node("b", "transform", text("{{ results.a.output }}b"))
        .node("c", "transform", text("{{ input.x }}"))
        .edge("a", "b")
        .build();

    let one = server.save_and_start(one, &json!({})).await;
    let several = server.save_and_start(several, &json!({ "x": 5 })).await;

    assert_eq!(output(&server.finished_run(&one).await), json!("a"));
    let run = server.finished_run(&several).await;
    assert_eq!(output(&run), json!({ "b": "ab", "c": "5" }), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_several_predecessors_sees_them_by_their_ids() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("flow")
        .node("a", "transform", text("one"))
        .node("b", "transform", text("two"))
        .node("both", "transform", json!({}))
        .node(
            "far",
            "transform",
            text("{{ results.a.output }}+{{ content.b }}+{{ input.x }}"),
        )
        .edge("start", "a")
        .edge("start", "b")
        .edge("a", "both")
        .edge("b", "both")
        .edge("both", "far")
        .edge("far", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({ "x": 3 })).await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(
        result(&run, "both"),
        json!({ "a": "one", "b": "two" }),
        "{:?}",
        run.error
    );
    assert_eq!(output(&run), json!("one+two+3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_delay_passes_its_input_on() {
    let server = TestServer::start().await;
    let flow = chain("flow", &[("wait", "delay", json!({ "seconds": 0.05 }))]);
    let run_id = server.save_and_start(flow, &json!({ "n": 1 })).await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.output, run.input);
    let events = server.events_after(&run_id, 0).await;
    assert!(
        has(&events, "step_waiting wait") && !has(&events, "run_waiting"),
        "{events:#?}"
    );
    assert_eq!(step(&run, "wait").attempt, 1);
}
