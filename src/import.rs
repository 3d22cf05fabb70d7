//! Flows from documents: our own form and that of the predecessor, `SynApps`, each in JSON or YAML.
//!
//! Pure: a document goes in, a draft comes out, with a [`Warning`] for each thing that was changed on the way or could
//! not be carried over. Whether the draft may be stored is decided where that is decided for every draft, by
//! [`crate::flow::validate`].

mod detect;
mod notes;
pub(crate) mod predecessor;
mod text;

use crate::flow::validate::Warning;
use crate::flow::{Draft, Violation, document};

pub use text::MAX_BYTES;

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The JSON form of a flow, as [`document`] has it.
    Json,
    /// The same as YAML.
    Yaml,
    /// JSON that the predecessor exported, or that its API took and gave.
    PredecessorJson,
    /// A YAML template of the predecessor.
    PredecessorYaml,
}

impl Format {
    /// Whether it is one of the predecessor's.
    #[must_use]
    pub const fn is_predecessors(self) -> bool {
        matches!(self, Self::PredecessorJson | Self::PredecessorYaml)
    }

    /// Whether it is YAML.
    #[must_use]
    pub const fn is_yaml(self) -> bool {
        matches!(self, Self::Yaml | Self::PredecessorYaml)
    }
}

/// A flow that was read from a document.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The flow, of which nothing is known yet.
    pub draft: Draft,
    /// The form that the document had.
    pub format: Format,
    /// What was changed on the way and what could not be carried over, in the order of the document. Their fields are
    /// paths inside the document (`document.nodes[2].data.systemPrompt`). No secret is in them.
    pub warnings: Vec<Warning>,
}

/// Why a document gives no flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read at all: `TOO_LARGE`, `TOO_DEEP` or `MALFORMED_DOCUMENT`.
    #[error("the document {}", .0.description)]
    Unreadable(Violation),
    /// What was read is no flow: those of [`document::read`].
    #[error("the document is no flow")]
    NoFlow(Vec<Violation>),
}

/// Reads a document. Without a format it is told by looking at it.
///
/// # Errors
///
/// See [`Error`].
pub fn read(text: &str, format: Option<Format>) -> Result<Imported, Error> {
    let syntax = format.map_or_else(|| text::Syntax::of(text), text::Syntax::from);
    let value = text::parse(text, syntax).map_err(Error::Unreadable)?;
    let format = format.unwrap_or_else(|| detect::format(&value, syntax));
    let (draft, warnings) = if format.is_predecessors() {
        predecessor::read(&value).map_err(Error::NoFlow)?
    } else {
        let draft = document::read(&value).map_err(Error::NoFlow)?;
        (draft, Vec::new())
    };
    Ok(Imported {
        draft,
        format,
        warnings,
    })
}

#[cfg(test)]
mod tests;
