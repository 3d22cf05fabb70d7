//! The form of every error: a code, a reason for programs, a message for people, and details of a bounded size.
//!
//! All of it travels in one header, and clients refuse headers above 8 KiB. What a client has sent is therefore shown
//! only by its beginning, and of many violations only the first.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::flow::Violation;

/// Whose reasons ours are.
const DOMAIN: &str = "synapps.dev";
/// After what time a client may try again what was refused for a passing cause.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The most violations in the details of an error.
const MAX_VIOLATIONS: usize = 32;
/// The most bytes of violations: with the rest of the details they stay within 5 KiB.
const MAX_VIOLATION_BYTES: usize = 3_600;
/// How many violations the message names.
const NAMED: usize = 3;
/// The most bytes of a field that the message names.
const NAMED_FIELD: usize = 60;
/// The most bytes of what the message says of it.
const NAMED_DESCRIPTION: usize = 100;

/// The most bytes of a message.
const MAX_MESSAGE: usize = 600;
/// The most bytes of a text inside a message or its metadata. Ids have 200 characters.
const MAX_SHOWN: usize = 200;
/// The most bytes of the path of a field.
const MAX_FIELD: usize = 240;
/// The most bytes of what is said of a field.
const MAX_DESCRIPTION: usize = 400;
/// The most bytes of a value of the metadata.
const MAX_VALUE: usize = 400;

/// An error in the making.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Refusal {
    /// An error; what is variable in the message has to be given to [`Self::with`] too.
    pub(crate) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
        }
    }

    /// Adds a value to the metadata.
    pub(crate) fn with(mut self, key: &str, value: impl Display) -> Self {
        let value = cut(&value.to_string(), MAX_VALUE).into_owned();
        self.metadata.insert(key.to_owned(), value);
        self
    }

    /// Names the resource that is missing, or there already.
    pub(crate) fn about(mut self, kind: &str, name: impl Display) -> Self {
        let name = cut(&name.to_string(), MAX_VALUE).into_owned();
        self.details.set_resource_info(kind, name, "", "");
        self
    }

    /// Names the quota that is used up.
    pub(crate) fn quota(mut self, subject: &str, description: &str) -> Self {
        self.details
            .add_quota_failure_violation(subject, description);
        self
    }

    /// Says when to try again.
    pub(crate) fn retry_soon(mut self) -> Self {
        self.details.set_retry_info(Some(RETRY_DELAY));
        self
    }

    /// The error as gRPC has it.
    pub(crate) fn status(mut self) -> Status {
        self.details
            .set_error_info(self.reason, DOMAIN, self.metadata);
        Status::with_error_details(self.code, cut(&self.message, MAX_MESSAGE), self.details)
    }
}

/// An error for fields of the request, with as many violations as fit.
///
/// The reason is `reason`, unless all violations are of one kind that has a reason of its own.
pub(super) fn refuse_fields(what: &str, reason: &'static str, violations: &[Violation]) -> Status {
    let mut message = what.to_owned();
    for (index, violation) in violations.iter().take(NAMED).enumerate() {
        message += if index == 0 { ": " } else { "; " };
        if !violation.field.is_empty() {
            message += &cut(&violation.field, NAMED_FIELD);
            message += " ";
        }
        message += &cut(&violation.description, NAMED_DESCRIPTION);
    }
    if violations.len() > NAMED {
        message += "; and ";
        message += &(violations.len() - NAMED).to_string();
        message += " more";
    }
    let mut refusal = Refusal::new(
        Code::InvalidArgument,
        common_reason(violations).unwrap_or(reason),
        message,
    )
    .with("violationCount", violations.len());
    let mut bytes = 0;
    let fitting: Vec<FieldViolation> = violations
        .iter()
        .take(MAX_VIOLATIONS)
        .map(field_violation)
        .take_while(|violation| {
            bytes += size(violation);
            bytes <= MAX_VIOLATION_BYTES
        })
        .collect();
    refusal.details.set_bad_request(fitting);
    refusal.status()
}

/// The reason of violations that have one to themselves, if they all share it.
fn common_reason(violations: &[Violation]) -> Option<&'static str> {
    let (first, rest) = violations.split_first()?;
    let own = matches!(
        first.reason,
        "INVALID_PAGE_TOKEN" | "NOT_YET_SUPPORTED" | "INVALID_INPUT" | "INVALID_VALUES"
    );
    (own && rest.iter().all(|other| other.reason == first.reason)).then_some(first.reason)
}

fn field_violation(violation: &Violation) -> FieldViolation {
    FieldViolation {
        field: cut(&violation.field, MAX_FIELD).into_owned(),
        description: cut(&violation.description, MAX_DESCRIPTION).into_owned(),
        reason: violation.reason.to_owned(),
        localized_message: None,
    }
}

/// Bytes of a violation on the wire: of its texts, and of their tags and lengths.
fn size(violation: &FieldViolation) -> usize {
    const FRAMES: usize = 4 * 3;
    violation.field.len() + violation.description.len() + violation.reason.len() + FRAMES
}

/// What a client sent, fit to be shown: its beginning, with control characters escaped.
pub(super) fn shown(text: &str) -> String {
    let begin = cut(text, MAX_SHOWN);
    if begin.chars().any(char::is_control) {
        // Escapes are longer than what they stand for.
        cut(&begin.escape_debug().to_string(), MAX_SHOWN).into_owned()
    } else {
        begin.into_owned()
    }
}

/// The beginning of a text, of at most `most` bytes.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    const SIGN: &str = "…";
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(most.saturating_sub(SIGN.len()));
    Cow::Owned(format!("{}{SIGN}", &text[..end]))
}

/// An error that is answered before any service sees the call, in the same form as those of the services.
pub(crate) fn refusal<const N: usize>(
    code: Code,
    reason: &'static str,
    message: impl Into<String>,
    metadata: [(&str, String); N],
) -> Status {
    let mut refusal = Refusal::new(code, reason, message);
    for (key, value) in metadata {
        refusal = refusal.with(key, value);
    }
    if code == Code::Unavailable {
        refusal = refusal.retry_soon();
    }
    refusal.status()
}
