//! Many watchers at once: each follows a run, and notes how late its events come.

use std::time::Duration;

use prost_types::value::Kind;
use synapps::bench::Clients;
use synapps::proto::payload::Content;
use synapps::proto::run_event::Event;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{RunEvent, WatchRunRequest};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Result;
use crate::model::age;

/// The node whose output is the time at which its work was done.
pub const STAMPED: &str = "stamped";

/// What watchers have seen since their watches began.
#[derive(Default)]
pub struct Seen {
    /// How many events.
    pub events: usize,
    /// How late those were that say when their work was done.
    pub lags: Vec<Duration>,
}

/// Watchers; they leave when this is dropped.
pub struct Audience {
    watchers: JoinSet<Result<Seen>>,
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

    /// What all of them have seen, once all runs have ended.
    pub async fn leaves(mut self) -> Result<Seen> {
        let mut all = Seen::default();
        while let Some(left) = self.watchers.join_next().await {
            let mut seen = left??;
            all.events += seen.events;
            all.lags.append(&mut seen.lags);
        }
        Ok(all)
    }
}

/// Watches a run to its end; every event has to come, once and in order.
async fn follow(
    clients: Clients,
    number: usize,
    run_id: String,
    seated: mpsc::Sender<()>,
) -> Result<Seen> {
    let request = WatchRunRequest {
        run_id,
        include_payloads: true,
        ..WatchRunRequest::default()
    };
    let watch = clients.runs(number).watch_run(request).await?;
    let mut updates = watch.into_inner();
    let (mut last, mut is_live, mut seen) = (0, false, Seen::default());
    while let Some(update) = updates.message().await? {
        match update.message {
            Some(Message::Event(event)) => {
                if event.sequence != last + 1 {
                    return Err(format!("after event {last} came {}", event.sequence).into());
                }
                last = event.sequence;
                if is_live {
                    seen.events += 1;
                    seen.lags.extend(find_lag(&event)?);
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
    Ok(seen)
}

/// How long ago the work was done whose end this event is, if it says so.
fn find_lag(event: &RunEvent) -> Result<Option<Duration>> {
    let Some(Event::StepSucceeded(step)) = &event.event else {
        return Ok(None);
    };
    if event.node_id != STAMPED {
        return Ok(None);
    }
    let output = step.output.as_ref().and_then(|it| it.content.as_ref());
    match output {
        Some(Content::Value(value)) => match &value.kind {
            Some(Kind::StringValue(time)) => Ok(Some(age(time)?)),
            _ => Err("a time is no text".into()),
        },
        _ => Err("an event has no output".into()),
    }
}
