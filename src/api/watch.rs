//! `WatchRun`: first what the store has, then what the hub brings, joined by sequence.
//!
//! Each watch is a task that reads, and a short queue to its client. A client that is slow fills its queue; the task
//! then waits, misses signals of the hub, sees that by the sequence, and reads from the store at the client's own
//! speed. Nothing durable is lost, and nobody else is held up.

mod children;
mod cursor;
mod deltas;
mod departure;
mod outage;
pub(super) mod outlet;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::convert::event::{Setting, Show, event};
use super::convert::{MOST_BYTES, run, time};
use super::status::{Error, Result};
use crate::flow::graph::Graph;
use crate::hub::{Signal, Subscription};
use crate::ids::RunKey;
use crate::proto::watch_run_response::Message;
use crate::proto::{
    CaughtUp, ChildEvent, Heartbeat, RunSnapshot, StreamEnd, StreamEndReason, WatchRunResponse,
};
use crate::run::event::{Event, Recorded};
use crate::store::events::{self, Payloads};
use crate::store::runs::RunRow;
use children::Children;
use cursor::{Admitted, Cursor};
use deltas::Deltas;
use outlet::{Outlet, Unsent, outlet};

pub use departure::Departure;
pub use stream::{ExecuteStream, WatchStream};

/// How many events are read from the store at once, without payloads.
const PAGE: i64 = 200;

/// How many events are read at once with payloads, each of which may have 32 KiB: what a watch holds is bounded.
const PAGE_WITH_PAYLOADS: i64 = 16;

/// How long the end of a watch waits for word of children that have not ended.
const LINGER: Duration = Duration::from_secs(2);

/// How long it may take to find out whether a run that another replica owns is relayed.
const RELAY_PATIENCE: Duration = Duration::from_millis(500);

/// How a replay reads events.
fn page(with_payloads: bool) -> (Payloads, i64) {
    if with_payloads {
        (Payloads::Read, PAGE_WITH_PAYLOADS)
    } else {
        (Payloads::Left, PAGE)
    }
}

/// What a watch is to show.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a choice of its own that the caller makes"
)]
pub struct Options {
    /// Only events after this sequence.
    pub after: i64,
    /// The state of the run and its steps first.
    pub include_snapshot: bool,
    /// Payloads inside events.
    pub include_payloads: bool,
    /// Events of child runs too.
    pub include_children: bool,
    /// What steps show while they work.
    pub include_deltas: bool,
    /// Cancels the run if the client leaves before it ends.
    pub departure: Option<Departure>,
    /// Whether the place at the hub was taken before the first event.
    pub from_birth: bool,
}

/// Why a watch ends before its run does.
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

struct Watch {
    api: Api,
    key: RunKey,
    row: RunRow,
    graph: Arc<Graph>,
    options: Options,
    subscription: Subscription,
    cursor: Cursor,
    children: Option<Children>,
    deltas: Deltas,
    outlet: Outlet<WatchRunResponse>,
    draining: CancellationToken,
}

impl Api {
    /// Begins a watch of a run whose row was read after the place at the hub was taken.
    pub(super) async fn watch(
        &self,
        key: RunKey,
        row: RunRow,
        mut subscription: Subscription,
        options: Options,
    ) -> Result<WatchStream> {
        let drafts = subscription.take_drafts();
        if options.include_deltas {
            self.engine.hub().want_drafts(&key);
        }
        let graph = self
            .engine
            .graph(&key.namespace, row.flow_key, row.revision)
            .await?;
        let (outlet, messages) = outlet(self.settings.slow_watcher);
        let watch = Watch {
            api: self.clone(),
            key,
            row,
            graph,
            cursor: Cursor::after(options.after),
            children: options
                .include_children
                .then(|| Children::new(self.clone(), options.include_payloads)),
            deltas: Deltas::of(drafts.filter(|_| options.include_deltas)),
            options,
            subscription,
            outlet,
            draining: self.engine.draining(),
        };
        self.engine.watches().spawn(watch.run());
        Ok(messages)
    }
}

impl Watch {
    /// Watches to the end.
    async fn run(mut self) {
        let stop = self.follow().await;
        let left = matches!(stop, Err(Stop::Left));
        if let Some(departure) = self.options.departure.take()
            && !left
        {
            departure.stays();
        }
        if let Err(Stop::Because(error)) = stop {
            self.outlet.fail(error.into());
        }
    }

