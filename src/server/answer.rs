//! Errors that are answered before any service sees the call, in the same form as those of the services.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Whose reasons ours are.
const DOMAIN: &str = "synapps.dev";

/// After what time a client may try again what was refused for a passing cause.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// An error with a reason, and with every value of its message in the metadata.
pub(super) fn refusal<const N: usize>(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: [(&str, String); N],
) -> Status {
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    if code == Code::Unavailable {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    Status::with_error_details(code, message, details)
}
