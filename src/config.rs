//! The settings of the process: read once from flags and environment, checked, and handed on as values.
//!
//! Every flag is also an environment variable, and no other module reads one. A value out of bounds is refused before
//! anything starts, with the flag, the bound and the value.

pub mod code;
pub mod duration;
mod environment;
pub mod listen;
pub mod memory;
mod providers;
pub mod secret;
mod secrets;

use std::time::Duration;

use clap::{Args, ValueEnum};

pub use code::Code;
pub use environment::{data_home, search_path};
pub use listen::Listen;
pub use memory::Memory;
pub use providers::{BaseUrl, Providers};
pub use secret::Secret;
pub use secrets::Secrets;

use crate::egress::Policy;
use duration::{DAY, between};

/// All settings of a serving process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// Its database.
    pub database: Database,
    /// How it executes runs.
    pub execution: Execution,
    /// What it takes from callers.
    pub limits: Limits,
    /// What memory nodes may keep, and what finds it by meaning.
    pub memory: Memory,
    /// The providers of models and images that it calls.
    pub providers: Providers,
    /// How it runs code.
    pub code: Code,
    /// The keys that it seals secrets with.
    pub secrets: Secrets,
    /// How it treats connections.
    pub connections: Connections,
    /// Whether no other process can use the database, so that all older executors are dead at the start.
    pub alone: bool,
}

/// Settings that `serve`, `dev` and `demo` have in common.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// How the database is used.
    #[command(flatten)]
    pub pool: Pool,
    /// How runs are executed.
    #[command(flatten)]
    pub execution: Execution,
    /// What is taken from callers.
    #[command(flatten)]
    pub limits: Limits,
    /// What memory nodes may keep, and what finds it by meaning.
    #[command(flatten)]
    pub memory: Memory,
    /// The providers of models and images that are called.
    #[command(flatten)]
    pub providers: Providers,
    /// How code is run.
    #[command(flatten)]
    pub code: Code,
    /// The keys that secrets are sealed with.
    #[command(flatten)]
    pub secrets: Secrets,
    /// How connections are treated.
    #[command(flatten)]
    pub connections: Connections,
}

impl Common {
    /// The whole configuration, with the database and the address that `serve` was given or `dev` has made.
    #[must_use]
    pub fn with(self, listen: Listen, url: Secret, migrate: Migrate) -> Config {
        Config {
            listen,
            database: Database {
                url,
                direct_url: None,
                migrate,
                pool: self.pool,
            },
            execution: self.execution,
            limits: self.limits,
            memory: self.memory,
            providers: self.providers,
            code: self.code,
            secrets: self.secrets,
            connections: self.connections,
            alone: false,
        }
    }
}

/// The database of a serving process.
#[derive(Clone, Debug)]
pub struct Database {
    /// Where it is; holds a password.
    pub url: Secret,
    /// The way to it that keeps sessions, if `url` does not; holds a password.
    pub direct_url: Option<Secret>,
    /// Whether pending migrations are run at start.
    pub migrate: Migrate,
    /// How it is used.
    pub pool: Pool,
}

/// What happens to pending migrations when the service starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Migrate {
    /// They are run first, under a lock in the database.
    Auto,
    /// They are left to somebody else; the service refuses to start while more than the last one is pending.
    Off,
}

/// How the database is used.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct Pool {
    /// The most connections for requests: 1 to 1,000. The journal and the executor's lease have connections of their
    /// own beside them
    #[arg(long, env = "SYNAPPS_POOL_SIZE", value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub pool_size: u16,

    /// How long a statement may take before the database stops it: 1s to 10m
    #[arg(long, env = "SYNAPPS_STATEMENT_TIMEOUT", value_name = "DURATION", default_value = "30s",
          value_parser = between(Duration::from_secs(1), Duration::from_mins(10)))]
    pub statement_timeout: Duration,

    /// The span of time that one partition of the history covers: 1h to 90d. There are at most about 60 partitions
    #[arg(long, env = "SYNAPPS_PARTITION_WIDTH", value_name = "DURATION", default_value = "7d",
          value_parser = between(Duration::from_hours(1), 90 * DAY))]
    pub partition_width: Duration,
}

