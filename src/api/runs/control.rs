//! Ending, pausing, retrying and deleting runs.

use std::time::Duration;

use super::show::Wanted;
use super::{duration, is_final, run_key};
use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::convert;
use crate::api::status::{Error, Result};
use crate::engine;
use crate::engine::control::Taken;
use crate::ids::{Namespace, RunKey};
use crate::proto::{
    CancelRunRequest, CancelRunResponse, DeleteRunRequest, DeleteRunResponse, PauseRunRequest,
    PauseRunResponse, ResumeRunRequest, ResumeRunResponse, RetryRunRequest, RetryRunResponse, Run,
    RunState,
};
use crate::store::deletion::{self, Deleted};

/// How long attempts in flight may go on after a cancel where the caller says nothing.
const GRACE: Duration = Duration::from_secs(10);
/// The longest grace.
const LONGEST_GRACE: Duration = Duration::from_mins(10);

impl Api {
    pub(super) async fn cancel(
        &self,
        namespace: Namespace,
        request: CancelRunRequest,
    ) -> Result<CancelRunResponse> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        checks.note("reason", &request.reason);
        let grace = duration(
            request.grace.as_ref(),
            "grace",
            GRACE,
            LONGEST_GRACE,
            &mut checks,
        );
        checks.finish()?;
        let key = run_key(namespace, run_id);
        let state = self.engine.cancel(&key, request.reason, grace).await?;
        let mut run = self.show(&key, Wanted::Basic).await?;
        if !is_final(run.state) {
            // The run's owner may be elsewhere and take the request in a moment later; it is durable already.
            run.state = convert::run::run_state(state).into();
        }
        Ok(CancelRunResponse { run: Some(run) })
    }

    pub(super) async fn delete(
        &self,
        namespace: Namespace,
        request: &DeleteRunRequest,
    ) -> Result<DeleteRunResponse> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        checks.finish()?;
        let key = run_key(namespace, run_id);
        let mut conn = self.engine.store().conn().await?;
        match deletion::delete(&mut conn, &key).await? {
            Deleted::Yes => Ok(DeleteRunResponse {}),
            Deleted::Open(state) => Err(Error::RunNotDone {
                id: key.run_id,
                state,
            }),
            Deleted::InUse(relation, by) => Err(Error::RunInUse {
                id: key.run_id,
                relation,
                by,
            }),
            Deleted::Absent => Err(engine::Error::RunNotFound(key.run_id).into()),
        }
    }

    pub(super) async fn pause(
        &self,
        namespace: Namespace,
        request: PauseRunRequest,
    ) -> Result<PauseRunResponse> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        checks.note("reason", &request.reason);
        checks.finish()?;
        let key = run_key(namespace, run_id);
        let taken = self.engine.pause(&key, request.reason).await?;
        let mut run = self.show(&key, Wanted::Basic).await?;
        if taken == Taken::NotYet && !is_final(run.state) {
            // The run's owner may be elsewhere and take the request in a moment later; it is durable already.
            run.state = RunState::Paused.into();
            run.wait_reason = 0;
            run.wake_time = None;
        }
        Ok(PauseRunResponse { run: Some(run) })
    }

    pub(super) async fn resume(
        &self,
        namespace: Namespace,
        request: &ResumeRunRequest,
    ) -> Result<ResumeRunResponse> {
        let key = self.key_of(namespace, &request.run_id)?;
        let taken = self.engine.resume(&key).await?;
        let mut run = self.show(&key, Wanted::Basic).await?;
        if taken == Taken::NotYet && run.state() == RunState::Paused {
            // As after a pause.
            run.state = went_on_to(&run).into();
        }
        Ok(ResumeRunResponse { run: Some(run) })
    }

    pub(super) async fn retry(
        &self,
        namespace: Namespace,
        request: &RetryRunRequest,
    ) -> Result<RetryRunResponse> {
        let key = self.key_of(namespace, &request.run_id)?;
        self.engine.retry(&key).await?;
        let run = Some(self.show(&key, Wanted::Basic).await?);
        Ok(RetryRunResponse { run })
    }

    /// The run that a request names which says nothing else.
    fn key_of(&self, namespace: Namespace, run_id: &str) -> Result<RunKey> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(run_id);
        checks.finish()?;
        Ok(run_key(namespace, run_id))
    }
}

/// The state of a paused run that has been let go on.
fn went_on_to(run: &Run) -> RunState {
    if run.start_time.is_some() {
        RunState::Running
    } else {
        RunState::Queued
    }
}
