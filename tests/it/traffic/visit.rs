//! One client with one run: starts it, watches it to its end, and does what its kind asks for on the way.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use prost::Message as _;
use serde_json::json;
use synapps::proto::run_event::Event;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{
    ApprovalDecision, CancelRunRequest, GetRunRequest, ListApprovalsRequest,
    ResolveApprovalRequest, ResolveStepRequest, RetryRunRequest, RunEvent, RunState, RunView,
    SignalRunRequest, StartRunRequest, StepResolution, StepState, WaitReason, WatchRunRequest,
    WatchRunResponse,
};
use tonic::{Code, Status, Streaming};

use super::flows::LARGE_BYTES;
use super::replicas::bounded;
use super::{Crowd, Kind};
use crate::support::calls::reason;
use crate::support::http_bin::Answer;
use crate::support::wire;

/// How long a watch may say nothing before the client asks another replica: doubled from the first to the last while
/// nothing comes.
const SILENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(16));

/// What a client has done and seen.
#[derive(Debug)]
pub struct Visit {
    /// What it was about.
    pub kind: Kind,
    /// Its number among all: in the paths that its run asks for.
    pub n: u32,
    /// The run, as the answer to the start named it.
    pub run_id: String,
    /// A hash of each event in the order in which it came.
    pub seen: Vec<u64>,
    /// How the run ended, by its last event.
    pub ended: RunState,
    /// How often the watch was begun anew.
    pub resumed: usize,
    /// How long it may say nothing.
    patience: Duration,
    /// How often it has said what became of a step of which nobody knew, or that was quarantined.
    pub resolved: Resolved,
}

/// What a client has said of steps that could not go on by themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resolved {
    /// `AT_MOST_ONCE` steps of unknown outcome, taken for done.
    pub succeeded: usize,
    /// Those taken for failed.
    pub failed: usize,
    /// Quarantined ones that may be tried again.
    pub quarantined: usize,
}

impl Visit {
    /// A run of this kind, from its start to its end.
    pub async fn make(crowd: &Crowd, kind: Kind, n: u32) -> Self {
        prepare(crowd, kind, n);
        let request = StartRunRequest {
            flow_id: kind.flow_id().to_owned(),
            input: Some(wire::value(&json!({ "n": n, "items": [0, 1, 2] }))),
            request_id: format!("run-{n}"),
            ..StartRunRequest::default()
        };
        let started = crowd
            .replicas
            .call("StartRun", &request, |mut runs, request| async move {
                runs.start_run(request).await
            });
        let started = started
            .await
            .unwrap_or_else(|status| panic!("run {n} was refused: {status:?}"));
        let mut visit = Self {
            kind,
            n,
            run_id: started.run.unwrap().run_id,
            seen: Vec::new(),
            ended: RunState::Unspecified,
            resumed: 0,
            patience: SILENCE.0,
            resolved: Resolved::default(),
        };
        visit.follow(crowd).await;
        crowd.held.lock().unwrap().remove(&n);
        visit
    }

