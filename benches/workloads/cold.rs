//! COLD: from nothing to the first finished run.

use std::time::Instant;

use synapps::bench::{Call, Clients, Unit, Workload};

use crate::Result;
use crate::report::Section;
use crate::service::Service;
use crate::settings::{Name, Settings};

/// How often: each time is short, and one start differs from the next.
const TIMES: u16 = 3;

/// Starts `synapps dev --ephemeral`, which makes a private Postgres, saves the flow of W5 and runs it once.
pub async fn cold(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Cold);
    for _ in 0..settings.pairs * TIMES {
        section.phase();
        let begun = Instant::now();
        let service = Service::launch(&settings.program, &["dev", "--ephemeral"], None).await?;
        let serving = begun.elapsed();
        let clients = Clients::connect(&[service.address()]).await?;
        let load = Workload::W5.prepare(&clients).await?;
        let call = Call::execute(load.flow_id());
        call.make(&mut clients.runs(0)).await?;
        let finished = begun.elapsed();

        section.add("until it serves", Unit::Seconds, serving.as_secs_f64());
        section.add(
            "until a run has finished",
            Unit::Seconds,
            finished.as_secs_f64(),
        );
        section.add("memory", Unit::Mebibytes, service.resident_mib()?);
        drop(clients);
        service.stop().await?;
    }
    section.note("the programs are in the file cache of the system; data, database and schema are made anew each time");
    section.at_most_in_fast_phase("until a run has finished", 1.5);
    Ok(section)
}
