//! PARK: what many waiting runs cost. `make bench W=PARK`, or `make bench W=PARK RUNS=10000` for fewer.
//!
//! Starts the release binary with a private Postgres, has it hold so many runs that wait for an approval, and prints
//! the memory of the service before and after, how long a start takes after a kill with all of them in the database,
//! and how late runs wake up whose time comes meanwhile.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};
use synapps::proto::flow_service_client::FlowServiceClient;
use synapps::proto::run_service_client::RunServiceClient;
use synapps::proto::{
    Flow, ListRunsRequest, Node, RunState, StartRunRequest, UpdateFlowRequest, WaitRunRequest,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tonic::transport::Channel;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How many calls are on their way at once.
const CLIENTS: usize = 64;
/// How many runs are woken up to see how late they are.
const WOKEN: u32 = 1_000;

fn main() -> Result<()> {
    let runs = std::env::var("RUNS").map_or(Ok(100_000), |runs| runs.parse())?;
    tokio::runtime::Runtime::new()?.block_on(park(runs))
}

async fn park(runs: usize) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut service = Service::start(data.path()).await?;
    service
        .save("approval", &[("title", text("Go on?"))])
        .await?;
    service
        .save("delay", &[("until", text("{{ input }}"))])
        .await?;
    service.start_runs("approval", 500).await?;
    service.all_wait().await?;
    let before = service.resident_kib()?;

    let begun = Instant::now();
    service.start_runs("approval", runs).await?;
    service.all_wait().await?;
    let spent = begun.elapsed();
    let after = service.resident_kib()?;
    println!(
        "runs parked              {runs}, at {:.0} a second",
        rate(runs, spent)
    );
    println!("memory before            {:.1} MiB", mib(before));
    println!(
        "memory with them         {:.1} MiB, {:+.1} MiB",
        mib(after),
        mib(after) - mib(before)
    );

    service.child.kill().await?;
    let begun = Instant::now();
    let mut service = Service::start(data.path()).await?;
    service.start_runs("approval", 1).await?;
    println!(
        "start after a kill       {:.2} s until a run is accepted, private Postgres included",
        begun.elapsed().as_secs_f64()
    );
    println!(
        "memory after the start   {:.1} MiB",
        mib(service.resident_kib()?)
    );

    let mut lags = service.lags().await?;
    lags.sort_unstable();
    let at = |part: usize| lags[(lags.len() * part / 100).min(lags.len() - 1)];
    println!(
        "lag of {WOKEN} wake-ups     p50 {} ms, p99 {} ms, most {} ms",
        at(50),
        at(99),
        at(100)
    );
    service.child.kill().await?;
    Ok(())
}

/// The release binary with a private Postgres.
struct Service {
    child: Child,
    flows: FlowServiceClient<Channel>,
    runs: RunServiceClient<Channel>,
}

impl Service {
    async fn start(data: &Path) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_synapps"))
            .args(["dev", "--log-format=json", "--listen=127.0.0.1:0"])
            .arg(format!("--data-dir={}", data.join("postgres").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = loop {
            let line = lines.next_line().await?.ok_or("the service has ended")?;
            let said: serde_json::Value = serde_json::from_str(&line)?;
            if said["fields"]["message"] == "serving" || said["message"] == "serving" {
                let address = said["fields"]["address"]
                    .as_str()
                    .or(said["address"].as_str());
                break address.ok_or("it does not say where it serves")?.to_owned();
            }
        };
        // What it says later is read, so that it can go on writing.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let channel = Channel::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        Ok(Self {
            child,
            flows: FlowServiceClient::new(channel.clone()),
            runs: RunServiceClient::new(channel),
        })
    }

    /// Saves a flow of one node.
    async fn save(&mut self, kind: &str, data: &[(&str, Value)]) -> Result<()> {
        let fields = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let node = Node {
            id: kind.to_owned(),
            r#type: kind.to_owned(),
            data: Some(Struct {
                fields: fields.collect(),
            }),
            ..Node::default()
        };
        let flow = Flow {
            id: kind.to_owned(),
            nodes: vec![node],
            ..Flow::default()
        };
        let request = UpdateFlowRequest {
            flow: Some(flow),
            allow_missing: true,
            ..UpdateFlowRequest::default()
        };
        self.flows.update_flow(request).await?;
        Ok(())
    }

    async fn start_runs(&self, flow: &'static str, count: usize) -> Result<()> {
        let mut calls = JoinSet::new();
        for client in 0..CLIENTS {
            let mut runs = self.runs.clone();
            let share = count / CLIENTS + usize::from(client < count % CLIENTS);
            calls.spawn(async move {
                for _ in 0..share {
                    let request = StartRunRequest {
                        flow_id: flow.to_owned(),
                        ..StartRunRequest::default()
                    };
                    runs.start_run(request).await?;
                }
                Result::Ok(())
            });
        }
        while let Some(done) = calls.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Waits until no run executes any more.
    async fn all_wait(&mut self) -> Result<()> {
        loop {
            let request = ListRunsRequest {
                states: vec![RunState::Queued.into(), RunState::Running.into()],
                page_size: 1,
                ..ListRunsRequest::default()
            };
            if self
                .runs
                .list_runs(request)
                .await?
                .into_inner()
                .runs
                .is_empty()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How late, in milliseconds, runs end that wait until a time, each until its own within 20 s.
    async fn lags(&self) -> Result<Vec<i64>> {
        let mut waits = JoinSet::new();
        let first = chrono::Utc::now() + chrono::TimeDelta::seconds(15);
        for number in 0..WOKEN {
            let mut runs = self.runs.clone();
            let until = first
                + chrono::TimeDelta::seconds(20) * i32::try_from(number)? / i32::try_from(WOKEN)?;
            waits.spawn(async move {
                let request = StartRunRequest {
                    flow_id: "delay".to_owned(),
                    input: Some(text(&until.to_rfc3339())),
                    ..StartRunRequest::default()
                };
                let started = runs.start_run(request).await?.into_inner();
                let run_id = started.run.ok_or("no run")?.run_id;
                let request = WaitRunRequest {
                    run_id,
                    ..WaitRunRequest::default()
                };
                let run = runs.wait_run(request).await?.into_inner().run;
                let end = run
                    .and_then(|run| run.end_time)
                    .ok_or("the run has not ended")?;
                Result::Ok(millis(end) - until.timestamp_millis())
            });
        }
        let mut lags = Vec::new();
        while let Some(lag) = waits.join_next().await {
            lags.push(lag??);
        }
        Ok(lags)
    }

    /// Memory of the service itself, without Postgres.
    fn resident_kib(&self) -> Result<f64> {
        let pid = self.child.id().ok_or("the service has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.ok_or("no VmRSS")?.parse()?)
    }
}

fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

fn millis(time: Timestamp) -> i64 {
    time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000
}

fn mib(kib: f64) -> f64 {
    kib / 1_024.0
}

#[expect(clippy::cast_precision_loss, reason = "a count of runs, to be printed")]
fn rate(count: usize, spent: Duration) -> f64 {
    count as f64 / spent.as_secs_f64()
}
