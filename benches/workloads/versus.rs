//! Two builds of the service against one another: what a change has brought.

use std::path::Path;

use synapps::bench::{Prepared, Unit, Workload};

use crate::Result;
use crate::processes::Spent;
use crate::report::Section;
use crate::settings::Settings;
use crate::stand::{Stand, pace};

/// A build with everything it needs.
struct Side {
    label: &'static str,
    stand: Stand,
    load: Prepared,
}

/// A workload with this build (`after`) and with another one (`before`) in turn, each on a Postgres of its own.
pub async fn versus(workload: Workload, settings: &Settings, before: &Path) -> Result<Section> {
    let mut section = Section::new(format!("{workload}, two builds"));
    let mut sides = Vec::new();
    for (label, program) in [("before", before), ("after", &settings.program)] {
        let stand = Stand::of(program).await?;
        let load = workload.prepare(&stand.clients).await?;
        load.warm_up().await?;
        sides.push(Side { label, stand, load });
    }
    for pair in 0..settings.pairs {
        section.phase();
        // Whoever is first has the colder machine.
        sides.rotate_left(usize::from(pair > 0));
        let mut figures = Vec::new();
        for side in &sides {
            let measured = side.measure(workload, settings).await?;
            for (name, value, unit) in &measured {
                section.add(&format!("{}: {name}", side.label), *unit, *value);
            }
            figures.push((side.label, measured));
        }
        figures.sort_by_key(|(label, _)| *label);
        let [(_, after), (_, before)] = &figures[..] else {
            return Err("there are two sides".into());
        };
        for ((name, after, _), (_, before, _)) in after.iter().zip(before) {
            let name = format!("after / before: {name}");
            section.add(&name, Unit::Ratio, after / before);
        }
    }
    for side in sides {
        side.load.remove().await?;
        side.stand.stop().await?;
    }
    Ok(section)
}

impl Side {
    async fn measure(
        &self,
        workload: Workload,
        settings: &Settings,
    ) -> Result<Vec<(&'static str, f64, Unit)>> {
        let mut measured = Vec::new();
        if workload.has_crowd() {
            let services = [&self.stand.service];
            let before = Spent::so_far(&self.stand.cluster, &services).await?;
            let crowd = self.load.crowd(pace(settings, settings.window())).await?;
            let after = Spent::so_far(&self.stand.cluster, &services).await?;
            let cost = after.since(&before, &self.stand.cluster).await?;
            measured.push(("throughput", crowd.throughput(), Unit::PerSecond));
            let micros = 1_000_000.0 / (crowd.throughput() * crowd.window.as_secs_f64());
            measured.push(("CPU of the service", cost.service * micros, Unit::Micros));
            let postgres = cost.journal + cost.postgres;
            measured.push(("CPU of Postgres", postgres * micros, Unit::Micros));
        }
        if workload.has_single() {
            let single = self.load.single(settings.single_window()).await?;
            measured.push(("p50", single.latencies.percentile_ms(50), Unit::Millis));
            measured.push(("p99", single.latencies.percentile_ms(99), Unit::Millis));
        }
        if workload == Workload::Loop {
            let total = self.load.once().await?;
            measured.push(("total", total.as_secs_f64(), Unit::Seconds));
        }
        let memory = self.stand.service.resident_mib()?;
        measured.push(("memory", memory, Unit::Mebibytes));
        Ok(measured)
    }
}
