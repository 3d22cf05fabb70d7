//! What the figures were measured on, and how fast it was at the moment.

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;
use synapps::postgres::PrivateCluster;

use crate::Result;

/// How long [`cpu_loop`] takes in the fast phase of the machine that the absolute limits were set for, in ms: the
/// least that was seen in many runs there. If it is ever less, this has to follow: limits in time are scaled by what
/// the loop takes at the moment against this.
pub const FAST_PHASE_MS: f64 = 115.0;

/// What takes less than this, in ms, has not been to a disk.
const DISK_MS: f64 = 0.01;

/// The rounds of [`cpu_loop`].
const ROUNDS: u64 = 60_000_000;

/// Computes the same each time on one core, and gives how long that took in ms: the phase of the machine.
pub fn cpu_loop() -> f64 {
    let begun = Instant::now();
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..ROUNDS {
        // Xorshift: each round needs the one before it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    millis(begun.elapsed())
}

/// A duration in ms.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// What a reader has to know to repeat the figures.
#[derive(Debug, Serialize)]
pub struct Machine {
    cores: usize,
    memory_mib: u64,
    cpu: String,
    kernel: String,
    rustc: String,
    synapps: &'static str,
    program: String,
    postgres: String,
    postgres_settings: Vec<(String, String)>,
    fdatasync_ms: f64,
}

impl Machine {
    /// Looks at all of it; `cluster` is one like those of the workloads.
    pub async fn look(cluster: &PrivateCluster, program: String) -> Result<Self> {
        const SETTINGS: &str = "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('fsync', \
            'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_level', 'max_wal_size', 'max_connections', \
            'checkpoint_timeout', 'autovacuum', 'wal_sync_method', 'jit') ORDER BY name";
        let client = cluster.connect("postgres").await?;
        let rows = client.query(SETTINGS, &[]).await?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: field("/proc/meminfo", "MemTotal")
                .split_whitespace()
                .next()
                .and_then(|kib| kib.parse::<u64>().ok())
                .unwrap_or_default()
                / 1_024,
            cpu: field("/proc/cpuinfo", "model name"),
            kernel: said("uname", &["-sr"]),
            rustc: said("rustc", &["--version"]),
            synapps: synapps::cli::VERSION,
            program,
            postgres: cluster.version().to_string(),
            postgres_settings: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
            fdatasync_ms: fdatasync_ms(cluster)?,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "synapps {}, {}\n{} cores ({}), {} MiB, {}\nPostgres {}, an fdatasync beside its data takes {:.2} ms",
            self.synapps,
            self.rustc,
            self.cores,
            self.cpu,
            self.memory_mib,
            self.kernel,
            self.postgres,
            self.fdatasync_ms
        )?;
        if self.fdatasync_ms < DISK_MS {
            writeln!(
                f,
                "which no disk does: set TMPDIR to a directory that is not in memory"
            )?;
        }
        let settings = self.postgres_settings.iter();
        let settings: Vec<String> = settings
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        write!(f, "{}", settings.join(", "))
    }
}

/// The median time of bringing 8 KiB to the disk that holds the data of Postgres.
fn fdatasync_ms(cluster: &PrivateCluster) -> Result<f64> {
    const TIMES: usize = 101;
    let mut file: File = tempfile::tempfile_in(cluster.dir())?;
    let page = [7_u8; 8_192];
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(millis(times[TIMES / 2]))
}

/// The first value of this name in a file of `/proc`; empty if there is none.
fn field(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

/// What a program says; empty if it cannot be run.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