/// Another way to the database.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct Direct {
    /// The same database by a way that keeps sessions, for migrations, the journal, the lease and notifications: where the
    /// other URL leads through a pooler in transaction mode. Unset: the other URL
    #[arg(
        long,
        env = "SYNAPPS_DIRECT_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub direct_url: Option<Secret>,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How runs are executed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Execution")]
pub struct Execution {
    /// The most steps that this process executes at once, over all runs: 1 to 100,000
    #[arg(long, env = "SYNAPPS_MAX_CONCURRENT_STEPS", value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_concurrent_steps: u32,

    /// The most runs that this process holds in memory at once: 1 to 1,000,000. Waiting runs are not in memory; more
    /// stay queued in the database
    #[arg(long, env = "SYNAPPS_MAX_OPEN_RUNS", value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_open_runs: u32,

    /// Whether replicas tell each other by NOTIFY that runs can be claimed or are asked something; without it each finds
    /// out within a second
    #[arg(
        long,
        env = "SYNAPPS_NOTIFY",
        value_name = "SWITCH",
        default_value = "on"
    )]
    pub notify: Switch,

    /// How long the runs of a process that died wait before another one takes them over: 2s to 60s
    #[arg(long, env = "SYNAPPS_LEASE", value_name = "DURATION", default_value = "15s",
          value_parser = between(Duration::from_secs(2), Duration::from_mins(1)))]
    pub lease: Duration,

    /// The longest that a run may take, waits included: 1s to 365d. A flow's own `run_timeout` can only be shorter
    #[arg(long, env = "SYNAPPS_MAX_RUN_TIME", value_name = "DURATION", default_value = "30d",
          value_parser = between(Duration::from_secs(1), 365 * DAY))]
    pub max_run_time: Duration,

    /// How many connections write run history side by side: 1 to 16
    #[arg(long, env = "SYNAPPS_JOURNAL_LANES", value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=16))]
    pub journal_lanes: u16,

    /// How much memory inputs and outputs may take that are kept at hand beside the database, in bytes: 1,048,576
    /// (1 MiB) to 17,179,869,184 (16 GiB)
    #[arg(long, env = "SYNAPPS_PAYLOAD_CACHE_BYTES", value_name = "BYTES", default_value_t = 32 << 20,
          value_parser = clap::value_parser!(u64).range(1 << 20..=16 << 30))]
    pub payload_cache_bytes: u64,

    /// How long a process that is told to stop may take to end or hand over what it does: 1s to 600s
    #[arg(long, env = "SYNAPPS_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "25s",
          value_parser = between(Duration::from_secs(1), Duration::from_mins(10)))]
    pub drain_timeout: Duration,

    /// Networks that flows may call although they are private: CIDR, or CIDR:PORT with an IPv6 network in brackets,
    /// separated by commas. Public addresses are always allowed. Unset: none; loopback in `dev` and `demo`
    #[arg(long, env = "SYNAPPS_EGRESS_ALLOW", value_name = "CIDR[:PORT],…")]
    pub egress_allow: Option<Policy>,
}

