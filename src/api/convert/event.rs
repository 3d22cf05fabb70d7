//! Events of a run, from the domain to the wire.

use chrono::{DateTime, Utc};
use prost::Message;
use serde_json::Value;

use super::effect;
use super::time::{duration_between, timestamp};
use super::value::{self, struct_to_proto};
use crate::flow::graph::Graph;
use crate::ids::StepPath;
use crate::proto::{
    self, ApprovalResolvedEvent, ChildEndedEvent, ChildStartedEvent, FailureHandling,
    LoopStartedEvent, Payload, PayloadRef, RunAdmittedEvent, RunCancelledEvent, RunCancellingEvent,
    RunEvent, RunFailedEvent, RunPausedEvent, RunQueuedEvent, RunRecoveredEvent, RunReopenedEvent,
    RunResumedEvent, RunStartedEvent, RunSucceededEvent, RunWaitingEvent, SignalReceivedEvent,
    StepCancelledEvent, StepExpiredEvent, StepFailedEvent, StepInterruptedEvent,
    StepOutcomeUnknownEvent, StepQuarantinedEvent, StepResolvedEvent, StepRetryScheduledEvent,
    StepSkippedEvent, StepStartedEvent, StepSucceededEvent, StepWaitingEvent, payload, run_event,
};
use crate::run::event::{Awaited, Event, Failure, PayloadInfo, Recorded, Reused, RunError};
use crate::run::state::{Decision, Handling, Resolution, WaitReason};

/// What the events of a run are read beside.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The revision that the run executes.
    pub revision: i32,
    /// Its graph.
    pub graph: &'a Graph,
}

/// Whether the payloads of events are shown, where they lie beside them, or only referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As JSON, as long as the message stays below the bound of an answer.
    Payloads,
    /// References; only the run's output is shown as JSON.
    References,
}

/// One event as a message of less than [`super::MOST_BYTES`].
#[must_use]
pub fn event(recorded: &Recorded, setting: Setting<'_>, show: Show) -> RunEvent {
    let shown = convert(
        recorded,
        setting,
        show == Show::Payloads || matches!(recorded.event, Event::RunSucceeded(_)),
    );
    if shown.encoded_len() <= super::MOST_BYTES {
        shown
    } else {
        convert(recorded, setting, false)
    }
}

fn convert(recorded: &Recorded, setting: Setting<'_>, inline: bool) -> RunEvent {
    let payload = |info: &PayloadInfo| payload(recorded, info, inline);
    let event = match &recorded.event {
        Event::RunQueued(event) => run_event::Event::RunQueued(RunQueuedEvent {
            revision: setting.revision,
            input: Some(payload(&event.input)),
        }),
        Event::RunStarted(_) => run_event::Event::RunStarted(RunStartedEvent {}),
        Event::RunWaiting(event) => run_event::Event::RunWaiting(RunWaitingEvent {
            reason: wait_reason(event.reason).into(),
            wake_time: has_wake_time(event.reason).then(|| timestamp(event.until)),
        }),
        Event::RunResumed(event) => run_event::Event::RunResumed(RunResumedEvent {
            reason: wait_reason(event.reason).into(),
        }),
        Event::RunPaused(event) => run_event::Event::RunPaused(RunPausedEvent {
            reason: event.reason.clone(),
        }),
        Event::RunAdmitted(_) => run_event::Event::RunAdmitted(RunAdmittedEvent {}),
        Event::RunReopened(event) => run_event::Event::RunReopened(RunReopenedEvent {
            deadline: Some(timestamp(event.deadline)),
        }),
        Event::RunRecovered(event) => run_event::Event::RunRecovered(RunRecoveredEvent {
            lost_step_paths: event.lost.iter().map(ToString::to_string).collect(),
        }),
        Event::SignalReceived(event) => run_event::Event::SignalReceived(SignalReceivedEvent {
            name: event.name.clone(),
            payload: Some(payload(&event.payload)),
        }),
        Event::RunCancelling(event) => run_event::Event::RunCancelling(RunCancellingEvent {
            reason: event.reason.clone(),
            grace_end_time: Some(timestamp(event.force_at)),
        }),
        Event::RunSucceeded(event) => run_event::Event::RunSucceeded(RunSucceededEvent {
            output: Some(payload(&event.output)),
        }),
        Event::RunFailed(event) => run_event::Event::RunFailed(RunFailedEvent {
            error: Some(run_error(&event.error)),
        }),
        Event::RunCancelled(event) => run_event::Event::RunCancelled(RunCancelledEvent {
            reason: event.reason.clone(),
        }),
        event => step_message(recorded, event, setting, &payload),
    };
    let (step_path, attempt) = match recorded.event.step() {
        Some((path, attempt)) => (path.to_string(), number(attempt)),
        None => (String::new(), 0),
    };
    RunEvent {
        sequence: recorded.sequence,
        time: Some(timestamp(recorded.at)),
        node_id: node_of(&step_path).to_owned(),
        step_path,
        attempt,
        event: Some(event),
    }
}

