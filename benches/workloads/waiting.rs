//! Runs that wait: many are started, and left alone until none executes.

use std::time::Duration;

use prost_types::Value;
use synapps::bench::Clients;
use synapps::proto::{ListRunsRequest, RunState, StartRunRequest};
use tokio::task::JoinSet;

use crate::Result;

/// How many calls are on their way at once.
pub const CALLERS: usize = 64;

/// How often it is asked whether a run still executes.
const POLL: Duration = Duration::from_millis(100);

/// Starts so many runs of a flow, and gives their ids.
pub async fn start(clients: &Clients, flow_id: &str, count: usize) -> Result<Vec<String>> {
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        let clients = clients.clone();
        let flow_id = flow_id.to_owned();
        let share = count / CALLERS + usize::from(caller < count % CALLERS);
        calls.spawn(async move {
            let mut started = Vec::with_capacity(share);
            for _ in 0..share {
                started.push(start_one(&clients, caller, &flow_id, None).await?);
            }
            Result::Ok(started)
        });
    }
    let mut started = Vec::with_capacity(count);
    while let Some(done) = calls.join_next().await {
        started.append(&mut done??);
    }
    Ok(started)
}

/// Starts a run and gives its id.
pub async fn start_one(
    clients: &Clients,
    caller: usize,
    flow_id: &str,
    input: Option<Value>,
) -> Result<String> {
    let request = StartRunRequest {
        flow_id: flow_id.to_owned(),
        input,
        ..StartRunRequest::default()
    };
    let started = clients.runs(caller).start_run(request).await?.into_inner();
    Ok(started.run.ok_or("the answer has no run")?.run_id)
}

/// Waits until no run is queued or executes any more.
pub async fn until_all_wait(clients: &Clients) -> Result<()> {
    let mut runs = clients.runs(0);
    loop {
        let request = ListRunsRequest {
            states: vec![RunState::Queued.into(), RunState::Running.into()],
            page_size: 1,
            ..ListRunsRequest::default()
        };
        if runs.list_runs(request).await?.into_inner().runs.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}
