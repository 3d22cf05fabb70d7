//! Every kind of event is read back as it was written, and says the format that it needs.

mod strategies;

use proptest::prelude::*;
use serde_json::{Map, Value};

use self::strategies::{any_event, every_kind};
use crate::run::event::{Event, FORMAT};

proptest! {
    #[test]
    fn an_event_is_read_back_as_it_was_written(event in any_event()) {
        let text = event.encode();

        prop_assert_eq!(Event::decode(event.kind(), &text), Ok(event));
    }

    #[test]
    fn fields_of_a_newer_writer_do_no_harm(event in any_event()) {
        let mut fields: Map<String, Value> = serde_json::from_str(&event.encode()).unwrap();
        fields.insert("what_comes_later".to_owned(), Value::from(1));

        let read = Event::decode(event.kind(), &Value::Object(fields).to_string());

        prop_assert_eq!(read, Ok(event));
    }

    #[test]
    fn what_the_first_format_had_no_field_for_needs_the_second(event in any_event()) {
        let text = event.encode();
        let fields: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let new_field = NEW_FIELDS.iter().any(|field| fields.contains_key(*field));
        let new_kind = NEW_KINDS.contains(&event.kind());

        prop_assert!((1..=FORMAT).contains(&event.format()));
        if THIRD_KINDS.contains(&event.kind()) {
            prop_assert_eq!(event.format(), 3, "{}", text);
        } else if new_kind || (new_field && event.kind() != "step_failed") {
            prop_assert_eq!(event.format(), 2, "{}", text);
        } else {
            prop_assert!(event.format() <= 2, "{}", text);
        }
    }
}

/// Fields that only the second format knows.
const NEW_FIELDS: &[&str] = &[
    "parent", "origin", "blocked", "awaited", "reused", "approval",
];

/// Kinds that only the second format knows.
const NEW_KINDS: &[&str] = &[
    "run_admitted",
    "run_paused",
    "run_reopened",
    "signal_received",
    "step_retry_scheduled",
    "step_expired",
    "approval_resolved",
    "step_resolved",
    "loop_started",
    "child_started",
    "child_ended",
];

/// Kinds that only the third format knows.
const THIRD_KINDS: &[&str] = &["run_recovered", "step_interrupted", "step_quarantined"];

#[test]
fn no_kind_is_missing_from_the_strategy() {
    let kinds: Vec<&str> = every_kind().iter().map(|(kind, _)| *kind).collect();

    assert_eq!(kinds, Event::KINDS);
}

#[test]
fn an_unknown_kind_is_refused() {
    let refused = Event::decode("run_dreamt", "{}").unwrap_err();

    assert_eq!(refused, "unknown kind of event \"run_dreamt\"");
}

#[test]
fn fields_of_another_kind_are_refused() {
    let refused = Event::decode("step_started", r#"{"path":"a"}"#).unwrap_err();

    assert!(
        refused.starts_with("step_started: missing field `attempt`"),
        "{refused}"
    );
}
