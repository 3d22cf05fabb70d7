//! Calls of a client, on whichever server: [`TestServer`](super::server::TestServer) and
//! [`Binary`](super::binary::Binary) both dereference to [`Calls`].

use std::net::SocketAddr;
use std::time::Duration;

use synapps::proto::applet_service_client::AppletServiceClient;
use synapps::proto::flow_service_client::FlowServiceClient;
use synapps::proto::run_service_client::RunServiceClient;
use synapps::proto::secret_service_client::SecretServiceClient;
use synapps::proto::{
    CancelRunRequest, CreateFlowRequest, Flow, GetRunRequest, ListRunEventsRequest,
    ListStepsRequest, Run, RunEvent, RunState, RunView, StartRunRequest, Step, WatchRunRequest,
    WatchRunResponse, watch_run_response,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::{wire, within};

/// The way to a server, and what is often asked of one.
#[derive(Clone, Debug)]
pub struct Calls {
    channel: Channel,
}

impl Calls {
    /// Calls to this address; connects with the first one, and again after the server was gone.
    pub fn to(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            channel: endpoint.connect_lazy(),
        }
    }

    /// The channel itself.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A client of the flow service.
    pub fn flows(&self) -> FlowServiceClient<Channel> {
        FlowServiceClient::new(self.channel())
    }

    /// A client of the run service.
    pub fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel())
    }

    /// A client of the applet service.
    pub fn applets(&self) -> AppletServiceClient<Channel> {
        AppletServiceClient::new(self.channel())
    }

    /// A client of the secret service.
    pub fn secrets(&self) -> SecretServiceClient<Channel> {
        SecretServiceClient::new(self.channel())
    }

    /// A client of the health service.
    pub fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    /// Waits until health says so of a service (`""` is the whole server).
    pub async fn health_becomes(&self, service: &str, wanted: ServingStatus) {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let wait = async {
            let mut changes = self.health().watch(request).await.unwrap().into_inner();
            while changes.message().await.unwrap().unwrap().status() != wanted {}
        };
        within("health", wait).await;
    }

    /// Saves a flow and gives it as it is stored.
    pub async fn save(&self, flow: Flow) -> Flow {
        let request = CreateFlowRequest {
            flow: Some(flow),
            ..CreateFlowRequest::default()
        };
        let saved = patiently(|| {
            let (mut flows, request) = (self.flows(), request.clone());
            async move { flows.create_flow(request).await }
        });
        saved.await.unwrap().into_inner().flow.unwrap()
    }

    /// Starts a run of a flow's latest revision and gives its id.
    pub async fn start(&self, flow_id: &str, input: &serde_json::Value) -> String {
        let request = StartRunRequest {
            flow_id: flow_id.to_owned(),
            input: Some(wire::value(input)),
            ..StartRunRequest::default()
        };
        let started = patiently(|| {
            let (mut runs, request) = (self.runs(), request.clone());
            async move { runs.start_run(request).await }
        });
        started.await.unwrap().into_inner().run.unwrap().run_id
    }

    /// Saves a flow, starts a run of it and gives the run's id.
    pub async fn save_and_start(&self, flow: Flow, input: &serde_json::Value) -> String {
        let flow = self.save(flow).await;
        self.start(&flow.id, input).await
    }

    /// The run with steps and payloads.
    pub async fn get(&self, run_id: &str) -> Run {
        self.get_as(run_id, RunView::WithPayloads).await
    }

    /// The run in this view.
    pub async fn get_as(&self, run_id: &str, view: RunView) -> Run {
        let request = GetRunRequest {
            run_id: run_id.to_owned(),
            view: view.into(),
        };
        let answer = patiently(|| {
            let (mut runs, request) = (self.runs(), request.clone());
            async move { runs.get_run(request).await }
        });
        answer.await.unwrap().into_inner().run.unwrap()
    }

    /// Begins to watch a run after this sequence, with payloads in the events.
    pub async fn watch(&self, run_id: &str, after_sequence: i64) -> Streaming<WatchRunResponse> {
        let request = WatchRunRequest {
            run_id: run_id.to_owned(),
            after_sequence,
            include_payloads: true,
            ..WatchRunRequest::default()
        };
        self.runs().watch_run(request).await.unwrap().into_inner()
    }

    /// All that a watch after this sequence brings, until the run has ended.
    pub async fn watched(&self, run_id: &str, after_sequence: i64) -> Vec<WatchRunResponse> {
        let collect = async { collected(self.watch(run_id, after_sequence).await).await };
        within("the end of a watch", collect).await
    }

    /// The run with payloads once it has ended, however it did.
    pub async fn finished_run(&self, run_id: &str) -> Run {
        self.watched(run_id, 0).await;
        self.get(run_id).await
    }

    /// The run in view FULL once it has this state; panics if it ends in another one.
    pub async fn run_in_state(&self, run_id: &str, state: RunState) -> Run {
        let wanted = |run: &Run| run.state() == state;
        self.run_once(run_id, state.as_str_name(), wanted).await
    }

    /// The run in view FULL once `wanted` holds, which is looked at after each of its events that is no replay.
    pub async fn run_once(&self, run_id: &str, what: &str, wanted: impl Fn(&Run) -> bool) -> Run {
        let wait = async {
            let mut watch = self.watch(run_id, 0).await;
            let mut live = false;
            loop {
                let message = watch.message().await.unwrap();
                let ended = message.is_none();
                let caught_up = |message: WatchRunResponse| {
                    matches!(
                        message.message,
                        Some(watch_run_response::Message::CaughtUp(_))
                    )
                };
                live |= message.is_none_or(caught_up);
                if !live {
                    continue;
                }
                let run = self.get_as(run_id, RunView::Full).await;
                if wanted(&run) {
                    return run;
                }
                assert!(!ended, "the run has ended before {what}: {run:?}");
            }
        };
        within(what, wait).await
    }

    /// The first event after this sequence that `wanted` holds of.
    pub async fn event_once(
        &self,
        run_id: &str,
        after_sequence: i64,
        wanted: impl Fn(&RunEvent) -> bool,
    ) -> RunEvent {
        let wait = async {
            let mut watch = self.watch(run_id, after_sequence).await;
            loop {
                let message = watch.message().await.unwrap();
                let message = message.expect("the watch has ended before the event came");
                if let Some(watch_run_response::Message::Event(event)) = message.message
                    && wanted(&event)
                {
                    return event;
                }
            }
        };
        within("an event", wait).await
    }

    /// All events of a run after this sequence that are durable by now, with payloads, over all pages.
    pub async fn events_after(&self, run_id: &str, after_sequence: i64) -> Vec<RunEvent> {
        let mut events = Vec::new();
        let mut request = ListRunEventsRequest {
            run_id: run_id.to_owned(),
            after_sequence,
            include_payloads: true,
            ..ListRunEventsRequest::default()
        };
        loop {
            let page = self
                .runs()
                .list_run_events(request.clone())
                .await
                .unwrap()
                .into_inner();
            events.extend(page.events);
            if page.next_page_token.is_empty() {
                return events;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The steps directly inside a path (`""` for the run itself, `loop`, `loop[3]`), over all pages.
    pub async fn steps(&self, run_id: &str, parent_path: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut request = ListStepsRequest {
            run_id: run_id.to_owned(),
            parent_path: parent_path.to_owned(),
            page_size: 1_000,
            ..ListStepsRequest::default()
        };
        loop {
            let page = self.runs().list_steps(request.clone()).await;
            let page = page.unwrap().into_inner();
            steps.extend(page.steps);
            if page.next_page_token.is_empty() {
                return steps;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Cancels a run and gives it as the answer has it.
    pub async fn cancel(&self, run_id: &str) -> Result<Run, Status> {
        let request = CancelRunRequest {
            run_id: run_id.to_owned(),
            ..CancelRunRequest::default()
        };
        let answer = self.runs().cancel_run(request).await?;
        Ok(answer.into_inner().run.unwrap())
    }
}

/// All messages of a watch until it ends.
pub async fn collected(mut watch: Streaming<WatchRunResponse>) -> Vec<WatchRunResponse> {
    let mut messages = Vec::new();
    while let Some(message) = watch.message().await.unwrap() {
        messages.push(message);
    }
    messages
}

/// The durable events among the messages of a watch.
pub fn events_of(messages: &[WatchRunResponse]) -> Vec<RunEvent> {
    let events = messages
        .iter()
        .filter_map(|message| match &message.message {
            Some(watch_run_response::Message::Event(event)) => Some(event.clone()),
            _ => None,
        });
    events.collect()
}

/// Asserts that events are numbered 1, 2, 3 … without a gap.
pub fn assert_gapless(events: &[RunEvent]) {
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    let expected: Vec<i64> = (1..).take(events.len()).collect();
    assert_eq!(sequences, expected);
}

/// The named reason of an error.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// A text of an error's metadata; empty if it is not there.
pub fn metadata(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info();
    info.and_then(|info| info.metadata.get(key).cloned())
        .unwrap_or_default()
}

/// The fields that an error complains of, in its order.
pub fn violated_fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations);
    let fields = violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field);
    fields.collect()
}

/// Asserts code and reason of an error.
pub fn assert_error(status: &Status, code: Code, expected: &str) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (code, expected),
        "{status:?}"
    );
}

/// Calls again while the service says that its database is away, as clients do: with the short leases of the tests a
/// machine that is busy enough for a renewal to come late is taken for that.
async fn patiently<T, F: Future<Output = Result<T, Status>>>(
    call: impl Fn() -> F,
) -> Result<T, Status> {
    for _ in 0..10 {
        match call().await {
            Err(status) if status.code() == Code::Unavailable => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            answer => return answer,
        }
    }
    call().await
}
