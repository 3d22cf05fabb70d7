//! The way out against real servers on loopback.

mod endings;
mod guard;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::test_server::{Reply, TestServer};
use super::{
    Answer, Cause, Delivery, Egress, Error, MAX_BODY_BYTES, Progress, Redirects, Request,
    Verification,
};

fn egress(policy: &str) -> Egress {
    Egress::new(policy.parse().unwrap()).unwrap()
}

fn get<T: AsRef<str>>(url: T) -> Request {
    Request {
        method: Method::GET,
        url: url.as_ref().parse().unwrap(),
        headers: HeaderMap::new(),
        body: None,
        redirects: Redirects::Follow,
        verification: Verification::Required,
        delivery: Delivery::Repeatable,
        deadline: Instant::now() + Duration::from_secs(20),
        cancelled: CancellationToken::new(),
    }
}

fn post<T: AsRef<str>>(url: T) -> Request {
    Request {
        method: Method::POST,
        body: Some(Bytes::from_static(b"payload")),
        delivery: Delivery::AtMostOnce,
        ..get(url)
    }
}

async fn send_open(request: Request) -> Result<Answer, Error> {
    egress("127.0.0.0/8").send(request).await
}

fn assert_blocked(outcome: Result<Answer, Error>, of: &str) {
    let error = outcome.unwrap_err();
    assert!(
        matches!(error.cause, Cause::Blocked { .. }),
        "{of}: {error}"
    );
}
