//! Bodies: of requests, which tell whether they were sent, and of answers, which have a limit.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{MAX_BODY_BYTES, Progress};

/// Keeps how far a request has come; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracker(Arc<AtomicU16>);

impl Tracker {
    const UNSENT: u16 = 0;
    const MAYBE_SENT: u16 = 1;

    pub(super) fn progress(&self) -> Progress {
        match self.0.load(Ordering::Acquire) {
            Self::UNSENT => Progress::Unsent,
            Self::MAYBE_SENT => Progress::MaybeSent,
            status => Progress::Answered(status),
        }
    }

    pub(super) fn set(&self, progress: Progress) {
        let value = match progress {
            Progress::Unsent => Self::UNSENT,
            Progress::MaybeSent => Self::MAYBE_SENT,
            Progress::Answered(status) => status,
        };
        self.0.store(value, Ordering::Release);
    }

    /// Notes that something may have been sent now. What has come already stays noted.
    fn touch(&self) {
        if self.progress() == Progress::Unsent {
            self.set(Progress::MaybeSent);
        }
    }
}

/// A request's body that notes when it is first touched.
///
/// Over HTTP/1.1 the client takes the body into its hands before it gives the first byte of the head to the
/// connection, and not before there is a connection: it polls the body, or drops it if it is empty. So a body that is
/// untouched proves that nothing was sent. (Over HTTP/2 it would prove nothing: there the head goes first.)
pub(super) struct TrackedBody {
    left: Option<Bytes>,
    tracker: Tracker,
}

impl TrackedBody {
    pub(super) fn new(bytes: Bytes, tracker: Tracker) -> Self {
        Self {
            left: (!bytes.is_empty()).then_some(bytes),
            tracker,
        }
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.tracker.touch();
        Poll::Ready(self.left.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.tracker.touch();
    }
}

/// Why a body could not be read.
pub(super) enum ReadError {
    /// The connection or the compression broke.
    Broken(reqwest::Error),
    /// It is longer than [`MAX_BODY_BYTES`].
    TooLarge,
}

/// Reads an answer's body to its end, as long as it keeps to its limit.
pub(super) async fn read(mut response: reqwest::Response) -> Result<Bytes, ReadError> {
    // Known only where the body is not compressed.
    let announced = response.content_length().unwrap_or(0);
    if announced > MAX_BODY_BYTES as u64 {
        return Err(ReadError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Broken)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
