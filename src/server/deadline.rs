//! The deadline that a caller has set: when it is over, the work is dropped and the call is answered.
//!
//! tonic has a timer of its own for this, which answers CANCELLED and ends with the head of the answer: streams go on.
//! Ours is a little earlier, so that it is the one that answers, while the caller still listens.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code, Status};

use super::answer::refusal;
use crate::api::timeout;

/// By how much we are earlier than tonic; timers are exact to a millisecond.
const LEAD: Duration = Duration::from_millis(2);

/// The end of a call's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    /// What the caller asked for; `None` without a `grpc-timeout`, or with one that cannot be read, which tonic
    /// ignores too.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let timeout = timeout::of(headers.get("grpc-timeout")?.to_str().ok()?)?;
        Some(Self {
            at: Instant::now() + timeout.saturating_sub(LEAD),
            timeout,
        })
    }

    /// Waits for the head of the answer, but no longer than this.
    pub(super) async fn bound(
        self,
        call: impl Future<Output = http::Response<Body>>,
    ) -> http::Response<Body> {
        match tokio::time::timeout_at(self.at, call).await {
            Ok(response) => response.map(|body| {
                if body.is_end_stream() {
                    return body;
                }
                Body::new(BoundBody {
                    body: Some(body),
                    sleep: Box::pin(tokio::time::sleep_until(self.at)),
                    deadline: self,
                })
            }),
            Err(_) => self.exceeded().into_http(),
        }
    }

    fn exceeded(self) -> Status {
        let timeout = self.timeout.as_millis().to_string();
        refusal(
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            format!("the deadline of the call, {timeout} ms after its start, is over"),
            [("timeoutMillis", timeout)],
        )
    }
}

/// An answer that is cut off at the deadline, with a status.
struct BoundBody {
    body: Option<Body>,
    sleep: Pin<Box<Sleep>>,
    deadline: Deadline,
}

impl http_body::Body for BoundBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if self.sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.body = None;
        let mut trailers = HeaderMap::new();
        match self.deadline.exceeded().add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
