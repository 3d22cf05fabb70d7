//! The updates of a run as lines, and its result.

use std::io::{self, Write};
use std::time::Instant;

use super::document::json;
use crate::proto::run_event::Event;
use crate::proto::{Payload, RunError, RunEvent, StepDelta, payload};

/// Prints updates as they come.
pub(super) struct Printer<'a, W> {
    out: &'a mut W,
    started: Instant,
    result: Option<Ended>,
}

enum Ended {
    Succeeded(Option<Payload>),
    Failed(Option<RunError>),
    Cancelled,
}

/// What a line says beside sequence, time and node.
struct Line {
    kind: &'static str,
    took: Option<prost_types::Duration>,
    remark: String,
}

impl Line {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            took: None,
            remark: String::new(),
        }
    }

    fn took(self, took: Option<prost_types::Duration>) -> Self {
        Self { took, ..self }
    }

    fn remark(self, remark: impl Into<String>) -> Self {
        let remark = remark.into();
        Self { remark, ..self }
    }
}

impl<'a, W: Write> Printer<'a, W> {
    /// Starts the clock.
    pub(super) fn new(out: &'a mut W) -> Self {
        Self {
            out,
            started: Instant::now(),
            result: None,
        }
    }

    /// The names of the columns.
    pub(super) fn head(&mut self) -> io::Result<()> {
        self.row("seq", "after", "update", "node", "step took", "")
    }

    /// One update.
    pub(super) fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        let after = format!("{} ms", self.started.elapsed().as_millis());
        let line = line(event);
        let took = line.took.map_or_else(String::new, millis);
        self.row(
            &event.sequence.to_string(),
            &after,
            line.kind,
            &event.node_id,
            &took,
            &line.remark,
        )?;
        match &event.event {
            Some(Event::RunSucceeded(end)) => {
                self.result = Some(Ended::Succeeded(end.output.clone()));
            }
            Some(Event::RunFailed(end)) => self.result = Some(Ended::Failed(end.error.clone())),
            Some(Event::RunCancelled(_)) => self.result = Some(Ended::Cancelled),
            _ => {}
        }
        Ok(())
    }

    /// A piece of what a step shows while it works: each of its lines beside the node.
    pub(super) fn delta(&mut self, delta: &StepDelta) -> io::Result<()> {
        for line in delta.text.lines() {
            self.row("", "", "", &delta.node_id, "", &format!("| {line}"))?;
        }
        Ok(())
    }

    /// How the run has ended. Gives whether it succeeded.
    pub(super) fn result(self) -> io::Result<bool> {
        match self.result {
            Some(Ended::Succeeded(output)) => {
                let shown = match output.and_then(|output| output.content) {
                    Some(payload::Content::Value(value)) => format!("{:#}", json(&value)),
                    Some(payload::Content::Ref(reference)) => {
                        format!(
                            "({} bytes, to be read by ReadPayload)",
                            reference.size_bytes
                        )
                    }
                    None => "(none)".to_owned(),
                };
                writeln!(self.out, "\nresult: {shown}")?;
                Ok(true)
            }
            Some(Ended::Failed(error)) => {
                let error = error.unwrap_or_default();
                writeln!(self.out, "\nfailed: {}: {}", error.code, error.message)?;
                Ok(false)
            }
            Some(Ended::Cancelled) => {
                writeln!(self.out, "\ncancelled")?;
                Ok(false)
            }
            None => {
                writeln!(self.out, "\nthe stream ended before the run did")?;
                Ok(false)
            }
        }
    }

    fn row(
        &mut self,
        sequence: &str,
        after: &str,
        kind: &str,
        node: &str,
        took: &str,
        remark: &str,
    ) -> io::Result<()> {
        let row =
            format!("{sequence:>4}  {after:>8}  {kind:<20}  {node:<10}  {took:>10}  {remark}");
        writeln!(self.out, "{}", row.trim_end())?;
        // Each as it comes, also into a pipe.
        self.out.flush()
    }
}

