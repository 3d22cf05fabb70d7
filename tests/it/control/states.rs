//! Each call on a run in each state: what it answers, and with which code and reason it refuses.

use serde_json::json;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{ForkRunRequest, RunState, StepResolution, WatchRunRequest};
use tonic::{Code, Status};

use super::{a_signal, asking, delete, pause, resolve, resume, retry, signal, verdict};
use crate::support::calls::{assert_error, metadata};
use crate::support::flows::chain;
use crate::support::http_bin::{Answer, Held, HttpBin};
use crate::support::server::TestServer;
use crate::support::within;

use RunState::{Cancelled, Cancelling, Failed, Paused, Queued, Running, Succeeded, Waiting};

const ALL: [RunState; 8] = [
    Queued, Running, Waiting, Paused, Cancelling, Succeeded, Failed, Cancelled,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Cancel,
    Pause,
    Resume,
    Retry,
    Delete,
    Watch,
    Signal,
    ResolveStep,
    Fork,
}

use Call::{Cancel, Delete, Fork, Pause, ResolveStep, Resume, Retry, Signal, Watch};

const CALLS: [Call; 9] = [
    Cancel,
    Pause,
    Resume,
    Retry,
    Delete,
    Watch,
    Signal,
    ResolveStep,
    Fork,
];

const DONE: &str = "RUN_ALREADY_DONE";

/// The reason of the refusal, which is `FAILED_PRECONDITION`; `None` if the call is answered.
fn refusal(call: Call, state: RunState) -> Option<&'static str> {
    let is_final = matches!(state, Succeeded | Failed | Cancelled);
    match call {
        Watch | Fork => None,
        Cancel => matches!(state, Succeeded | Failed).then_some(DONE),
        Pause | Resume | ResolveStep if state == Cancelling => Some("RUN_CANCELLING"),
        Pause | Resume | Signal => is_final.then_some(DONE),
        Retry => (state != Failed).then_some("RUN_NOT_FAILED"),
        Delete => (!is_final).then_some("RUN_NOT_DONE"),
        ResolveStep if is_final => Some(DONE),
        ResolveStep => Some("STEP_NOT_RESOLVABLE"),
    }
}

/// A server with flows that bring a run into each state and keep it there.
struct Stage {
    server: TestServer,
    // Its one place is taken, so that its runs stay queued.
    full: TestServer,
    bin: HttpBin,
    _held: Held,
}

impl Stage {
    async fn set() -> Self {
        let bin = HttpBin::start().await;
        let held = bin.hold("/slow");
        bin.answer("/broken", Answer::status(500));
        let full = TestServer::builder()
            .flag("--max-open-runs=1")
            .start()
            .await;
        let server = TestServer::start().await;
        let hour = json!({ "seconds": 3_600 });
        for on in [&server, &full] {
            on.save(asking("get", "GET", &bin.url("/slow"))).await;
            on.save(asking("good", "GET", &bin.url("/good"))).await;
            on.save(asking("bad", "GET", &bin.url("/broken"))).await;
            on.save(chain("wait", &[("wait", "delay", hour.clone())]))
                .await;
        }
        let first = full.start("get", &json!({})).await;
        full.run_in_state(&first, Running).await;
        bin.requested("/slow", 1).await;
        Self {
            server,
            full,
            bin,
            _held: held,
        }
    }

    fn server(&self, state: RunState) -> &TestServer {
        if state == Queued {
            &self.full
        } else {
            &self.server
        }
    }

    /// A run in this state.
    async fn run(&self, state: RunState) -> String {
        let server = self.server(state);
        let flow = match state {
            Queued | Succeeded => "good",
            Running => "get",
            Waiting | Paused | Cancelling | Cancelled => "wait",
            Failed => "bad",
            RunState::Unspecified => unreachable!(),
        };
        let asked = self.bin.count("/slow");
        let run_id = server.start(flow, &json!({})).await;
        match state {
            Running => self.bin.requested("/slow", asked + 1).await,
            Cancelling => {
                // What is cancelled here ends at once: it is put back to where it would be for a moment.
                server.run_in_state(&run_id, Waiting).await;
                let put = "UPDATE workflow_runs SET state = 'CANCELLING', wait_reason = NULL WHERE run_id = $1";
                let id = uuid::Uuid::parse_str(&run_id).unwrap();
                assert_eq!(server.sql().await.execute(put, &[&id]).await.unwrap(), 1);
            }
            Paused => {
                server.run_in_state(&run_id, Waiting).await;
                pause(server, &run_id, "").await.unwrap();
            }
            Cancelled => {
                server.cancel(&run_id).await.unwrap();
            }
            _ => {}
        }
        if matches!(state, Succeeded | Failed | Cancelled) {
            assert_eq!(server.finished_run(&run_id).await.state(), state);
        } else if matches!(state, Queued | Cancelling) {
            assert_eq!(server.get(&run_id).await.state(), state);
        } else {
            server.run_in_state(&run_id, state).await;
        }
        run_id
    }

