//! Flows as documents: the way back from [`crate::import`], pure like it.

mod order;
mod predecessor;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::flow::validate::Warning;
use crate::flow::{Draft, Violation, document};
use crate::import::{Format, MAX_BYTES};

use self::order::Ordered;

/// A flow as a document.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Its text.
    pub document: String,
    /// What it could not carry, with paths in the flow.
    pub warnings: Vec<Warning>,
}

/// Why a flow cannot be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The predecessor had nothing for some of it.
    #[error("the predecessor could not run it: {}", list(.0))]
    NotExpressible(Vec<Violation>),
    /// It would be larger than an import takes.
    #[error("the document would be {bytes} bytes large, the most are {MAX_BYTES}")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// The writer of YAML refuses, which no flow makes it do.
    #[error("the document cannot be written as YAML")]
    Yaml(#[from] serde_saphyr::ser_error::Error),
    /// The writer of JSON refuses, which no flow makes it do.
    #[error("the document cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The first few of what is wrong.
fn list(violations: &[Violation]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = violations
        .iter()
        .take(SHOWN)
        .map(|violation| format!("{} {}", violation.field, violation.description))
        .collect();
    let more = violations.len().saturating_sub(SHOWN);
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    shown.join("; ") + &rest
}

/// Writes a revision of a flow. Reading it again gives the same content hash, if the format is one of ours.
///
/// # Errors
///
/// See [`Error`].
pub fn write(draft: &Draft, revision: i32, format: Format) -> Result<Exported, Error> {
    let (value, warnings) = if format.is_predecessors() {
        predecessor::write(draft).map_err(Error::NotExpressible)?
    } else {
        (ours(draft, revision), Vec::new())
    };
    let ordered = Ordered::new(&value);
    let document = if format.is_yaml() {
        serde_saphyr::to_string(&ordered)?
    } else {
        let pretty = serde_json::to_string_pretty(&ordered)? + "\n";
        if pretty.len() <= MAX_BYTES {
            pretty
        } else {
            serde_json::to_string(&ordered)?
        }
    };
    if document.len() > MAX_BYTES {
        let bytes = document.len();
        return Err(Error::TooLarge { bytes });
    }
    Ok(Exported { document, warnings })
}

/// With the number of the revision, which tells a reader what it is and every import that it is ours.
fn ours(draft: &Draft, revision: i32) -> Value {
    let mut value = document::write(draft);
    if let Value::Object(entries) = &mut value {
        entries.insert("revision".to_owned(), revision.into());
    }
    value
}
