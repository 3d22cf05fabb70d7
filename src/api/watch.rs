//! `WatchRun`: first what the store has, then what the hub brings, joined by sequence.
//!
//! Each watch is a task that reads, and a short queue to its client. A client that is slow fills its queue; the task
//! then waits, misses signals of the hub, sees that by the sequence, and reads from the store at the client's own
//! speed. Nothing durable is lost, and nobody else is held up.

mod cursor;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Api;
use super::convert::event::{Setting, Show, event};
use super::convert::{MOST_BYTES, run, time};
use super::status::{Error, Result};
use crate::flow::graph::Graph;
use crate::hub::{Signal, Subscription};
use crate::ids::RunKey;
use crate::proto::watch_run_response::Message;
use crate::proto::{CaughtUp, Heartbeat, RunSnapshot, StreamEnd, StreamEndReason, WatchRunResponse};
use crate::run::event::{Event, Recorded};
use crate::store::events::{self, Payloads};
use crate::store::runs::RunRow;
use cursor::{Admitted, Cursor};

pub use stream::{ExecuteStream, WatchStream};

/// How many messages wait for a client that does not read.
const QUEUE: usize = 16;

/// How many events are read from the store at once.
const PAGE: i64 = 200;

/// How long attempts in flight may go on when a client leaves that wanted its run cancelled then.
const GRACE: Duration = Duration::from_secs(10);

/// What a watch is to show.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Only events after this sequence.
    pub after: i64,
    /// The state of the run and its steps first.
    pub include_snapshot: bool,
    /// Payloads inside events.
    pub include_payloads: bool,
    /// Cancels the run if the client leaves before it ends.
    pub cancel_on_disconnect: bool,
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
    queue: mpsc::Sender<WatchRunResponse>,
    draining: CancellationToken,
}

impl Api {
    /// Begins a watch of a run whose row was read after the place at the hub was taken.
    pub(super) async fn watch(
        &self,
        key: RunKey,
        row: RunRow,
        subscription: Subscription,
        options: Options,
    ) -> Result<WatchStream> {
        let graph = self.engine.graph(&key.namespace, row.flow_key, row.revision).await?;
        let (queue, messages) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel::<Status>();
        let watch = Watch {
            api: self.clone(),
            key,
            row,
            graph,
            options,
            subscription,
            cursor: Cursor::after(options.after),
            queue,
            draining: self.engine.draining(),
        };
        tokio::spawn(async move {
            if let Some(error) = watch.run().await {
                // An error says that the client has left meanwhile.
                end.send(error.into()).ok();
            }
        });
        Ok(WatchStream::new(messages, ended))
    }
}

impl Watch {
    /// Watches to the end; gives why it had to stop before.
    async fn run(mut self) -> Option<Error> {
        match self.follow().await {
            Ok(()) => None,
            Err(Stop::Because(error)) => Some(error),
            Err(Stop::Left) => {
                if self.options.cancel_on_disconnect {
                    let reason = "the client that executed it has left".to_owned();
                    if let Err(error) = self.api.engine.cancel(&self.key, reason, GRACE).await {
                        tracing::debug!(error = &error as &dyn std::error::Error, run.id = %self.key, "not cancelled");
                    }
                }
                None
            }
        }
    }

    async fn follow(&mut self) -> Result<(), Stop> {
        if self.options.include_snapshot {
            let snapshot = self.snapshot().await?;
            self.send(Message::Snapshot(snapshot)).await?;
        }
        // From birth on nothing has happened yet that the hub does not bring.
        if !self.options.from_birth && self.replay().await? {
            return self.finish().await;
        }
        let is_final = self.row.state.is_final();
        let polling = !is_final && !self.api.engine.drives(&self.key);
        self.send(Message::CaughtUp(CaughtUp { sequence: self.cursor.last(), polling })).await?;
        if is_final && self.cursor.last() >= self.row.last_sequence {
            return self.finish().await;
        }
        self.live().await
    }

