//! `WatchRuns`: the states of many runs, first as they are, then as they change.
//!
//! A watch takes its place among those who are told of changes, then reads which runs are open, and leaves out what it
//! is told of changes that it has read. It remembers each open run that it has sent, so that the end of none is passed
//! over. One that is too slow for what it is told reads again which runs are open and sends what is other than before.

mod tracked;

use std::collections::HashMap;

use chrono::Utc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::checks::Checks;
use super::convert::{run, time};
use super::runs::lists;
use super::status::{Error, Result};
use super::watch::outlet::{Messages, Outlet, Unsent, outlet};
use crate::engine;
use crate::engine::changes::Batch;
use crate::hub::Place;
use crate::ids::{FlowId, Namespace, RunId};
use crate::proto::watch_runs_response::Message;
use crate::proto::{
    self, Heartbeat, ListRunsRequest, RunChange, RunChangeKind, RunsCaughtUp, StreamEnd,
    StreamEndReason, WatchRunsRequest, WatchRunsResponse,
};
use crate::store::changes::{self, Snapshot, Wanted};
use crate::store::{self, flows, runs};
use tracked::{Tracked, Verdict};

/// The most open runs that one watch follows.
const MOST_RUNS: usize = 10_000;
/// How many runs are read at once.
const PAGE: usize = 500;

/// The messages of a watch of many runs.
pub type RunsStream = Messages<WatchRunsResponse>;

/// Why a watch ends.
enum Stop {
    /// The client has left.
    Left,
    /// The client is told why.
    Because(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Because(error)
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Because(error.into())
    }
}

struct Watch {
    api: Api,
    namespace: Namespace,
    tracked: Tracked,
    changes: broadcast::Receiver<Batch>,
    /// Whose changes were read, so that the client need not be told of them.
    seen: Snapshot,
    outlet: Outlet<WatchRunsResponse>,
    last_sent: Instant,
    draining: CancellationToken,
    /// Counts this watch among all.
    _place: Place,
}

impl Api {
    /// Begins a watch of the runs of the namespace that the request wants.
    pub(super) async fn watch_runs_from(
        &self,
        namespace: Namespace,
        request: WatchRunsRequest,
    ) -> Result<RunsStream> {
        let wanted = self.wanted(&namespace, request).await?;
        let place = self
            .engine
            .hub()
            .take_place()
            .map_err(engine::Error::from)?;
        // A place first: what is committed after the runs were read is told.
        let changes = self.engine.changes(&namespace).await?;
        let (seen, open) = self.open_runs(&namespace, &wanted).await?;
        let (outlet, messages) = outlet(self.settings.slow_watcher);
        let watch = Watch {
            api: self.clone(),
            namespace,
            tracked: Tracked::new(wanted, MOST_RUNS),
            changes,
            seen,
            outlet,
            last_sent: Instant::now(),
            draining: self.engine.draining(),
            _place: place,
        };
        self.engine.watches().spawn(watch.run(open));
        Ok(messages)
    }

    async fn wanted(&self, namespace: &Namespace, request: WatchRunsRequest) -> Result<Wanted> {
        let listed = ListRunsRequest {
            flow_id: request.flow_id,
            states: request.states,
            labels: request.labels,
            ..ListRunsRequest::default()
        };
        let mut checks = Checks::default();
        let filter = lists::filter(&listed, &mut checks);
        checks.finish()?;
        let mut wanted = Wanted {
            flow_key: None,
            states: filter.states,
            labels: filter.labels,
        };
        if !listed.flow_id.is_empty() {
            let flow_id = FlowId::from(listed.flow_id);
            let mut conn = self.engine.store().conn().await?;
            let found = flows::find_latest(&mut conn, namespace, &flow_id).await?;
            let (flow_key, _) = found.ok_or(store::Error::FlowNotFound(flow_id))?;
            wanted.flow_key = Some(flow_key);
        }
        Ok(wanted)
    }

    async fn open_runs(
        &self,
        namespace: &Namespace,
        wanted: &Wanted,
    ) -> Result<(Snapshot, Vec<RunId>)> {
        let mut conn = self.engine.store().conn().await?;
        let (seen, open) = changes::open(&mut conn, namespace, wanted, MOST_RUNS + 1).await?;
        if open.len() > MOST_RUNS {
            return Err(Error::TooManyRuns { limit: MOST_RUNS });
        }
        Ok((seen, open))
    }
}

impl Watch {
    /// Watches until the client leaves or has to be sent away.
    async fn run(mut self, open: Vec<RunId>) {
        if let Err(Stop::Because(error)) = self.follow(open).await {
            self.outlet.fail(error.into());
        }
    }

    async fn follow(&mut self, open: Vec<RunId>) -> Result<(), Stop> {
        let runs = self.send_found(&open).await?;
        let runs = i32::try_from(runs).unwrap_or(i32::MAX);
        self.send(Message::CaughtUp(RunsCaughtUp { runs })).await?;
        let heartbeat = self.api.settings.heartbeat;
        let mut review_at = Instant::now() + heartbeat;
        loop {
            tokio::select! {
                // What was told of a run goes before the finding that it is gone.
                biased;
                () = self.draining.cancelled() => return self.drain(),
                () = self.outlet.closed() => return Err(Stop::Left),
                told = self.changes.recv() => match told {
                    Ok(batch) => self.take_in(batch).await?,
                    Err(RecvError::Lagged(_)) => self.catch_up().await?,
                    // There is a sender as long as there is a receiver.
                    Err(RecvError::Closed) => return self.drain(),
                },
                () = tokio::time::sleep_until(review_at) => {
                    match self.review().await {
                        // What is gone is found by the next one as well.
                        Err(Stop::Because(error)) if error.is_outage() => {}
                        reviewed => reviewed?,
                    }
                    review_at = Instant::now() + heartbeat;
                }
                () = tokio::time::sleep_until(self.last_sent + heartbeat) => {
                    let time = Some(time::timestamp(Utc::now()));
                    self.send(Message::Heartbeat(Heartbeat { time })).await?;
                }
            }
        }
    }

