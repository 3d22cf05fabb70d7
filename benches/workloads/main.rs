//! The harness of the benchmarks: `make bench`, or `make bench W=W5` for one workload.
//!
//! Each workload has a file (or shares one with its kin) and a function that gives a [`Section`]. It starts a
//! [`stand::Stand`] (a private Postgres with its default durability, the release binary as a process of its own, clients over
//! gRPC), warms up, and then, [`Settings::pairs`] times: calls [`Section::phase`], measures ours, measures the baseline
//! right after it, and adds both and their ratio as samples of rows. Only ratios within one pair say something, as the
//! speed of a machine may drift; the report has median and spread. At the end it names the targets by
//! [`Section::at_least`] and the like. To add one: a variant of [`Name`], a line in [`measure`], a file.

mod ceiling;
mod cold;
mod grow;
mod guard;
mod hand;
mod idle;
mod loops;
mod machine;
mod model;
mod park;
mod peak;
mod processes;
mod report;
mod runs;
mod scale;
mod service;
mod settings;
mod stand;
mod tokens;
mod versus;
mod waiting;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use synapps::bench::Workload;

use report::{Report, Section};
use settings::{Name, Settings};

/// What a benchmark may fail with: it ends the workload and is printed.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

fn main() -> ExitCode {
    let settings = Settings::parse();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(Error::from)
        .and_then(|runtime| {
            if settings.guard {
                runtime.block_on(guard::guard(&settings))
            } else {
                runtime.block_on(all(&settings))
            }
        });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Measures what is asked for, prints each workload when it is done, and writes the report after each.
async fn all(settings: &Settings) -> Result<ExitCode> {
    let mut report = Report::begin(settings).await?;
    println!("{report}");
    let mut failed = Vec::new();
    for name in settings.names() {
        match measure(name, settings).await {
            Ok(section) => {
                println!("{section}");
                report.add(section)?;
            }
            Err(error) => {
                eprintln!("{name}: {}\n", chain(&*error));
                failed.push(name);
            }
        }
    }
    report.summary();
    if failed.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

async fn measure(name: Name, settings: &Settings) -> Result<Section> {
    if let Some(before) = &settings.before {
        let workload = name
            .workload()
            .ok_or("two builds cannot be compared by it")?;
        return versus::versus(workload, settings, before).await;
    }
    match name {
        Name::W5 => runs::crowded(Workload::W5, settings).await,
        Name::W5Pure => runs::crowded(Workload::W5Pure, settings).await,
        Name::Fan50 => runs::lonely(Workload::Fan50, 3.0, settings).await,
        Name::W40 => runs::lonely(Workload::W40, 10.0, settings).await,
        Name::Start => runs::starts(settings).await,
        Name::Loop => loops::loops(settings).await,
        Name::Watch => watch::watch(settings).await,
        Name::Tokens => tokens::tokens(settings).await,
        Name::Park => park::park(settings).await,
        Name::Idle => idle::idle(settings).await,
        Name::Cold => cold::cold(settings).await,
        Name::Grow => grow::grow(settings).await,
        Name::Scale => scale::scale(settings).await,
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
