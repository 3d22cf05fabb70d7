//! `ResolveStep`: somebody's word on a request of which nobody knows whether it came through.

use serde_json::json;
use synapps::proto::{
    Flow, OnError, ResolveStepRequest, Run, RunState, StepResolution, StepState, WaitReason,
};
use tonic::Code;

use super::{resolve, retry, times, verdict};
use crate::support::calls::{Calls, assert_error, assert_gapless, metadata, violated_fields};
use crate::support::database::Database;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::wire;

use StepResolution::{Failed, Retry, Succeeded};

/// A POST that times out after it was sent.
fn doubtful(id: &str, bin: &HttpBin) -> Flow {
    let mut flow = chain(
        id,
        &[
            (
                "call",
                "http_request",
                json!({ "method": "POST", "url": bin.url("/slow") }),
            ),
            ("after", "transform", json!({})),
        ],
    );
    let call = flow.nodes.iter_mut().find(|node| node.id == "call");
    call.unwrap().timeout = Some(prost_types::Duration {
        seconds: 0,
        nanos: 200_000_000,
    });
    flow
}

async fn in_doubt(server: &Calls, flow: Flow) -> String {
    let run_id = server.save_and_start(flow, &json!({})).await;
    let run = server.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(run.wait_reason(), WaitReason::OutcomeUnknown);
    run_id
}

