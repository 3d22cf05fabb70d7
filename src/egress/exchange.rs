//! One exchange: the request, and those that redirects ask for instead.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method};
use tracing::info;
use url::{Host, Url};

use super::body::{self, ReadError, TrackedBody, Tracker};
use super::clients::Clients;
use super::redirect::Hop;
use super::{
    Answer, Cause, Delivery, Guard, MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_REDIRECTS,
    Policy, Progress, Redirects, Request, failure,
};

/// Sends the request, follows redirects, and reads the last answer; notes on the way how far it has come.
pub(super) async fn run(
    clients: &Clients,
    guard: Option<&Guard>,
    request: Request,
    tracker: &Tracker,
) -> Result<Answer, Cause> {
    let Request {
        verification,
        delivery,
        redirects,
        ..
    } = request;
    let mut hop = Hop {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body,
    };
    for followed in 0..=MAX_REDIRECTS {
        pass(guard, &hop.url)?;
        let port = check(clients.policy(), &hop.url)?;
        let client = clients.get(port, verification, delivery)?;
        let response = send(&client, &hop, delivery, tracker).await?;
        tracker.set(Progress::Answered(response.status().as_u16()));
        check_headers(response.headers())?;
        let next = match redirects {
            Redirects::Follow => hop.find_next(response.status(), response.headers())?,
            Redirects::Return => None,
        };
        match next {
            Some(next) => hop = next,
            None => return read(response, hop, followed).await,
        }
    }
    Err(Cause::TooManyRedirects {
        limit: MAX_REDIRECTS,
    })
}

/// Asks the guard, if there is one.
pub(super) fn pass(guard: Option<&Guard>, url: &Url) -> Result<(), Cause> {
    guard.map_or(Ok(()), |guard| guard(url).map_err(Cause::Withheld))
}

/// Checks all that can be said without resolving a name, and gives the port.
pub(super) fn check(policy: &Policy, url: &Url) -> Result<u16, Cause> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Cause::BadUrl(format!(
            "its scheme is {}, not http or https",
            url.scheme()
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Cause::BadUrl("it holds a user or a password".to_owned()));
    }
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(Cause::BadUrl("it names no host".to_owned()));
    };
    let address = match host {
        Host::Domain(_) => return Ok(port),
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
    };
    match policy.find_refusal(address, Some(port)) {
        None => Ok(port),
        Some(why) => {
            info!(egress.host = %host, "request refused: it is {why}");
            Err(Cause::Blocked {
                host: host.to_string(),
                why: format!("it is {why}"),
            })
        }
    }
}

async fn send(
    client: &reqwest::Client,
    hop: &Hop,
    delivery: Delivery,
    tracker: &Tracker,
) -> Result<reqwest::Response, Cause> {
    let mut request = reqwest::Request::new(hop.method.clone(), hop.url.clone());
    request.headers_mut().clone_from(&hop.headers);
    let bytes = hop.body.clone().unwrap_or_default();
    if bytes.is_empty() && needs_length(&hop.method) {
        // Without it servers may wait for a body, or answer 411.
        let none = HeaderValue::from_static("0");
        request.headers_mut().insert(CONTENT_LENGTH, none);
    }
    let before = tracker.progress();
    *request.body_mut() = match delivery {
        Delivery::AtMostOnce => Some(tracked(bytes, tracker)),
        Delivery::Repeatable => {
            tracker.set(Progress::MaybeSent);
            (!bytes.is_empty()).then(|| bytes.into())
        }
    };
    client.execute(request).await.map_err(|error| {
        if error.is_connect() {
            tracker.set(before);
        }
        failure::cause_of(&error, &hop.url)
    })
}

fn tracked(bytes: Bytes, tracker: &Tracker) -> reqwest::Body {
    reqwest::Body::wrap(TrackedBody::new(bytes, tracker.clone()))
}

/// Methods whose requests are expected to have a body.
fn needs_length(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn check_headers(headers: &HeaderMap) -> Result<(), Cause> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(failure::headers_too_large());
    }
    Ok(())
}

async fn read(response: reqwest::Response, hop: Hop, redirects: usize) -> Result<Answer, Cause> {
    let status = response.status();
    let headers = response.headers().clone();
    let body = body::read(response).await.map_err(|error| match error {
        ReadError::Broken(error) => failure::cause_of(&error, &hop.url),
        ReadError::TooLarge => Cause::ResponseTooLarge {
            limit: MAX_BODY_BYTES,
        },
    })?;
    Ok(Answer {
        status,
        url: hop.url,
        method: hop.method,
        redirects,
        headers,
        body,
    })
}
