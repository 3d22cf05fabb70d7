//! What callers ask of runs that are there: a letter, which is durable when the call returns, and a short wait until the
//! run has taken it in.

use std::time::Duration;

use super::{Engine, Error};
use crate::flow::Violation;
use crate::ids::{RunId, RunKey, StepPath};
use crate::run::state::{RunState, StepState};
use crate::store::inbox::{self, Letter, Request};
use crate::store::runs;

/// How long an answer waits for the run's own word; the request is durable in any case.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Why something cannot be asked of a run as it stands.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The run is being cancelled, which nothing turns back.
    #[error("run {0} is being cancelled")]
    Cancelling(RunId),
    /// Only a run that has failed can be opened again.
    #[error("run {id} has not failed, it is {state}")]
    NotFailed {
        /// Which run.
        id: RunId,
        /// Where it stands.
        state: RunState,
    },
    /// The run is the matter of the one that has started it.
    #[error("run {id} was started by run {parent}")]
    IsChild {
        /// Which run.
        id: RunId,
        /// Whose step has started it.
        parent: RunId,
    },
    /// The run has no such step.
    #[error("run {id} has no step {path}")]
    StepNotFound {
        /// Which run.
        id: RunId,
        /// What was asked for.
        path: StepPath,
    },
    /// There is nothing to decide about the step, or no longer, or not about this attempt.
    #[error("step {path} of run {id} is {state} at attempt {attempt}")]
    NotResolvable {
        /// Which run.
        id: RunId,
        /// Which step.
        path: StepPath,
        /// Where it stands.
        state: StepState,
        /// At which attempt; 0 before the first.
        attempt: u32,
    },
    /// What was sent does not fit the step that it is for.
    #[error("the request does not fit the step")]
    Unfit(Vec<Violation>),
    /// The step asks nothing.
    #[error("step {path} of run {id} asks for no approval")]
    ApprovalNotFound {
        /// Which run.
        id: RunId,
        /// Which step.
        path: StepPath,
    },
    /// What the step asked is decided.
    #[error("what step {path} of run {id} asked is decided: {decision}")]
    ApprovalDecided {
        /// Which run.
        id: RunId,
        /// Which step.
        path: StepPath,
        /// `APPROVED`, `REJECTED` or `EXPIRED`.
        decision: &'static str,
        /// Who decided; empty if nobody did.
        decided_by: String,
    },
    /// The step asks something else by now.
    #[error("step {path} of run {id} asks something else: {current}, not {given}")]
    ApprovalChanged {
        /// Which run.
        id: RunId,
        /// Which step.
        path: StepPath,
        /// What the caller decided about.
        given: String,
        /// What is asked.
        current: String,
    },
    /// The run keeps as many signals as it may.
    #[error("run {id} keeps {limit} signals that no step has asked for")]
    TooManySignals {
        /// Which run.
        id: RunId,
        /// The most.
        limit: i64,
    },
    /// The request id has sent another signal.
    #[error("request id {request_id} was used for another signal to run {id}")]
    SignalReused {
        /// Which run.
        id: RunId,
        /// The request id.
        request_id: String,
    },
}

/// Whether a run has taken in what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its history says so.
    Yes,
    /// It is durable, and the run's owner takes it in as soon as it can.
    NotYet,
}

impl Engine {
    /// Posts a letter to a run that has not ended.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], [`Error::RunDone`], or the store's own.
    pub(super) async fn post(&self, key: &RunKey, request: Request) -> Result<Taken, Error> {
        let mut conn = self.store().conn().await?;
        let posted = inbox::post(&mut conn, key, &request).await?;
        drop(conn);
        let posted = posted.ok_or(Error::RunNotFound(key.run_id))?;
        match posted.letter {
            Some(id) => self.bring(key, id, request).await,
            None => Err(done(key, posted.state)),
        }
    }

    /// Brings a letter that was posted to the run, and waits a while until the run has taken it in.
    pub(super) async fn bring(
        &self,
        key: &RunKey,
        id: i64,
        request: Request,
    ) -> Result<Taken, Error> {
        self.deliver(Letter {
            key: key.clone(),
            id,
            request,
        });
        let until_taken = async {
            let mut pause = Duration::from_millis(2);
            loop {
                let mut conn = self.store().conn().await?;
                if !inbox::is_waiting(&mut conn, key, id).await? {
                    return Ok(Taken::Yes);
                }
                drop(conn);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        };
        tokio::time::timeout(PATIENCE, until_taken)
            .await
            .unwrap_or(Ok(Taken::NotYet))
    }

    /// Where the run will stand once it has taken in all that was asked of it so far.
    pub(super) async fn expected_state(&self, key: &RunKey) -> Result<RunState, Error> {
        let mut conn = self.store().conn().await?;
        // Letters first: one that is taken in meanwhile shows in the state.
        let (_, letters) = inbox::read(&mut conn, key).await?;
        let row = runs::find(&mut conn, key).await?;
        let row = row.ok_or(Error::RunNotFound(key.run_id))?;
        Ok(expected(row.state, &letters))
    }
}

/// The state after these letters.
fn expected(state: RunState, letters: &[Letter]) -> RunState {
    letters.iter().fold(state, |state, letter| {
        let settled = state.is_final() || state == RunState::Cancelling;
        match &letter.request {
            _ if settled => state,
            Request::Cancel { .. } => RunState::Cancelling,
            Request::Pause { .. } => RunState::Paused,
            Request::Resume if state == RunState::Paused => RunState::Running,
            Request::Resume
            | Request::Signal { .. }
            | Request::Approval(_)
            | Request::Resolve(_)
            | Request::ChildEnded { .. }
            | Request::Admitted => state,
        }
    })
}

/// Refuses a run to which nothing can be said any more.
pub(super) fn check_open(key: &RunKey, state: RunState) -> Result<(), Error> {
    match state {
        RunState::Cancelling => Err(Refused::Cancelling(key.run_id).into()),
        state if state.is_final() => Err(done(key, state)),
        _ => Ok(()),
    }
}

pub(super) fn done(key: &RunKey, state: RunState) -> Error {
    Error::RunDone {
        id: key.run_id,
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Namespace;

    #[test]
    fn letters_that_were_not_taken_in_yet_count_in_their_order() {
        let pause = || Request::Pause {
            reason: String::new(),
        };
        let cancel = || Request::Cancel {
            reason: String::new(),
            grace_ms: 0,
        };
        let cases = [
            (RunState::Running, vec![], RunState::Running),
            (RunState::Running, vec![pause()], RunState::Paused),
            (RunState::Waiting, vec![Request::Resume], RunState::Waiting),
            (RunState::Paused, vec![Request::Resume], RunState::Running),
            (
                RunState::Queued,
                vec![pause(), Request::Resume],
                RunState::Running,
            ),
            (
                RunState::Paused,
                vec![Request::Resume, pause()],
                RunState::Paused,
            ),
            (
                RunState::Running,
                vec![cancel(), pause()],
                RunState::Cancelling,
            ),
            (RunState::Failed, vec![pause()], RunState::Failed),
        ];
        for (state, requests, wanted) in cases {
            let key = RunKey {
                namespace: Namespace::default_namespace(),
                run_id: RunId::new(uuid::Uuid::nil()),
            };
            let letters: Vec<Letter> = (1..)
                .zip(requests)
                .map(|(id, request)| Letter {
                    key: key.clone(),
                    id,
                    request,
                })
                .collect();

            assert_eq!(expected(state, &letters), wanted, "{state} {letters:?}");
        }
    }
}
