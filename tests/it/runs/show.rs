//! `GetRun` and `WaitRun`: a run as it is now, and once it is final.

use serde_json::json;
use synapps::proto::{Run, RunState, RunView, StepState, WaitRunRequest, WaitRunResponse};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::{asking, greeting};
use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::{wire, within};

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn waiting(run_id: &str, timeout: impl Into<Option<prost_types::Duration>>) -> WaitRunRequest {
    WaitRunRequest {
        run_id: run_id.to_owned(),
        timeout: timeout.into(),
        ..WaitRunRequest::default()
    }
}

async fn wait(
    server: &Calls,
    request: impl tonic::IntoRequest<WaitRunRequest>,
) -> Result<WaitRunResponse, Status> {
    let answer = within("the answer of WaitRun", server.runs().wait_run(request)).await;
    Ok(answer?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_view_adds_to_the_one_before() {
    let server = TestServer::start().await;
    let run_id = server
        .save_and_start(greeting("greeting"), &json!({ "name": "Ada" }))
        .await;
    server.finished_run(&run_id).await;

    let basic = server.get_as(&run_id, RunView::Basic).await;
    let full = server.get_as(&run_id, RunView::Full).await;
    let all = server.get_as(&run_id, RunView::WithPayloads).await;
    let unset = server.get_as(&run_id, RunView::Unspecified).await;

    assert_eq!(unset, all);
    assert_eq!(basic.state(), RunState::Succeeded);
    assert_eq!((basic.progress, basic.total_steps), (3, 3));
    assert!(basic.create_time.is_some() && basic.start_time.is_some() && basic.end_time.is_some());
    assert!(basic.steps.is_empty() && basic.completed_node_ids.is_empty());
    assert_eq!(full.completed_node_ids, ["start", "greet", "end"]);
    assert!(full.current_node_ids.is_empty());
    let steps: Vec<_> = full
        .steps
        .iter()
        .map(|step| step.node_id.as_str())
        .collect();
    assert_eq!(
        steps,
        ["start", "end", "greet"],
        "in the order of the flow's nodes"
    );
    assert!(full.input.is_none() && full.output.is_none() && full.results.is_empty());
    assert_eq!(wire::json(all.input.as_ref()), json!({ "name": "Ada" }));
    assert_eq!(wire::json(all.output.as_ref()), json!("hello Ada"));
    assert_eq!(all.results.len(), 3);
    assert_eq!(wire::json(all.results.get("greet")), json!("hello Ada"));
    assert_eq!(
        wire::json(all.results.get("start")),
        json!({ "name": "Ada" })
    );

    let without_payloads = Run {
        input: None,
        output: None,
        results: std::collections::BTreeMap::default(),
        ..all
    };
    assert_eq!(without_payloads, full);
    let without_steps = Run {
        steps: Vec::new(),
        completed_node_ids: Vec::new(),
        ..full
    };
    assert_eq!(without_steps, basic);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_shows_how_far_it_is() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("slow", &bin, "/slow"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let run = server.get(&run_id).await;

    assert_eq!(run.state(), RunState::Running);
    assert_eq!((run.progress, run.total_steps), (1, 3));
    assert_eq!(run.current_node_ids, ["get"]);
    assert_eq!(run.completed_node_ids, ["start"]);
    assert!(run.output.is_none() && run.end_time.is_none());
    let states: Vec<_> = run.steps.iter().map(synapps::proto::Step::state).collect();
    assert_eq!(
        states,
        [StepState::Succeeded, StepState::Pending, StepState::Running]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_answered_when_the_run_ends_and_at_once_afterwards() {
    let server = TestServer::start().await;
    let other = TestServer::builder()
        .database(server.database())
        .start()
        .await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("slow", &bin, "/slow"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let waits = [&server, &other].map(|server| wait(server, waiting(&run_id, None)));
    let release = async {
        // A call after theirs on the same connection: theirs are on their way.
        server.get(&run_id).await;
        held.release();
    };
    let (waits, ()) = tokio::join!(futures_util::future::join_all(waits), release);

    for waited in waits {
        let waited = waited.unwrap();
        assert!(waited.done);
        assert_eq!(waited.run.unwrap(), server.get(&run_id).await);
    }
    let again = WaitRunRequest {
        view: RunView::Basic.into(),
        ..waiting(&run_id, seconds(0))
    };
    let again = wait(&server, again).await.unwrap();
    assert!(again.done);
    assert_eq!(
        again.run.unwrap(),
        server.get_as(&run_id, RunView::Basic).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_timeout_or_shortly_before_the_callers_deadline() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("slow", &bin, "/slow"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let at_once = wait(&server, waiting(&run_id, seconds(0))).await.unwrap();
    let short = prost_types::Duration {
        seconds: 0,
        nanos: 20_000_000,
    };
    let short = wait(&server, waiting(&run_id, Some(short))).await.unwrap();
    let mut by_deadline = Request::new(waiting(&run_id, None));
    by_deadline.set_timeout(std::time::Duration::from_secs(1));
    let by_deadline = wait(&server, by_deadline).await.unwrap();

    for answer in [at_once, short, by_deadline] {
        assert!(!answer.done);
        assert_eq!(answer.run.unwrap().state(), RunState::Running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_no_run_or_beyond_an_hour_is_refused() {
    let server = TestServer::start().await;

    let nobody = Uuid::now_v7().to_string();
    let error = wait(&server, waiting(&nobody, None)).await.unwrap_err();
    assert_error(&error, Code::NotFound, "RUN_NOT_FOUND");

    for timeout in [seconds(3_601), seconds(-1)] {
        let error = wait(&server, waiting(&nobody, timeout)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(violated_fields(&error), ["timeout"]);
    }
    let error = wait(&server, waiting("no-id", None)).await.unwrap_err();
    assert_eq!(
        (error.code(), violated_fields(&error)),
        (Code::InvalidArgument, vec!["run_id".to_owned()])
    );
}
