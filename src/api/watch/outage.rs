//! A watch outlasts a database that is away for a while: nothing is lost by waiting, and the client need not come again.

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use super::{Stop, Watch};
use crate::api::convert::time;
use crate::api::status::{Error, Result};
use crate::proto::Heartbeat;
use crate::proto::watch_run_response::Message;

/// For how long a watch waits for the database before it sends its client away.
const OUTAGE: Duration = Duration::from_mins(2);
/// The waits between attempts: doubled from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Watch {
    /// What a call gives, which is repeated while the database is away; the client gets its signs of life meanwhile.
    pub(super) async fn outlast<T, F>(&self, call: impl Fn() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T>>,
    {
        let began = Instant::now();
        let heartbeat = self.api.settings.heartbeat;
        let (mut wait, mut silent_until) = (WAITS.0, began + heartbeat);
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_outage() => error,
                Err(error) => return Err(error.into()),
            };
            if began.elapsed() >= OUTAGE {
                return Err(Stop::Because(Error::WatchCutOff {
                    sequence: self.cursor.last(),
                    source: Box::new(error),
                }));
            }
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                run.id = %self.key,
                "a watch waits for the database"
            );
            if Instant::now() >= silent_until {
                let time = Some(time::timestamp(Utc::now()));
                self.send(Message::Heartbeat(Heartbeat { time })).await?;
                silent_until = Instant::now() + heartbeat;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.draining.cancelled() => return self.drain().and(Err(Stop::Left)),
                () = self.outlet.closed() => return Err(Stop::Left),
            }
            wait = (wait * 2).min(WAITS.1);
        }
    }
}
