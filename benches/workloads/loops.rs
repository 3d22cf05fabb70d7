//! LOOP: a loop over 10,000 items, watched to its end.

use synapps::bench::{Unit, Workload};

use crate::Result;
use crate::peak;
use crate::report::Section;
use crate::settings::{Name, Settings};
use crate::stand::Stand;

/// How many items its loop has.
const ITEMS: f64 = 10_000.0;

/// The time of one run from its call to the end of its stream, and the most memory of the service meanwhile.
pub async fn loops(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Loop);
    let stand = Stand::start(settings).await?;
    let pid = stand.service.pid()?;
    // Before anything has run: what an allocator keeps of earlier runs would pass for idle.
    let idle = stand.service.resident_mib()?;
    section.add("memory when idle", Unit::Mebibytes, idle);
    let load = Workload::Loop.prepare(&stand.clients).await?;
    load.warm_up().await?;

    for _ in 0..settings.pairs {
        section.phase();
        peak::forget(pid)?;
        let total = load.once().await?.as_secs_f64();
        let peak = peak::peak_mib(pid)?;
        section.add("total", Unit::Seconds, total);
        section.add("items", Unit::PerSecond, ITEMS / total);
        section.add("peak memory", Unit::Mebibytes, peak);
        section.add("peak memory above idle", Unit::Mebibytes, peak - idle);
    }

    load.remove().await?;
    stand.stop().await?;
    section.at_most_in_fast_phase("total", 3.0);
    section.at_most("peak memory above idle", 100.0);
    Ok(section)
}