fn step_message(
    recorded: &Recorded,
    event: &Event,
    setting: Setting<'_>,
    payload: &dyn Fn(&PayloadInfo) -> Payload,
) -> run_event::Event {
    match event {
        Event::StepStarted(event) => {
            run_event::Event::StepStarted(started(&event.path, setting.graph))
        }
        Event::StepWaiting(event) => {
            run_event::Event::StepWaiting(step_waiting(&event.awaited, event.until))
        }
        Event::StepRetryScheduled(event) => {
            run_event::Event::StepRetryScheduled(StepRetryScheduledEvent {
                error: Some(step_error(&event.error, &event.path, event.attempt)),
                retry_time: Some(timestamp(event.until)),
                start_time: Some(timestamp(event.started_at)),
                duration: Some(duration_between(event.started_at, recorded.at)),
                usage: super::run::usage(event.error.usage),
            })
        }
        Event::StepExpired(_) => run_event::Event::StepExpired(StepExpiredEvent {}),
        Event::ApprovalResolved(event) => {
            run_event::Event::ApprovalResolved(ApprovalResolvedEvent {
                decision: decision(event.decision).into(),
                decided_by: event.decided_by.clone(),
                payload: Some(payload(&event.payload)),
            })
        }
        Event::StepResolved(event) => run_event::Event::StepResolved(StepResolvedEvent {
            resolution: resolution(event.resolution).into(),
            comment: event.comment.clone(),
        }),
        Event::LoopStarted(event) => run_event::Event::LoopStarted(LoopStartedEvent {
            items: number(event.count),
            concurrency: number(event.concurrency),
            truncated: event.truncated,
            list: Some(payload(&event.items)),
        }),
        Event::ChildStarted(event) => run_event::Event::ChildStarted(ChildStartedEvent {
            run_id: event.run_id.to_string(),
            flow_id: event.flow_id.to_string(),
            revision: event.revision,
            input: Some(payload(&event.input)),
        }),
        Event::ChildEnded(event) => run_event::Event::ChildEnded(ChildEndedEvent {
            run_id: event.run_id.to_string(),
            state: super::run::run_state(event.state).into(),
        }),
        Event::StepSucceeded(event) => run_event::Event::StepSucceeded(StepSucceededEvent {
            ports: ports(&event.port),
            output: Some(payload(&event.output)),
            start_time: Some(timestamp(event.started_at)),
            duration: Some(duration_between(event.started_at, recorded.at)),
            details: details(&event.details),
            usage: super::run::usage(event.usage),
            reused_from_run_id: reused_from(event.reused.as_ref()),
        }),
        Event::StepFailed(event) => run_event::Event::StepFailed(StepFailedEvent {
            error: Some(step_error(&event.error, &event.path, event.attempt)),
            handling: handling(event.handling).into(),
            start_time: Some(timestamp(event.started_at)),
            duration: Some(duration_between(event.started_at, recorded.at)),
            output: event.output.as_ref().map(&payload),
            usage: super::run::usage(event.error.usage),
        }),
        Event::StepSkipped(_) => run_event::Event::StepSkipped(StepSkippedEvent {}),
        Event::StepCancelled(event) => run_event::Event::StepCancelled(StepCancelledEvent {
            start_time: event.started_at.map(timestamp),
        }),
        Event::StepOutcomeUnknown(event) => {
            run_event::Event::StepOutcomeUnknown(StepOutcomeUnknownEvent {
                error: Some(step_error(&event.error, &event.path, event.attempt)),
                start_time: Some(timestamp(event.started_at)),
            })
        }
        Event::StepInterrupted(_) => run_event::Event::StepInterrupted(StepInterruptedEvent {}),
        Event::StepQuarantined(event) => run_event::Event::StepQuarantined(StepQuarantinedEvent {
            error: Some(step_error(&event.error, &event.path, event.attempt)),
            start_time: Some(timestamp(event.started_at)),
        }),
        Event::RunQueued(_)
        | Event::RunStarted(_)
        | Event::RunWaiting(_)
        | Event::RunPaused(_)
        | Event::RunResumed(_)
        | Event::RunAdmitted(_)
        | Event::RunReopened(_)
        | Event::RunRecovered(_)
        | Event::RunCancelling(_)
        | Event::RunSucceeded(_)
        | Event::RunFailed(_)
        | Event::RunCancelled(_)
        | Event::SignalReceived(_) => unreachable!("events of the run are converted above"),
    }
}

