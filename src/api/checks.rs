//! Collects what is wrong with a request, so that the caller learns all of it at once.

use uuid::Uuid;

use super::status::{Error, Result};
use crate::flow::Violation;

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub struct Checks {
    violations: Vec<Violation>,
}

impl Checks {
    /// The value if it is right; otherwise notes what is wrong and goes on with any value, which [`Checks::finish`] then
    /// keeps from being used.
    pub fn take<T: Default>(&mut self, checked: Result<T, Violation>) -> T {
        checked
            .map_err(|violation| self.violations.push(violation))
            .unwrap_or_default()
    }

    /// Notes what is wrong with a field.
    pub fn add(
        &mut self,
        field: impl Into<String>,
        reason: &'static str,
        description: impl Into<String>,
    ) {
        self.violations.push(Violation {
            field: field.into(),
            reason,
            description: description.into(),
        });
    }

    /// Notes more of it.
    pub fn extend(&mut self, violations: impl IntoIterator<Item = Violation>) {
        self.violations.extend(violations);
    }

    /// The id of a run.
    pub fn run_id(&mut self, text: &str) -> Uuid {
        self.uuid("run_id", text)
    }

    /// The id of a run in this field.
    pub fn uuid(&mut self, field: &str, text: &str) -> Uuid {
        let parsed = Uuid::try_parse(text).map_err(|_| Violation {
            field: field.to_owned(),
            reason: "INVALID_ID",
            description: "is not a UUID".to_owned(),
        });
        self.take(parsed)
    }

    /// A sequence to go on after.
    pub fn after_sequence(&mut self, sequence: i64) -> i64 {
        if sequence < 0 {
            let description = format!("is {sequence}, must be 0 (from the beginning) or above");
            self.add("after_sequence", "OUT_OF_BOUNDS", description);
        }
        sequence
    }

    /// Goes on if nothing was wrong.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with all that was noted.
    pub fn finish(self) -> Result<()> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.violations))
        }
    }
}
