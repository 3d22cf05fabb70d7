//! A round: clients that call for a while, each its next call when it knows the end of the one before.

use std::time::{Duration, Instant};

use prost_types::Value;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::clients::{Clients, refused};
use super::figures::{Figures, Latencies, Unit, rate};
use super::{Error, Pace, flows};
use crate::proto::execute_run_response::Message;
use crate::proto::run_event::Event;
use crate::proto::run_service_client::RunServiceClient;
use crate::proto::{ExecuteRunRequest, StartRunRequest};

/// What a client calls again and again.
#[derive(Clone, Debug)]
pub struct Call {
    flow_id: String,
    input: Value,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Execute,
    Start,
}

impl Call {
    /// `ExecuteRun` of this flow, whose stream is followed to its end: the run has to succeed.
    #[must_use]
    pub fn execute(flow_id: &str) -> Self {
        Self::new(flow_id, Kind::Execute)
    }

    /// `StartRun` of this flow: over when the run is accepted.
    #[must_use]
    pub fn start(flow_id: &str) -> Self {
        Self::new(flow_id, Kind::Start)
    }

    fn new(flow_id: &str, kind: Kind) -> Self {
        Self {
            flow_id: flow_id.to_owned(),
            input: flows::input(),
            kind,
        }
    }

    /// Calls once, and gives how long it took until the outcome was known.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] and [`Error::NotSucceeded`].
    pub async fn make(&self, runs: &mut RunServiceClient<Channel>) -> Result<Duration, Error> {
        match self.kind {
            Kind::Execute => self.execute_one(runs).await,
            Kind::Start => self.start_one(runs).await,
        }
    }

    async fn execute_one(&self, runs: &mut RunServiceClient<Channel>) -> Result<Duration, Error> {
        let call = "ExecuteRun";
        let request = ExecuteRunRequest {
            flow_id: self.flow_id.clone(),
            input: Some(self.input.clone()),
            ..ExecuteRunRequest::default()
        };
        let begun = Instant::now();
        let answer = runs.execute_run(request).await.map_err(refused(call))?;
        let mut updates = answer.into_inner();
        let mut ended = None;
        while let Some(update) = updates.message().await.map_err(refused(call))? {
            let Some(Message::Event(event)) = update.message else {
                continue;
            };
            let end = match event.event {
                Some(Event::RunSucceeded(_)) => {
                    ended = Some(begun.elapsed());
                    continue;
                }
                Some(Event::RunFailed(failed)) => {
                    let error = failed.error.unwrap_or_default();
                    format!("{}: {}", error.code, error.message)
                }
                Some(Event::RunCancelled(cancelled)) => format!("cancelled: {}", cancelled.reason),
                _ => continue,
            };
            return Err(self.not_succeeded(end));
        }
        ended.ok_or_else(|| self.not_succeeded("its stream ended before it did".to_owned()))
    }

    async fn start_one(&self, runs: &mut RunServiceClient<Channel>) -> Result<Duration, Error> {
        let request = StartRunRequest {
            flow_id: self.flow_id.clone(),
            input: Some(self.input.clone()),
            ..StartRunRequest::default()
        };
        let begun = Instant::now();
        runs.start_run(request).await.map_err(refused("StartRun"))?;
        Ok(begun.elapsed())
    }

    fn not_succeeded(&self, end: String) -> Error {
        Error::NotSucceeded {
            flow_id: self.flow_id.clone(),
            end,
        }
    }
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Round {
    /// How long each call took that came to its end within the window.
    pub latencies: Latencies,
    /// The window.
    pub window: Duration,
}

impl Round {
    /// Calls a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        rate(self.latencies.count(), self.window)
    }

    /// The figures of many clients.
    pub fn describe_crowd(&self, figures: &mut Figures) {
        let latencies = &self.latencies;
        figures.add("throughput", self.throughput(), Unit::PerSecond);
        figures.add("loaded p50", latencies.percentile_ms(50), Unit::Millis);
        figures.add("loaded p99", latencies.percentile_ms(99), Unit::Millis);
    }

    /// The figures of one client.
    pub fn describe_single(&self, figures: &mut Figures) {
        let latencies = &self.latencies;
        figures.add("p50", latencies.percentile_ms(50), Unit::Millis);
        figures.add("p99", latencies.percentile_ms(99), Unit::Millis);
    }
}

/// Has clients make the call for the window. What is under way at its end is waited for and not counted.
///
/// # Errors
///
/// What the first call fails with that does; [`Error::Nothing`] if none came to its end in time.
pub async fn round(clients: &Clients, call: Call, pace: Pace) -> Result<Round, Error> {
    let until = Instant::now() + pace.window;
    let mut tasks = JoinSet::new();
    for client in 0..pace.clients {
        let mut runs = clients.runs(client);
        let call = call.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let latency = call.make(&mut runs).await?;
                if Instant::now() > until {
                    return Ok::<_, Error>(latencies);
                }
                latencies.push(latency);
            }
        });
    }
    let mut samples = Vec::new();
    while let Some(done) = tasks.join_next().await {
        samples.append(&mut done??);
    }
    let latencies = Latencies::of(samples).ok_or(Error::Nothing(pace.window))?;
    Ok(Round {
        latencies,
        window: pace.window,
    })
}