/// The node of a step's path: its last part (`loop[3]/summarise` is a step of `summarise`).
#[must_use]
pub fn node_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, node)| node)
}

fn started(path: &StepPath, graph: &Graph) -> StepStartedEvent {
    let node = graph.find_at(path.as_str());
    StepStartedEvent {
        applet: node.map(|node| node.kind.to_string()).unwrap_or_default(),
        effect: node
            .map_or(proto::Effect::Unspecified, |node| effect(node.effect))
            .into(),
    }
}

/// The payload of an event: as JSON if that is wanted and it is at hand.
fn payload(recorded: &Recorded, info: &PayloadInfo, inline: bool) -> Payload {
    let text = recorded.payload.as_deref().filter(|_| inline);
    let content = match text.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        Some(json) => payload::Content::Value(value::to_proto(&json)),
        None => payload::Content::Ref(reference(recorded.sequence, info)),
    };
    Payload {
        content: Some(content),
    }
}

/// Where to read the payload of the event of this sequence.
#[must_use]
pub fn reference(sequence: i64, info: &PayloadInfo) -> PayloadRef {
    PayloadRef {
        r#ref: format!("e{sequence}"),
        size_bytes: i64::try_from(info.size_bytes).unwrap_or(i64::MAX),
        sha256: info.sha256.clone(),
    }
}

/// The sequence in a payload's reference; `None` if it is none of ours.
#[must_use]
pub fn sequence_of(reference: &str) -> Option<i64> {
    let digits = reference.strip_prefix('e')?;
    let sequence: i64 = digits.parse().ok()?;
    (sequence >= 1 && sequence.to_string() == digits).then_some(sequence)
}

/// What ended a run as failed.
#[must_use]
pub fn run_error(error: &RunError) -> proto::RunError {
    match &error.path {
        Some(path) => step_error(&error.failure, path, error.attempt),
        None => failure(&error.failure),
    }
}

/// What went wrong in a step.
#[must_use]
pub fn step_error(error: &Failure, path: &StepPath, attempt: u32) -> proto::RunError {
    proto::RunError {
        node_id: node_of(path.as_str()).to_owned(),
        step_path: path.to_string(),
        attempt: number(attempt),
        ..failure(error)
    }
}

fn failure(failure: &Failure) -> proto::RunError {
    proto::RunError {
        code: failure.reason.clone(),
        message: failure.message.clone(),
        details: details(&failure.details),
        ..proto::RunError::default()
    }
}

