//! The guard of CI: fails when W5 has become much slower against HAND than it was when somebody last wrote it down.
//!
//! A ratio of two figures of the same minutes says the same on any machine, more or less; an absolute time would not.

use std::process::ExitCode;

use serde::Deserialize;
use synapps::bench::Unit;

use crate::Result;
use crate::report::median;
use crate::runs::ratios;
use crate::settings::Settings;

/// Kept by hand: `make bench W=W5`, median of `throughput / HAND`.
const RECORDED: &str = include_str!("../recorded.json");

/// Which part of the recorded ratio is still let through.
const PART: f64 = 0.7;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// Throughput of W5 by that of HAND.
    w5_by_hand: f64,
}

/// Measures the ratio and compares it.
pub async fn guard(settings: &Settings) -> Result<ExitCode> {
    let recorded: Recorded = serde_json::from_str(RECORDED)?;
    let least = recorded.w5_by_hand * PART;
    let measured = median(&ratios(settings).await?);
    println!(
        "throughput / HAND: {}, recorded {}, at least {}",
        Unit::Ratio.show(measured),
        Unit::Ratio.show(recorded.w5_by_hand),
        Unit::Ratio.show(least)
    );
    if measured >= least {
        return Ok(ExitCode::SUCCESS);
    }
    println!("W5 has become slower: `make bench W=W5` says more");
    Ok(ExitCode::FAILURE)
}
