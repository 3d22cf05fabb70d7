//! `DiffRuns`.

use serde_json::json;
use synapps::proto::{DiffKind, DiffRunsRequest, DiffRunsResponse, Flow, RunState, StepState};
use tonic::{Code, Status};

use super::greeting;
use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

async fn diff(server: &Calls, base: &str, compare: &str) -> Result<DiffRunsResponse, Status> {
    let request = DiffRunsRequest {
        base: base.to_owned(),
        compare: compare.to_owned(),
    };
    Ok(server.runs().diff_runs(request).await?.into_inner())
}

async fn finished(server: &Calls, flow_id: &str, input: &serde_json::Value) -> String {
    let run_id = server.start(flow_id, input).await;
    server.finished_run(&run_id).await;
    run_id
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_differ_in_times_only_are_equal() {
    let server = TestServer::start().await;
    let flow = server.save(greeting("f")).await;
    let one = finished(&server, &flow.id, &json!({ "name": "a" })).await;
    let other = finished(&server, &flow.id, &json!({ "name": "a" })).await;

    let found = diff(&server, &one, &other).await.unwrap();

    assert!(found.equal, "{found:?}");
    assert!(found.steps.is_empty() && found.input.is_none() && found.output.is_none());
    assert_eq!(found.timings.len(), 3);
    let (base, compare) = (found.base.unwrap(), found.compare.unwrap());
    assert_eq!(base.state(), RunState::Succeeded);
    assert!(base.duration.is_some());
    assert_eq!((&base.run_id, &compare.run_id), (&one, &other));
    assert!(diff(&server, &one, &one).await.unwrap().equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_input_is_followed_through_to_the_output() {
    let server = TestServer::start().await;
    let flow = server.save(greeting("f")).await;
    let one = finished(&server, &flow.id, &json!({ "name": "a", "same": 1 })).await;
    let other = finished(&server, &flow.id, &json!({ "name": "b", "same": 1 })).await;

    let found = diff(&server, &one, &other).await.unwrap();

    assert!(!found.equal);
    let input = found.input.unwrap();
    assert_eq!(input.differences.len(), 1);
    assert_eq!(input.differences[0].path, "$.name");
    assert_eq!(
        wire::json(input.differences[0].compare.as_ref()),
        json!("b")
    );
    assert!(!input.by_hash && input.base.is_some() && input.compare.is_some());
    let output = found.output.unwrap();
    assert_eq!(
        wire::json(output.differences[0].base.as_ref()),
        json!("hello a")
    );
    let steps: Vec<_> = found.steps.iter().map(|step| &step.step_path[..]).collect();
    assert_eq!(steps, ["start", "end", "greet"]);
    assert!(
        found
            .steps
            .iter()
            .all(|step| step.kind() == DiffKind::Changed)
    );
}

fn deciding() -> Flow {
    let condition = json!({ "source": "{{ input.n }}", "value": 1 });
    flow_with_ends("d")
        .node("choose", "if_else", condition)
        .node("yes", "transform", json!({ "source": "y" }))
        .node("no", "transform", json!({ "source": "n" }))
        .edge("start", "choose")
        .edge_from("choose", "true", "yes")
        .edge_from("choose", "false", "no")
        .edge("yes", "end")
        .edge("no", "end")
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_branch_is_another_path() {
    let server = TestServer::start().await;
    server.save(deciding()).await;
    let one = finished(&server, "d", &json!({ "n": 1 })).await;
    let other = finished(&server, "d", &json!({ "n": 2 })).await;

    let found = diff(&server, &one, &other).await.unwrap();

    let step = |path: &str| {
        found
            .steps
            .iter()
            .find(|step| step.step_path == path)
            .unwrap()
    };
    assert_eq!(step("choose").base_ports, ["true"]);
    assert_eq!(step("choose").compare_ports, ["false"]);
    assert_eq!(step("yes").base_state(), StepState::Succeeded);
    assert_eq!(step("yes").compare_state(), StepState::Skipped);
    assert_eq!(
        step("yes").output.as_ref().unwrap().kind(),
        DiffKind::Removed
    );
    assert_eq!(step("no").output.as_ref().unwrap().kind(), DiffKind::Added);
    assert_eq!(
        (step("no").base_attempts, step("no").compare_attempts),
        (0, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_different_flows_are_compared_by_the_paths_of_their_steps() {
    let server = TestServer::start().await;
    let missing = json!({ "source": "{{ input.missing }}" });
    server.save(greeting("f")).await;
    server
        .save(chain("g", &[("other", "transform", missing)]))
        .await;
    let one = finished(&server, "f", &json!({ "name": "a" })).await;
    let other = finished(&server, "g", &json!({ "name": "a" })).await;

    let found = diff(&server, &one, &other).await.unwrap();

    assert!(!found.equal);
    assert_eq!(found.compare.unwrap().state(), RunState::Failed);
    let kinds: Vec<_> = found
        .steps
        .iter()
        .map(|step| (&step.step_path[..], step.kind()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("end", DiffKind::Changed),
            ("greet", DiffKind::Removed),
            ("other", DiffKind::Added),
        ]
    );
    assert_eq!(found.error[0].kind(), DiffKind::Added);
    assert!(!found.steps[2].error.is_empty());
    assert_eq!(found.output.unwrap().kind(), DiffKind::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_that_it_leaves_differences_out() {
    let server = TestServer::start().await;
    server.save(greeting("f")).await;
    let many = |fill: &str| json!({ "name": fill, "list": vec![fill; 2_000] });
    let one = finished(&server, "f", &many("1")).await;
    let other = finished(&server, "f", &many("2")).await;

    let found = diff(&server, &one, &other).await.unwrap();

    assert!(found.truncated && !found.equal);
    let named = found.input.unwrap().differences.len();
    assert!((900..=1_000).contains(&named), "{named}");
    assert!(found.steps.is_empty());
    assert_eq!(found.timings.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_payloads_are_compared_by_hash_and_long_texts_shown_by_their_beginning() {
    let server = TestServer::start().await;
    let twice = json!({ "source": ["{{ input.text }}", "{{ input.text }}"] });
    server
        .save(chain("f", &[("twice", "transform", twice)]))
        .await;
    let long = |fill: &str| json!({ "text": format!("{}{fill}", "x".repeat(600_000)) });
    let one = finished(&server, "f", &long("1")).await;
    let other = finished(&server, "f", &long("2")).await;

    let found = diff(&server, &one, &other).await.unwrap();

    assert!(!found.equal && !found.truncated);
    let input = found.input.unwrap();
    assert_eq!(input.differences[0].path, "$.text");
    assert!(input.differences[0].cut && !input.by_hash);
    let output = found.output.unwrap();
    assert!(
        output.by_hash && output.differences.is_empty(),
        "{output:?}"
    );
    assert_eq!(output.kind(), DiffKind::Changed);
    assert!(output.base.unwrap().size_bytes > 1 << 20);
    assert!(diff(&server, &one, &one).await.unwrap().equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_there_is_named() {
    let server = TestServer::start().await;
    let run = server
        .save_and_start(greeting("f"), &json!({ "name": "a" }))
        .await;
    let absent = "01890000-0000-7000-8000-000000000000";

    let missing = diff(&server, &run, absent).await.unwrap_err();
    assert_error(&missing, Code::NotFound, "RUN_NOT_FOUND");
    assert_eq!(metadata(&missing, "runId"), absent);
    let wrong = diff(&server, "x", "").await.unwrap_err();
    assert_eq!(violated_fields(&wrong), ["base", "compare"]);
}
