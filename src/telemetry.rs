//! What the process tells about itself: lines on standard error, as text for people or JSON for programs.

use std::io::IsTerminal;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat};

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error(
        "--log (SYNAPPS_LOG) is a level, or levels by module such as info,synapps::journal=debug, not {filter:?}"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Somebody else has set it up in this process.
    #[error("logging is already set up")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets logging up for the whole process; without a filter in `log`, `default_filter` holds.
///
/// # Errors
///
/// [`Error::Filter`], and [`Error::Twice`] for a second call.
pub fn set_up(log: &Log, default_filter: &str) -> Result<(), Error> {
    let filter = log.log_filter.as_deref().unwrap_or(default_filter);
    let filter = EnvFilter::builder()
        .parse(guarded(filter))
        .map_err(|source| Error::Filter {
            filter: filter.to_owned(),
            source,
        })?;
    let lines = match log.log_format {
        LogFormat::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()?;
    Ok(())
}

/// Libraries that log what they carry: parameters of statements, headers of calls. Payloads and credentials are in
/// there, so they tell no more than their mishaps unless a filter names them.
const TALKATIVE: [&str; 4] = ["tokio_postgres", "h2", "hyper", "reqwest"];

fn guarded(filter: &str) -> String {
    let quiet = TALKATIVE
        .iter()
        .filter(|library| !filter.contains(*library))
        .map(|library| format!("{library}=info"));
    quiet
        .chain([filter.to_owned()])
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talkative_libraries_are_kept_quiet_unless_they_are_named() {
        let filter = guarded("debug,h2=trace");

        assert_eq!(
            filter,
            "tokio_postgres=info,hyper=info,reqwest=info,debug,h2=trace"
        );
        assert!(EnvFilter::builder().parse(filter).is_ok());
    }
}
