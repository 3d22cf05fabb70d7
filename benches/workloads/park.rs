//! PARK: what many runs cost that wait for an approval, and how late runs wake up beside them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use prost_types::Value;
use prost_types::value::Kind;
use serde_json::json;
use synapps::bench::figures::rate;
use synapps::bench::{Clients, Latencies, Unit, flows};
use synapps::proto::WaitRunRequest;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Result;
use crate::report::Section;
use crate::service::Service;
use crate::settings::{Name, Settings};
use crate::waiting::{CALLERS, start, start_one, until_all_wait};

/// How many runs are woken up to see how late they are.
const WOKEN: usize = 1_000;
/// When the first of them wakes up: far enough ahead that a run leaves memory meanwhile.
const FIRST: TimeDelta = TimeDelta::seconds(10);
/// The time over which the others are spread.
const SPREAD: TimeDelta = TimeDelta::seconds(10);

/// Has the service hold so many runs, kills it with its Postgres, starts both again, and wakes others up.
pub async fn park(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Park);
    let data = tempfile::tempdir()?;
    let place = format!("--data-dir={}", data.path().join("postgres").display());
    let arguments = ["dev", place.as_str()];
    let launch = || Service::launch(&settings.program, &arguments, None);

    let mut service = launch().await?;
    let clients = Clients::connect(&[service.address()]).await?;
    let ask = flows::configured("ask", "approval", &json!({"title": "Go on?"}));
    let approval = clients
        .save(flows::flow("PARK", vec![ask], Vec::new()))
        .await?;
    let sleep = flows::configured("sleep", "delay", &json!({"until": "{{ input }}"}));
    let delay = clients
        .save(flows::flow("PARK", vec![sleep], Vec::new()))
        .await?;
    start(&clients, &approval, 500).await?;
    until_all_wait(&clients).await?;

    section.phase();
    let before = service.resident_mib()?;
    let runs = usize::try_from(settings.parked)?;
    let begun = Instant::now();
    start(&clients, &approval, runs).await?;
    until_all_wait(&clients).await?;
    section.add("parked", Unit::PerSecond, rate(runs, begun.elapsed()));
    let after = service.resident_mib()?;
    section.add("memory before", Unit::Mebibytes, before);
    section.add("memory with them", Unit::Mebibytes, after);
    section.add("memory for them", Unit::Mebibytes, after - before);
    drop(clients);

    for _ in 0..settings.pairs {
        section.phase();
        service.kill().await?;
        let begun = Instant::now();
        service = launch().await?;
        let clients = Clients::connect(&[service.address()]).await?;
        start_one(&clients, 0, &approval, None).await?;
        section.add("restart", Unit::Seconds, begun.elapsed().as_secs_f64());
        section.add("memory after it", Unit::Mebibytes, service.resident_mib()?);

        let lags = lags(&clients, &delay).await?;
        section.add("wake-up lag p50", Unit::Millis, lags.percentile_ms(50));
        section.add("wake-up lag p99", Unit::Millis, lags.percentile_ms(99));
    }
    service.stop().await?;

    section.note(format!(
        "{runs} runs; a restart is from `kill -9` of service and Postgres to the first run that is accepted, recovery of Postgres included"
    ));
    section.at_most("memory for them", 50.0);
    section.at_most_in_fast_phase("restart", 5.0);
    section.at_most_in_fast_phase("wake-up lag p99", 1_000.0);
    Ok(section)
}

/// How late runs end that wait until a time, each until its own.
async fn lags(clients: &Clients, flow_id: &str) -> Result<Latencies> {
    let first = Utc::now() + FIRST;
    let mut waits = JoinSet::new();
    let callers = Arc::new(Semaphore::new(CALLERS));
    for number in 0..WOKEN {
        let clients = clients.clone();
        let callers = Arc::clone(&callers);
        let flow_id = flow_id.to_owned();
        let until = first + SPREAD * i32::try_from(number)? / i32::try_from(WOKEN)?;
        waits.spawn(async move {
            let call = callers.acquire().await?;
            let run_id = start_until(&clients, number, &flow_id, until).await?;
            drop(call);
            lag(&clients, number, run_id, until).await
        });
    }
    let mut lags = Vec::with_capacity(WOKEN);
    while let Some(lag) = waits.join_next().await {
        lags.push(lag??);
    }
    Ok(Latencies::of(lags).ok_or("no run has woken up")?)
}

/// Starts a run that waits until this time, and gives its id.
async fn start_until(
    clients: &Clients,
    caller: usize,
    flow_id: &str,
    until: DateTime<Utc>,
) -> Result<String> {
    let input = Value {
        kind: Some(Kind::StringValue(until.to_rfc3339())),
    };
    start_one(clients, caller, flow_id, Some(input)).await
}

/// Waits for the end of a run, and gives how long after this time it was.
async fn lag(
    clients: &Clients,
    caller: usize,
    run_id: String,
    until: DateTime<Utc>,
) -> Result<Duration> {
    let request = WaitRunRequest {
        run_id,
        ..WaitRunRequest::default()
    };
    let ended = clients.runs(caller).wait_run(request).await?.into_inner();
    let end = ended.run.and_then(|run| run.end_time);
    let end = end.ok_or("a run has not woken up in a minute")?;
    let end = DateTime::from_timestamp(end.seconds, u32::try_from(end.nanos)?);
    let lag = end.ok_or("a run has ended at no time")? - until;
    lag.to_std().map_err(|_| "a run has ended too early".into())
}