/// What is taken from callers.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// The most nodes of a flow: 1 to 10,000
    #[arg(long, env = "SYNAPPS_MAX_NODES", value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_nodes: u32,

    /// The most edges of a flow: 1 to 50,000
    #[arg(long, env = "SYNAPPS_MAX_EDGES", value_name = "N", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub max_edges: u32,

    /// The largest input of a run, as JSON text, in bytes: 1,024 to 3,145,728 (3 MiB)
    #[arg(long, env = "SYNAPPS_MAX_INPUT_BYTES", value_name = "BYTES", default_value_t = 1 << 20,
          value_parser = clap::value_parser!(u32).range(1_024..=3 << 20))]
    pub max_input_bytes: u32,

    /// The largest output of a step, as JSON text, in bytes: 1,024 to 67,108,864 (64 MiB)
    #[arg(long, env = "SYNAPPS_MAX_PAYLOAD_BYTES", value_name = "BYTES", default_value_t = 16 << 20,
          value_parser = clap::value_parser!(u32).range(1_024..=64 << 20))]
    pub max_payload_bytes: u32,

    /// The most runs that wait for their start in the database, of all namespaces: 1 to 10,000,000. Child runs are let
    /// in all the same
    #[arg(long, env = "SYNAPPS_MAX_QUEUED_RUNS", value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_queued_runs: u32,

    /// The most runs of one namespace that wait for their start in the database: 1 to 10,000,000
    #[arg(long, env = "SYNAPPS_MAX_QUEUED_RUNS_PER_NAMESPACE", value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_queued_runs_per_namespace: u32,

    /// The most watches (`WatchRun`, `WatchRuns`, `ExecuteRun`) that are open at once: 1 to 1,000,000
    #[arg(long, env = "SYNAPPS_MAX_WATCHERS", value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_watchers: u32,
}

/// How connections of callers are treated.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connections")]
pub struct Connections {
    /// The most connections at once: 1 to 100,000. One more is accepted and closed at once, so that its client can
    /// turn to another replica
    #[arg(long, env = "SYNAPPS_MAX_CONNECTIONS", value_name = "N", default_value_t = 1_024,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_connections: u32,

    /// The most calls at once on one connection: 1 to 100,000. More wait in the client
    #[arg(long, env = "SYNAPPS_MAX_STREAMS_PER_CONNECTION", value_name = "N", default_value_t = 1_024,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams_per_connection: u32,

    /// The largest header list of a call, as HTTP/2 counts it, in bytes: 1,024 to 1,048,576 (1 MiB)
    #[arg(long, env = "SYNAPPS_MAX_HEADER_BYTES", value_name = "BYTES", default_value_t = 16 << 10,
          value_parser = clap::value_parser!(u32).range(1_024..=1 << 20))]
    pub max_header_bytes: u32,

    /// How long a connection may be silent before it is asked for a sign of life: 1s to 1h
    #[arg(long, env = "SYNAPPS_KEEPALIVE_INTERVAL", value_name = "DURATION", default_value = "30s",
          value_parser = between(Duration::from_secs(1), Duration::from_hours(1)))]
    pub keepalive_interval: Duration,

    /// How long that sign of life may take before the connection is closed: 1s to 10m
    #[arg(long, env = "SYNAPPS_KEEPALIVE_TIMEOUT", value_name = "DURATION", default_value = "20s",
          value_parser = between(Duration::from_secs(1), Duration::from_mins(10)))]
    pub keepalive_timeout: Duration,
}

/// How the process logs; to standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// The form of a line
    #[arg(
        long,
        env = "SYNAPPS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,

    /// What is logged: a level (error, warn, info, debug, trace), or levels by module such as
    /// `info,synapps::journal=debug`. Unset: info; warn in `demo`
    #[arg(
        long = "log",
        env = "SYNAPPS_LOG",
        value_name = "FILTER",
        global = true
    )]
    pub log_filter: Option<String>,
}

/// The form of a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// A private cluster of `dev` and `demo`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Private Postgres")]
pub struct Private {
    /// Where its data is kept between starts. Unset: `synapps/postgres` in the user's data directory, or
    /// `/var/lib/synapps/postgres` as root; `demo` then keeps nothing
    #[arg(
        long,
        env = "SYNAPPS_DATA_DIR",
        value_name = "DIR",
        conflicts_with = "ephemeral"
    )]
    pub data_dir: Option<std::path::PathBuf>,

    /// Keeps the data in a temporary directory that is removed at the end
    #[arg(long, env = "SYNAPPS_EPHEMERAL", value_parser = clap::builder::BoolishValueParser::new())]
    pub ephemeral: bool,

    /// The directory of the Postgres programs to use. Unset: the newest that is found in $PATH and where packages put
    /// them, 15 at least
    #[arg(long, env = "SYNAPPS_POSTGRES_BIN", value_name = "DIR")]
    pub postgres_bin: Option<std::path::PathBuf>,
}
