//! A service that does not answer, answers without an end, or panics, by the name of the method.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::StreamBody;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use tower::Service;

/// What a call to the service has come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Slow {
    begun: CancellationToken,
    dropped: CancellationToken,
}

impl Slow {
    /// Waits until a call has begun.
    pub(super) async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until the work of a call was dropped.
    pub(super) async fn dropped(&self) {
        self.dropped.cancelled().await;
    }
}

impl NamedService for Slow {
    const NAME: &'static str = "test.Slow";
}

impl Service<Request<Body>> for Slow {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let slow = self.clone();
        Box::pin(async move {
            let _dropped = slow.dropped.drop_guard();
            slow.begun.cancel();
            match request.uri().path() {
                "/test.Slow/Unary" => std::future::pending().await,
                "/test.Slow/Stream" => {
                    let endless = futures_util::stream::pending::<Result<_, Status>>();
                    let mut response = Response::new(Body::new(StreamBody::new(endless)));
                    let kind = "application/grpc".parse().unwrap();
                    response.headers_mut().insert("content-type", kind);
                    Ok(response)
                }
                other => panic!("{other} is a test of panics"),
            }
        })
    }
}

/// Calls a method of the service.
pub(super) async fn call(
    channel: Channel,
    method: &str,
    request: tonic::Request<()>,
) -> Result<(), Status> {
    send(channel, &format!("/test.Slow/{method}"), request).await
}

/// Calls any method with any message.
pub(super) async fn send<M: prost::Message + 'static>(
    channel: Channel,
    path: &str,
    request: tonic::Request<M>,
) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = ProstCodec::<M, ()>::default();
    let path = path.parse().unwrap();
    let answer = client.unary(request, path, codec).await;
    answer.map(tonic::Response::into_inner)
}
