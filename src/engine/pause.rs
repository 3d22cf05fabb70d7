//! Pausing a run and letting it go on, on whichever replica it is.

use super::control::{Taken, check_open};
use super::{Engine, Error};
use crate::ids::RunKey;
use crate::run::state::RunState;
use crate::store::inbox::Request;

impl Engine {
    /// Has a run start no further step.
    ///
    /// The request is durable when this returns and wins over any later success. A repeated call changes nothing. Gives
    /// whether the run says so itself already.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], [`Error::RunDone`] if it has ended,
    /// [`Refused::Cancelling`](super::control::Refused::Cancelling), or the store's own.
    pub async fn pause(&self, key: &RunKey, reason: String) -> Result<Taken, Error> {
        let state = self.expected_state(key).await?;
        check_open(key, state)?;
        if state == RunState::Paused {
            return Ok(Taken::NotYet);
        }
        let taken = self.post(key, Request::Pause { reason }).await?;
        check_open(key, self.row(key).await?.state)?;
        Ok(taken)
    }

    /// Lets a paused run go on; one that is not paused is left as it is.
    ///
    /// The request is durable when this returns. Gives whether the run says so itself already.
    ///
    /// # Errors
    ///
    /// As [`Engine::pause`].
    pub async fn resume(&self, key: &RunKey) -> Result<Taken, Error> {
        let state = self.expected_state(key).await?;
        check_open(key, state)?;
        if state != RunState::Paused {
            return Ok(Taken::NotYet);
        }
        self.post(key, Request::Resume).await
    }
}
