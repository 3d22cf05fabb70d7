//! What processes take: memory, and CPU time by who spends it.

use std::collections::HashMap;
use std::fs;

use synapps::postgres::PrivateCluster;

use crate::Result;
use crate::service::Service;
use crate::stand::DATABASE;

/// In which `/proc` counts CPU time: a hundredth of a second on every architecture that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;

/// The backends that write history, by what they did last. Postgres shows the first 1,024 bytes of a statement.
const WRITERS: &str = "SELECT pid FROM pg_stat_activity WHERE query ~* '(insert into|update) (workflow_runs|run_events)' \
    AND pid <> pg_backend_pid()";

/// The memory of a process that is its own or shared, in MiB, without what is swapped out.
pub fn resident_mib(pid: u32) -> Result<f64> {
    status_mib(pid, "VmRSS")
}

/// An amount of memory that the kernel gives in KiB in a process' `/proc/<pid>/status`, in MiB.
pub fn status_mib(pid: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let amount = lines.find(|(found, _)| *found == name);
    let kib = amount.and_then(|(_, amount)| amount.split_whitespace().next());
    let kib: f64 = kib.ok_or_else(|| format!("no {name}"))?.parse()?;
    Ok(kib / 1_024.0)
}

/// What has been spent up to a moment.
pub struct Spent {
    service: f64,
    load: f64,
    // By process: backends come and go.
    postgres: HashMap<u32, f64>,
    wal_bytes: f64,
    wal_syncs: f64,
}

/// What was spent between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// CPU seconds of the service.
    pub service: f64,
    /// CPU seconds of the harness with its clients.
    pub load: f64,
    /// CPU seconds of the Postgres backends that write history.
    pub journal: f64,
    /// CPU seconds of all other processes of Postgres.
    pub postgres: f64,
    /// Bytes of WAL that were written.
    pub wal_bytes: f64,
    /// How often WAL was brought to the disk.
    pub wal_syncs: f64,
}

impl Spent {
    /// Up to now.
    pub async fn so_far(cluster: &PrivateCluster, services: &[&Service]) -> Result<Self> {
        let client = cluster.connect(DATABASE).await?;
        let row = client
            .query_one(
                "SELECT (pg_current_wal_lsn() - '0/0')::float8, wal_sync::float8 FROM pg_stat_wal",
                &[],
            )
            .await?;
        let mut service = 0.0;
        for one in services {
            service += cpu_seconds(one.pid()?)?.0;
        }
        Ok(Self {
            service,
            load: cpu_seconds(std::process::id())?.0,
            postgres: backends(cluster)?,
            wal_bytes: row.get(0),
            wal_syncs: row.get(1),
        })
    }

    /// What was spent since `before`.
    pub async fn since(&self, before: &Self, cluster: &PrivateCluster) -> Result<Cost> {
        let client = cluster.connect(DATABASE).await?;
        let rows = client.query(WRITERS, &[]).await?;
        let writers: Vec<u32> = rows
            .iter()
            .filter_map(|row| u32::try_from(row.get::<_, i32>(0)).ok())
            .collect();
        let (mut journal, mut postgres) = (0.0, 0.0);
        for (pid, seconds) in &self.postgres {
            let spent = seconds - before.postgres.get(pid).copied().unwrap_or_default();
            if writers.contains(pid) {
                journal += spent;
            } else {
                postgres += spent;
            }
        }
        Ok(Cost {
            service: self.service - before.service,
            load: self.load - before.load,
            journal,
            postgres,
            wal_bytes: self.wal_bytes - before.wal_bytes,
            wal_syncs: self.wal_syncs - before.wal_syncs,
        })
    }
}

/// CPU seconds of all processes of a cluster.
fn backends(cluster: &PrivateCluster) -> Result<HashMap<u32, f64>> {
    let file = fs::read_to_string(cluster.dir().join("data/postmaster.pid"))?;
    let postmaster: u32 = file.lines().next().ok_or("no number")?.trim().parse()?;
    let mut spent = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the two looks.
        if let Ok((seconds, parent)) = cpu_seconds(pid)
            && (pid == postmaster || parent == postmaster)
        {
            spent.insert(pid, seconds);
        }
    }
    Ok(spent)
}

/// CPU seconds of a process, those in the kernel included, and its parent.
fn cpu_seconds(pid: u32) -> Result<(f64, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; proc(5) counts from it.
    let fields = stat.rsplit_once(')').ok_or("no name")?.1;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number).copied().ok_or("too few fields");
    let user: f64 = field(11)?.parse()?;
    let system: f64 = field(12)?.parse()?;
    Ok(((user + system) / TICKS_PER_SECOND, field(1)?.parse()?))
}
