//! Between the messages of the wire and what the service works with.
//!
//! What comes in is taken as far as it can be represented; what is allowed is decided elsewhere.

pub mod diff;
pub mod event;
pub mod explain;
pub mod flow;
pub mod run;
pub mod time;
pub mod value;

use crate::flow::{Effect, Violation};
use crate::proto;

/// The most bytes of an answer.
pub const MOST_BYTES: usize = super::MAX_ANSWER_BYTES;

/// What is said of a field that the client has to set and has not.
#[must_use]
pub fn required(field: &str) -> Violation {
    violation(field, "REQUIRED", "has to be set")
}

/// What is said of a number that stands for no value of an enum.
#[must_use]
pub fn unknown_enum(field: &str, number: i32) -> Violation {
    let description = format!("{number} is no value of this enum that this version knows");
    violation(field, "UNKNOWN_ENUM_VALUE", description)
}

/// One thing that is wrong with a request.
#[must_use]
pub fn violation(field: &str, reason: &'static str, description: impl Into<String>) -> Violation {
    Violation {
        field: field.to_owned(),
        reason,
        description: description.into(),
    }
}

/// An effect as the wire has it.
#[must_use]
pub fn effect(effect: Effect) -> proto::Effect {
    match effect {
        Effect::Pure => proto::Effect::Pure,
        Effect::Idempotent => proto::Effect::Idempotent,
        Effect::AtMostOnce => proto::Effect::AtMostOnce,
    }
}
