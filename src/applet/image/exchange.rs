//! Sending a request and reading its answer, both of them bounded.

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use url::Url;

use crate::egress::{Cause, Egress, cause_of};
use crate::llm::{Failure, Reason};
use crate::redact::Redactor;

/// The largest image, in bytes.
pub(super) const MAX_IMAGE_BYTES: usize = 20 * 1024 * 1024;
/// The longest answer, which may hold several images as base64, in bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// What is read of an answer that says what went wrong, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A request.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    pub(super) egress: &'a Egress,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// JSON.
    pub(super) body: Option<Bytes>,
    /// What knows the values that may not be shown.
    pub(super) redactor: &'a Redactor,
    /// The most bytes of the answer.
    pub(super) max_bytes: usize,
}

/// Sends a request and gives the body of its answer, if that has the status 200 to 299. Knows no deadline.
pub(super) async fn send(sending: Sending<'_>) -> Result<Bytes, Failure> {
    let (url, max_bytes) = (sending.url.clone(), sending.max_bytes);
    let client = sending
        .egress
        .client(&url)
        .map_err(|error| Failure::from(&error.cause))?;
    let mut request = reqwest::Request::new(sending.method, url.clone());
    *request.headers_mut() = sending.headers;
    if let Some(body) = sending.body {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        *request.body_mut() = Some(body.into());
    }
    let response = client
        .execute(request)
        .await
        .map_err(|error| Failure::from(&cause_of(&error, &url)))?;
    let status = response.status();
    if !status.is_success() {
        return Err(refused(response, status, &url, sending.redactor).await);
    }
    read(response, &url, max_bytes).await
}

async fn read(mut response: Response, url: &Url, max_bytes: usize) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| of_broken(&cause_of(&error, url)))?;
        let Some(chunk) = chunk else {
            return Ok(body.freeze());
        };
        if body.len() + chunk.len() > max_bytes {
            let message = format!("the answer is longer than {max_bytes} bytes");
            return Err(Failure::new(Reason::AnswerTooLarge, message));
        }
        body.extend_from_slice(&chunk);
    }
}

/// The failure of an answer with another status. A redirect is one: nothing is sent where a server wants it.
async fn refused(
    mut response: Response,
    status: StatusCode,
    url: &Url,
    redactor: &Redactor,
) -> Failure {
    let headers = response.headers().clone();
    let mut body = Vec::new();
    let mut is_cut = false;
    // What breaks off here leaves less to tell, and the status says enough.
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() >= MAX_ERROR_BYTES {
            body.truncate(MAX_ERROR_BYTES);
            is_cut = true;
            break;
        }
    }
    let mut text = String::from_utf8_lossy(&body);
    if is_cut {
        text = redactor.beginning(&text).into();
    }
    let host = url.host_str().unwrap_or_default();
    Failure::of_status(status, &headers, &text, host)
}

/// What it means that an answer broke off.
fn of_broken(cause: &Cause) -> Failure {
    match cause {
        Cause::Broken { .. } => Failure::new(Reason::StreamCut, cause.to_string()),
        other => Failure::from(other),
    }
}