fn line(event: &RunEvent) -> Line {
    let failed = |error: &Option<RunError>| {
        error.as_ref().map_or_else(String::new, |error| {
            format!("{}: {}", error.code, error.message)
        })
    };
    match &event.event {
        None => Line::new("(a newer kind)"),
        Some(Event::RunQueued(_)) => Line::new("run_queued"),
        Some(Event::RunStarted(_)) => Line::new("run_started"),
        Some(Event::RunWaiting(_)) => Line::new("run_waiting"),
        Some(Event::RunResumed(_)) => Line::new("run_resumed"),
        Some(Event::RunCancelling(_)) => Line::new("run_cancelling"),
        Some(Event::RunSucceeded(_)) => Line::new("run_succeeded"),
        Some(Event::RunFailed(end)) => Line::new("run_failed").remark(failed(&end.error)),
        Some(Event::RunCancelled(end)) => Line::new("run_cancelled").remark(&end.reason),
        Some(Event::RunPaused(pause)) => Line::new("run_paused").remark(&pause.reason),
        Some(Event::RunReopened(_)) => Line::new("run_reopened"),
        Some(Event::RunRecovered(lost)) => {
            Line::new("run_recovered").remark(lost.lost_step_paths.join(", "))
        }
        Some(Event::RunAdmitted(_)) => Line::new("run_admitted"),
        Some(Event::SignalReceived(signal)) => Line::new("signal_received").remark(&signal.name),
        Some(Event::StepStarted(start)) => Line::new("step_started").remark(&start.applet),
        Some(Event::StepWaiting(wait)) => Line::new("step_waiting").remark(&wait.approval_title),
        Some(Event::StepRetryScheduled(retry)) => Line::new("step_retry_scheduled")
            .took(retry.duration)
            .remark(failed(&retry.error)),
        Some(Event::StepExpired(_)) => Line::new("step_expired"),
        Some(Event::ApprovalResolved(end)) => {
            Line::new("approval_resolved").remark(end.decision().as_str_name())
        }
        Some(Event::StepResolved(end)) => {
            Line::new("step_resolved").remark(end.resolution().as_str_name())
        }
        Some(Event::LoopStarted(start)) => {
            Line::new("loop_started").remark(format!("{} items", start.items))
        }
        Some(Event::ChildStarted(start)) => Line::new("child_started").remark(&start.flow_id),
        Some(Event::ChildEnded(end)) => Line::new("child_ended").remark(end.state().as_str_name()),
        Some(Event::StepSucceeded(end)) => Line::new("step_succeeded")
            .took(end.duration)
            .remark(end.ports.join(", ")),
        Some(Event::StepFailed(end)) => Line::new("step_failed")
            .took(end.duration)
            .remark(failed(&end.error)),
        Some(Event::StepSkipped(_)) => Line::new("step_skipped"),
        Some(Event::StepCancelled(_)) => Line::new("step_cancelled"),
        Some(Event::StepOutcomeUnknown(end)) => {
            Line::new("step_outcome_unknown").remark(failed(&end.error))
        }
        Some(Event::StepInterrupted(_)) => Line::new("step_interrupted"),
        Some(Event::StepQuarantined(end)) => {
            Line::new("step_quarantined").remark(failed(&end.error))
        }
    }
}

fn millis(duration: prost_types::Duration) -> String {
    let nanos = i128::from(duration.seconds) * 1_000_000_000 + i128::from(duration.nanos);
    let tenths = nanos / 100_000;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{RunSucceededEvent, StepSucceededEvent};

    fn event(sequence: i64, node: &str, event: Event) -> RunEvent {
        RunEvent {
            sequence,
            node_id: node.to_owned(),
            event: Some(event),
            ..RunEvent::default()
        }
    }

    #[test]
    fn updates_are_lines_and_the_result_is_json() {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out);
        let step = StepSucceededEvent {
            ports: vec!["case:express".to_owned()],
            duration: Some(prost_types::Duration {
                seconds: 0,
                nanos: 61_260_000,
            }),
            ..StepSucceededEvent::default()
        };
        let value = super::super::document::value(&serde_json::json!({ "total": 73.5 }));
        let content = Some(payload::Content::Value(value));
        let end = RunSucceededEvent {
            output: Some(Payload { content }),
        };

        printer
            .event(&event(4, "delivery", Event::StepSucceeded(step)))
            .unwrap();
        printer
            .event(&event(5, "", Event::RunSucceeded(end)))
            .unwrap();
        let succeeded = printer.result().unwrap();

        let text = String::from_utf8(out).unwrap();
        assert!(succeeded);
        assert!(text.starts_with("   4 "), "{text}");
        assert!(text.contains("step_succeeded        delivery       61.2 ms  case:express\n"));
        assert!(
            text.ends_with("result: {\n  \"total\": 73.5\n}\n"),
            "{text}"
        );
    }
}