    /// Watches the run to its end, on one replica after the other.
    async fn follow(&mut self, crowd: &Crowd) {
        // Every other one begins where nobody executes the run.
        let mut number = usize::try_from(self.n).unwrap();
        loop {
            match self.watch(crowd, number).await {
                Ok(mut watch) => {
                    if self.read(crowd, &mut watch).await {
                        return;
                    }
                }
                Err(status) => self.met(crowd, &status),
            }
            number += 1;
            self.resumed += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn watch(
        &self,
        crowd: &Crowd,
        number: usize,
    ) -> Result<Streaming<WatchRunResponse>, Status> {
        let nobody = || Status::unavailable("there is no replica");
        let calls = crowd.replicas.at(number).ok_or_else(nobody)?;
        let request = WatchRunRequest {
            run_id: self.run_id.clone(),
            after_sequence: i64::try_from(self.seen.len()).unwrap(),
            include_payloads: true,
            ..WatchRunRequest::default()
        };
        let watch = bounded(async move { calls.runs().watch_run(request).await }).await;
        Ok(watch?.into_inner())
    }

    /// Takes what a watch brings; says whether the run has come to its end.
    async fn read(&mut self, crowd: &Crowd, watch: &mut Streaming<WatchRunResponse>) -> bool {
        loop {
            let event = match tokio::time::timeout(self.patience, watch.message()).await {
                Ok(Ok(Some(message))) => match message.message {
                    Some(Message::Event(event)) => event,
                    _ => continue,
                },
                Ok(Err(status)) => {
                    self.met(crowd, &status);
                    return false;
                }
                // It has ended; where it says nothing, another replica may.
                Ok(Ok(None)) => return false,
                Err(_) => {
                    self.patience = (self.patience * 2).min(SILENCE.1);
                    return false;
                }
            };
            self.patience = SILENCE.0;
            let expected = i64::try_from(self.seen.len()).unwrap() + 1;
            if event.sequence != expected {
                crowd.replicas.wrong(format!(
                    "the watch of run {} brought event {} instead of {expected}",
                    self.run_id, event.sequence
                ));
                return false;
            }
            self.seen.push(print_of(&event));
            if self.took(crowd, &event).await {
                return true;
            }
        }
    }

    /// Notes what a watch met. That the run or its events are gone is worse than any trouble.
    fn met(&self, crowd: &Crowd, status: &Status) {
        crowd.replicas.note("WatchRun", status);
        if matches!(status.code(), Code::NotFound | Code::OutOfRange) {
            let seen = self.seen.len();
            crowd.replicas.wrong(format!(
                "run {} was accepted and watched up to event {seen}, and now: {status:?}",
                self.run_id
            ));
        }
    }

    /// Does what an event asks of the client; says whether the run has come to its end.
    async fn took(&mut self, crowd: &Crowd, event: &RunEvent) -> bool {
        match event.event.as_ref() {
            Some(Event::RunSucceeded(_)) => self.ended = RunState::Succeeded,
            Some(Event::RunCancelled(_)) => self.ended = RunState::Cancelled,
            Some(Event::RunFailed(_)) if self.kind == Kind::Retried => {
                self.mend(crowd).await;
                return false;
            }
            Some(Event::RunFailed(_)) => self.ended = RunState::Failed,
            Some(Event::StepStarted(_)) if self.kind == Kind::Cancelled => {
                self.cancel(crowd).await;
                return false;
            }
            Some(Event::RunWaiting(waiting)) => {
                match waiting.reason() {
                    WaitReason::Signal => self.signal(crowd).await,
                    WaitReason::Approval => self.approve(crowd).await,
                    _ => self.resolve(crowd).await,
                }
                return false;
            }
            _ => return false,
        }
        true
    }

    async fn cancel(&self, crowd: &Crowd) {
        let request = CancelRunRequest {
            run_id: self.run_id.clone(),
            reason: "nobody needs it any more".to_owned(),
            ..CancelRunRequest::default()
        };
        let asked = crowd
            .replicas
            .call("CancelRun", &request, |mut runs, request| async move {
                runs.cancel_run(request).await
            });
        self.unless(crowd, "CancelRun", asked.await.err(), &[]);
    }

    async fn mend(&self, crowd: &Crowd) {
        let path = format!("/broken/{}", self.n);
        crowd.bin.answer(&path, Answer::status(200));
        let request = RetryRunRequest {
            run_id: self.run_id.clone(),
        };
        let asked = crowd
            .replicas
            .call("RetryRun", &request, |mut runs, request| async move {
                runs.retry_run(request).await
            });
        // The first call may have done it without a word.
        self.unless(crowd, "RetryRun", asked.await.err(), &["RUN_NOT_FAILED"]);
    }

    async fn signal(&self, crowd: &Crowd) {
        let request = SignalRunRequest {
            run_id: self.run_id.clone(),
            name: "go".to_owned(),
            payload: Some(wire::value(&json!({ "n": self.n }))),
            request_id: format!("signal-{}", self.n),
        };
        let asked = crowd
            .replicas
            .call("SignalRun", &request, |mut runs, request| async move {
                runs.signal_run(request).await
            });
        self.unless(crowd, "SignalRun", asked.await.err(), &[]);
    }

    async fn approve(&self, crowd: &Crowd) {
        let request = ListApprovalsRequest {
            run_id: self.run_id.clone(),
            ..ListApprovalsRequest::default()
        };
        let asked =
            crowd
                .replicas
                .call("ListApprovals", &request, |mut runs, request| async move {
                    runs.list_approvals(request).await
                });
        let Some(approval) = asked.await.unwrap().approvals.pop() else {
            let run = &self.run_id;
            return crowd.replicas.wrong(format!(
                "run {run} waits for an approval that is not listed"
            ));
        };
        let request = ResolveApprovalRequest {
            run_id: self.run_id.clone(),
            step_path: approval.step_path,
            etag: approval.etag,
            decision: ApprovalDecision::Approved.into(),
            decided_by: "the client".to_owned(),
            ..ResolveApprovalRequest::default()
        };
        let asked = crowd.replicas.call(
            "ResolveApproval",
            &request,
            |mut runs, request| async move { runs.resolve_approval(request).await },
        );
        let repeated = ["APPROVAL_DECIDED", "APPROVAL_NOT_FOUND"];
        self.unless(crowd, "ResolveApproval", asked.await.err(), &repeated);
    }

    /// Says what became of steps that cannot go on by themselves: every other unknown one has failed, and what was
    /// quarantined may be tried again. Nothing that may take effect once only is ever tried again.
    async fn resolve(&mut self, crowd: &Crowd) {
        let request = GetRunRequest {
            run_id: self.run_id.clone(),
            view: RunView::Full.into(),
        };
        let asked = crowd
            .replicas
            .call("GetRun", &request, |mut runs, request| async move {
                runs.get_run(request).await
            });
        let run = asked.await.unwrap().run.unwrap();
        for step in run.steps {
            let resolution = match step.state() {
                StepState::OutcomeUnknown | StepState::Quarantined if step.node_id == "pay" => {
                    if self.n.is_multiple_of(2) {
                        self.resolved.succeeded += 1;
                        StepResolution::Succeeded
                    } else {
                        self.resolved.failed += 1;
                        StepResolution::Failed
                    }
                }
                StepState::Quarantined => {
                    self.resolved.quarantined += 1;
                    StepResolution::Retry
                }
                _ => continue,
            };
            let output = (resolution == StepResolution::Succeeded)
                .then(|| wire::value(&json!({ "resolved": true })));
            let request = ResolveStepRequest {
                run_id: self.run_id.clone(),
                step_path: step.step_path.clone(),
                attempt: step.attempt,
                resolution: resolution.into(),
                output,
                ..ResolveStepRequest::default()
            };
            let asked =
                crowd
                    .replicas
                    .call("ResolveStep", &request, |mut runs, request| async move {
                        runs.resolve_step(request).await
                    });
            let repeated = ["STEP_NOT_RESOLVABLE", "RUN_ALREADY_DONE"];
            self.unless(crowd, "ResolveStep", asked.await.err(), &repeated);
        }
    }

    /// A refusal is wrong unless its reason says that an earlier call, whose answer was lost, has done it.
    fn unless(&self, crowd: &Crowd, what: &str, refusal: Option<Status>, repeated: &[&str]) {
        if let Some(status) = refusal
            && !repeated.contains(&reason(&status).as_str())
        {
            let run = &self.run_id;
            crowd
                .replicas
                .wrong(format!("{what} of run {run} was refused: {status:?}"));
        }
    }
}

/// What makes an event this one and no other.
pub fn print_of(event: &RunEvent) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.encode_to_vec().hash(&mut hasher);
    hasher.finish()
}

/// Has the server answer as the kind needs it.
fn prepare(crowd: &Crowd, kind: Kind, n: u32) {
    let json = |text: String| {
        Answer::status(200)
            .header("content-type", "application/json")
            .body(text)
    };
    match kind {
        Kind::Mixed => crowd
            .bin
            .answer_first(&format!("/flaky/{n}"), 1, Answer::status(503)),
        Kind::Large => {
            let text = "x".repeat(LARGE_BYTES);
            crowd
                .bin
                .answer(&format!("/large/{n}"), json(format!("\"{text}\"")));
        }
        Kind::Cancelled | Kind::Slow => {
            let held = crowd.bin.hold(&format!("/slow/{n}"));
            crowd.held.lock().unwrap().insert(n, (kind, held));
        }
        Kind::Retried => crowd
            .bin
            .answer(&format!("/broken/{n}"), Answer::status(404)),
        Kind::Waits | Kind::Nap => {}
    }
}
