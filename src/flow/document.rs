//! The JSON form of a flow: that of the proto message `Flow`, as files, exports and the bodies of loops hold it.
//!
//! Keys are those of the proto (`source_handle`); reading takes protobuf's other spelling (`sourceHandle`) too, takes null
//! for absent, and refuses what it does not know. Writing leaves out what is empty or unset. What a flow may be is not
//! decided here: a document that can be read may still be refused by [`validate`](super::validate).

mod fields;
mod read;
pub mod span;
#[cfg(test)]
mod tests;
mod write;

use serde_json::Value;

use self::fields::Problems;
pub use self::write::{write, write_body, write_node, write_on_error, write_policy, write_retry};
use super::{Body, Draft, OnError, RetryPolicy, Violation};

/// Reads a flow. What only storing gives it (`revision`, `content_hash`, `etag`, `create_time`, `update_time`) is ignored,
/// so that what was exported can be read as it is.
///
/// # Errors
///
/// All that is wrong with it, up to 1,000 things, each with its path as the service writes it (`flow.nodes[3].timeout`):
/// `WRONG_TYPE`, `UNKNOWN_FIELD`, `DUPLICATE_FIELD` for two spellings of one key, `UNKNOWN_ENUM_VALUE`, `CONFLICT` and
/// `OUT_OF_BOUNDS`.
pub fn read(document: &Value) -> Result<Draft, Vec<Violation>> {
    let mut problems = Problems::default();
    let draft = read::flow(document, "flow", &mut problems);
    problems.into_result(draft)
}

/// Reads a retry policy by itself.
///
/// # Errors
///
/// As [`fn@read`], with paths inside the policy.
pub fn read_retry(policy: &Value) -> Result<RetryPolicy, Vec<Violation>> {
    let mut problems = Problems::default();
    let policy = read::retry_of(policy, String::new(), &mut problems);
    problems.into_result(policy)
}

/// Reads by itself what follows a failure; nothing where the document is empty.
///
/// # Errors
///
/// As [`fn@read`], with paths inside the document.
pub fn read_on_error(action: &Value) -> Result<Option<OnError>, Vec<Violation>> {
    let mut problems = Problems::default();
    let action = read::on_error_of(action, String::new(), &mut problems);
    problems.into_result(action)
}

/// Reads the graph inside a loop: an object with `nodes` and `edges`.
///
/// # Errors
///
/// As [`fn@read`], with paths inside the body (`nodes[0].timeout`).
pub fn read_body(body: &Value) -> Result<Body, Vec<Violation>> {
    let mut problems = Problems::default();
    let body = read::body(body, &mut problems);
    problems.into_result(body)
}
