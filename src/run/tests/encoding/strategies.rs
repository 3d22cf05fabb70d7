//! Any event of any kind.

use chrono::{DateTime, Utc};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

use crate::ids::{FlowId, NodeId, RunId, StepPath};
use crate::run::event::{
    ApprovalResolved, Asked, Awaited, ChildEnded, ChildStarted, ChunkKey, Event, Failure,
    LoopStarted, Origin, Parent, PayloadInfo, Reused, RunAdmitted, RunCancelled, RunCancelling,
    RunError, RunFailed, RunPaused, RunQueued, RunRecovered, RunReopened, RunResumed, RunStarted,
    RunSucceeded, RunWaiting, SignalReceived, StepCancelled, StepExpired, StepFailed,
    StepInterrupted, StepOutcomeUnknown, StepQuarantined, StepResolved, StepRetryScheduled,
    StepSkipped, StepStarted, StepSucceeded, StepWaiting,
};
use crate::run::state::{
    Decision, Handling, OnItemError, Resolution, RunState, StopCause, WaitReason,
};
use crate::usage::Usage;

pub(super) fn any_event() -> impl Strategy<Value = Event> {
    prop::strategy::Union::new(every_kind().into_iter().map(|(_, strategy)| strategy))
}

/// A strategy for each kind of event: `kind: Type { field in strategy, ... }`, in their order.
macro_rules! kinds {
    ($($kind:literal: $type:ident { $($field:ident in $strategy:expr),* $(,)? }),+ $(,)?) => {
        vec![$(($kind, kinds!(@one $type { $($field in $strategy),* }))),+]
    };
    (@one $type:ident {}) => { Just(Event::from($type {})).boxed() };
    (@one $type:ident { $($field:ident in $strategy:expr),+ }) => {
        kinds!(@nest $type [] $($field in $strategy),+)
    };
    // Tuples of strategies end at twelve, and no event has more fields.
    (@nest $type:ident [] $($field:ident in $strategy:expr),+) => {
        ($($strategy,)+).prop_map(|($($field,)+)| Event::from($type { $($field),+ })).boxed()
    };
}

/// All kinds, in their order.
pub(super) fn every_kind() -> Vec<(&'static str, BoxedStrategy<Event>)> {
    let mut kinds = kinds_of_runs();
    kinds.extend(kinds_of_steps());
    kinds
}

fn kinds_of_runs() -> Vec<(&'static str, BoxedStrategy<Event>)> {
    kinds! {
        "run_queued": RunQueued {
            input in payload(), parent in of(parent()), origin in of(origin()), blocked in any::<bool>(),
        },
        "run_admitted": RunAdmitted {},
        "run_paused": RunPaused { reason in text() },
        "run_reopened": RunReopened { deadline in time() },
        "run_recovered": RunRecovered { lost in prop::collection::vec(path(), 0..4) },
        "signal_received": SignalReceived { name in text(), payload in payload(), path in of(path()) },
        "run_started": RunStarted { deadline in time() },
        "run_waiting": RunWaiting { reason in select(WaitReason::ALL), until in time() },
        "run_resumed": RunResumed { reason in select(WaitReason::ALL) },
        "run_cancelling": RunCancelling { reason in text(), force_at in time() },
        "run_succeeded": RunSucceeded { output in payload() },
        "run_failed": RunFailed { error in run_error() },
        "run_cancelled": RunCancelled { reason in text() },
    }
}

