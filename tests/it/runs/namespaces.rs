//! What is in another namespace does not exist.

use serde_json::json;
use synapps::proto::{
    CancelRunRequest, DeleteRunRequest, GetRunRequest, ListRunEventsRequest, ListRunsRequest,
    ListStepsRequest, ReadPayloadRequest, StartRunRequest, WaitRunRequest, WatchRunRequest,
};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use super::{greeting, request, start};
use crate::support::calls::{Calls, assert_error};
use crate::support::server::TestServer;

/// Asserts that each call that names a run says that there is no such run.
pub async fn assert_nobody_knows(server: &Calls, run_id: &str) {
    fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Status {
        answer.unwrap_err()
    }
    let run_id = run_id.to_owned();
    let mut runs = server.runs();
    let errors = [
        refused(
            runs.get_run(GetRunRequest {
                run_id: run_id.clone(),
                view: 0,
            })
            .await,
        ),
        refused(
            runs.wait_run(WaitRunRequest {
                run_id: run_id.clone(),
                ..Default::default()
            })
            .await,
        ),
        refused(
            runs.watch_run(WatchRunRequest {
                run_id: run_id.clone(),
                ..Default::default()
            })
            .await,
        ),
        refused(
            runs.list_run_events(ListRunEventsRequest {
                run_id: run_id.clone(),
                ..Default::default()
            })
            .await,
        ),
        refused(
            runs.list_steps(ListStepsRequest {
                run_id: run_id.clone(),
                ..Default::default()
            })
            .await,
        ),
        refused(
            runs.read_payload(ReadPayloadRequest {
                run_id: run_id.clone(),
                r#ref: "e1".to_owned(),
            })
            .await,
        ),
        refused(
            runs.cancel_run(CancelRunRequest {
                run_id: run_id.clone(),
                ..Default::default()
            })
            .await,
        ),
        refused(runs.delete_run(DeleteRunRequest { run_id }).await),
    ];
    for error in errors {
        assert_error(&error, Code::NotFound, "RUN_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_request_ids_of_another_namespace_do_not_exist() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;
    let named = StartRunRequest {
        request_id: "once".to_owned(),
        ..request("greeting", &json!({ "name": "Ada" }))
    };
    let run_id = start(&server, named.clone())
        .await
        .unwrap()
        .run
        .unwrap()
        .run_id;
    server.finished_run(&run_id).await;
    let sql = server.sql().await;
    for table in ["workflow_runs", "run_events", "start_requests"] {
        let moved = format!("UPDATE {table} SET namespace = 'elsewhere'");
        assert!(sql.execute(&moved, &[]).await.unwrap() > 0);
    }

    assert_nobody_knows(&server, &run_id).await;
    let listed = server
        .runs()
        .list_runs(ListRunsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().runs.is_empty());
    let again = start(&server, named).await.unwrap();
    assert!(again.started);

    // It is where it was, and nobody has changed it.
    let query = "SELECT count(*) FROM workflow_runs WHERE namespace = 'elsewhere' AND run_id = $1 AND state = 'SUCCEEDED'";
    let id = Uuid::parse_str(&run_id).unwrap();
    let there: i64 = sql.query_one(query, &[&id]).await.unwrap().get(0);
    assert_eq!(there, 1);
}