fn state_of(run: &Run, node: &str) -> StepState {
    let step = run.steps.iter().find(|step| step.node_id == node);
    step.unwrap().state()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_succeeded_its_output_goes_on() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let run_id = in_doubt(&server, doubtful("flow", &bin)).await;

    let request = ResolveStepRequest {
        output: Some(wire::value(&json!({ "paid": 36 }))),
        comment: "seen on the statement".to_owned(),
        ..verdict(&run_id, "call", 1, Succeeded)
    };
    resolve(&server, request).await.unwrap();

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.output.as_ref()), json!({ "paid": 36 }));
    assert_eq!(bin.count("/slow"), 1);
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert_eq!(times(&events, "step_resolved call"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_to_be_tried_again_it_is_sent_once_more() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = in_doubt(&server, doubtful("flow", &bin)).await;
    held.release();

    resolve(&server, verdict(&run_id, "call", 1, Retry))
        .await
        .unwrap();

    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(bin.count("/slow"), 2);
    // The decision was about that attempt and no later one.
    let late = resolve(&server, verdict(&run_id, "call", 1, Retry)).await;
    assert_error(
        &late.unwrap_err(),
        Code::FailedPrecondition,
        "RUN_ALREADY_DONE",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn as_failed_what_its_node_says_of_errors_follows() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let run_id = in_doubt(&server, doubtful("plain", &bin)).await;
    let request = ResolveStepRequest {
        comment: "nothing came".to_owned(),
        ..verdict(&run_id, "call", 1, Failed)
    };
    resolve(&server, request).await.unwrap();
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Failed, "{run:?}");
    let error = run.error.unwrap();
    assert_eq!(error.node_id, "call");
    assert!(error.message.contains("nothing came"), "{error:?}");

    let mut caught = doubtful("caught", &bin);
    let call = caught.nodes.iter_mut().find(|node| node.id == "call");
    call.unwrap().on_error = Some(OnError {
        action: Some(synapps::proto::on_error::Action::DefaultOutput(
            wire::value(&json!("instead")),
        )),
    });
    let run_id = in_doubt(&server, caught).await;
    resolve(&server, verdict(&run_id, "call", 1, Failed))
        .await
        .unwrap();
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.output.as_ref()), json!("instead"));
    assert_eq!(state_of(&run, "call"), StepState::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_decisions_at_the_same_time_one_holds() {
    let database = Database::migrated().await;
    let one = TestServer::builder().database(&database).start().await;
    let other = TestServer::builder().database(&database).start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    one.save(doubtful("flow", &bin)).await;
    for round in 0..5 {
        let run_id = one.start("flow", &json!({})).await;
        one.run_in_state(&run_id, RunState::Waiting).await;
        let calls = (0..6).map(|at| {
            let output = (at % 2 == 0).then(|| wire::value(&json!(at)));
            let what = if at % 2 == 0 { Succeeded } else { Failed };
            let request = ResolveStepRequest {
                output,
                ..verdict(&run_id, "call", 1, what)
            };
            let server = if at % 3 == 0 { &one } else { &other };
            async move { (at, resolve(server, request).await) }
        });

        let answers = futures_util::future::join_all(calls).await;

        let mut held = None;
        for (at, answer) in answers {
            match answer {
                Ok(_) => assert_eq!(held.replace(at), None, "round {round}"),
                Err(error) => assert!(
                    ["STEP_NOT_RESOLVABLE", "RUN_ALREADY_DONE"]
                        .contains(&crate::support::calls::reason(&error).as_str()),
                    "{error:?}"
                ),
            }
        }
        let held = held.expect("one holds");
        let run = one.finished_run(&run_id).await;
        if held % 2 == 0 {
            assert_eq!(wire::json(run.output.as_ref()), json!(held));
        } else {
            assert_eq!(run.state(), RunState::Failed);
        }
        assert_eq!(
            times(&one.events_after(&run_id, 0).await, "step_resolved call"),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_says_why() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let run_id = in_doubt(&server, doubtful("flow", &bin)).await;

    let error = resolve(&server, verdict(&run_id, "nobody", 1, Retry)).await;
    let error = error.unwrap_err();
    assert_error(&error, Code::NotFound, "STEP_NOT_FOUND");
    assert_eq!(metadata(&error, "stepPath"), "nobody");
    for (path, attempt, state, stands) in [
        ("call", 2, "OUTCOME_UNKNOWN", "1"),
        ("start", 1, "SUCCEEDED", "1"),
        ("after", 1, "PENDING", "0"),
    ] {
        let error = resolve(&server, verdict(&run_id, path, attempt, Retry)).await;
        let error = error.unwrap_err();
        assert_error(&error, Code::FailedPrecondition, "STEP_NOT_RESOLVABLE");
        assert_eq!(metadata(&error, "state"), state);
        assert_eq!(metadata(&error, "attempt"), stands);
    }
    let large = wire::value(&json!("x".repeat(33_000)));
    let invalid = [
        (
            ResolveStepRequest {
                output: Some(large),
                ..verdict(&run_id, "call", 1, Succeeded)
            },
            vec!["output"],
        ),
        (
            ResolveStepRequest {
                output: Some(wire::value(&json!(1))),
                port: "x".to_owned(),
                ..verdict(&run_id, "call", 1, Failed)
            },
            vec!["output", "port"],
        ),
        (
            ResolveStepRequest {
                port: "true".to_owned(),
                ..verdict(&run_id, "call", 1, Succeeded)
            },
            vec!["port"],
        ),
        (
            ResolveStepRequest {
                comment: "x".repeat(1_001),
                ..verdict(&run_id, "", 0, StepResolution::Unspecified)
            },
            vec!["step_path", "attempt", "resolution", "comment"],
        ),
    ];
    for (request, fields) in invalid {
        let error = resolve(&server, request).await.unwrap_err();
        assert_error(&error, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(violated_fields(&error), fields);
    }
    // After all that it still waits for the right word.
    let run = server.get(&run_id).await;
    assert_eq!(state_of(&run, "call"), StepState::OutcomeUnknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_doubt_stays_so_when_its_run_is_retried() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    bin.answer("/broken", crate::support::http_bin::Answer::status(500));
    let after = bin.hold("/broken");
    let flow = flow_with_ends("flow")
        .node(
            "call",
            "http_request",
            json!({ "method": "POST", "url": bin.url("/slow") }),
        )
        .with(|node| {
            node.timeout = Some(prost_types::Duration {
                seconds: 0,
                nanos: 200_000_000,
            });
        })
        .node(
            "other",
            "http_request",
            json!({ "url": bin.url("/broken") }),
        )
        .edge("start", "call")
        .edge("start", "other")
        .edge("call", "end")
        .edge("other", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    let in_doubt = |run: &Run| state_of(run, "call") == StepState::OutcomeUnknown;
    server.run_once(&run_id, "doubt", in_doubt).await;
    after.release();
    let failed = server.finished_run(&run_id).await;
    assert_eq!(failed.state(), RunState::Failed);
    bin.answer("/broken", crate::support::http_bin::Answer::status(200));

    retry(&server, &run_id).await.unwrap();
    let run = server.run_in_state(&run_id, RunState::Waiting).await;

    assert!(in_doubt(&run), "{run:?}");
    assert_eq!(bin.count("/slow"), 1);
    resolve(&server, verdict(&run_id, "call", 1, Succeeded))
        .await
        .unwrap();
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
}
