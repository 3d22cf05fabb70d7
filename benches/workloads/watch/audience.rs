//! Many watchers at once: each follows a run, and notes how late its events come.

use std::time::{Duration, SystemTime};

use synapps::bench::Clients;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{RunEvent, WatchRunRequest};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Result;

/// Watchers; they leave when this is dropped.
pub struct Audience {
    watchers: JoinSet<Result<Vec<Duration>>>,
}

impl Audience {
    /// So many watchers, spread over these runs, all of whom have seen what had happened before.
    pub async fn gather(clients: &Clients, runs: &[String], size: usize) -> Result<Self> {
        let (seated, mut seats) = mpsc::channel(size);
        let mut watchers = JoinSet::new();
        for number in 0..size {
            let run_id = runs[number % runs.len()].clone();
            watchers.spawn(follow(clients.clone(), number, run_id, seated.clone()));
        }
        for _ in 0..size {
            tokio::select! {
                _ = seats.recv() => {}
                Some(left) = watchers.join_next() => {
                    left??;
                    return Err("a watch has ended before its run began".into());
                }
            }
        }
        Ok(Self { watchers })
    }

    /// How late the events came, once all runs have ended: those that were not there when the watches began.
    pub async fn lags(mut self) -> Result<Vec<Duration>> {
        let mut lags = Vec::new();
        while let Some(left) = self.watchers.join_next().await {
            lags.append(&mut left??);
        }
        Ok(lags)
    }
}

/// Watches a run to its end; every event has to come, once and in order.
async fn follow(
    clients: Clients,
    number: usize,
    run_id: String,
    seated: mpsc::Sender<()>,
) -> Result<Vec<Duration>> {
    let request = WatchRunRequest {
        run_id,
        ..WatchRunRequest::default()
    };
    let watch = clients.runs(number).watch_run(request).await?;
    let mut updates = watch.into_inner();
    let (mut last, mut is_live, mut lags) = (0, false, Vec::new());
    while let Some(update) = updates.message().await? {
        match update.message {
            Some(Message::Event(event)) => {
                if event.sequence != last + 1 {
                    return Err(format!("after event {last} came {}", event.sequence).into());
                }
                last = event.sequence;
                if is_live {
                    lags.push(lag(&event)?);
                }
            }
            Some(Message::CaughtUp(_)) => {
                is_live = true;
                // Whoever counts may have given up because another watch has failed.
                seated.send(()).await.ok();
            }
            _ => {}
        }
    }
    Ok(lags)
}

/// How long ago an event happened: both clocks are this machine's.
fn lag(event: &RunEvent) -> Result<Duration> {
    let time = event.time.ok_or("an event has no time")?;
    let since = Duration::new(time.seconds.try_into()?, time.nanos.try_into()?);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.saturating_sub(since))
}
