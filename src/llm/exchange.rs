//! Sending a request and reading the answer as it comes.

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use reqwest::Response;

use super::frames::{Frames, Problem};
use super::wire::{self, Composed, Reading};
use super::{Call, Failure, Reason, host};
use crate::egress::Cause;
use crate::redact::Redactor;

/// The longest text of an answer, in bytes.
pub const MAX_TEXT_BYTES: usize = 8 * 1024 * 1024;
/// The most bytes of a whole answer: each token of a stream comes in a frame of its own.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The most bytes of an answer that comes in one piece.
const MAX_WHOLE_BYTES: usize = 10 * 1024 * 1024;
/// What is read of an answer that says what went wrong, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Sends the request and reads its answer into `reading`; each piece of text goes to `say` too.
pub(super) async fn run(
    call: Call<'_>,
    reading: &mut Reading,
    say: &mut (impl FnMut(&str) + Send),
) -> Result<(), Failure> {
    match exchange(call, reading, say).await {
        // What goes wrong after the end harms nobody.
        Err(_) if reading.is_whole => Ok(()),
        outcome => outcome,
    }
}

async fn exchange(
    call: Call<'_>,
    reading: &mut Reading,
    say: &mut (impl FnMut(&str) + Send),
) -> Result<(), Failure> {
    let response = send(call).await?;
    read(call, response, reading, say).await
}

/// Reads an answer, whatever it is.
pub(super) async fn read(
    call: Call<'_>,
    response: Response,
    reading: &mut Reading,
    say: &mut (impl FnMut(&str) + Send),
) -> Result<(), Failure> {
    let status = response.status();
    if status != StatusCode::OK {
        let headers = response.headers().clone();
        let body = beginning(response, call.redactor).await;
        return Err(Failure::of_status(
            status,
            &headers,
            &body,
            host(call.route),
        ));
    }
    if is_json(response.headers()) {
        whole(call, response, reading, say).await
    } else {
        stream(call, response, reading, say).await
    }
}

async fn send(call: Call<'_>) -> Result<Response, Failure> {
    let Composed {
        url,
        mut headers,
        body,
    } = wire::compose(call.route, call.request)?;
    for (name, value) in call.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Ok(key) = HeaderValue::from_str(call.idempotency_key) {
        headers.insert("idempotency-key", key);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("text/event-stream, application/x-ndjson, application/json"),
    );
    // Compression would hold tokens back until a block of it is full.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut request = reqwest::Request::new(http::Method::POST, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.to_string().into());
    let sent = call.client.execute(request).await;
    sent.map_err(|error| of_client(&error, call, false))
}

/// Reads an answer that comes frame by frame.
async fn stream(
    call: Call<'_>,
    mut response: Response,
    reading: &mut Reading,
    say: &mut (impl FnMut(&str) + Send),
) -> Result<(), Failure> {
    let provider = call.route.provider;
    let mut frames = Frames::new(wire::framing(provider));
    let mut size = 0;
    let mut any = false;
    let mut beginning = Vec::new();
    while let Some(bytes) = chunk(&mut response, call).await? {
        size += bytes.len();
        if size > MAX_ANSWER_BYTES {
            return Err(too_large(MAX_ANSWER_BYTES));
        }
        if !any && beginning.len() < MAX_ERROR_BYTES {
            beginning.extend_from_slice(&bytes);
        }
        frames.feed(&bytes);
        while let Some(frame) = frames.find_next().map_err(of_problem)? {
            any = true;
            take(call, &frame, reading, say)?;
            if reading.is_finished {
                return Ok(());
            }
        }
    }
    match frames.find_last().map_err(of_problem)? {
        // Half of a frame is no malformed one: the stream was cut.
        Some(frame) => match take(call, &frame, reading, say) {
            Err(failure)
                if failure.reason == Reason::AnswerMalformed
                    && (any || frame.trim_start().starts_with('{')) =>
            {
                Ok(())
            }
            outcome => outcome,
        },
        None if !any && size > 0 => {
            let text = String::from_utf8_lossy(&beginning);
            let text = if beginning.len() < size {
                call.redactor.beginning(&text).into()
            } else {
                text
            };
            let message = format!("what {} answered is no stream of its API", host(call.route));
            Err(Failure::new(Reason::AnswerMalformed, message).with_answer(&text))
        }
        None => Ok(()),
    }
}