fn kinds_of_steps() -> Vec<(&'static str, BoxedStrategy<Event>)> {
    let number = any::<u32>;
    kinds! {
        "step_started": StepStarted { path in path(), attempt in number() },
        "step_waiting": StepWaiting {
            path in path(), attempt in number(), started_at in time(), until in time(),
            awaited in awaited(), taken in of(any::<i64>()),
        },
        "step_retry_scheduled": StepRetryScheduled {
            path in path(), attempt in number(), started_at in time(), error in failure(), until in time(),
        },
        "step_expired": StepExpired { path in path(), attempt in number() },
        "approval_resolved": ApprovalResolved {
            path in path(), attempt in number(), decision in select(Decision::ALL), decided_by in text(),
            payload in payload(),
        },
        "step_resolved": StepResolved {
            path in path(), attempt in number(), resolution in select(Resolution::ALL), comment in text(),
        },
        "loop_started": LoopStarted {
            path in path(), attempt in number(), started_at in time(), items in payload(), count in number(),
            concurrency in number(), on_item_error in select(OnItemError::ALL), truncated in any::<bool>(),
        },
        "child_started": ChildStarted {
            path in path(), attempt in number(), started_at in time(), run_id in run_id(),
            flow_id in text().prop_map(FlowId::new), flow_key in any::<i64>(), revision in any::<i32>(),
            input in payload(), until in time(),
        },
        "child_ended": ChildEnded {
            path in path(), attempt in number(), run_id in run_id(), state in select(RunState::ALL),
            error in of(failure()),
        },
        "step_succeeded": StepSucceeded {
            path in path(), attempt in number(), started_at in time(), port in text(), output in payload(),
            details in details(), usage in usage(), reused in of(reused()),
        },
        "step_failed": StepFailed {
            path in path(), attempt in number(), started_at in time(), error in failure(),
            handling in select(Handling::ALL), force_at in time(), output in of(payload()),
        },
        "step_skipped": StepSkipped { path in path() },
        "step_cancelled": StepCancelled {
            path in path(), attempt in number(), started_at in of(time()), cause in select(StopCause::ALL),
            outcome_unknown in any::<bool>(), approval in any::<bool>(),
        },
        "step_outcome_unknown": StepOutcomeUnknown {
            path in path(), attempt in number(), started_at in time(), error in failure(),
        },
        "step_interrupted": StepInterrupted { path in path(), attempt in number() },
        "step_quarantined": StepQuarantined {
            path in path(), attempt in number(), started_at in time(), error in failure(),
        },
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".{1,12}"]
}

fn path() -> impl Strategy<Value = StepPath> {
    ".{1,12}".prop_map(StepPath::from)
}

fn run_id() -> impl Strategy<Value = RunId> {
    any::<u128>().prop_map(|id| RunId::new(uuid::Uuid::from_u128(id)))
}

/// As exact as the database keeps times: to the microsecond.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (0..4_000_000_000_000_000_i64).prop_map(|at| DateTime::from_timestamp_micros(at).unwrap())
}

fn parent() -> impl Strategy<Value = Parent> {
    (run_id(), path(), any::<u32>(), time()).prop_map(|(run_id, path, depth, deadline)| Parent {
        run_id,
        path,
        depth,
        deadline,
    })
}

fn origin() -> impl Strategy<Value = Origin> {
    let nodes = prop::collection::vec(text().prop_map(|id| NodeId::from(&*id)), 0..3);
    let ports = prop::collection::btree_map(text().prop_map(|id| NodeId::from(&*id)), text(), 0..3);
    (run_id(), any::<i64>(), nodes, details(), ports).prop_map(
        |(run_id, sequence, from_nodes, output_overrides, output_ports)| Origin {
            run_id,
            sequence,
            from_nodes,
            output_overrides,
            output_ports,
        },
    )
}

fn reused() -> impl Strategy<Value = Reused> {
    (run_id(), any::<i64>()).prop_map(|(run_id, sequence)| Reused { run_id, sequence })
}

fn awaited() -> impl Strategy<Value = Awaited> {
    let signal = (text(), any::<bool>());
    let asked = (
        text(),
        text(),
        of(details().prop_map(Value::Object)),
        of(select(Decision::ALL)),
        any::<bool>(),
    );
    let asked = asked.prop_map(
        |(title, description, form_schema, default_decision, expires)| Asked {
            title,
            description,
            form_schema,
            default_decision,
            expires,
        },
    );
    prop_oneof![
        Just(Awaited::Time),
        Just(Awaited::Retry),
        signal.prop_map(|(name, expires)| Awaited::Signal { name, expires }),
        asked.prop_map(|asked| Awaited::Approval(Box::new(asked))),
        run_id().prop_map(|run_id| Awaited::Child { run_id }),
    ]
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
    (text(), text(), details(), usage()).prop_map(|(reason, message, details, usage)| Failure {
        reason,
        message,
        details,
        usage,
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(input, output, cost)| Usage {
        input_tokens: input.into(),
        output_tokens: output.into(),
        cost_micro_usd: cost.into(),
    })
}

fn run_error() -> impl Strategy<Value = RunError> {
    (failure(), of(path()), any::<u32>()).prop_map(|(failure, path, attempt)| RunError {
        failure,
        path,
        attempt,
    })
}

fn payload() -> impl Strategy<Value = PayloadInfo> {
    let chunks = (text(), any::<u32>(), any::<i64>()).prop_map(|(path, attempt, epoch)| ChunkKey {
        path,
        attempt,
        epoch,
    });
    (any::<u64>(), "[0-9a-f]{64}", of(chunks)).prop_map(|(size_bytes, sha256, chunks)| {
        PayloadInfo {
            size_bytes,
            sha256,
            chunks,
        }
    })
}
