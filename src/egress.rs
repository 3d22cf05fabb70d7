//! The one way out to the network.
//!
//! Whoever writes a flow chooses where its requests go, so they go only where the [`Policy`] lets them: to the public
//! internet, and to what the operator opens. That is decided about addresses, never about names: the `resolver`
//! gives the HTTP client only addresses that were checked, an address in a URL is checked before the request, and
//! redirects are followed here, one request at a time, each of them checked like the first. No proxy is used, whatever
//! the environment says, because a proxy would resolve and connect unchecked.

mod body;
mod clients;
mod error;
mod exchange;
mod failure;
mod policy;
mod range;
mod redirect;
mod resolver;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use error::{Cause, Error, Progress};
pub use failure::cause_of;
pub use policy::{AllowRule, ParseError, Policy};

use body::Tracker;
use clients::Clients;

/// The longest body of an answer, in bytes, counted after decompression: 10 MiB.
pub const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// The most headers of an answer.
pub const MAX_HEADERS: usize = 100;
/// The most bytes of an answer's headers, names and values together.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The most redirects that are followed.
pub const MAX_REDIRECTS: usize = 10;
/// How long a name, a connection and a TLS session may take together; the exchange's deadline holds too.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle to the way out; cheap to clone.
#[derive(Clone)]
pub struct Egress {
    clients: Arc<Clients>,
    guard: Option<Guard>,
}

/// Says why a request must not go to a URL, for a reason of whoever sends it: what it carries is not for everybody.
pub type Guard = Arc<dyn Fn(&Url) -> Result<(), String> + Send + Sync>;

/// What to send, and how.
#[derive(Debug)]
pub struct Request {
    /// Any method.
    pub method: Method,
    /// With scheme `http` or `https`, and without a user.
    pub url: Url,
    /// As they are sent. Those marked sensitive are not repeated to another origin that a redirect leads to, nor are
    /// `Authorization`, `Cookie` and their like.
    pub headers: HeaderMap,
    /// Sent with its length.
    pub body: Option<Bytes>,
    /// Whether redirects are followed.
    pub redirects: Redirects,
    /// Whether the server must prove who it is.
    pub verification: Verification,
    /// What a second delivery would do.
    pub delivery: Delivery,
    /// When to give up: names, connections, redirects and the body included.
    pub deadline: Instant,
    /// Set when the answer is no longer wanted; the request is dropped at once.
    pub cancelled: CancellationToken,
}

/// Whether redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Up to [`MAX_REDIRECTS`].
    Follow,
    /// The redirect itself is the answer.
    Return,
}

/// Whether the server must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// By a certificate that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` count).
    Required,
    /// Any certificate will do, so whoever is on the path may read and change the exchange.
    Skipped,
}

/// What a second delivery of a request would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// No harm: connections are kept and used again, and HTTP/2 is spoken where the server does.
    Repeatable,
    /// Possibly harm. Each such request has a fresh HTTP/1.1 connection: there it is known to the byte whether
    /// something was sent, and no server closes an idle connection just while the request is on its way.
    AtMostOnce,
}

/// The answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Where it came from: the request's URL, or the last one that redirects led to.
    pub url: Url,
    /// The method of the last request: a redirect may have turned it into GET.
    pub method: Method,
    /// Redirects that were followed.
    pub redirects: usize,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, decompressed.
    pub body: Bytes,
}

impl Egress {
    /// Opens the way out. The system's trusted certificates are read once, here.
    ///
    /// # Errors
    ///
    /// [`Cause::Setup`] when the HTTP client cannot be built.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        let clients = Clients::new(policy).map_err(|cause| cause.at(Progress::Unsent))?;
        Ok(Self {
            clients: Arc::new(clients),
            guard: None,
        })
    }

    /// A way out to everywhere, for what the operator and not a flow's author has named.
    ///
    /// # Errors
    ///
    /// As [`Egress::new`].
    pub fn trusted() -> Result<Self, Error> {
        Self::new(Policy::everything())
    }

    /// The same way out for requests that the guard lets go, redirects included; the policy holds too.
    #[must_use]
    pub fn guarded(&self, guard: Guard) -> Self {
        Self {
            clients: Arc::clone(&self.clients),
            guard: Some(guard),
        }
    }

    /// The HTTP client for requests to this URL, for libraries that speak HTTP themselves: what the URL says is checked
    /// here, names when they are resolved. It follows no redirects, and knows neither deadlines nor bounds of answers.
    ///
    /// # Errors
    ///
    /// [`Cause::BadUrl`], [`Cause::Blocked`], [`Cause::Setup`].
    pub fn client(&self, url: &Url) -> Result<reqwest::Client, Error> {
        exchange::pass(self.guard.as_ref(), url)
            .and_then(|()| exchange::check(self.clients.policy(), url))
            .and_then(|port| {
                self.clients
                    .get(port, Verification::Required, Delivery::Repeatable)
            })
            .map_err(|cause| cause.at(Progress::Unsent))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// Nothing is sent twice, except that a [`Delivery::Repeatable`] request whose idle connection turns out to be
    /// closed, or that an HTTP/2 server declares unprocessed, goes out on another connection.
    ///
    /// # Errors
    ///
    /// Any [`Cause`], with how far the request had come.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let deadline = tokio::time::Instant::from_std(request.deadline);
        let cancelled = request.cancelled.clone();
        let tracker = Tracker::default();
        let exchange = exchange::run(&self.clients, self.guard.as_ref(), request, &tracker);
        tokio::pin!(exchange);

        let cause = tokio::select! {
            biased;
            () = cancelled.cancelled() => Cause::Cancelled,
            outcome = &mut exchange => match outcome {
                Ok(answer) => return Ok(answer),
                Err(cause) => cause,
            },
            () = tokio::time::sleep_until(deadline) => Cause::Timeout { host },
        };
        // Before the exchange is dropped: a body that goes with it would count as sent.
        Err(cause.at(tracker.progress()))
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}
