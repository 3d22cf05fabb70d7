//! Every kind of event is read back as it was written.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

use crate::ids::StepPath;
use crate::run::event::{
    ChunkKey, Event, Failure, PayloadInfo, RunCancelled, RunCancelling, RunError, RunFailed,
    RunQueued, RunResumed, RunStarted, RunSucceeded, RunWaiting, StepCancelled, StepFailed,
    StepOutcomeUnknown, StepSkipped, StepStarted, StepSucceeded, StepWaiting,
};
use crate::run::state::{Handling, StopCause, WaitReason};

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
}

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

fn any_event() -> impl Strategy<Value = Event> {
    prop::strategy::Union::new(every_kind().into_iter().map(|(_, strategy)| strategy))
}

/// A strategy for each kind of event, in their order.
fn every_kind() -> Vec<(&'static str, BoxedStrategy<Event>)> {
    let mut kinds = kinds_of_runs();
    kinds.extend(kinds_of_steps());
    kinds
}

fn kinds_of_runs() -> Vec<(&'static str, BoxedStrategy<Event>)> {
    vec![
        (
            "run_queued",
            payload()
                .prop_map(|input| RunQueued { input }.into())
                .boxed(),
        ),
        (
            "run_started",
            time()
                .prop_map(|deadline| RunStarted { deadline }.into())
                .boxed(),
        ),
        (
            "run_waiting",
            (select(WaitReason::ALL), time())
                .prop_map(|(reason, until)| RunWaiting { reason, until }.into())
                .boxed(),
        ),
        (
            "run_resumed",
            select(WaitReason::ALL)
                .prop_map(|reason| RunResumed { reason }.into())
                .boxed(),
        ),
        (
            "run_cancelling",
            (text(), time())
                .prop_map(|(reason, force_at)| RunCancelling { reason, force_at }.into())
                .boxed(),
        ),
        (
            "run_succeeded",
            payload()
                .prop_map(|output| RunSucceeded { output }.into())
                .boxed(),
        ),
        (
            "run_failed",
            (failure(), prop::option::of(path()), any::<u32>())
                .prop_map(|(failure, path, attempt)| {
                    let error = RunError {
                        failure,
                        path,
                        attempt,
                    };
                    RunFailed { error }.into()
                })
                .boxed(),
        ),
        (
            "run_cancelled",
            text()
                .prop_map(|reason| RunCancelled { reason }.into())
                .boxed(),
        ),
    ]
}

fn kinds_of_steps() -> Vec<(&'static str, BoxedStrategy<Event>)> {
    vec![
        (
            "step_started",
            (path(), any::<u32>())
                .prop_map(|(path, attempt)| StepStarted { path, attempt }.into())
                .boxed(),
        ),
        (
            "step_waiting",
            (path(), any::<u32>(), time(), time())
                .prop_map(|(path, attempt, started_at, until)| {
                    StepWaiting {
                        path,
                        attempt,
                        started_at,
                        until,
                    }
                    .into()
                })
                .boxed(),
        ),
        (
            "step_succeeded",
            (path(), any::<u32>(), time(), text(), payload(), details())
                .prop_map(|(path, attempt, started_at, port, output, details)| {
                    StepSucceeded {
                        path,
                        attempt,
                        started_at,
                        port,
                        output,
                        details,
                    }
                    .into()
                })
                .boxed(),
        ),
        (
            "step_failed",
            (
                path(),
                any::<u32>(),
                time(),
                failure(),
                select(Handling::ALL),
                time(),
            )
                .prop_map(|(path, attempt, started_at, error, handling, force_at)| {
                    StepFailed {
                        path,
                        attempt,
                        started_at,
                        error,
                        handling,
                        force_at,
                    }
                    .into()
                })
                .boxed(),
        ),
        (
            "step_skipped",
            path().prop_map(|path| StepSkipped { path }.into()).boxed(),
        ),
        (
            "step_cancelled",
            (
                path(),
                any::<u32>(),
                prop::option::of(time()),
                select(StopCause::ALL),
                any::<bool>(),
            )
                .prop_map(|(path, attempt, started_at, cause, outcome_unknown)| {
                    StepCancelled {
                        path,
                        attempt,
                        started_at,
                        cause,
                        outcome_unknown,
                    }
                    .into()
                })
                .boxed(),
        ),
        (
            "step_outcome_unknown",
            (path(), any::<u32>(), time(), failure())
                .prop_map(|(path, attempt, started_at, error)| {
                    StepOutcomeUnknown {
                        path,
                        attempt,
                        started_at,
                        error,
                    }
                    .into()
                })
                .boxed(),
        ),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".{1,12}"]
}

fn path() -> impl Strategy<Value = StepPath> {
    ".{1,12}".prop_map(StepPath::from)
}

/// As exact as the database keeps times: to the microsecond.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (0..4_000_000_000_000_000_i64).prop_map(|at| DateTime::from_timestamp_micros(at).unwrap())
}

fn details() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        text().prop_map(Value::from),
    ]
    .prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from);
        let object = prop::collection::btree_map(text(), inner, 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()));
        prop_oneof![list, object]
    });
    prop::collection::btree_map(text(), value, 0..3).prop_map(|map| map.into_iter().collect())
}

fn failure() -> impl Strategy<Value = Failure> {
    (text(), text(), details()).prop_map(|(reason, message, details)| Failure {
        reason,
        message,
        details,
    })
}

fn payload() -> impl Strategy<Value = PayloadInfo> {
    let chunks = (text(), any::<u32>(), any::<i64>()).prop_map(|(path, attempt, epoch)| ChunkKey {
        path,
        attempt,
        epoch,
    });
    (any::<u64>(), "[0-9a-f]{64}", prop::option::of(chunks)).prop_map(
        |(size_bytes, sha256, chunks)| PayloadInfo {
            size_bytes,
            sha256,
            chunks,
        },
    )
}
