//! The span of a call, and one line in the log at its end. Neither has metadata or payloads in it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

/// A call that is going on. Its end is logged when it goes, however that comes about.
#[derive(Debug)]
pub(super) struct Call {
    span: Span,
    started: Instant,
    // Cancelled unless something else becomes known: then the caller has left.
    code: Code,
}

impl Call {
    /// Opens the span of a call to `path` (`/package.Service/Method`).
    pub(super) fn begin(path: &str) -> Self {
        let method = path.strip_prefix('/').unwrap_or(path);
        Self {
            span: tracing::info_span!("rpc", rpc.method = method),
            started: Instant::now(),
            code: Code::Cancelled,
        }
    }

    /// What runs inside the call.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Follows the answer to its end.
    pub(super) fn follow(mut self, response: http::Response<Body>) -> http::Response<Body> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            self.code = status.code();
            return response;
        }
        response.map(|body| Body::new(FollowedBody { body, call: self }))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        let duration_ms = self.started.elapsed().as_secs_f64() * 1_000.0;
        let rpc = format_args!("{:?}", self.code);
        match self.code {
            Code::Ok => tracing::debug!(rpc.code = rpc, duration_ms, "call answered"),
            Code::Cancelled
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => {
                tracing::info!(rpc.code = rpc, duration_ms, "call not answered as asked");
            }
            Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss => {
                tracing::warn!(rpc.code = rpc, duration_ms, "call failed");
            }
        }
    }
}

/// An answer that tells its call how it ended.
struct FollowedBody {
    body: Body,
    call: Call,
}

impl FollowedBody {
    fn learn(&mut self, trailers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(trailers) {
            self.call.code = status.code();
        }
    }
}

impl http_body::Body for FollowedBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let span = self.call.span();
        let _entered = span.enter();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.learn(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