    /// Sends what has changed, of each run the last that is known.
    async fn take_in(&mut self, batch: Batch) -> Result<(), Stop> {
        let mut batches = vec![batch];
        loop {
            match self.changes.try_recv() {
                Ok(batch) => batches.push(batch),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => {
                    return self.catch_up().await;
                }
            }
        }
        for (batch, at) in latest(&batches) {
            let changed = &batches[batch][at];
            if !self.seen.has_seen(changed.changed_in) {
                let verdict = self.tracked.changed(&changed.row);
                self.tell(verdict, &changed.row).await?;
            }
        }
        Ok(())
    }

    /// Reads how things are after changes were missed, and sends what is other than before.
    async fn catch_up(&mut self) -> Result<(), Stop> {
        let wanted = self.tracked.wanted();
        let (seen, open) = self.api.open_runs(&self.namespace, wanted).await?;
        let gone = self.tracked.all_but(&open);
        self.seen = seen;
        self.send_found(&open).await?;
        self.send_found(&gone).await?;
        Ok(())
    }

    /// Sends those of these runs that are other than what was sent last; says how many those are.
    ///
    /// Those that have changed since they were seen are left to what is told of changes.
    async fn send_found(&mut self, found: &[RunId]) -> Result<usize, Stop> {
        let mut sent = 0;
        for page in found.chunks(PAGE) {
            let mut rows = {
                let mut conn = self.api.engine.store().conn().await?;
                runs::seen(&mut conn, &self.namespace, page, &self.seen).await?
            };
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.run_id));
            for row in &rows {
                let verdict = self.tracked.found(row);
                sent += usize::from(self.tell(verdict, row).await?);
            }
        }
        Ok(sent)
    }

    /// Looks for runs that were deleted before their end was told.
    async fn review(&mut self) -> Result<(), Stop> {
        let mut missing = Vec::new();
        let all = self.tracked.all_but(&[]);
        for page in all.chunks(PAGE) {
            let mut conn = self.api.engine.store().conn().await?;
            let there = changes::existing(&mut conn, &self.namespace, page).await?;
            let there: std::collections::HashSet<RunId> = there.into_iter().collect();
            missing.extend(page.iter().copied().filter(|run| !there.contains(run)));
        }
        for run in self.tracked.missing(missing) {
            let run = proto::Run {
                run_id: run.to_string(),
                ..proto::Run::default()
            };
            self.send_change(run, RunChangeKind::Deleted).await?;
        }
        Ok(())
    }

    /// Sends a run if there is something to tell of it; says whether there was.
    async fn tell(&mut self, verdict: Verdict, row: &runs::RunRow) -> Result<bool, Stop> {
        let kind = match verdict {
            Verdict::Nothing => return Ok(false),
            Verdict::Current => RunChangeKind::Current,
            Verdict::Left => RunChangeKind::Left,
            Verdict::TooMany => return Err(Error::TooManyRuns { limit: MOST_RUNS }.into()),
        };
        self.send_change(run::basic(row), kind).await?;
        Ok(true)
    }

    async fn send_change(&mut self, run: proto::Run, kind: RunChangeKind) -> Result<(), Stop> {
        let change = RunChange {
            run: Some(run),
            kind: kind.into(),
        };
        self.send(Message::Change(change)).await
    }

    /// Sends one message, for which a slow client has its time.
    async fn send(&mut self, message: Message) -> Result<(), Stop> {
        let message = WatchRunsResponse {
            message: Some(message),
        };
        tokio::select! {
            biased;
            sent = self.outlet.send(message) => sent.map_err(|unsent| match unsent {
                Unsent::Gone => Stop::Left,
                Unsent::TooSlow => Error::RunsWatcherTooSlow {
                    seconds: self.api.settings.slow_watcher.as_secs(),
                }
                .into(),
            })?,
            () = self.draining.cancelled() => return self.drain(),
        }
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Tells the client to go on elsewhere.
    fn drain(&self) -> Result<(), Stop> {
        let end = StreamEnd {
            reason: StreamEndReason::Draining.into(),
        };
        // Where there is no room for it the status behind says the same.
        self.outlet
            .try_send(WatchRunsResponse {
                message: Some(Message::End(end)),
            })
            .ok();
        Err(Stop::Because(engine::Error::Draining.into()))
    }
}

/// The place of each run's last change, by batch and within it, in order.
fn latest(batches: &[Batch]) -> Vec<(usize, usize)> {
    let mut last: HashMap<RunId, (usize, usize)> = HashMap::new();
    for (batch, changes) in batches.iter().enumerate() {
        for (at, changed) in changes.iter().enumerate() {
            last.insert(changed.row.run_id, (batch, at));
        }
    }
    let mut places: Vec<(usize, usize)> = last.into_values().collect();
    places.sort_unstable();
    places
}
