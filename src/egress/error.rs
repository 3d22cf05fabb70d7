//! Why a request got no answer, and how far it came.

/// Why a request got no answer that can be used, and what that says about the world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Error {
    /// What went wrong.
    pub cause: Cause,
    /// How far the request had come by then.
    pub progress: Progress,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Provably not a byte of it has left.
    Unsent,
    /// Some or all of it may have reached the server, and no answer came.
    MaybeSent,
    /// The head of an answer with this status came. If it was a redirect, the request that it asked for may have been
    /// sent too.
    Answered(u16),
}

/// What went wrong. No text of these holds a resolved address, a query, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The URL cannot be requested, whoever asks.
    #[error("the URL cannot be requested: {0}")]
    BadUrl(String),
    /// The policy does not let requests go there.
    #[error("requests to {host} are not allowed: {why}")]
    Blocked {
        /// The host, as the URL names it.
        host: String,
        /// In words; for a name it does not tell which address it has.
        why: String,
    },
    /// Who sends the request does not let what it carries go there.
    #[error("{0}")]
    Withheld(String),
    /// The host's name has no address.
    #[error("the name {host} could not be resolved")]
    Unresolved {
        /// The name.
        host: String,
    },
    /// No connection came about, or not within [`super::CONNECT_TIMEOUT`].
    #[error("no connection to {host}: {why}")]
    Unreachable {
        /// The host, as the URL names it.
        host: String,
        /// In words.
        why: String,
    },
    /// The host did not prove who it is, or speaks no TLS that this service speaks.
    #[error("no TLS session with {host}: {why}")]
    Tls {
        /// The host, as the URL names it.
        host: String,
        /// In words.
        why: String,
        /// Whether it was the certificate: another attempt would meet the same one.
        certificate: bool,
    },
    /// The deadline of the exchange passed.
    #[error("no answer from {host} in time")]
    Timeout {
        /// The host that was asked first.
        host: String,
    },
    /// The caller no longer wants the answer.
    #[error("the request was cancelled")]
    Cancelled,
    /// The connection was lost, or what came was no HTTP.
    #[error("the exchange with {host} broke off: {why}")]
    Broken {
        /// The host, as the URL names it.
        host: String,
        /// In words.
        why: String,
    },
    /// The answer's body, decompressed, is longer than [`super::MAX_BODY_BYTES`].
    #[error("the answer is longer than {limit} bytes")]
    ResponseTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer's headers are more than [`super::MAX_HEADERS`] or longer than [`super::MAX_HEADER_BYTES`].
    #[error("the answer has more than {count} headers or more than {bytes} bytes of them")]
    HeadersTooLarge {
        /// The limit of their number.
        count: usize,
        /// The limit of their length altogether.
        bytes: usize,
    },
    /// More redirects than [`super::MAX_REDIRECTS`].
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// The limit.
        limit: usize,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
}

impl Cause {
    /// With how far the request had come.
    pub(super) fn at(self, progress: Progress) -> Error {
        Error {
            cause: self,
            progress,
        }
    }
}
