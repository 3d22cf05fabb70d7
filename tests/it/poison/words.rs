//! What is told of a step that was put aside, and what somebody's word does.

use serde_json::json;
use synapps::proto::obstacle::Detail;
use synapps::proto::{
    ObstacleKind, ResolveStepRequest, RunState, StepResolution, StepState, WaitReason,
};

use crate::control::{resolve, retry, verdict};
use crate::explain::{explained, one};
use crate::support::calls::{Calls, assert_gapless};
use crate::support::history::{has, kinds};
use crate::support::wire;

/// Run, steps, events and explanation say what happened.
pub async fn is_told(server: &Calls, run_id: &str) {
    let run = server.run_in_state(run_id, RunState::Waiting).await;
    assert_eq!(run.wait_reason(), WaitReason::OutcomeUnknown);
    let step = run
        .steps
        .iter()
        .find(|step| step.node_id == "poison")
        .unwrap();
    assert_eq!(step.state(), StepState::Quarantined);
    let listed = server.steps(run_id, "").await;
    let listed = listed.iter().find(|step| step.node_id == "poison").unwrap();
    let last = listed.attempts.last().unwrap();
    assert_eq!(last.state(), StepState::Quarantined);
    let error = last.error.as_ref().unwrap();
    assert_eq!(error.code, "POISON");
    assert!(error.message.starts_with("3 attempts"), "{error:?}");

    let events = server.events_after(run_id, 0).await;
    assert_gapless(&events);
    assert!(
        has(&events, "step_quarantined poison"),
        "{:#?}",
        kinds(&events)
    );
    let recovered = events
        .iter()
        .filter(|event| kinds(std::slice::from_ref(event)) == ["run_recovered"]);
    assert_eq!(recovered.count(), 3, "{:#?}", kinds(&events));

    let explanation = explained(server, run_id, ObstacleKind::Quarantined).await;
    let (obstacle, detail) = one(&explanation, ObstacleKind::Quarantined);
    assert_eq!(obstacle.rpc, "ResolveStep");
    let Detail::Undecided(step) = detail else {
        panic!("{detail:?}");
    };
    assert_eq!(step.step_path, "poison");
    assert_eq!(step.error.unwrap().code, "POISON");
}

async fn attempt(server: &Calls, run_id: &str) -> i32 {
    let run = server.get(run_id).await;
    let step = run.steps.iter().find(|step| step.node_id == "poison");
    step.unwrap().attempt
}

/// `RETRY`: here nothing kills it.
pub async fn goes_on_when_it_is_tried_again(server: &Calls, run_id: &str) {
    let attempt = attempt(server, run_id).await;
    let request = verdict(run_id, "poison", attempt, StepResolution::Retry);
    resolve(server, request).await.unwrap();

    let run = server.finished_run(run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(wire::json(run.output.as_ref()), json!("after"));
}

/// `SUCCEEDED`: without being tried again.
pub async fn goes_on_with_an_output(server: &Calls, run_id: &str) {
    let attempt = attempt(server, run_id).await;
    let request = ResolveStepRequest {
        output: Some(wire::value(&json!("by hand"))),
        ..verdict(run_id, "poison", attempt, StepResolution::Succeeded)
    };
    resolve(server, request).await.unwrap();

    let run = server.finished_run(run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    let step = run
        .steps
        .iter()
        .find(|step| step.node_id == "poison")
        .unwrap();
    assert_eq!(step.attempt, attempt);
}

/// `FAILED` fails the run; with it the step is tried again like any that has failed.
pub async fn fails_and_is_tried_again(server: &Calls, run_id: &str) {
    let attempt = attempt(server, run_id).await;
    let request = verdict(run_id, "poison", attempt, StepResolution::Failed);
    resolve(server, request).await.unwrap();
    let run = server.finished_run(run_id).await;
    assert_eq!(run.state(), RunState::Failed, "{run:?}");
    assert_eq!(run.error.unwrap().node_id, "poison");

    retry(server, run_id).await.unwrap();
}
