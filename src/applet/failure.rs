//! How what lies below the applets becomes a failure of an attempt, or a violation of a config.

use super::Error;
use crate::cpu::Panicked;
use crate::flow::Violation;
use crate::template::tree::Problem;
use crate::{expression, template, value};

/// Reasons that templates and expressions fail with, for the catalogue.
pub const TEMPLATE_REASONS: &[(&str, &str)] = &[
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

impl From<template::Error> for Error {
    fn from(error: template::Error) -> Self {
        let failure = Self::permanent(error.reason(), error.to_string());
        match error {
            template::Error::Missing { path } => failure.with_detail("missing", path),
            _ => failure,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let mut failure = Self::from(problem.error);
        if problem.path.is_empty() {
            return failure;
        }
        failure.message = format!("{}: {}", problem.path, failure.message);
        failure.with_detail("field", problem.path)
    }
}

impl From<expression::Error> for Error {
    fn from(error: expression::Error) -> Self {
        let failure = Self::permanent(error.reason(), error.to_string());
        match error {
            expression::Error::Missing { path } => failure.with_detail("missing", path),
            _ => failure,
        }
    }
}

impl From<Panicked> for Error {
    fn from(error: Panicked) -> Self {
        Self::permanent("PANICKED", error.to_string())
    }
}

impl Violation {
    /// A violation at a path inside a config.
    pub fn at(
        field: impl Into<String>,
        reason: &'static str,
        description: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            reason,
            description: description.into(),
        }
    }

    /// A number out of its bounds.
    pub fn out_of_bounds(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        bounds: &str,
    ) -> Self {
        let description = format!("is {value}; allowed is {bounds}");
        Self::at(field, "OUT_OF_BOUNDS", description)
    }

    /// An expression, path, pattern or schema that cannot be used.
    #[must_use]
    pub fn of_expression(field: &str, error: &expression::Error) -> Self {
        Self::at(field, error.reason(), error.to_string())
    }

    /// A template that cannot be used.
    #[must_use]
    pub fn of_template(field: &str, error: &template::Error) -> Self {
        Self::at(field, error.reason(), error.to_string())
    }

    /// A value that could not be stored.
    #[must_use]
    pub fn of_value(error: &value::Error) -> Self {
        Self::at(error.path(), error.reason(), error.to_string())
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        let message = format!("{}: {}", violation.field, violation.description);
        Self::permanent("INVALID_CONFIG", message)
            .with_detail("field", violation.field)
            .with_detail("violation", violation.reason)
    }
}
