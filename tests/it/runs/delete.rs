//! `DeleteRun`: final runs only, and nothing of them is left.

use serde_json::json;
use synapps::proto::{DeleteRunRequest, ListRunsRequest, StartRunRequest};
use tonic::{Code, Status};

use super::{asking, greeting, namespaces, request, start};
use crate::support::calls::{Calls, assert_error, metadata};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

async fn delete(server: &Calls, run_id: &str) -> Result<(), Status> {
    let request = DeleteRunRequest {
        run_id: run_id.to_owned(),
    };
    server.runs().delete_run(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_run_cannot_be_deleted() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let held = bin.hold("/slow");
    let run_id = server
        .save_and_start(asking("slow", &bin, "/slow"), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let error = delete(&server, &run_id).await.unwrap_err();
    assert_error(&error, Code::FailedPrecondition, "RUN_NOT_DONE");
    assert_eq!(metadata(&error, "state"), "RUNNING");

    held.release();
    server.finished_run(&run_id).await;
    delete(&server, &run_id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deleted_run_nothing_is_left_and_its_request_id_is_free() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;
    let named = StartRunRequest {
        request_id: "once".to_owned(),
        ..request("greeting", &json!({ "name": "x".repeat(100_000) }))
    };
    let run_id = start(&server, named.clone())
        .await
        .unwrap()
        .run
        .unwrap()
        .run_id;
    server.finished_run(&run_id).await;

    delete(&server, &run_id).await.unwrap();

    namespaces::assert_nobody_knows(&server, &run_id).await;
    assert_error(
        &delete(&server, &run_id).await.unwrap_err(),
        Code::NotFound,
        "RUN_NOT_FOUND",
    );
    let listed = server
        .runs()
        .list_runs(ListRunsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().runs.is_empty());
    let sql = server.sql().await;
    for table in [
        "workflow_runs",
        "run_events",
        "payload_chunks",
        "run_inbox",
        "start_requests",
    ] {
        let query = format!("SELECT count(*) FROM {table}");
        let left: i64 = sql.query_one(&query, &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "{table}");
    }

    let again = start(&server, named).await.unwrap();
    assert!(again.started);
    assert_ne!(again.run.unwrap().run_id, run_id);
}
