//! What comes first when a step fails: further attempts, then what its node says, then the end of the run.

use serde_json::json;
use synapps::proto::on_error::Action;
use synapps::proto::run_event::Event;
use synapps::proto::{ContinueRun, ErrorPort, FailureHandling, FallbackNode, RunEvent, StepState};

use super::{asking, attempts, failure, output, run, state, step};
use crate::support::calls::assert_gapless;
use crate::support::flows::{FlowBuilder, flow_with_ends};
use crate::support::history::kinds;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::wire;

/// How the failure of a step was handled, by its event.
fn handling(events: &[RunEvent]) -> Vec<FailureHandling> {
    let failed = events.iter().filter_map(|event| match &event.event {
        Some(Event::StepFailed(failed)) => Some(failed.handling()),
        _ => None,
    });
    failed.collect()
}

/// `get` fails twice; beside `end` there is `other`, where a failure may go.
fn failing(id: &str, bin: &HttpBin) -> FlowBuilder {
    flow_with_ends(id)
        .node("other", "transform", json!({}))
        .node("get", "http_request", json!({ "url": bin.url("/broken") }))
        .retry(attempts(2))
        .edge("start", "get")
        .edge("get", "end")
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_used_up_first_and_then_the_failure_is_passed_on() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500));
    let port = failing("port", &bin)
        .on_error(Action::Port(ErrorPort {}))
        .edge_from("get", "error", "other");
    let fallback = failing("fallback", &bin).on_error(Action::Fallback(FallbackNode {
        node_id: "other".to_owned(),
    }));
    let default = failing("default", &bin)
        .on_error(Action::DefaultOutput(wire::value(&json!({"none": true}))))
        .edge("get", "other");
    let going_on = failing("going-on", &bin)
        .on_error(Action::ContinueRun(ContinueRun {}))
        .edge("get", "other");

    for (number, (flow, handled, other)) in (1..).zip([
        (port, FailureHandling::ErrorPort, StepState::Succeeded),
        (fallback, FailureHandling::Fallback, StepState::Succeeded),
        (
            default,
            FailureHandling::DefaultOutput,
            StepState::Succeeded,
        ),
        (going_on, FailureHandling::ContinueRun, StepState::Skipped),
    ]) {
        let run = run(&server, flow.build(), json!({})).await;
        let events = server.events_after(&run.run_id, 0).await;

        output(&run);
        assert_eq!(bin.count("/broken"), 2 * number);
        assert_gapless(&events);
        assert_eq!(handling(&events), [handled]);
        assert_eq!(state(&run, "get"), StepState::Failed);
        assert_eq!(state(&run, "other"), other);
        assert_eq!(run.error, None);
        let get = step(&run, "get");
        assert_eq!(
            (get.attempt, &*get.error.as_ref().unwrap().code),
            (2, "HTTP_5XX")
        );
        // Only a default output counts as what the node gave.
        assert_eq!(
            run.completed_node_ids.contains(&"get".to_owned()),
            handled == FailureHandling::DefaultOutput
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_node_says_nothing_the_run_fails() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/broken", Answer::status(500).body("out of order"));
    let flow = asking("fails", &bin, "/broken").retry(attempts(2)).build();

    let run = run(&server, flow, json!({})).await;
    let events = server.events_after(&run.run_id, 0).await;

    assert_eq!(failure(&run), ("HTTP_5XX", "get", 2));
    let error = run.error.as_ref().unwrap();
    assert_eq!(error.step_path, "get");
    assert!(error.message.contains("500"), "{error:?}");
    let details = wire::object_of(error.details.as_ref().unwrap());
    assert_eq!(
        (&details["status_code"], &details["sent"]),
        (&json!(500), &json!(true))
    );
    assert_eq!(handling(&events), [FailureHandling::FailRun]);
    assert_eq!(state(&run, "end"), StepState::Cancelled);
    assert_eq!(
        kinds(&events)[events.len() - 2..],
        ["step_failed get", "run_failed"]
    );
    let Some(Event::RunFailed(failed)) = &events.last().unwrap().event else {
        unreachable!("it is called so")
    };
    assert_eq!(failed.error.as_ref(), Some(error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_what_a_failure_led_to_fails_the_run() {
    let server = TestServer::start().await;
    let picky = super::picky();
    let flow = flow_with_ends("second")
        .node("first", "transform", picky.clone())
        .on_error(Action::Fallback(FallbackNode {
            node_id: "spare".to_owned(),
        }))
        .node("spare", "transform", picky)
        .edge("start", "first")
        .edge("first", "end")
        .edge("spare", "end")
        .build();

    let run = run(&server, flow, json!({"m": 1})).await;

    assert_eq!(failure(&run), ("PATH_MISSING", "spare", 1));
    assert_eq!(state(&run, "first"), StepState::Failed);
}
