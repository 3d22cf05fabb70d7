//! W5 and W5-pure beside HAND, and beside CEILING.

use synapps::bench::{Figures, Unit, Workload};

use crate::Result;
use crate::ceiling::Ceiling;
use crate::hand::Hand;
use crate::processes::{Cost, Spent};
use crate::report::Section;
use crate::settings::Settings;
use crate::stand::{Stand, pace};

/// How many steps a run of W5 has.
const STEPS: f64 = 5.0;

/// How many microseconds a second has.
const MICROS: f64 = 1_000_000.0;

/// Runs a second of many clients and latency of one, beside the same by HAND.
pub async fn crowded(workload: Workload, settings: &Settings) -> Result<Section> {
    let mut section = Section::new(workload);
    let stand = Stand::start(settings).await?;
    let hand = Hand::runs(&stand.cluster).await?;
    let ceiling = Ceiling::prepare(&stand.cluster).await?;
    let load = workload.prepare(&stand.clients).await?;
    load.warm_up().await?;
    let window = settings.window();

    for _ in 0..settings.pairs {
        section.phase();
        let before = Spent::so_far(&stand.cluster, &[&stand.service]).await?;
        let ours = load.crowd(pace(settings, window)).await?;
        let after = Spent::so_far(&stand.cluster, &[&stand.service]).await?;
        let by_hand = hand.round(settings.clients, window).await?;
        let single = load.single(settings.single_window()).await?;
        let hand_single = hand.round(1, settings.single_window()).await?;
        let rows = ceiling.round(settings.single_window()).await?;

        let mut figures = Figures::new();
        ours.describe_crowd(&mut figures);
        figures.add("HAND", by_hand.throughput, Unit::PerSecond);
        let ratio = ours.throughput() / by_hand.throughput;
        figures.add("throughput / HAND", ratio, Unit::Ratio);
        single.describe_single(&mut figures);
        let latencies = &single.latencies;
        figures.add("HAND's mean", hand_single.mean_ms, Unit::Millis);
        for (name, percent) in [("p50 / HAND's mean", 50), ("p99 / HAND's mean", 99)] {
            let ratio = latencies.percentile_ms(percent) / hand_single.mean_ms;
            figures.add(name, ratio, Unit::Ratio);
        }
        figures.add("CEILING, rows", rows, Unit::PerSecond);
        let share = 100.0 * STEPS * ours.throughput() / rows;
        figures.add("steps / CEILING", share, Unit::Percent);
        let cost = after.since(&before, &stand.cluster).await?;
        describe(
            &cost,
            ours.throughput() * window.as_secs_f64(),
            &mut figures,
        );
        section.add_all(&figures);
    }

    section.add(
        "memory at the end",
        Unit::Mebibytes,
        stand.service.resident_mib()?,
    );
    load.remove().await?;
    drop(ceiling);
    stand.stop().await?;
    targets(workload, &mut section);
    Ok(section)
}

/// What one run took of whom.
fn describe(cost: &Cost, runs: f64, figures: &mut Figures) {
    for (name, seconds) in [
        ("CPU a run: service", cost.service),
        ("CPU a run: clients", cost.load),
        ("CPU a run: journal in Postgres", cost.journal),
        ("CPU a run: rest of Postgres", cost.postgres),
    ] {
        figures.add(name, seconds * MICROS / runs, Unit::Micros);
    }
    figures.add("WAL a run", cost.wal_bytes / runs, Unit::Bytes);
    figures.add("WAL syncs a run", cost.wal_syncs / runs, Unit::Count);
}

fn targets(workload: Workload, section: &mut Section) {
    if workload == Workload::W5Pure {
        section.at_least("throughput / HAND", 2.5);
        section.at_most("p50 / HAND's mean", 0.8);
        return;
    }
    section.at_least("throughput / HAND", 1.5);
    section.at_most("p50 / HAND's mean", 1.5);
    section.at_most("p99 / HAND's mean", 4.0);
    section.at_least("steps / CEILING", 7.0);
    section.at_most("memory at the end", 150.0);
}

/// FAN50 and W40: one client, beside the mean of a run of HAND by one client.
pub async fn lonely(workload: Workload, most: f64, settings: &Settings) -> Result<Section> {
    let mut section = Section::new(workload);
    let stand = Stand::start(settings).await?;
    let hand = Hand::runs(&stand.cluster).await?;
    let load = workload.prepare(&stand.clients).await?;
    load.warm_up().await?;

    for _ in 0..settings.pairs {
        section.phase();
        let ours = load.single(settings.single_window()).await?;
        let by_hand = hand.round(1, settings.single_window()).await?;

        let mut figures = Figures::new();
        ours.describe_single(&mut figures);
        figures.add("HAND's mean", by_hand.mean_ms, Unit::Millis);
        let ratio = ours.latencies.percentile_ms(50) / by_hand.mean_ms;
        figures.add("p50 / HAND's mean", ratio, Unit::Ratio);
        section.add_all(&figures);
    }

    load.remove().await?;
    stand.stop().await?;
    section.at_most("p50 / HAND's mean", most);
    Ok(section)
}

/// START: calls that are accepted, beside commits of single rows.
pub async fn starts(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Workload::Start);
    let stand = Stand::start(settings).await?;
    let hand = Hand::rows(&stand.cluster).await?;
    let load = Workload::Start.prepare(&stand.clients).await?;
    load.warm_up().await?;

    for _ in 0..settings.pairs {
        section.phase();
        let window = settings.window();
        let ours = load.crowd(pace(settings, window)).await?;
        let by_hand = hand.round(settings.clients, window).await?;

        let mut figures = Figures::new();
        let latencies = &ours.latencies;
        figures.add("calls", ours.throughput(), Unit::PerSecond);
        figures.add("p50", latencies.percentile_ms(50), Unit::Millis);
        figures.add("p99", latencies.percentile_ms(99), Unit::Millis);
        figures.add("single rows", by_hand.throughput, Unit::PerSecond);
        let share = 100.0 * ours.throughput() / by_hand.throughput;
        figures.add("calls / single rows", share, Unit::Percent);
        section.add_all(&figures);
    }

    load.remove().await?;
    stand.stop().await?;
    section.at_least("calls / single rows", 60.0);
    section.at_most_in_fast_phase("p99", 15.0);
    Ok(section)
}

/// Throughput of W5 against HAND, pair by pair: what the guard looks at.
pub async fn ratios(settings: &Settings) -> Result<Vec<f64>> {
    let stand = Stand::start(settings).await?;
    let hand = Hand::runs(&stand.cluster).await?;
    let load = Workload::W5.prepare(&stand.clients).await?;
    load.warm_up().await?;
    let mut ratios = Vec::new();
    for _ in 0..settings.pairs {
        let ours = load.crowd(pace(settings, settings.window())).await?;
        let by_hand = hand.round(settings.clients, settings.window()).await?;
        println!(
            "W5 {}, HAND {}",
            Unit::PerSecond.show(ours.throughput()),
            Unit::PerSecond.show(by_hand.throughput)
        );
        ratios.push(ours.throughput() / by_hand.throughput);
    }
    load.remove().await?;
    stand.stop().await?;
    Ok(ratios)
}