/// Reads the answer of a server that does not stream.
async fn whole(
    call: Call<'_>,
    mut response: Response,
    reading: &mut Reading,
    say: &mut (impl FnMut(&str) + Send),
) -> Result<(), Failure> {
    let mut body = Vec::new();
    while let Some(bytes) = chunk(&mut response, call).await? {
        if body.len() + bytes.len() > MAX_WHOLE_BYTES {
            return Err(too_large(MAX_WHOLE_BYTES));
        }
        body.extend_from_slice(&bytes);
    }
    let text = String::from_utf8_lossy(&body);
    take(call, &text, reading, say)?;
    if !reading.is_whole && reading.text().is_empty() {
        let message = format!("what {} answered is no answer of its API", host(call.route));
        return Err(Failure::new(Reason::AnswerMalformed, message).with_answer(&text));
    }
    Ok(())
}

/// Takes a frame, and says what it has brought.
fn take(
    call: Call<'_>,
    frame: &str,
    reading: &mut Reading,
    say: &mut (impl FnMut(&str) + Send),
) -> Result<(), Failure> {
    let said = reading.text().len();
    wire::take(call.route.provider, frame, reading)?;
    let fresh = &reading.text()[said..];
    if !fresh.is_empty() {
        say(fresh);
    }
    Ok(())
}

async fn chunk(response: &mut Response, call: Call<'_>) -> Result<Option<bytes::Bytes>, Failure> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| of_client(&error, call, true))
}

/// The beginning of what a server says about what went wrong.
async fn beginning(mut response: Response, redactor: &Redactor) -> String {
    let mut body = Vec::new();
    // What breaks off here leaves less to tell, and the status says enough.
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() >= MAX_ERROR_BYTES {
            body.truncate(MAX_ERROR_BYTES);
            return redactor.beginning(&String::from_utf8_lossy(&body));
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

fn too_large(bytes: usize) -> Failure {
    let message = format!("the answer is longer than {bytes} bytes");
    Failure::new(Reason::AnswerTooLarge, message)
}

fn of_problem(problem: Problem) -> Failure {
    Failure::new(Reason::AnswerMalformed, problem.to_string())
}

/// What an error of the HTTP client means, before or after an answer has begun.
fn of_client(error: &reqwest::Error, call: Call<'_>, is_answering: bool) -> Failure {
    let cause = crate::egress::cause_of(error, &call.route.base_url);
    of_cause(&cause, is_answering)
}

/// What it means that a request got no answer.
pub(super) fn of_cause(cause: &Cause, is_answering: bool) -> Failure {
    let reason = match cause {
        Cause::BadUrl(_) => Reason::UrlInvalid,
        Cause::Blocked { .. } => Reason::EgressBlocked,
        Cause::Withheld(_) => Reason::SecretNotForHost,
        Cause::Broken { .. } if is_answering => Reason::StreamCut,
        Cause::Timeout { .. } | Cause::Cancelled => Reason::Timeout,
        Cause::ResponseTooLarge { .. } => Reason::AnswerTooLarge,
        Cause::HeadersTooLarge { .. } | Cause::TooManyRedirects { .. } => Reason::AnswerMalformed,
        Cause::Unresolved { .. }
        | Cause::Unreachable { .. }
        | Cause::Tls { .. }
        | Cause::Broken { .. }
        | Cause::Setup(_) => Reason::ProviderUnavailable,
    };
    Failure::new(reason, cause.to_string())
}

impl From<&Cause> for Failure {
    fn from(cause: &Cause) -> Self {
        of_cause(cause, false)
    }
}
