//! What a client of `ExecuteRun` reads: what was started, then the messages of its watch.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::Status;

use super::outlet::Messages;
use crate::proto::execute_run_response::Message as Executed;
use crate::proto::watch_run_response::Message as Watched;
use crate::proto::{ExecuteRunResponse, RunStarted, WatchRunResponse};

/// The messages of a watch.
pub type WatchStream = Messages<WatchRunResponse>;

/// The messages of a watch behind the one that says what was started.
#[derive(Debug)]
pub struct ExecuteStream {
    first: Option<RunStarted>,
    watch: WatchStream,
}

impl ExecuteStream {
    pub(in crate::api) fn new(first: RunStarted, watch: WatchStream) -> Self {
        Self {
            first: Some(first),
            watch,
        }
    }
}

impl Stream for ExecuteStream {
    type Item = Result<ExecuteRunResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            let message = Some(Executed::RunStarted(first));
            return Poll::Ready(Some(Ok(ExecuteRunResponse {
                sequence: 0,
                message,
            })));
        }
        Pin::new(&mut self.watch)
            .poll_next(context)
            .map(|next| next.map(|item| item.map(executed)))
    }
}

fn executed(watched: WatchRunResponse) -> ExecuteRunResponse {
    let message = watched.message.map(|message| match message {
        Watched::Snapshot(snapshot) => Executed::Snapshot(snapshot),
        Watched::Event(event) => Executed::Event(event),
        Watched::Delta(delta) => Executed::Delta(delta),
        Watched::CaughtUp(caught_up) => Executed::CaughtUp(caught_up),
        Watched::Heartbeat(heartbeat) => Executed::Heartbeat(heartbeat),
        Watched::End(end) => Executed::End(end),
        Watched::ChildEvent(event) => Executed::ChildEvent(event),
    });
    ExecuteRunResponse {
        sequence: watched.sequence,
        message,
    }
}
