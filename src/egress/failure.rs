//! From the HTTP client's errors to causes.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;

use url::Url;

use super::resolver::Failure;
use super::{Cause, MAX_HEADER_BYTES, MAX_HEADERS};

/// What a failed request to `url` died of.
///
/// Takes from the chain of errors only what holds no address and nothing of the exchange.
#[must_use]
pub fn cause_of(error: &reqwest::Error, url: &Url) -> Cause {
    let host = url.host_str().unwrap_or_default().to_owned();
    if error.is_connect() {
        return connect_cause(error, host);
    }
    if let Some(error) = find::<hyper::Error>(error) {
        if error.is_parse_too_large() {
            return headers_too_large();
        }
        if error.is_incomplete_message() {
            let why = "the connection was closed before the answer was complete".to_owned();
            return Cause::Broken { host, why };
        }
        if error.is_parse() {
            let why = "the answer is not HTTP".to_owned();
            return Cause::Broken { host, why };
        }
    }
    let why = match find::<io::Error>(error) {
        Some(error) => error.kind().to_string(),
        None if error.is_decode() => "the body cannot be decoded".to_owned(),
        None => "the connection was lost".to_owned(),
    };
    Cause::Broken { host, why }
}

/// The answer's headers are beyond their limits.
pub(super) fn headers_too_large() -> Cause {
    Cause::HeadersTooLarge {
        count: MAX_HEADERS,
        bytes: MAX_HEADER_BYTES,
    }
}

fn connect_cause(error: &reqwest::Error, host: String) -> Cause {
    match find::<Failure>(error) {
        Some(Failure::NotFound) => return Cause::Unresolved { host },
        Some(Failure::Refused) => {
            let why = "it has no address that is on the public internet or allowed".to_owned();
            return Cause::Blocked { host, why };
        }
        None => {}
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return Cause::Tls {
            host,
            why: error.to_string(),
            certificate: matches!(error, rustls::Error::InvalidCertificate(_)),
        };
    }
    let why = match find::<io::Error>(error) {
        _ if error.is_timeout() => "timed out".to_owned(),
        Some(error) => error.kind().to_string(),
        None => "the connection failed".to_owned(),
    };
    Cause::Unreachable { host, why }
}

/// The error and what caused it. What an I/O error wraps counts, though it does not give it as its source.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    successors(Some(first), |error| {
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => (*error).source(),
        }
    })
}

fn find<E: StdError + 'static>(error: &reqwest::Error) -> Option<&E> {
    chain(error).find_map(|error| error.downcast_ref())
}
