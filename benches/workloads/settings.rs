//! What is measured, and for how long.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use synapps::bench::Workload;

/// Measures synapps beside what else could be done with the same Postgres.
#[derive(Debug, Parser)]
pub struct Settings {
    /// The workloads; all without one
    #[arg(value_name = "NAME", ignore_case = true)]
    only: Vec<Name>,

    /// Windows of 30 s instead of 10 s, and tables of 10 million events
    #[arg(long)]
    pub full: bool,

    /// How long each figure is measured, instead of that
    #[arg(long, value_name = "DURATION", value_parser = synapps::config::duration::parse)]
    window: Option<Duration>,

    /// How often ours and the baseline are measured after one another
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub pairs: u16,

    /// How many clients call at once; a Postgres as it comes has no room for more
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub clients: u16,

    /// How many watchers there are in WATCH-1k
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=8_000))]
    pub watchers: u16,

    /// How many runs wait in PARK
    #[arg(long, value_name = "RUNS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub parked: u32,

    /// How many events GROW puts into the tables, beside 10 million with --full
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub events: u32,

    /// The program to measure, instead of the one that was built with the harness
    #[arg(long, env = "SYNAPPS_BENCH_PROGRAM", value_name = "PROGRAM", default_value = env!("CARGO_BIN_EXE_synapps"))]
    pub program: PathBuf,

    /// Another build of the program: measures the workloads with it (`before`) and with the own one (`after`) in turn,
    /// instead of with baselines
    #[arg(long, env = "SYNAPPS_BENCH_BEFORE", value_name = "PROGRAM")]
    pub before: Option<PathBuf>,

    /// W5 against HAND only: fails if the ratio is far below the recorded one
    #[arg(long)]
    pub guard: bool,

    /// What `cargo bench` says to every harness
    #[arg(long, hide = true)]
    bench: bool,
}

impl Settings {
    /// What is measured, in order.
    pub fn names(&self) -> Vec<Name> {
        if self.only.is_empty() {
            let all = Name::value_variants().iter().copied();
            all.filter(|name| self.before.is_none() || name.workload().is_some())
                .collect()
        } else {
            self.only.clone()
        }
    }

    /// How long each figure is measured.
    pub fn window(&self) -> Duration {
        let usual = if self.full { 30 } else { 10 };
        self.window.unwrap_or(Duration::from_secs(usual))
    }

    /// How long the figures of one client are measured.
    pub fn single_window(&self) -> Duration {
        self.window() / 2
    }
}

/// A workload of the harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Runs of five nodes, each step durable, beside HAND and CEILING.
    #[value(name = "W5")]
    W5,
    /// The same with pure steps.
    #[value(name = "W5-pure")]
    W5Pure,
    /// 50 steps side by side.
    #[value(name = "FAN50")]
    Fan50,
    /// 40 steps one after the other.
    #[value(name = "W40")]
    W40,
    /// A loop over 10,000 items.
    #[value(name = "LOOP")]
    Loop,
    /// A thousand watchers: of one run, of a run each, of runs that wait.
    #[value(name = "WATCH-1k")]
    Watch,
    /// Models that stream.
    #[value(name = "TOKENS")]
    Tokens,
    /// A hundred thousand runs that wait.
    #[value(name = "PARK")]
    Park,
    /// Calls of `StartRun` beside commits of single rows.
    #[value(name = "START")]
    Start,
    /// A service that has nothing to do.
    #[value(name = "IDLE")]
    Idle,
    /// From nothing to the first finished run.
    #[value(name = "COLD")]
    Cold,
    /// W5 with a history of millions of events.
    #[value(name = "GROW")]
    Grow,
    /// W5 with one, two and three replicas.
    #[value(name = "SCALE")]
    Scale,
}

impl Name {
    /// The load alone, where the workload is nothing more.
    pub fn workload(self) -> Option<Workload> {
        let mut workloads = Workload::ALL.into_iter();
        workloads.find(|workload| workload.name() == self.to_string())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