    /// Calls it, and gives the state in the answer where there is one.
    async fn call(
        &self,
        call: Call,
        state: RunState,
        run_id: &str,
    ) -> Result<Option<RunState>, Status> {
        let server = self.server(state);
        Ok(match call {
            Cancel => Some(server.cancel(run_id).await?.state()),
            Pause => Some(pause(server, run_id, "").await?.state()),
            Resume => Some(resume(server, run_id).await?.state()),
            Retry => Some(retry(server, run_id).await?.state()),
            Delete => {
                delete(server, run_id).await?;
                None
            }
            Signal => {
                assert!(signal(server, a_signal(run_id, "go", &json!(1))).await?);
                None
            }
            ResolveStep => {
                let what = StepResolution::Retry;
                Some(
                    resolve(server, verdict(run_id, "start", 1, what))
                        .await?
                        .state(),
                )
            }
            Fork => {
                let request = ForkRunRequest {
                    run_id: run_id.to_owned(),
                    ..ForkRunRequest::default()
                };
                let fork = server.runs().fork_run(request).await?.into_inner();
                assert_eq!(fork.run.unwrap().forked_from, run_id);
                None
            }
            Watch => {
                let request = WatchRunRequest {
                    run_id: run_id.to_owned(),
                    ..WatchRunRequest::default()
                };
                let mut watch = server.runs().watch_run(request).await?.into_inner();
                let caught_up = async {
                    while !matches!(
                        watch.message().await.unwrap().unwrap().message,
                        Some(Message::CaughtUp(_))
                    ) {}
                };
                within("caught_up", caught_up).await;
                None
            }
        })
    }
}

fn is_expected(call: Call, before: RunState, after: Option<RunState>) -> bool {
    match (call, after) {
        (Cancel, Some(after)) => matches!(after, Cancelling | Cancelled),
        (Pause, Some(after)) => after == Paused,
        (Resume, Some(after)) if before == Paused => matches!(after, Running | Waiting),
        (Resume, Some(after)) => after == before,
        (Retry, Some(after)) => matches!(after, Queued | Running | Failed),
        (_, None) => true,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_in_each_state_is_answered_or_refused_with_its_reason() {
    let stage = Stage::set().await;
    for state in ALL {
        // Of a refused call nothing changes: the same run serves the next one.
        let mut run_id = stage.run(state).await;
        for call in CALLS {
            let answer = stage.call(call, state, &run_id).await;

            match (refusal(call, state), answer) {
                (None, Ok(after)) => {
                    assert!(
                        is_expected(call, state, after),
                        "{call:?} {state:?} {after:?}"
                    );
                    if state == Cancelling || !matches!(call, Watch | Signal) {
                        run_id = stage.run(state).await;
                    }
                }
                (Some(reason), Err(error)) => {
                    assert_error(&error, Code::FailedPrecondition, reason);
                    assert_eq!(metadata(&error, "runId"), run_id, "{call:?} {state:?}");
                    let stands = metadata(&error, "state");
                    let wanted = state.as_str_name().trim_start_matches("RUN_STATE_");
                    if call != ResolveStep {
                        assert_eq!(stands, wanted, "{call:?}");
                    }
                }
                (expected, answer) => panic!("{call:?} {state:?}: {answer:?}, not {expected:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_run_that_is_not_there_nothing_can_be_asked() {
    let server = TestServer::start().await;
    let nobody = uuid::Uuid::now_v7().to_string();
    let refused = [
        pause(&server, &nobody, "").await.map(drop),
        resume(&server, &nobody).await.map(drop),
        retry(&server, &nobody).await.map(drop),
        delete(&server, &nobody).await,
        signal(&server, a_signal(&nobody, "go", &json!(1)))
            .await
            .map(drop),
        resolve(&server, verdict(&nobody, "a", 1, StepResolution::Retry))
            .await
            .map(drop),
    ];

    for error in refused {
        assert_error(&error.unwrap_err(), Code::NotFound, "RUN_NOT_FOUND");
    }
}
