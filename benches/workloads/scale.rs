//! SCALE: what replicas on the same Postgres and the same cores cost, and who spends the time.

use synapps::bench::{Clients, Unit, Workload};

use crate::Result;
use crate::processes::Spent;
use crate::report::Section;
use crate::service::Service;
use crate::settings::{Name, Settings};
use crate::stand::{DATABASE, cluster, pace};

/// How many replicas at most.
const MOST: usize = 3;

/// W5 with one, two and three replicas in turn, the clients spread over all of them.
pub async fn scale(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Scale);
    let cluster = cluster().await?;
    cluster.ensure_database(DATABASE).await?;
    let url = cluster.url(DATABASE);

    for _ in 0..settings.pairs {
        section.phase();
        let mut alone = None;
        for replicas in 1..=MOST {
            let mut services = Vec::new();
            for _ in 0..replicas {
                services.push(Service::start(&settings.program, &url).await?);
            }
            let addresses: Vec<String> = services.iter().map(Service::address).collect();
            let clients = Clients::connect(&addresses).await?;
            let load = Workload::W5.prepare(&clients).await?;
            load.warm_up().await?;

            let services_now: Vec<&Service> = services.iter().collect();
            let before = Spent::so_far(&cluster, &services_now).await?;
            let ours = load.crowd(pace(settings, settings.window())).await?;
            let after = Spent::so_far(&cluster, &services_now).await?;
            let cost = after.since(&before, &cluster).await?;

            let throughput = ours.throughput();
            section.add(&format!("{replicas} × W5"), Unit::PerSecond, throughput);
            let alone = *alone.get_or_insert(throughput);
            if replicas > 1 {
                let share = 100.0 * throughput / alone;
                section.add(&format!("{replicas} / 1"), Unit::Percent, share);
            }
            let total = cost.service + cost.load + cost.journal + cost.postgres;
            for (whose, seconds) in [
                ("services", cost.service),
                ("clients", cost.load),
                ("journal in Postgres", cost.journal),
                ("rest of Postgres", cost.postgres),
            ] {
                let name = format!("{replicas}: CPU of {whose}");
                section.add(&name, Unit::Percent, 100.0 * seconds / total);
            }
            load.remove().await?;
            drop(clients);
            for service in services {
                service.stop().await?;
            }
        }
    }

    cluster.stop().await;
    section.at_least("2 / 1", 85.0);
    section.at_least("3 / 1", 85.0);
    Ok(section)
}
