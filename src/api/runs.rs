//! `RunService`: decodes, calls the engine or the store, encodes.

mod approvals;
mod control;
mod diff;
mod fork;
pub(super) mod lists;
mod payload;
mod resolve;
mod show;
mod start;
mod wait;

use std::time::Duration;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Api;
use super::checks::Checks;
use super::convert::{self, time};
use super::status::{Error, Result};
use super::timeout;
use super::watch::{self, Departure, ExecuteStream, WatchStream};
use super::watch_runs::RunsStream;
use crate::engine::{self, Start, Started};
use crate::ids::{Namespace, RunId, RunKey};
use crate::proto::run_service_server::RunService;
use crate::proto::{
    CancelRunRequest, CancelRunResponse, DeleteRunRequest, DeleteRunResponse, DiffRunsRequest,
    DiffRunsResponse, ExecuteRunRequest, ExplainRunRequest, ExplainRunResponse, ForkRunRequest,
    ForkRunResponse, GetRunRequest, GetRunResponse, ListApprovalsRequest, ListApprovalsResponse,
    ListRunEventsRequest, ListRunEventsResponse, ListRunsRequest, ListRunsResponse,
    ListStepsRequest, ListStepsResponse, PauseRunRequest, PauseRunResponse, ReadPayloadRequest,
    ResolveApprovalRequest, ResolveApprovalResponse, ResolveStepRequest, ResolveStepResponse,
    ResumeRunRequest, ResumeRunResponse, RetryRunRequest, RetryRunResponse, RunStarted,
    SignalRunRequest, SignalRunResponse, StartRunRequest, StartRunResponse, WaitRunRequest,
    WaitRunResponse, WatchRunRequest, WatchRunsRequest,
};
use crate::store::runs::RunRow;
use show::Wanted;

impl Api {
    async fn execute(
        &self,
        namespace: Namespace,
        mut request: ExecuteRunRequest,
    ) -> Result<ExecuteStream> {
        let mut checks = Checks::default();
        let after = checks.after_sequence(request.after_sequence);
        if after > 0 && request.request_id.is_empty() {
            let description =
                format!("is {after}, but without a request_id the run is new and has no events");
            checks.add("after_sequence", "OUT_OF_BOUNDS", description);
        }
        let start = self.start(namespace, start::start_of(&mut request), checks)?;
        let (started, departure) = self.begin(start, request.cancel_on_disconnect).await?;
        let row = match started.row {
            Some(row) => *row,
            None => self.engine.row(&started.key).await?,
        };
        check_within(&row, after)?;
        let options = watch::Options {
            after,
            include_snapshot: request.include_snapshot,
            include_payloads: request.include_payloads,
            include_children: request.include_children,
            include_deltas: request.include_deltas,
            departure,
            from_birth: started.started,
        };
        let subscription = match started.subscription {
            Some(subscription) => subscription,
            None => self
                .engine
                .hub()
                .subscribe_with_drafts(&started.key)
                .map_err(engine::Error::from)?,
        };
        let first = RunStarted {
            run: Some(convert::run::basic(&row)),
            started: started.started,
        };
        let watch = self.watch(started.key, row, subscription, options).await?;
        Ok(ExecuteStream::new(first, watch))
    }

    /// Starts a run in a task of its own: a client that leaves meanwhile has started it all the same, and has it
    /// cancelled if it wants that.
    async fn begin(
        &self,
        start: Start,
        cancel_on_disconnect: bool,
    ) -> Result<(Started, Option<Departure>)> {
        let engine = self.engine.clone();
        let starting = self.engine.watches().spawn(async move {
            let started = engine.start(start, true).await?;
            let departure =
                cancel_on_disconnect.then(|| Departure::of(engine, started.key.clone()));
            Ok::<_, Error>((started, departure))
        });
        // Where this future is dropped, the task's result is too, and with it the departure.
        starting.await.map_err(|_| engine::Error::Draining)?
    }

    async fn watch_run_from(
        &self,
        namespace: Namespace,
        request: &WatchRunRequest,
    ) -> Result<WatchStream> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        let after = checks.after_sequence(request.after_sequence);
        checks.finish()?;
        let key = run_key(namespace, run_id);
        // A place at the hub first: what is committed after the row was read is signalled.
        let subscription = self
            .engine
            .hub()
            .subscribe_with_drafts(&key)
            .map_err(engine::Error::from)?;
        let row = self.engine.row(&key).await?;
        check_within(&row, after)?;
        let options = watch::Options {
            after,
            include_snapshot: request.include_snapshot,
            include_payloads: request.include_payloads,
            include_children: request.include_children,
            include_deltas: request.include_deltas,
            departure: None,
            from_birth: false,
        };
        self.watch(key, row, subscription, options).await
    }
}

/// A run of the caller's namespace.
fn run_key(namespace: Namespace, run_id: Uuid) -> RunKey {
    RunKey {
        namespace,
        run_id: RunId::new(run_id),
    }
}

fn is_final(state: i32) -> bool {
    convert::run::run_state_from(state).is_some_and(crate::run::state::RunState::is_final)
}

/// A sequence that the run has not reached is refused.
fn check_within(row: &RunRow, after: i64) -> Result<()> {
    if after > row.last_sequence {
        return Err(Error::SequenceBeyondEnd {
            id: row.run_id,
            asked: after,
            last: row.last_sequence,
        });
    }
    Ok(())
}

/// A duration between 0 and `longest`, both included.
fn duration(
    given: Option<&prost_types::Duration>,
    field: &str,
    absent: Duration,
    longest: Duration,
    checks: &mut Checks,
) -> Duration {
    let given = checks
        .take(
            given
                .map(|given| time::from_duration(given, field))
                .transpose(),
        )
        .unwrap_or(absent);
    if given > longest {
        let description = format!(
            "is {} s, the most are {} s",
            given.as_secs_f64(),
            longest.as_secs()
        );
        checks.add(field, "OUT_OF_BOUNDS", description);
    }
    given
}

