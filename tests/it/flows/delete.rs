//! DeleteFlow.

use serde_json::json;
use synapps::proto::{DeleteFlowRequest, ListFlowsRequest, ListRunsRequest, RunState};
use tonic::Code;

use super::{create, delete, deletion, get, list, smallest, update, waiting};
use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::server::TestServer;
use crate::support::wire;

/// The ids of all runs of a flow; of all flows if it is empty.
async fn runs_of(server: &Calls, flow_id: &str) -> Vec<String> {
    let request = ListRunsRequest {
        flow_id: flow_id.to_owned(),
        ..ListRunsRequest::default()
    };
    let answer = server.runs().list_runs(request).await.unwrap();
    let runs = answer.into_inner().runs;
    runs.into_iter().map(|run| run.run_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_flow_is_gone_for_every_call() {
    let server = TestServer::start().await;
    create(&server, smallest("f")).await.unwrap();
    create(&server, smallest("stays")).await.unwrap();

    delete(&server, deletion("f")).await.unwrap();

    let read = get(&server, "f", 0).await.unwrap_err();
    let revision = get(&server, "f", 1).await.unwrap_err();
    let updated = update(&server, smallest("f"), "").await.unwrap_err();
    let again = delete(&server, deletion("f")).await.unwrap_err();
    let request = synapps::proto::StartRunRequest {
        flow_id: "f".to_owned(),
        ..synapps::proto::StartRunRequest::default()
    };
    let started = server.runs().start_run(request).await.unwrap_err();
    for missing in [read, revision, updated, again, started] {
        assert_error(&missing, Code::NotFound, "FLOW_NOT_FOUND");
    }
    let listed = list(&server, ListFlowsRequest::default()).await.unwrap();
    assert_eq!(listed.flows.len(), 1);
    assert_eq!(listed.flows[0].id, "stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_etag_of_now_deletes() {
    let server = TestServer::start().await;
    let first = create(&server, smallest("f")).await.unwrap();
    let mut renamed = smallest("f");
    renamed.name = "another".to_owned();
    let second = update(&server, renamed, "").await.unwrap();
    let with = |etag: &str, force| DeleteFlowRequest {
        etag: etag.to_owned(),
        force,
        ..deletion("f")
    };

    let refused = delete(&server, with(&first.etag, false)).await.unwrap_err();
    let forced = delete(&server, with(&first.etag, true)).await.unwrap_err();

    for refused in [refused, forced] {
        assert_error(&refused, Code::Aborted, "ETAG_MISMATCH");
        assert_eq!(metadata(&refused, "etag"), second.etag);
    }
    assert_eq!(get(&server, "f", 0).await.unwrap(), second);
    delete(&server, with(&second.etag, false)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_with_open_runs_is_deleted_by_force_only() {
    let server = TestServer::start().await;
    create(&server, waiting("f")).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(server.start("f", &json!({})).await);
    }

    let refused = delete(&server, deletion("f")).await.unwrap_err();
    let force = DeleteFlowRequest {
        force: true,
        ..deletion("f")
    };
    delete(&server, force).await.unwrap();

    assert_error(&refused, Code::FailedPrecondition, "FLOW_HAS_OPEN_RUNS");
    assert_eq!(metadata(&refused, "openRuns"), "3");
    for run_id in open {
        let run = server.finished_run(&run_id).await;
        assert_eq!((run.state(), &*run.flow_id), (RunState::Cancelled, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_stay_without_a_flow_and_a_new_flow_does_not_inherit_them() {
    let server = TestServer::start().await;
    let old = server.save_and_start(smallest("f"), &json!({"n": 1})).await;
    assert_eq!(server.finished_run(&old).await.flow_id, "f");

    delete(&server, deletion("f")).await.unwrap();
    let orphan = server.get(&old).await;
    let created = create(&server, smallest("f")).await.unwrap();
    let listed = list(&server, ListFlowsRequest::default()).await.unwrap();
    let inherited = runs_of(&server, "f").await;
    let new = server.start("f", &json!({"n": 2})).await;
    server.finished_run(&new).await;

    assert_eq!(
        (&*orphan.flow_id, orphan.state()),
        ("", RunState::Succeeded)
    );
    assert_eq!(wire::json(orphan.output.as_ref()), json!({"n": 1}));
    assert_eq!(created.revision, 1);
    assert_eq!(listed.flows[0].last_run_id, "");
    assert_eq!(inherited, Vec::<String>::new());
    assert_eq!(runs_of(&server, "f").await, [new.clone()]);
    assert_eq!(runs_of(&server, "").await, [new, old.clone()]);
    assert_eq!(server.get(&old).await.flow_id, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_without_an_id_cannot_be_deleted() {
    let server = TestServer::start().await;

    let refused = delete(&server, deletion("")).await.unwrap_err();
    let odd = delete(&server, deletion("a\0b")).await.unwrap_err();

    for refused in [refused, odd] {
        assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(violated_fields(&refused), ["flow_id"]);
    }
}
