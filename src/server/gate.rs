//! The routes of the server, of which health and reflection are there at once and the services come later.
//!
//! So a starting process answers who asks for its health, and tells everybody else to come back.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use http::{Request, Response};
use tokio::sync::watch;
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Service, ServiceExt};
use tracing::Instrument;

use super::answer::refusal;
use super::bare_errors::explained;
use super::deadline::Deadline;
use super::outage;
use super::rpc_span::Call;

/// What the services of gRPC itself have in common.
const BUILT_IN: &str = "/grpc.";

/// The routes, and what holds for a call to any of them: its span, its deadline, the form of its errors.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    built_in: Routes,
    services: OnceLock<Services>,
}

/// The services, and whether there is the database that they need.
#[derive(Clone, Debug)]
struct Services {
    routes: Routes,
    database: watch::Receiver<bool>,
}

impl Gate {
    /// A gate through which only the built-in services are reached for now.
    pub(super) fn new(built_in: Routes) -> Self {
        let built_in = built_in.prepare();
        let services = OnceLock::new();
        Self {
            parts: Arc::new(Parts { built_in, services }),
        }
    }

    /// Lets everybody through to `services`. Only the first call counts.
    pub(super) fn open(&self, services: Routes, database: watch::Receiver<bool>) {
        self.parts.services.get_or_init(|| Services {
            routes: services.prepare(),
            database,
        });
    }

    fn route(&self, path: &str) -> Option<(Routes, Option<watch::Receiver<bool>>)> {
        if path.starts_with(BUILT_IN) {
            return Some((self.parts.built_in.clone(), None));
        }
        let services = self.parts.services.get()?.clone();
        Some((services.routes, Some(services.database)))
    }
}

impl Service<Request<Body>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let routes = self.route(&path);
        let deadline = Deadline::of(request.headers());
        let call = Call::begin(&path);
        let span = call.span();
        let answer = async move {
            let Some((routes, database)) = routes else {
                return Ok(call.follow(starting().into_http()));
            };
            let answer = unharmed(routes.oneshot(request));
            let answer = async {
                match database {
                    Some(database) => outage::answered(&path, database, answer).await,
                    None => answer.await,
                }
            };
            let response = match deadline {
                Some(deadline) => deadline.bound(answer).await,
                None => answer.await,
            };
            Ok(call.follow(explained(&path, response)))
        };
        Box::pin(answer.instrument(span))
    }
}

fn starting() -> tonic::Status {
    refusal(
        Code::Unavailable,
        "STARTING",
        "the service is starting; try again in a second",
        [],
    )
}

/// Answers for a service that panics: a bug then costs one call its answer.
async fn unharmed(
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Response<Body> {
    // What a panic leaves behind is as in any task of tokio that panics: locks are poisoned, nothing else is shared.
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(_) => {
            tracing::error!("a service panicked");
            refusal(Code::Internal, "INTERNAL", "internal error", []).into_http()
        }
    }
}
