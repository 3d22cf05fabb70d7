//! TOKENS: models that stream, a watcher for each.

use std::time::{Duration, Instant};

use serde_json::json;
use synapps::bench::figures::rate;
use synapps::bench::{Clients, Latencies, Unit, flows};
use synapps::proto::execute_run_response::Message;
use synapps::proto::run_event::Event;
use synapps::proto::{DeltaKind, ExecuteRunRequest, Flow};
use tokio::task::JoinSet;

use crate::model::{BEAT, Listener, Model, STEADY, TALKATIVE, stand};
use crate::report::Section;
use crate::settings::{Name, Settings};
use crate::stand::Stand;
use crate::{Error, Result};

/// How many steps stream at once.
const STREAMS: usize = 64;
/// Tokens of an answer at full speed: as many as an output may have that lies beside its event.
const TOKENS: u32 = 1_500;

/// Answers at full speed for the window, then slower ones to see how late a token is that nothing holds up.
pub async fn tokens(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Tokens);
    let model = Model::start().await?;
    let Stand {
        cluster,
        service,
        clients,
    } = stand(settings, &model).await?;
    let window = settings.window();
    let beats = u32::try_from(window.as_millis() / BEAT.as_millis())?;
    let fast = clients.save(asking(TALKATIVE, TOKENS)).await?;
    let steady = clients.save(asking(STEADY, beats.clamp(1, 32_768))).await?;
    heard(&clients, &fast, Duration::from_secs(1)).await?;

    for _ in 0..settings.pairs {
        section.phase();
        let full = heard(&clients, &fast, window).await?;
        section.add(
            "tokens",
            Unit::PerSecond,
            rate(full.ages.count(), full.spent),
        );
        section.add("tokens seen", Unit::Percent, full.share());
        let late = full.ages.percentile_ms(99);
        section.add("latency at full speed p99", Unit::Millis, late);

        // One answer of each, which takes the window by itself.
        let steady = heard(&clients, &steady, Duration::ZERO).await?;
        section.add("steady tokens seen", Unit::Percent, steady.share());
        section.add("latency p50", Unit::Millis, steady.ages.percentile_ms(50));
        section.add("latency p99", Unit::Millis, steady.ages.percentile_ms(99));
    }

    section.add(
        "memory at the end",
        Unit::Mebibytes,
        service.resident_mib()?,
    );
    for flow_id in [fast, steady] {
        clients.delete(&flow_id).await?;
    }
    drop(clients);
    service.stop().await?;
    cluster.stop().await;
    section.note(format!(
        "{STREAMS} streams. A token's latency is from the moment in which the model makes it to its arrival at the watcher, all of HTTP and gRPC \
         included: with {} tokens a second of each, and at full speed, where most of it is what stands in the buffers of the sockets",
        Duration::from_secs(1).as_millis() / BEAT.as_millis(),
    ));
    section.at_least_in_fast_phase("tokens", 50_000.0);
    section.at_most_in_fast_phase("latency p99", 20.0);
    Ok(section)
}

/// What the watchers have heard.
struct Heard {
    ages: Latencies,
    said: usize,
    spent: Duration,
}

impl Heard {
    /// How many of a hundred tokens the watchers have seen: what one reads slowly may be left out.
    fn share(&self) -> f64 {
        let per = Duration::from_secs(1);
        100.0 * rate(self.ages.count(), per) / rate(self.said, per)
    }
}

/// Has each watcher start run after run for so long, and at least one, and listen to it.
async fn heard(clients: &Clients, flow_id: &str, window: Duration) -> Result<Heard> {
    let begun = Instant::now();
    let mut watchers = JoinSet::new();
    for number in 0..STREAMS {
        let clients = clients.clone();
        let flow_id = flow_id.to_owned();
        watchers.spawn(async move {
            let (mut ages, mut said) = (Vec::new(), 0);
            loop {
                said += listen(&clients, number, &flow_id, &mut ages).await?;
                if begun.elapsed() >= window {
                    return Ok::<_, Error>((ages, said));
                }
            }
        });
    }
    let (mut ages, mut said) = (Vec::new(), 0);
    while let Some(done) = watchers.join_next().await {
        let (mut more, count) = done??;
        ages.append(&mut more);
        said += count;
    }
    Ok(Heard {
        ages: Latencies::of(ages).ok_or("no watcher has seen a token")?,
        said,
        spent: begun.elapsed(),
    })
}

/// Starts a run and listens to it; gives how many tokens the model says that it has made.
async fn listen(
    clients: &Clients,
    number: usize,
    flow_id: &str,
    ages: &mut Vec<Duration>,
) -> Result<usize> {
    let request = ExecuteRunRequest {
        flow_id: flow_id.to_owned(),
        include_deltas: true,
        ..ExecuteRunRequest::default()
    };
    let mut updates = clients
        .runs(number)
        .execute_run(request)
        .await?
        .into_inner();
    let mut listener = Listener::default();
    let mut said = 0;
    while let Some(update) = updates.message().await? {
        match update.message {
            Some(Message::Delta(delta)) if delta.kind() == DeltaKind::Output => {
                listener.take(usize::try_from(delta.offset)?, &delta.text, ages)?;
            }
            Some(Message::Event(event)) => match event.event {
                Some(Event::StepSucceeded(step)) => {
                    let tokens = step.usage.map_or(0, |usage| usage.output_tokens);
                    said += usize::try_from(tokens)?;
                }
                Some(Event::RunSucceeded(_)) => return Ok(said),
                Some(Event::RunFailed(failed)) => {
                    let error = failed.error.unwrap_or_default();
                    return Err(format!("{}: {}", error.code, error.message).into());
                }
                _ => {}
            },
            _ => {}
        }
    }
    Err("a stream has ended before its run".into())
}

/// A flow that asks a model for so many tokens.
fn asking(model: &str, tokens: u32) -> Flow {
    let config = json!({
        "provider": "custom",
        "model": model,
        "user_prompt": "What time is it?",
        "max_tokens": tokens,
    });
    let nodes = vec![
        flows::node("start", "start"),
        flows::configured("ask", "llm", &config),
        flows::node("end", "end"),
    ];
    let edges = vec![flows::edge("start", "ask"), flows::edge("ask", "end")];
    flows::flow("TOKENS", nodes, edges)
}
