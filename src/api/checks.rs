//! Collects what is wrong with a request, so that the caller learns all of it at once.

use serde_json::{Value, json};
use uuid::Uuid;

use super::status::{Error, Result};
use crate::flow::Violation;
use crate::ids::StepPath;
use crate::value::check_all;

/// The most characters of what somebody says for those who read a history.
const NOTE_LENGTH: usize = 1_000;
/// The most characters of a request id.
const REQUEST_ID_LENGTH: usize = 200;
/// The most characters of a name that is not the service's own.
const NAME_LENGTH: usize = 200;

/// More bytes than any path of a step has: five ids of 200 characters, with their items.
const MAX_PATH_BYTES: usize = 8_000;

/// How many problems of one value are told.
const MOST_PROBLEMS: usize = 100;

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

    /// What somebody says for those who read a history: a reason, a comment.
    pub fn note(&mut self, field: &str, text: &str) {
        let length = text.chars().count();
        if length > NOTE_LENGTH {
            let description = format!("is {length} characters long, the most are {NOTE_LENGTH}");
            self.add(field, "TOO_LONG", description);
        }
        if text.contains('\0') {
            let description = "holds the character U+0000, which cannot be stored";
            self.add(field, "NUL_CHARACTER", description);
        }
    }

    /// A name: of a signal, or of whoever decided.
    pub fn name(&mut self, field: &str, text: &str) {
        let length = text.chars().count();
        if length == 0 {
            self.add(field, "REQUIRED", "is empty");
        } else if length > NAME_LENGTH {
            let description = format!("is {length} characters long, the most are {NAME_LENGTH}");
            self.add(field, "TOO_LONG", description);
        }
        if text.chars().any(char::is_control) {
            self.add(field, "CONTROL_CHARACTER", "holds a control character");
        }
    }

    /// The caller's name for a request; may be empty.
    pub fn request_id(&mut self, text: &str) {
        let printable = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !printable || text.len() > REQUEST_ID_LENGTH {
            let description =
                format!("is not at most {REQUEST_ID_LENGTH} printable ASCII characters");
            self.add("request_id", "INVALID_ID", description);
        }
    }

    /// The path of a step, of whose form nothing is known but its bounds.
    pub fn step_path(&mut self, text: &str) -> StepPath {
        if text.is_empty() {
            self.add("step_path", "REQUIRED", "is empty");
        } else if text.len() > MAX_PATH_BYTES || text.contains('\0') {
            self.add("step_path", "INVALID_PATH", "is no path of a step");
        }
        StepPath::new(text)
    }

    /// The rules of payloads, for what a client sent in `field`.
    pub fn payload(&mut self, field: &str, value: &Value, max_bytes: u64) {
        let problems = check_all(value, max_bytes, MOST_PROBLEMS);
        self.extend(problems.into_iter().map(|problem| Violation {
            field: inside(field, problem.path()),
            reason: problem.reason(),
            description: problem.to_string(),
        }));
    }

    /// The same for what is kept as the entry `field` of an object, and so may nest one level less.
    pub fn part_of_payload(&mut self, field: &str, value: Value, max_bytes: u64) -> Value {
        let mut whole = json!({ field: value });
        let problems = check_all(&whole, max_bytes, MOST_PROBLEMS);
        self.extend(problems.into_iter().map(|problem| Violation {
            field: if problem.path().is_empty() {
                field.to_owned()
            } else {
                problem.path().to_owned()
            },
            reason: problem.reason(),
            description: problem.to_string(),
        }));
        whole[field].take()
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

/// The path of a field and one inside it.
fn inside(field: &str, path: &str) -> String {
    if path.is_empty() || path.starts_with('[') {
        format!("{field}{path}")
    } else {
        format!("{field}.{path}")
    }
}