/// What an applet tells beside its output; nothing if it tells nothing.
#[must_use]
pub fn details(details: &serde_json::Map<String, Value>) -> Option<prost_types::Struct> {
    (!details.is_empty()).then(|| struct_to_proto(details))
}

/// The ports that an output left by: none for the only one.
#[must_use]
pub fn ports(port: &str) -> Vec<String> {
    if port.is_empty() {
        Vec::new()
    } else {
        vec![port.to_owned()]
    }
}

/// A counted thing as the wire has it.
#[must_use]
pub fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A wait reason's name on the wire.
#[must_use]
pub fn wait_reason(reason: WaitReason) -> proto::WaitReason {
    match reason {
        WaitReason::Delay => proto::WaitReason::Delay,
        WaitReason::OutcomeUnknown => proto::WaitReason::OutcomeUnknown,
        WaitReason::Retry => proto::WaitReason::Retry,
        WaitReason::Signal => proto::WaitReason::Signal,
        WaitReason::Approval => proto::WaitReason::Approval,
        WaitReason::Child => proto::WaitReason::Child,
        WaitReason::Concurrency => proto::WaitReason::Concurrency,
        WaitReason::Paused => proto::WaitReason::Paused,
    }
}

fn handling(handling: Handling) -> FailureHandling {
    match handling {
        Handling::FailRun => FailureHandling::FailRun,
        Handling::ErrorPort => FailureHandling::ErrorPort,
        Handling::Fallback => FailureHandling::Fallback,
        Handling::DefaultOutput => FailureHandling::DefaultOutput,
        Handling::ContinueRun => FailureHandling::ContinueRun,
        Handling::FailItem => FailureHandling::FailItem,
    }
}

/// Whether what is waited for comes by itself at a time.
fn has_wake_time(reason: WaitReason) -> bool {
    matches!(reason, WaitReason::Delay | WaitReason::Retry)
}

fn step_waiting(awaited: &Awaited, until: DateTime<Utc>) -> StepWaitingEvent {
    let (reason, signal, title) = match awaited {
        Awaited::Time => (WaitReason::Delay, "", ""),
        Awaited::Retry => (WaitReason::Retry, "", ""),
        Awaited::Signal { name, .. } => (WaitReason::Signal, name.as_str(), ""),
        Awaited::Approval(asked) => (WaitReason::Approval, "", asked.title.as_str()),
        Awaited::Child { .. } => (WaitReason::Child, "", ""),
    };
    StepWaitingEvent {
        reason: wait_reason(reason).into(),
        wake_time: goes_on_at(awaited, until).map(timestamp),
        signal: signal.to_owned(),
        approval_title: title.to_owned(),
    }
}

/// When a wait ends by itself, if it does before the run's time is up.
#[must_use]
pub fn goes_on_at(awaited: &Awaited, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match awaited {
        Awaited::Time | Awaited::Retry => Some(until),
        Awaited::Signal { expires, .. } => expires.then_some(until),
        Awaited::Approval(asked) => asked.expires.then_some(until),
        Awaited::Child { .. } => None,
    }
}

/// The run that an output was taken from; empty if it was computed.
#[must_use]
pub fn reused_from(reused: Option<&Reused>) -> String {
    reused.map_or_else(String::new, |reused| reused.run_id.to_string())
}

/// A decision on the wire.
#[must_use]
pub fn decision(decision: Decision) -> proto::ApprovalDecision {
    match decision {
        Decision::Approved => proto::ApprovalDecision::Approved,
        Decision::Rejected => proto::ApprovalDecision::Rejected,
    }
}

fn resolution(resolution: Resolution) -> proto::StepResolution {
    match resolution {
        Resolution::Succeeded => proto::StepResolution::Succeeded,
        Resolution::Retry => proto::StepResolution::Retry,
        Resolution::Failed => proto::StepResolution::Failed,
    }
}
