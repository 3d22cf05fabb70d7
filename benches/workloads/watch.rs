//! WATCH-1k: how late events arrive at a thousand watchers, and what those cost that have nothing to see.

mod audience;

use std::time::{Duration, Instant};

use serde_json::json;
use synapps::bench::figures::rate;
use synapps::bench::{Clients, Latencies, Unit, Workload, flows};
use synapps::proto::{Edge, Flow, SignalRunRequest};

use self::audience::Audience;
use crate::Result;
use crate::report::Section;
use crate::settings::{Name, Settings};
use crate::stand::{Stand, pace};
use crate::waiting::{start, until_all_wait};

/// How many watchers there are.
const WATCHERS: usize = 1_000;

/// What the runs that are watched do once they are let go.
#[derive(Clone, Copy)]
enum Steps {
    /// So many waits of this length, two events each.
    Waits(u32, Duration),
    /// So many durable transforms, two events each, as fast as they come.
    Transforms(u32),
}

/// A thousand events over 20 s, whatever the window is: what each of a thousand watchers gets is 50,000 messages a second.
const ONE: Steps = Steps::Waits(500, Duration::from_millis(40));
/// A thousand events at once.
const BURST: Steps = Steps::Transforms(500);
/// Two events a second of each run.
const MANY: Steps = Steps::Waits(10, Duration::from_secs(1));

/// The time over which many runs are let go, so that they do not go in step.
const SPREAD: Duration = Duration::from_secs(1);

/// What a run waits for before it begins.
const GO: &str = "go";

/// Watches one run a thousand times, a thousand runs once each, and measures W5 beside a thousand watchers of waiting runs.
pub async fn watch(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Watch);
    let stand = Stand::start(settings).await?;
    let clients = &stand.clients;
    let one = clients.save(gated(ONE)).await?;
    let burst = clients.save(gated(BURST)).await?;
    let many = clients.save(gated(MANY)).await?;
    let load = Workload::W5.prepare(clients).await?;
    load.warm_up().await?;
    let waiting = start(clients, &many, WATCHERS).await?;
    until_all_wait(clients).await?;

    for _ in 0..settings.pairs {
        section.phase();
        for (name, flow_id, runs) in [("one run", &one, 1), ("a run each", &many, WATCHERS)] {
            let (lags, _) = show(clients, flow_id, runs).await?;
            for (percent, label) in [(50, "p50"), (99, "p99")] {
                let name = format!("{name}: lag {label}");
                section.add(&name, Unit::Millis, lags.percentile_ms(percent));
            }
        }
        let (lags, spent) = show(clients, &burst, 1).await?;
        let deliveries = rate(lags.count(), spent);
        section.add("burst: deliveries", Unit::PerSecond, deliveries);
        section.add("burst: lag p99", Unit::Millis, lags.percentile_ms(99));

        let alone = load.crowd(pace(settings, settings.window())).await?;
        let idle = Audience::gather(clients, &waiting, WATCHERS).await?;
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
    section.note(
        "the lag is from an event's own time, before it is written, to its arrival. One run: 1,000 events over 20 s to each of 1,000 watchers; \
         a run each: two events a second; burst: 1,000 events as fast as the run goes",
    );
    section.at_most_in_fast_phase("one run: lag p99", 50.0);
    section.at_most_in_fast_phase("a run each: lag p99", 50.0);
    section.at_least("W5 beside / alone", 90.0);
    Ok(section)
}

/// Has an audience watch so many new runs from before they go to their ends. Gives how late each live event came, and how
/// long all of it took.
async fn show(clients: &Clients, flow_id: &str, runs: usize) -> Result<(Latencies, Duration)> {
    let runs = start(clients, flow_id, runs).await?;
    let audience = Audience::gather(clients, &runs, WATCHERS).await?;
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
    let lags = audience.lags().await?;
    let lags = Latencies::of(lags).ok_or("no watcher has seen an event")?;
    Ok((lags, begun.elapsed()))
}

/// A flow that waits for its signal and then does its steps one after the other.
fn gated(steps: Steps) -> Flow {
    let (count, step) = match steps {
        Steps::Waits(count, wait) => (
            count,
            json!({"id": "step", "type": "delay", "data": {"seconds": wait.as_secs_f64()}}),
        ),
        Steps::Transforms(count) => (
            count,
            json!({"id": "step", "type": "transform", "effect": "EFFECT_IDEMPOTENT",
                   "data": {"operation": "template", "template": "{{ item }}"}}),
        ),
    };
    let each = json!({
        "array_source": format!("{{{{ range({count}) }}}}"),
        "concurrency": 1,
        "body": {"nodes": [step]},
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
