//! What applets compute with besides templates: JSON paths, regular expressions, CEL, JSON schemas.
//!
//! All of it comes from the authors of flows, so all of it is bounded: length and nesting before anything is parsed
//! (see [`limits`]), time and memory while it is evaluated. Evaluating is work for [`crate::cpu::Cpu`].

pub mod cel;
pub mod cost;
pub mod json_path;
pub mod pattern;
mod python;
pub mod schema;

use crate::template::limits;

/// Why an expression, path, pattern or schema cannot be used, or what it failed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer or deeper than the parser may see.
    #[error(transparent)]
    Limit(#[from] limits::Error),
    /// It does not parse.
    #[error("is no {what}: {message}")]
    Syntax {
        /// What it should have been.
        what: &'static str,
        /// What is wrong.
        message: String,
    },
    /// It names something that does not exist.
    #[error(transparent)]
    Name(#[from] crate::template::Error),
    /// Nothing is where it points.
    #[error("there is nothing at {path}")]
    Missing {
        /// The path.
        path: String,
    },
    /// It was evaluated and failed.
    #[error("{message}")]
    Failed {
        /// How it failed.
        message: String,
    },
    /// It needs more than one evaluation may use.
    #[error("{message}")]
    TooExpensive {
        /// What it used up.
        message: String,
    },
    /// What came out is too large.
    #[error("the value is larger than {bound} bytes")]
    TooLarge {
        /// The most bytes.
        bound: u64,
    },
}

impl Error {
    /// For programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Limit(error) => error.reason(),
            Self::Syntax { .. } => "INVALID_EXPRESSION",
            Self::Name(error) => error.reason(),
            Self::Missing { .. } => "PATH_MISSING",
            Self::Failed { .. } => "EXPRESSION_FAILED",
            Self::TooExpensive { .. } => "EXPRESSION_TOO_EXPENSIVE",
            Self::TooLarge { .. } => "RENDERED_TOO_LARGE",
        }
    }
}
