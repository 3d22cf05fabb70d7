//! The history of a run in words that can be compared.

use synapps::proto::RunEvent;
use synapps::proto::run_event::Event;

/// What happened, in order: `run_queued`, `step_succeeded get` and so on.
pub fn kinds(events: &[RunEvent]) -> Vec<String> {
    let kinds = events.iter().map(|event| {
        let kind = kind(event);
        format!("{kind} {}", event.node_id).trim_end().to_owned()
    });
    kinds.collect()
}

/// Whether this has happened, in the words of [`kinds`].
pub fn has(events: &[RunEvent], what: &str) -> bool {
    kinds(events).iter().any(|kind| kind == what)
}

/// The name of what happened.
pub fn kind(event: &RunEvent) -> &'static str {
    match event.event.as_ref().expect("each event is of some kind") {
        Event::RunQueued(_) => "run_queued",
        Event::RunStarted(_) => "run_started",
        Event::RunWaiting(_) => "run_waiting",
        Event::RunResumed(_) => "run_resumed",
        Event::RunCancelling(_) => "run_cancelling",
        Event::RunPaused(_) => "run_paused",
        Event::RunReopened(_) => "run_reopened",
        Event::RunAdmitted(_) => "run_admitted",
        Event::SignalReceived(_) => "signal_received",
        Event::RunSucceeded(_) => "run_succeeded",
        Event::RunFailed(_) => "run_failed",
        Event::RunCancelled(_) => "run_cancelled",
        Event::StepStarted(_) => "step_started",
        Event::StepWaiting(_) => "step_waiting",
        Event::StepRetryScheduled(_) => "step_retry_scheduled",
        Event::StepExpired(_) => "step_expired",
        Event::ApprovalResolved(_) => "approval_resolved",
        Event::StepResolved(_) => "step_resolved",
        Event::LoopStarted(_) => "loop_started",
        Event::ChildStarted(_) => "child_started",
        Event::ChildEnded(_) => "child_ended",
        Event::StepSucceeded(_) => "step_succeeded",
        Event::StepFailed(_) => "step_failed",
        Event::StepSkipped(_) => "step_skipped",
        Event::StepCancelled(_) => "step_cancelled",
        Event::StepOutcomeUnknown(_) => "step_outcome_unknown",
        Event::RunRecovered(_) => "run_recovered",
        Event::StepInterrupted(_) => "step_interrupted",
        Event::StepQuarantined(_) => "step_quarantined",
    }
}
