//! WATCH-1k: how late events arrive at a thousand watchers, and what those cost that have nothing to see.

mod audience;

use std::time::{Duration, Instant};

use serde_json::json;
use synapps::bench::figures::rate;
use synapps::bench::{Clients, Latencies, Unit, Workload, flows};
use synapps::proto::{Edge, Flow, SignalRunRequest};

use self::audience::{Audience, STAMPED, Seen};
use crate::Result;
use crate::model::{Model, TALKATIVE, stand};
use crate::report::Section;
use crate::settings::{Name, Settings};
use crate::stand::pace;
use crate::waiting::{start, until_all_wait};

/// What the runs that are watched do once they are let go.
#[derive(Clone, Copy)]
enum Steps {
    /// So many times this wait and then a question to a model, whose answer is the time: four events.
    Answers(u32, Duration),
    /// So many durable transforms, two events each, as fast as they come.
    Transforms(u32),
}

/// A thousand events over 20 s, whatever the window is: what a thousand watchers get is 50,000 messages a second.
const ONE: Steps = Steps::Answers(250, Duration::from_millis(80));
/// A thousand events at once.
const BURST: Steps = Steps::Transforms(500);
/// One event a second of each run.
const MANY: Steps = Steps::Answers(3, Duration::from_secs(4));

/// The time over which many runs are let go, so that they do not go in step.
const SPREAD: Duration = Duration::from_secs(1);

/// What a run waits for before it begins.
const GO: &str = "go";

/// Watches one run a thousand times, a thousand runs once each, and measures W5 beside a thousand watchers of waiting runs.
pub async fn watch(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Watch);
    let size = usize::from(settings.watchers);
    let model = Model::start().await?;
    let stand = stand(settings, &model).await?;
    let clients = &stand.clients;
    let one = clients.save(gated(ONE)).await?;
    let burst = clients.save(gated(BURST)).await?;
    let many = clients.save(gated(MANY)).await?;
    let load = Workload::W5.prepare(clients).await?;
    load.warm_up().await?;
    let waiting = start(clients, &many, size).await?;
    until_all_wait(clients).await?;

    for _ in 0..settings.pairs {
        section.phase();
        for (name, flow_id, runs) in [("one run", &one, 1), ("a run each", &many, size)] {
            let (seen, _) = show(clients, flow_id, runs, size).await?;
            let lags = Latencies::of(seen.lags).ok_or("no watcher has seen an answer")?;
            for (percent, label) in [(50, "p50"), (99, "p99")] {
                let name = format!("{name}: lag {label}");
                section.add(&name, Unit::Millis, lags.percentile_ms(percent));
            }
        }
        let (seen, spent) = show(clients, &burst, 1, size).await?;
        let deliveries = rate(seen.events, spent);
        section.add("burst: deliveries", Unit::PerSecond, deliveries);

        let alone = load.crowd(pace(settings, settings.window())).await?;
        let idle = Audience::gather(clients, &waiting, size).await?;
        let beside = load.crowd(pace(settings, settings.window())).await?;
        drop(idle);
        let (alone, beside) = (alone.throughput(), beside.throughput());
        section.add("W5 alone", Unit::PerSecond, alone);
        section.add("W5 beside idle watchers", Unit::PerSecond, beside);
        let share = 100.0 * beside / alone;
        section.add("W5 beside / alone", Unit::Percent, share);
    }

    section.add(
        "memory at the end",
        Unit::Mebibytes,
        stand.service.resident_mib()?,
    );
    load.remove().await?;
    for flow_id in [one, burst, many] {
        clients.delete(&flow_id).await?;
    }
    stand.stop().await?;
    section.note(format!(
        "{size} watchers; the lag is from the moment in which a step's work is done (a model answers with the time) to the arrival of the event \
         that says so, its way into the journal included. One run: 1,000 events over 20 s, to each watcher; a run each: an event a second; \
         burst: 1,000 events as fast as the run goes",
    ));
    section.at_most_in_fast_phase("one run: lag p99", 50.0);
    section.at_most_in_fast_phase("a run each: lag p99", 50.0);
    section.at_least("W5 beside / alone", 90.0);
    Ok(section)
}

/// Has an audience of this size watch so many new runs from before they go to their ends. Gives what it has seen, and how
/// long all of it took.
async fn show(
    clients: &Clients,
    flow_id: &str,
    runs: usize,
    size: usize,
) -> Result<(Seen, Duration)> {
    let runs = start(clients, flow_id, runs).await?;
    let audience = Audience::gather(clients, &runs, size).await?;
    let pause = SPREAD / u32::try_from(runs.len())?;
    let begun = Instant::now();
    for (caller, run_id) in runs.into_iter().enumerate() {
        let request = SignalRunRequest {
            run_id,
            name: GO.to_owned(),
            ..SignalRunRequest::default()
        };
        clients.runs(caller).signal_run(request).await?;
        if caller > 0 {
            tokio::time::sleep(pause).await;
        }
    }
    let seen = audience.leaves().await?;
    Ok((seen, begun.elapsed()))
}

/// A flow that waits for its signal and then does its steps one after the other.
fn gated(steps: Steps) -> Flow {
    let (count, body) = match steps {
        Steps::Answers(count, wait) => {
            let nodes = json!([
                {"id": "pause", "type": "delay", "data": {"seconds": wait.as_secs_f64()}},
                {"id": STAMPED, "type": "llm",
                 "data": {"provider": "custom", "model": TALKATIVE, "user_prompt": "What time is it?", "max_tokens": 1}},
            ]);
            let edges = json!([{"source": "pause", "target": STAMPED}]);
            (count, json!({"nodes": nodes, "edges": edges}))
        }
        Steps::Transforms(count) => {
            let node = json!({"id": "step", "type": "transform", "effect": "EFFECT_IDEMPOTENT",
                              "data": {"operation": "template", "template": "{{ item }}"}});
            (count, json!({"nodes": [node]}))
        }
    };
    let each = json!({
        "array_source": format!("{{{{ range({count}) }}}}"),
        "concurrency": 1,
        "body": body,
    });
    let nodes = vec![
        flows::configured(GO, "wait_signal", &json!({"name": GO})),
        flows::configured("each", "for_each", &each),
        flows::node("end", "end"),
    ];
    let begin = Edge {
        source_handle: "received".to_owned(),
        ..flows::edge(GO, "each")
    };
    flows::flow("WATCH-1k", nodes, vec![begin, flows::edge("each", "end")])
}
