//! `WaitRun`: answers when the run is final, or shortly before nobody listens any more.

use std::time::Duration;

use tokio::time::Instant;

use super::show::Wanted;
use super::{duration, is_final, run_key};
use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::status::Result;
use crate::engine;
use crate::hub::{Signal, Subscription};
use crate::ids::{Namespace, RunKey};
use crate::proto::{WaitRunRequest, WaitRunResponse};

/// How long it waits where the caller says nothing.
const WAIT: Duration = Duration::from_mins(1);
/// The longest that it waits.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long before the caller's deadline it answers.
const BEFORE_DEADLINE: Duration = Duration::from_millis(200);

impl Api {
    pub(super) async fn wait_for(
        &self,
        namespace: Namespace,
        request: &WaitRunRequest,
        deadline: Option<Duration>,
    ) -> Result<WaitRunResponse> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        let wanted = checks.take(Wanted::from_proto(request.view));
        let asked = request.timeout.as_ref();
        let timeout = duration(asked, "timeout", WAIT, LONGEST_WAIT, &mut checks);
        checks.finish()?;
        let deadline = deadline.map(|deadline| deadline.saturating_sub(BEFORE_DEADLINE));
        let until = Instant::now() + deadline.map_or(timeout, |deadline| deadline.min(timeout));
        let key = run_key(namespace, run_id);
        let subscription = self
            .engine
            .hub()
            .subscribe(&key)
            .map_err(engine::Error::from)?;
        self.wait(&key, subscription, until).await?;
        let run = self.show(&key, wanted).await?;
        let done = is_final(run.state);
        Ok(WaitRunResponse {
            run: Some(run),
            done,
        })
    }

    /// Waits until the run is final or the time is up.
    async fn wait(
        &self,
        key: &RunKey,
        mut subscription: Subscription,
        until: Instant,
    ) -> Result<()> {
        let draining = self.engine.draining();
        loop {
            let row = self.engine.row(key).await?;
            if row.state.is_final() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                () = draining.cancelled() => return Ok(()),
                () = news(&mut subscription, row.last_sequence) => {}
            }
        }
    }
}

/// Waits for a sign that the run has gone beyond this sequence.
async fn news(subscription: &mut Subscription, last_sequence: i64) {
    loop {
        match subscription.next().await {
            Signal::Behind(reached) if reached <= last_sequence => {}
            Signal::Behind(_) | Signal::Missed => return,
            Signal::Events(events) => {
                if events.last().is_some_and(|event| event.event.is_final()) {
                    return;
                }
            }
        }
    }
}
