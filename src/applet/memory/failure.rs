//! Why a `memory` node failed its step.

use crate::applet::Error;
use crate::memory;
use crate::store;

/// Named reasons, with their meaning.
pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "MEMORY_VALUE_TOO_LARGE",
        "the value has more than 1 MiB as compact JSON",
    ),
    (
        "MEMORY_FULL",
        "the collection holds as many entries as it may, or the namespace as many bytes; the details say which",
    ),
    (
        "UNKNOWN_LANGUAGE",
        "the database has no text search configuration of that name",
    ),
    (
        "MEMORY_UNAVAILABLE",
        "the database did not answer, or not in time",
    ),
    ("MEMORY_FAILED", "the database refused what was asked of it"),
    (
        "TEMPLATE_PATH_MISSING",
        "a template that is the whole text names a path where there is nothing",
    ),
    ("EXPRESSION_FAILED", "an expression could not be computed"),
    (
        "EXPRESSION_TOO_EXPENSIVE",
        "an expression or pattern used up what one evaluation may",
    ),
    ("RENDERED_TOO_LARGE", "what came out is over 16 MiB"),
    (
        "INVALID_CONFIG",
        "the config does not fit once its templates are rendered",
    ),
];

impl From<memory::Error> for Error {
    fn from(error: memory::Error) -> Self {
        let message = error.to_string();
        match error {
            memory::Error::ValueTooLarge { bytes } => {
                Self::permanent("MEMORY_VALUE_TOO_LARGE", message)
                    .with_detail("limit", memory::MAX_VALUE_BYTES)
                    .with_detail("size_bytes", bytes)
            }
            memory::Error::TooManyEntries { collection, limit } => {
                Self::permanent("MEMORY_FULL", message)
                    .with_detail("namespace", collection)
                    .with_detail("max_entries", limit)
            }
            memory::Error::TooManyBytes { limit, left, .. } => {
                Self::permanent("MEMORY_FULL", message)
                    .with_detail("max_bytes", limit)
                    .with_detail("left_bytes", left)
            }
            memory::Error::UnknownLanguage { name, .. } => {
                Self::permanent("UNKNOWN_LANGUAGE", message).with_detail("language", name)
            }
            memory::Error::Store(error) => Self::of_store(&error),
        }
    }
}

impl Error {
    /// What the database says goes to the log, not to the author.
    fn of_store(error: &store::Error) -> Self {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "a memory could not be kept or found"
        );
        match (error, error.class()) {
            (store::Error::Timeout(_), _)
            | (_, store::Class::Lost | store::Class::Again | store::Class::Refusing) => {
                let message = "the database does not answer, or not in time";
                Self::retryable("MEMORY_UNAVAILABLE", message)
            }
            (_, store::Class::BadRow | store::Class::Other) => {
                let message =
                    "the database refused what was asked of it; the service's log says why";
                Self::permanent("MEMORY_FAILED", message)
            }
        }
    }
}
