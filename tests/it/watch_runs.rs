//! `WatchRuns`: the states of many runs, first as they are, then as they change.

mod changes;
mod ends;
mod seeds;

use serde_json::json;
use synapps::proto::watch_runs_response::Message;
use synapps::proto::{
    Flow, Run, RunChangeKind, RunState, StartRunRequest, WatchRunsRequest, WatchRunsResponse,
};
use tonic::{Status, Streaming};

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::within;

/// A flow that asks a server, which may hold its answer back.
fn asking(id: &str, bin: &HttpBin) -> Flow {
    chain(
        id,
        &[("get", "http_request", json!({ "url": bin.url("/slow") }))],
    )
}

async fn watch(
    server: &Calls,
    request: WatchRunsRequest,
) -> Result<Streaming<WatchRunsResponse>, Status> {
    Ok(server.runs().watch_runs(request).await?.into_inner())
}

/// A request for runs in these states.
fn in_states(states: &[RunState]) -> WatchRunsRequest {
    WatchRunsRequest {
        states: states.iter().map(|state| i32::from(*state)).collect(),
        ..WatchRunsRequest::default()
    }
}

/// The next message, which has to come.
async fn next(watch: &mut Streaming<WatchRunsResponse>) -> Message {
    let message = within("a message", watch.message()).await;
    let message = message.unwrap().expect("the watch goes on");
    message.message.expect("it brings something")
}

/// The runs that were open, and the number that is said of them.
async fn past(watch: &mut Streaming<WatchRunsResponse>) -> (Vec<Run>, i32) {
    let mut runs = Vec::new();
    loop {
        match next(watch).await {
            Message::Change(change) => {
                assert_eq!(change.kind(), RunChangeKind::Current);
                runs.push(change.run.unwrap());
            }
            Message::CaughtUp(caught_up) => return (runs, caught_up.runs),
            other => panic!("{other:?}"),
        }
    }
}

/// What is told of runs up to the first of which `wanted` holds.
async fn told_until(
    watch: &mut Streaming<WatchRunsResponse>,
    wanted: impl Fn(&Run, RunChangeKind) -> bool,
) -> Vec<(Run, RunChangeKind)> {
    let mut told = Vec::new();
    loop {
        if let Message::Change(change) = next(watch).await {
            let kind = change.kind();
            let run = change.run.unwrap();
            let is_wanted = wanted(&run, kind);
            told.push((run, kind));
            if is_wanted {
                return told;
            }
        }
    }
}

/// Starts a run with a label.
async fn start_labelled(server: &Calls, flow_id: &str, team: &str) -> String {
    let request = StartRunRequest {
        flow_id: flow_id.to_owned(),
        labels: [("team".to_owned(), team.to_owned())].into(),
        ..StartRunRequest::default()
    };
    let answer = server.runs().start_run(request).await.unwrap();
    answer.into_inner().run.unwrap().run_id
}
