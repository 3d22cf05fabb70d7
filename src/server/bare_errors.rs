//! What tonic answers by itself, without a reason, made into an error as a service would give it.
//!
//! Such errors come before the first message, so in the head of the answer; those of our services have details.

use http::HeaderMap;
use tonic::body::Body;
use tonic::{Code, Status};

use super::answer::refusal;

/// The largest request that tonic takes unless told otherwise, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Gives a bare error its reason; leaves every other answer as it is.
pub(super) fn explained(path: &str, response: http::Response<Body>) -> http::Response<Body> {
    let bare = bare_status(response.headers());
    match bare {
        None => response,
        Some(status) => {
            let explained: http::Response<Body> = explain(path, &status).into_http();
            let (mut parts, body) = explained.into_parts();
            // Which compression would be understood instead.
            if let Some(encodings) = response.headers().get("grpc-accept-encoding") {
                parts
                    .headers
                    .insert("grpc-accept-encoding", encodings.clone());
            }
            http::Response::from_parts(parts, body)
        }
    }
}

fn bare_status(headers: &HeaderMap) -> Option<Status> {
    if !headers.contains_key("grpc-status") || headers.contains_key("grpc-status-details-bin") {
        return None;
    }
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
}

fn explain(path: &str, status: &Status) -> Status {
    let said = status.message();
    let called = || ("method", path.to_owned());
    match status.code() {
        // The only thing that tonic finds out of range, or exhausted when it unpacks, is the size of a message.
        Code::OutOfRange | Code::ResourceExhausted => too_large(said),
        // Whatever fails inside our services has details: this is a body that tonic could not decode.
        Code::Internal => malformed(said),
        Code::Unimplemented if said.is_empty() => refusal(
            Code::Unimplemented,
            "UNKNOWN_METHOD",
            format!("there is no method {path}; reflection lists those that there are"),
            [called()],
        ),
        Code::Unimplemented => refusal(
            Code::Unimplemented,
            "UNSUPPORTED_ENCODING",
            format!("the compression of the request is not supported, gzip is: {said}"),
            [called()],
        ),
        code => refusal(code, reason(code), said, [called()]),
    }
}

fn malformed(said: &str) -> Status {
    let advice = if said.contains("recursion limit") {
        "; JSON values may nest at most 30 deep"
    } else {
        ""
    };
    let cause = brief(said);
    refusal(
        Code::InvalidArgument,
        "MALFORMED_REQUEST",
        format!("the request cannot be decoded: {cause}{advice}"),
        [("cause", cause)],
    )
}

/// A decoder's message, which names every message on the way in before it says what is wrong: only the first of them.
fn brief(said: &str) -> String {
    const MOST: usize = 200;
    const BEGINNING: usize = 100;
    if said.len() <= MOST {
        return said.to_owned();
    }
    let wrong = said.rsplit(": ").next().unwrap_or_default();
    let beginning = &said[..said.floor_char_boundary(BEGINNING)];
    format!("{beginning}… {wrong}")
}

fn too_large(said: &str) -> Status {
    let limit = ("limitBytes", MAX_MESSAGE_BYTES.to_string());
    let message = |size: &str| {
        format!(
            "the request is larger than {MAX_MESSAGE_BYTES} bytes{size}; send less in one message"
        )
    };
    // "… length too large: found 5000000 bytes, …"; nothing of the kind where it was compressed.
    let size: Option<u64> = said
        .split_once("found ")
        .and_then(|(_, rest)| rest.split_once(' ')?.0.parse().ok());
    let (code, reason) = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    match size {
        Some(size) => refusal(
            code,
            reason,
            message(&format!(" ({size})")),
            [limit, ("sizeBytes", size.to_string())],
        ),
        None => refusal(code, reason, message(""), [limit]),
    }
}

/// The reason of an error of the health and reflection services, which know none: its code in words.
fn reason(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_REQUEST",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn answered(status: Status) -> Status {
        let response = explained("/synapps.v1.RunService/GetRun", status.into_http());
        Status::from_header_map(response.headers()).unwrap()
    }

    #[test]
    fn an_undecodable_request_is_the_callers_mistake() {
        let status = answered(Status::internal("invalid wire type"));

        let info = status.get_details_error_info().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            (&*info.reason, &*info.domain),
            ("MALFORMED_REQUEST", "synapps.dev")
        );
        assert!(status.message().contains("invalid wire type"));
    }

    #[test]
    fn nesting_too_deep_is_told_whatever_the_way_to_it() {
        let way = "Value.kind: ListValue.values: ".repeat(50);
        let said = format!("failed to decode Protobuf message: {way}recursion limit reached");

        let status = answered(Status::internal(said));

        let info = status.get_details_error_info().unwrap();
        assert!(info.metadata["cause"].ends_with("… recursion limit reached"));
        assert!(status.message().ends_with("may nest at most 30 deep"));
    }

    #[test]
    fn a_large_request_is_told_its_size_and_the_limit() {
        let status = answered(Status::out_of_range(
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
        ));

        let info = status.get_details_error_info().unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(info.reason, "MESSAGE_TOO_LARGE");
        assert_eq!(info.metadata["sizeBytes"], "5000000");
        assert_eq!(info.metadata["limitBytes"], "4194304");
    }

    #[test]
    fn an_error_with_details_stays_as_it_is() {
        let status = answered(refusal(Code::Internal, "INTERNAL", "internal error", []));

        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.get_details_error_info().unwrap().reason, "INTERNAL");
    }
}