    /// Boxed is what few watches do: else all of them would carry its state.
    async fn follow(&mut self) -> Result<(), Stop> {
        if self.options.include_snapshot {
            let snapshot = Box::pin(self.outlast(|| self.snapshot())).await?;
            self.send(Message::Snapshot(snapshot)).await?;
        }
        if let (Some(children), true) = (&self.children, self.options.after > 0) {
            Box::pin(self.outlast(|| children.catch_up(&self.key))).await?;
        }
        // From birth on nothing has happened yet that the hub does not bring.
        let ended = !self.options.from_birth && Box::pin(self.replay()).await?;
        let is_final = self.row.state.is_final();
        let polling = !is_final && !self.api.engine.drives(&self.key) && !self.is_relayed().await;
        self.send(Message::CaughtUp(CaughtUp {
            sequence: self.cursor.last(),
            polling,
        }))
        .await?;
        if ended || (is_final && self.cursor.last() >= self.row.last_sequence) {
            return self.finish().await;
        }
        if !self.options.from_birth && self.cursor.last() < self.row.last_sequence {
            // Its events are gone, so it should be gone too.
            self.row().await?;
            let problem = format!("run {} has fewer events than its row says", self.key);
            return Err(Error::from(crate::store::Error::Corrupt(problem)).into());
        }
        self.live().await
    }

    /// Whether the process that drives the run tells this one what happens; that one drives it is known.
    async fn is_relayed(&mut self) -> bool {
        self.row.owner.is_some() && self.subscription.is_relayed(RELAY_PATIENCE).await
    }

    /// Sends what the hub brings until the run has ended.
    async fn live(&mut self) -> Result<(), Stop> {
        let heartbeat = self.api.settings.heartbeat;
        loop {
            // What was there before, or had no room, is no change. Events come first.
            if self.cursor.last() > 0 {
                self.deltas
                    .send(&self.outlet, self.cursor.last())
                    .map_err(|_| Stop::Left)?;
            }
            let silent_until = Instant::now() + heartbeat;
            let ended = tokio::select! {
                signal = self.subscription.next() => self.take_in(signal).await?,
                // They are sent at the beginning of the next turn.
                () = self.deltas.changed() => false,
                child = next_of(&mut self.children) => {
                    self.send(Message::ChildEvent(child)).await?;
                    false
                }
                () = tokio::time::sleep_until(silent_until) => {
                    let time = Some(time::timestamp(Utc::now()));
                    self.send(Message::Heartbeat(Heartbeat { time })).await?;
                    false
                }
                () = self.draining.cancelled() => return self.drain(),
                () = self.outlet.closed() => return Err(Stop::Left),
            };
            if ended {
                return self.finish().await;
            }
        }
    }

    /// Sends what a signal brings; says whether the run has ended.
    async fn take_in(&mut self, signal: Signal) -> Result<bool, Stop> {
        match signal {
            Signal::Events(batch) => match self.cursor.admit(&batch) {
                Admitted::Next(from) => self.send_events(&batch[from..]).await,
                Admitted::Old => Ok(false),
                Admitted::Gap => Box::pin(self.replay()).await,
            },
            Signal::Behind(reached) if reached <= self.cursor.last() => Ok(false),
            Signal::Behind(_) | Signal::Missed => Box::pin(self.replay()).await,
        }
    }

    /// Sends what the store has beyond the cursor; says whether the run has ended.
    async fn replay(&mut self) -> Result<bool, Stop> {
        let (payloads, rows) = page(self.options.include_payloads);
        loop {
            let page = self.outlast(|| self.page(rows, payloads)).await?;
            if page.is_empty() {
                return Ok(false);
            }
            if self.send_events(&page).await? {
                return Ok(true);
            }
        }
    }

    /// What the store has next beyond the cursor.
    async fn page(&self, rows: i64, payloads: Payloads) -> Result<Vec<Recorded>> {
        let mut conn = self.api.engine.store().conn().await?;
        Ok(events::page(&mut conn, &self.key, self.cursor.last(), rows, payloads).await?)
    }

