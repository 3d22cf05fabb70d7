//! Sending a run a signal, on whichever replica it is.

use serde_json::Value;

use super::control::{Refused, done};
use super::{Engine, Error};
use crate::ids::RunKey;
use crate::store::births;
use crate::store::inbox::Request;
use crate::store::signals::{self, Limit, Sent};

/// The most signals that a run keeps which no step has asked for. Callers at the same moment may pass it by as many as
/// they are.
pub const MAX_KEPT: i64 = 1_000;

impl Engine {
    /// Sends a run a signal; says whether this call did, and not one before with the same request id.
    ///
    /// The signal is durable when this returns. The payload must keep the rules of payloads and be small enough to lie
    /// beside an event.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], [`Error::RunDone`], [`Refused::TooManySignals`], [`Refused::SignalReused`], or the store's
    /// own.
    pub async fn signal(
        &self,
        key: &RunKey,
        name: String,
        payload: Value,
        named: Option<births::Request>,
    ) -> Result<bool, Error> {
        let mut conn = self.store().conn().await?;
        let full = signals::kept(&mut conn, key, MAX_KEPT).await? >= MAX_KEPT;
        drop(conn);
        // One that a step waits for right now is not kept: whatever else was sent does not keep it out.
        let limit = if full
            && self
                .view(key)
                .await?
                .run
                .find_awaiting_signal(&name)
                .is_none()
        {
            Limit::Reached
        } else {
            Limit::Open
        };
        let request = Request::Signal { name, payload };
        let mut conn = self.store().conn().await?;
        let sent = signals::send(&mut conn, key, &request, named.as_ref(), limit).await?;
        drop(conn);
        let id = key.run_id;
        match sent {
            Sent::Now(letter) => {
                self.bring(key, letter, request).await?;
                Ok(true)
            }
            Sent::Before => Ok(false),
            Sent::Reused => {
                let request_id = named.map(|named| named.id).unwrap_or_default();
                Err(Refused::SignalReused { id, request_id }.into())
            }
            Sent::Full => {
                let limit = MAX_KEPT;
                Err(Refused::TooManySignals { id, limit }.into())
            }
            Sent::Ended(state) => Err(done(key, state)),
            Sent::Absent => Err(Error::RunNotFound(id)),
        }
    }
}
