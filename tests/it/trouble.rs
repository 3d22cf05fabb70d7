//! The database in trouble: it refuses, restarts, falls silent, is away for longer than a lease. Runs keep what they have
//! done, callers are told to come again, and all goes on by itself.

mod calls;
mod memory;
mod outages;
mod refusals;
mod restarts;
mod silence;
mod stranded;
mod watches;

use serde_json::json;
use synapps::proto::{Flow, RunState, StartRunRequest};
use tokio_postgres::Client;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::calls::{Calls, reason};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use crate::support::within;

/// What the statement of a flush begins with.
const FLUSH: &str = "WITH moved AS";
/// What the statement that brings runs into being begins with.
const BIRTH: &str = "WITH batch AS";
/// What the statement of the tick begins with.
const TICK: &str = "WITH gone AS";
/// What the statement of the renewal begins with.
const RENEWAL: &str = "INSERT INTO executors";

/// A flow that pays once and then asks, by the paths `/pay/…` and `/ask/…` of its input's number.
fn paying(bin: &HttpBin) -> Flow {
    let url = |path: &str| bin.url(&format!("/{path}/{{{{ input.n }}}}"));
    chain(
        "paying",
        &[
            (
                "pay",
                "http_request",
                json!({ "method": "POST", "url": url("pay") }),
            ),
            ("ask", "http_request", json!({ "url": url("ask") })),
        ],
    )
}

/// A server that reaches the database by a way of its own.
async fn behind(proxy: &Proxy, database: &Database) -> TestServer {
    let builder = TestServer::builder().database(database);
    builder.url(proxy.url(database)).start().await
}

/// Asserts that a caller was told that there is no database now, and to come again.
fn assert_outage(what: &str, status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{what}: {status:?}");
    assert_eq!(reason(status), "DATABASE_UNAVAILABLE", "{what}");
    let retry = status.get_details_retry_info();
    let delay = retry.and_then(|retry| retry.retry_delay);
    assert!(delay.is_some(), "{what}: {status:?}");
}

/// Starts a run of a flow, if the server takes it.
async fn try_start(calls: &Calls, flow_id: &str, n: usize) -> Result<String, Status> {
    let request = StartRunRequest {
        flow_id: flow_id.to_owned(),
        input: Some(crate::support::wire::value(&json!({ "n": n }))),
        ..StartRunRequest::default()
    };
    let started = calls.runs().start_run(request).await?;
    Ok(started.into_inner().run.unwrap().run_id)
}

/// Waits until a run has ended, and asserts that it has succeeded.
async fn succeeds(calls: &Calls, run_id: &str) {
    let run = calls.finished_run(run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
}

/// Waits until a query gives true.
async fn until(sql: &Client, what: &str, query: &str) {
    let wait = async {
        while !sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
    };
    within(what, wait).await;
}

/// A number that a query gives.
async fn number(sql: &Client, query: &str) -> i64 {
    sql.query_one(query, &[]).await.unwrap().get(0)
}