#[tonic::async_trait]
impl RunService for Api {
    type ExecuteRunStream = ExecuteStream;
    type WatchRunStream = WatchStream;
    type WatchRunsStream = RunsStream;
    type ReadPayloadStream = payload::Pieces;

    async fn start_run(
        &self,
        request: Request<StartRunRequest>,
    ) -> Result<Response<StartRunResponse>, Status> {
        let start = self.start(
            self.namespace(&request),
            request.into_inner(),
            Checks::default(),
        )?;
        let started = self.engine.start(start, false).await.map_err(Error::from)?;
        let run = self.show_started(&started).await?;
        Ok(Response::new(StartRunResponse {
            run: Some(run),
            started: started.started,
        }))
    }

    async fn execute_run(
        &self,
        request: Request<ExecuteRunRequest>,
    ) -> Result<Response<ExecuteStream>, Status> {
        Ok(Response::new(
            self.execute(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn get_run(
        &self,
        request: Request<GetRunRequest>,
    ) -> Result<Response<GetRunResponse>, Status> {
        let namespace = self.namespace(&request);
        let request = request.into_inner();
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        let wanted = checks.take(Wanted::from_proto(request.view));
        checks.finish()?;
        let run = Some(self.show(&run_key(namespace, run_id), wanted).await?);
        Ok(Response::new(GetRunResponse { run }))
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        Ok(Response::new(
            self.list_runs_page(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn wait_run(
        &self,
        request: Request<WaitRunRequest>,
    ) -> Result<Response<WaitRunResponse>, Status> {
        let header = request.metadata().get("grpc-timeout");
        let deadline = header.and_then(|text| timeout::of(text.to_str().ok()?));
        let namespace = self.namespace(&request);
        let answer = self
            .wait_for(namespace, request.get_ref(), deadline)
            .await?;
        Ok(Response::new(answer))
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        Ok(Response::new(
            self.watch_run_from(self.namespace(&request), request.get_ref())
                .await?,
        ))
    }

    async fn watch_runs(
        &self,
        request: Request<WatchRunsRequest>,
    ) -> Result<Response<RunsStream>, Status> {
        Ok(Response::new(
            self.watch_runs_from(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn diff_runs(
        &self,
        request: Request<DiffRunsRequest>,
    ) -> Result<Response<DiffRunsResponse>, Status> {
        Ok(Response::new(
            self.diff_runs_of(self.namespace(&request), request.get_ref())
                .await?,
        ))
    }

    async fn explain_run(
        &self,
        request: Request<ExplainRunRequest>,
    ) -> Result<Response<ExplainRunResponse>, Status> {
        let namespace = self.namespace(&request);
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.get_ref().run_id);
        checks.finish()?;
        let found = self.engine.explain(&run_key(namespace, run_id)).await;
        let found = found.map_err(Error::from)?;
        Ok(Response::new(convert::explain::explanation(&found)))
    }

    async fn list_run_events(
        &self,
        request: Request<ListRunEventsRequest>,
    ) -> Result<Response<ListRunEventsResponse>, Status> {
        Ok(Response::new(
            self.list_run_events_page(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn list_steps(
        &self,
        request: Request<ListStepsRequest>,
    ) -> Result<Response<ListStepsResponse>, Status> {
        Ok(Response::new(
            self.list_steps_page(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn read_payload(
        &self,
        request: Request<ReadPayloadRequest>,
    ) -> Result<Response<payload::Pieces>, Status> {
        Ok(Response::new(
            self.read_payload_pieces(self.namespace(&request), request.get_ref())
                .await?,
        ))
    }

    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        Ok(Response::new(
            self.cancel(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn pause_run(
        &self,
        request: Request<PauseRunRequest>,
    ) -> Result<Response<PauseRunResponse>, Status> {
        Ok(Response::new(
            self.pause(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn resume_run(
        &self,
        request: Request<ResumeRunRequest>,
    ) -> Result<Response<ResumeRunResponse>, Status> {
        Ok(Response::new(
            self.resume(self.namespace(&request), request.get_ref())
                .await?,
        ))
    }

    async fn retry_run(
        &self,
        request: Request<RetryRunRequest>,
    ) -> Result<Response<RetryRunResponse>, Status> {
        Ok(Response::new(
            self.retry(self.namespace(&request), request.get_ref())
                .await?,
        ))
    }

    async fn resolve_step(
        &self,
        request: Request<ResolveStepRequest>,
    ) -> Result<Response<ResolveStepResponse>, Status> {
        Ok(Response::new(
            self.resolve(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn signal_run(
        &self,
        request: Request<SignalRunRequest>,
    ) -> Result<Response<SignalRunResponse>, Status> {
        Ok(Response::new(
            self.signal(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        Ok(Response::new(
            self.list_approvals_page(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn resolve_approval(
        &self,
        request: Request<ResolveApprovalRequest>,
    ) -> Result<Response<ResolveApprovalResponse>, Status> {
        Ok(Response::new(
            self.decide(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn fork_run(
        &self,
        request: Request<ForkRunRequest>,
    ) -> Result<Response<ForkRunResponse>, Status> {
        Ok(Response::new(
            self.fork(self.namespace(&request), request.into_inner())
                .await?,
        ))
    }

    async fn delete_run(
        &self,
        request: Request<DeleteRunRequest>,
    ) -> Result<Response<DeleteRunResponse>, Status> {
        Ok(Response::new(
            self.delete(self.namespace(&request), request.get_ref())
                .await?,
        ))
    }
}