    /// Sends events that follow the cursor; says whether the run has ended with them.
    async fn send_events(&mut self, events: &[Recorded]) -> Result<bool, Stop> {
        for recorded in events {
            let completed = if lacks_output(recorded) {
                let complete = || self.api.with_output(&self.key, recorded);
                Box::pin(self.outlast(complete)).await?
            } else {
                None
            };
            let recorded = completed.as_ref().unwrap_or(recorded);
            let show = if self.options.include_payloads {
                Show::Payloads
            } else {
                Show::References
            };
            let setting = Setting {
                revision: self.row.revision,
                graph: &self.graph,
            };
            let message = Message::Event(event(recorded, setting, show));
            if let Some(children) = &self.children {
                children.notice(&self.key, &recorded.event);
            }
            self.deltas
                .send_before(&recorded.event, &self.outlet, self.cursor.last())
                .map_err(|_| Stop::Left)?;
            self.send_at(recorded.sequence, message).await?;
            self.cursor.advance(recorded.sequence);
            if recorded.event.is_final() && self.is_last(recorded).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the run has ended with this event, and was not taken up again since (`RetryRun`).
    async fn is_last(&self, recorded: &Recorded) -> Result<bool, Stop> {
        if !matches!(recorded.event, Event::RunFailed(_)) {
            return Ok(true);
        }
        Ok(self.row().await?.last_sequence == recorded.sequence)
    }

    /// The run's row as it is now.
    async fn row(&self) -> Result<RunRow, Stop> {
        let read = || async { Ok(self.api.engine.row(&self.key).await?) };
        Box::pin(self.outlast(read)).await
    }

    async fn snapshot(&self) -> Result<RunSnapshot> {
        let view = self.api.engine.view(&self.key).await?;
        let (message, steps) = run::full(&view);
        let mut room = MOST_BYTES.saturating_sub(message.encoded_len());
        let mut fitting = Vec::with_capacity(steps.len());
        for step in steps {
            let Some(left) = room.checked_sub(step.encoded_len() + 16) else {
                break;
            };
            room = left;
            fitting.push(step);
        }
        Ok(RunSnapshot {
            run: Some(message),
            steps: fitting,
        })
    }

    async fn finish(&mut self) -> Result<(), Stop> {
        if let Some(mut children) = self.children.take() {
            // Those of a run that was cancelled may end a little later than it.
            while let Ok(Some(child)) = tokio::time::timeout(LINGER, children.last()).await {
                self.send(Message::ChildEvent(child)).await?;
            }
        }
        self.send(Message::End(StreamEnd {
            reason: StreamEndReason::Finished.into(),
        }))
        .await
    }

    /// Tells the client to go on elsewhere.
    fn drain(&self) -> Result<(), Stop> {
        let message = Some(Message::End(StreamEnd {
            reason: StreamEndReason::Draining.into(),
        }));
        // Where there is no room for it the status behind says the same.
        self.outlet
            .try_send(WatchRunResponse {
                sequence: self.cursor.last(),
                message,
            })
            .ok();
        Err(Error::Draining {
            sequence: self.cursor.last(),
        }
        .into())
    }

    async fn send(&self, message: Message) -> Result<(), Stop> {
        self.send_at(self.cursor.last(), message).await
    }

    /// Sends one message, for which a slow client has its time.
    async fn send_at(&self, sequence: i64, message: Message) -> Result<(), Stop> {
        let message = WatchRunResponse {
            sequence,
            message: Some(message),
        };
        tokio::select! {
            biased;
            sent = self.outlet.send(message) => sent.map_err(|unsent| match unsent {
                Unsent::Gone => Stop::Left,
                Unsent::TooSlow => Error::WatcherTooSlow {
                    seconds: self.api.settings.slow_watcher.as_secs(),
                    sequence: self.cursor.last(),
                }
                .into(),
            }),
            () = self.draining.cancelled() => self.drain(),
        }
    }
}

/// Whether it is the event that ends a run, without its output, which is shown in any case if a message can hold it.
fn lacks_output(recorded: &Recorded) -> bool {
    matches!(&recorded.event, Event::RunSucceeded(event)
        if recorded.payload.is_none() && event.output.size_bytes < MOST_BYTES as u64)
}

/// The next event of a child, if children are watched.
async fn next_of(children: &mut Option<Children>) -> ChildEvent {
    match children {
        Some(children) => children.next().await,
        None => std::future::pending().await,
    }
}

impl Api {
    /// The event that ends a run, with its output, which is shown in any case if a message can hold it; `None` for one
    /// that has all it needs.
    pub(super) async fn with_output(
        &self,
        key: &RunKey,
        recorded: &Recorded,
    ) -> Result<Option<Recorded>> {
        match &recorded.event {
            Event::RunSucceeded(event) if lacks_output(recorded) => {
                let text = self
                    .engine
                    .payload(key, recorded.sequence, &event.output)
                    .await?;
                Ok(Some(Recorded {
                    payload: Some(text),
                    ..recorded.clone()
                }))
            }
            _ => Ok(None),
        }
    }
}