    /// Sends what the hub brings until the run has ended.
    async fn live(&mut self) -> Result<(), Stop> {
        let heartbeat = self.api.settings.heartbeat;
        loop {
            let silent_until = Instant::now() + heartbeat;
            let ended = tokio::select! {
                signal = self.subscription.next() => self.take_in(signal).await?,
                () = tokio::time::sleep_until(silent_until) => {
                    let time = Some(time::timestamp(Utc::now()));
                    self.send(Message::Heartbeat(Heartbeat { time })).await?;
                    false
                }
                () = self.draining.cancelled() => return self.drain().await,
                () = self.queue.closed() => return Err(Stop::Left),
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
                Admitted::Gap => self.replay().await,
            },
            Signal::Behind(reached) if reached <= self.cursor.last() => Ok(false),
            Signal::Behind(_) | Signal::Missed => self.replay().await,
        }
    }

    /// Sends what the store has beyond the cursor; says whether the run has ended.
    async fn replay(&mut self) -> Result<bool, Stop> {
        let payloads = if self.options.include_payloads { Payloads::Read } else { Payloads::Left };
        loop {
            let page = async {
                let mut conn = self.api.engine.store().conn().await?;
                events::page(&mut conn, &self.key, self.cursor.last(), PAGE, payloads).await
            };
            let page = page.await.map_err(Error::from)?;
            if page.is_empty() {
                return Ok(false);
            }
            if self.send_events(&page).await? {
                return Ok(true);
            }
        }
    }

    /// Sends events that follow the cursor; says whether the run has ended with them.
    async fn send_events(&mut self, events: &[Recorded]) -> Result<bool, Stop> {
        for recorded in events {
            let completed = self.with_output(recorded).await?;
            let recorded = completed.as_ref().unwrap_or(recorded);
            let show = if self.options.include_payloads { Show::Payloads } else { Show::References };
            let setting = Setting { revision: self.row.revision, graph: &self.graph };
            self.cursor.advance(recorded.sequence);
            self.send(Message::Event(event(recorded, setting, show))).await?;
            if recorded.event.is_final() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The event that ends the run, with its output, which is shown in any case if a message can hold it.
    async fn with_output(&self, recorded: &Recorded) -> Result<Option<Recorded>> {
        match &recorded.event {
            Event::RunSucceeded(event) if recorded.payload.is_none() && event.output.size_bytes < MOST_BYTES as u64 => {
                let text = self.api.engine.payload(&self.key, recorded.sequence, &event.output).await?;
                Ok(Some(Recorded { payload: Some(text), ..recorded.clone() }))
            }
            _ => Ok(None),
        }
    }

    async fn snapshot(&self) -> Result<RunSnapshot> {
        let view = self.api.engine.view(&self.key).await?;
        let (message, steps) = run::full(&view);
        let mut room = MOST_BYTES.saturating_sub(message.encoded_len());
        let mut fitting = Vec::with_capacity(steps.len());
        for step in steps {
            let Some(left) = room.checked_sub(step.encoded_len() + 16) else { break };
            room = left;
            fitting.push(step);
        }
        Ok(RunSnapshot { run: Some(message), steps: fitting })
    }

    async fn finish(&self) -> Result<(), Stop> {
        self.send(Message::End(StreamEnd { reason: StreamEndReason::Finished.into() })).await
    }

    /// Tells the client to go on elsewhere.
    async fn drain(&self) -> Result<(), Stop> {
        self.send(Message::End(StreamEnd { reason: StreamEndReason::Draining.into() })).await?;
        Err(Error::Draining { sequence: self.cursor.last() }.into())
    }

    /// Sends one message, for which a slow client has its time.
    async fn send(&self, message: Message) -> Result<(), Stop> {
        let bound = self.api.settings.slow_watcher;
        let sequence = self.cursor.last();
        let message = WatchRunResponse { sequence, message: Some(message) };
        match self.queue.send_timeout(message, bound).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Stop::Left),
            Err(mpsc::error::SendTimeoutError::Timeout(unsent)) => {
                // The last message was not sent, so an event in it is still to come.
                let sequence = match unsent.message {
                    Some(Message::Event(_)) => sequence - 1,
                    _ => sequence,
                };
                Err(Error::WatcherTooSlow { seconds: bound.as_secs(), sequence }.into())
            }
        }
    }
}
