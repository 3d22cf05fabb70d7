//! Every call while the database is away: an answer soon, and always the same one.

use std::time::{Duration, Instant};

use serde_json::json;
use synapps::proto::{
    CancelRunRequest, DeleteFlowRequest, DeleteRunRequest, ExecuteRunRequest, ExplainRunRequest,
    ForkRunRequest, GetFlowRequest, GetRunRequest, ListApprovalsRequest, ListFlowsRequest,
    ListRunEventsRequest, ListRunsRequest, ListSecretsRequest, ListStepsRequest, PauseRunRequest,
    ResolveStepRequest, ResumeRunRequest, RetryRunRequest, SignalRunRequest, WatchRunRequest,
    WatchRunsRequest,
};
use tonic::Status;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{assert_outage, behind, paying, succeeds, try_start};
use crate::support::bounded;
use crate::support::calls::Calls;
use crate::support::database::Database;
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;

/// The longest that an answer may take: connecting is given up after 5 s, and this machine may be busy.
const SOON: Duration = Duration::from_secs(20);

/// Asks everything of a server, and gives the answers.
#[expect(
    clippy::needless_update,
    reason = "some requests have no field but those that are set"
)]
async fn ask_everything(calls: &Calls, run: &str) -> Vec<(&'static str, Option<Status>)> {
    let run_id = || run.to_owned();
    let (mut runs, mut flows, mut secrets) = (calls.runs(), calls.flows(), calls.secrets());
    let flow_id = || "paying".to_owned();
    macro_rules! ask {
        ($client:ident . $method:ident ( $request:ident { $($field:ident : $value:expr),* } )) => {{
            let request = $request { $($field: $value,)* ..$request::default() };
            let answer = bounded(SOON, stringify!($method), $client.$method(request)).await;
            (stringify!($method), answer.err())
        }};
    }
    vec![
        ("start_run", try_start(calls, "paying", 7).await.err()),
        ask!(runs.execute_run(ExecuteRunRequest { flow_id: flow_id() })),
        ask!(runs.get_run(GetRunRequest { run_id: run_id() })),
        ask!(runs.list_runs(ListRunsRequest {})),
        ask!(runs.watch_run(WatchRunRequest { run_id: run_id() })),
        ask!(runs.watch_runs(WatchRunsRequest {})),
        ask!(runs.explain_run(ExplainRunRequest { run_id: run_id() })),
        ask!(runs.list_run_events(ListRunEventsRequest { run_id: run_id() })),
        ask!(runs.list_steps(ListStepsRequest { run_id: run_id() })),
        ask!(runs.cancel_run(CancelRunRequest { run_id: run_id() })),
        ask!(runs.pause_run(PauseRunRequest { run_id: run_id() })),
        ask!(runs.resume_run(ResumeRunRequest { run_id: run_id() })),
        ask!(runs.retry_run(RetryRunRequest { run_id: run_id() })),
        ask!(runs.signal_run(SignalRunRequest {
            run_id: run_id(),
            name: "go".to_owned()
        })),
        ask!(runs.resolve_step(ResolveStepRequest { run_id: run_id() })),
        ask!(runs.list_approvals(ListApprovalsRequest {})),
        ask!(runs.fork_run(ForkRunRequest { run_id: run_id() })),
        ask!(runs.delete_run(DeleteRunRequest { run_id: run_id() })),
        ask!(flows.get_flow(GetFlowRequest { flow_id: flow_id() })),
        ask!(flows.list_flows(ListFlowsRequest {})),
        ask!(flows.delete_flow(DeleteFlowRequest { flow_id: flow_id() })),
        ask!(secrets.list_secrets(ListSecretsRequest {})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_told_soon_that_the_database_is_away() {
    for silent in [false, true] {
        let bin = HttpBin::start().await;
        let (proxy, database) = (Proxy::start().await, Database::migrated().await);
        let server = behind(&proxy, &database).await;
        server.save(paying(&bin)).await;
        let run = server.start("paying", &json!({ "n": 0 })).await;
        succeeds(&server, &run).await;

        if silent {
            proxy.silence();
        } else {
            proxy.close();
        }
        server.health_becomes("", ServingStatus::NotServing).await;
        let began = Instant::now();
        let answers = ask_everything(&server, &run).await;
        println!(
            "silent: {silent}: {} calls in {:?}",
            answers.len(),
            began.elapsed()
        );
        proxy.open();

        for (call, status) in answers {
            let status = status.unwrap_or_else(|| panic!("{call} was answered"));
            assert_outage(call, &status);
        }
        server.health_becomes("", ServingStatus::Serving).await;
        let next = server.start("paying", &json!({ "n": 1 })).await;
        succeeds(&server, &next).await;
    }
}
