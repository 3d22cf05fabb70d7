//! What a watch sends, on its way to a client that may read slowly: bounded in bytes, and able to end with an error
//! even when it is full.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::Status;

/// How many KiB of messages wait for the client; each counts as 1 at least.
const ROOM: u32 = 256;

/// A way to a client: where a watch puts its messages, and the stream that they come out of.
pub(in crate::api) fn outlet<M: Message>(slow_after: Duration) -> (Outlet<M>, Messages<M>) {
    // The semaphore bounds it.
    let (sender, receiver) = mpsc::unbounded_channel();
    let (end, verdict) = oneshot::channel();
    let outlet = Outlet {
        sender,
        room: Arc::new(Semaphore::new(ROOM as usize)),
        end,
        slow_after,
    };
    let messages = Messages {
        receiver,
        verdict: Some(verdict),
    };
    (outlet, messages)
}

/// Where a watch puts its messages. Dropped, it ends the stream in order.
#[derive(Debug)]
pub(in crate::api) struct Outlet<M> {
    sender: mpsc::UnboundedSender<(M, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    end: oneshot::Sender<Status>,
    slow_after: Duration,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Unsent {
    /// The client has left.
    Gone,
    /// The client has read nothing for too long.
    TooSlow,
}

impl<M: Message> Outlet<M> {
    /// Sends a message as soon as there is room.
    pub(in crate::api) async fn send(&self, message: M) -> Result<(), Unsent> {
        let weight = weight(&message);
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(weight) {
            return self.put(message, permit);
        }
        let room = Arc::clone(&self.room).acquire_many_owned(weight);
        let permit = tokio::select! {
            biased;
            () = self.sender.closed() => return Err(Unsent::Gone),
            permit = tokio::time::timeout(self.slow_after, room) => permit,
        };
        let permit = permit
            .map_err(|_| Unsent::TooSlow)?
            .expect("the semaphore is never closed");
        self.put(message, permit)
    }

    fn put(&self, message: M, permit: OwnedSemaphorePermit) -> Result<(), Unsent> {
        self.sender
            .send((message, permit))
            .map_err(|_| Unsent::Gone)
    }

    /// Sends a message if there is room for it now.
    pub(in crate::api) fn try_send(&self, message: M) -> Result<(), Unsent> {
        if self.sender.is_closed() {
            return Err(Unsent::Gone);
        }
        let room = Arc::clone(&self.room);
        let permit = room
            .try_acquire_many_owned(weight(&message))
            .map_err(|_| Unsent::TooSlow)?;
        self.put(message, permit)
    }

    /// Resolves when the client has left.
    pub(in crate::api) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Ends the stream with an error, after the messages that wait.
    pub(in crate::api) fn fail(self, status: Status) {
        // A client that has left misses nothing.
        self.end.send(status).ok();
    }
}

/// The KiB that a message takes; never more than there are.
fn weight(message: &impl Message) -> u32 {
    let kib = u32::try_from(message.encoded_len() / 1_024).unwrap_or(ROOM);
    kib.clamp(1, ROOM)
}

/// The messages as the client reads them, and the error at their end, if there is one.
#[derive(Debug)]
pub struct Messages<M> {
    receiver: mpsc::UnboundedReceiver<(M, OwnedSemaphorePermit)>,
    verdict: Option<oneshot::Receiver<Status>>,
}

impl<M> Stream for Messages<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.receiver.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            // What was read makes room.
            Poll::Ready(Some((message, _permit))) => Poll::Ready(Some(Ok(message))),
            Poll::Ready(None) => {
                let verdict = self.verdict.take().and_then(|mut end| end.try_recv().ok());
                Poll::Ready(verdict.map(Err))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    const SLOW: Duration = Duration::from_millis(50);

    fn message(bytes: usize) -> prost_types::FieldMask {
        prost_types::FieldMask {
            paths: vec!["x".repeat(bytes)],
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_told_so_after_what_was_sent() {
        let (outlet, messages) = outlet(SLOW);
        let mut sent = 0;
        let unsent = loop {
            match outlet.send(message(10)).await {
                Ok(()) => sent += 1,
                Err(unsent) => break unsent,
            }
        };
        outlet.fail(Status::resource_exhausted("too slow"));

        let read: Vec<_> = messages.collect().await;

        assert_eq!((unsent, sent), (Unsent::TooSlow, ROOM as usize));
        assert_eq!(read.len(), sent + 1);
        assert!(read[..sent].iter().all(Result::is_ok));
        assert!(read[sent].is_err());
    }

    #[tokio::test]
    async fn a_message_larger_than_the_room_passes_when_it_is_empty() {
        let (outlet, mut messages) = outlet(SLOW);

        outlet.send(message(3 << 20)).await.expect("there is room");
        assert_eq!(outlet.send(message(1)).await, Err(Unsent::TooSlow));
        messages
            .next()
            .await
            .expect("it was sent")
            .expect("no error");

        outlet.send(message(1)).await.expect("there is room again");
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_at_once() {
        let (outlet, messages) = outlet(SLOW);
        drop(messages);

        outlet.closed().await;
        assert_eq!(outlet.send(message(1)).await, Err(Unsent::Gone));
    }
}
