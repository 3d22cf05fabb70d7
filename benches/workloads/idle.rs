//! IDLE: what a service takes that has nothing to do.

use std::fs;
use std::time::Duration;

use synapps::bench::Unit;
use synapps::bench::figures::rate;
use synapps::postgres::PrivateCluster;

use crate::Result;
use crate::report::Section;
use crate::settings::{Name, Settings};
use crate::stand::Stand;

/// How long it is left alone after its start, which has work of its own.
const SETTLE: Duration = Duration::from_secs(5);

/// Counts the statements that reach Postgres, by its own log, and looks at the memory of the service.
pub async fn idle(settings: &Settings) -> Result<Section> {
    let mut section = Section::new(Name::Idle);
    let stand = Stand::start(settings).await?;
    let client = stand.cluster.connect("postgres").await?;
    client
        .batch_execute("ALTER SYSTEM SET log_statement = 'all'")
        .await?;
    client.batch_execute("SELECT pg_reload_conf()").await?;
    drop(client);
    tokio::time::sleep(SETTLE).await;

    for _ in 0..settings.pairs {
        section.phase();
        let before = statements(&stand.cluster)?;
        tokio::time::sleep(settings.window()).await;
        let after = statements(&stand.cluster)?;
        section.add(
            "queries",
            Unit::PerSecond,
            rate(after - before, settings.window()),
        );
        section.add("memory", Unit::Mebibytes, stand.service.resident_mib()?);
    }

    stand.stop().await?;
    section.at_most("queries", 2.0);
    section.at_most("memory", 60.0);
    Ok(section)
}

/// How many statements the log of Postgres has: simple ones and those that were prepared before.
fn statements(cluster: &PrivateCluster) -> Result<usize> {
    let log = fs::read_to_string(cluster.dir().join("postgres.log"))?;
    let is_statement =
        |line: &&str| line.contains("LOG:  statement:") || line.contains("LOG:  execute ");
    Ok(log.lines().filter(is_statement).count())
}
