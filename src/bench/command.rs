//! `synapps bench`: the load against a service of the user's own, and what came of it.

use std::io::Write;

use serde::Serialize;

use super::{Clients, Error, Figures, Pace, Workload};
use crate::cli;

/// One workload and its figures.
#[derive(Debug, Serialize)]
struct Outcome {
    workload: &'static str,
    figures: Figures,
}

/// Measures the workloads one after the other and prints their figures: each as it is there, or all of them as one
/// JSON document at the end.
///
/// The flows that it saves are deleted again, also when a workload fails.
///
/// # Errors
///
/// All kinds of [`Error`].
pub async fn run(arguments: &cli::Bench, out: &mut impl Write) -> Result<(), Error> {
    let clients = Clients::connect(std::slice::from_ref(&arguments.address)).await?;
    let pace = Pace {
        clients: usize::from(arguments.clients),
        window: arguments.window,
    };
    let mut outcomes = Vec::new();
    if !arguments.json {
        writeln!(
            out,
            "{:<8}  {:<12}  {:>12}",
            "workload", "figure", "measured"
        )?;
    }
    for workload in selected(&arguments.workload) {
        let figures = measure(*workload, &clients, pace).await?;
        let workload = workload.name();
        if arguments.json {
            outcomes.push(Outcome { workload, figures });
            continue;
        }
        for figure in &figures {
            let shown = figure.unit.show(figure.value);
            writeln!(out, "{workload:<8}  {:<12}  {shown:>12}", figure.name)?;
        }
    }
    if arguments.json {
        let document = serde_json::json!({
            "address": arguments.address,
            "clients": arguments.clients,
            "window_seconds": arguments.window.as_secs_f64(),
            "outcomes": outcomes,
        });
        writeln!(out, "{document:#}")?;
    } else {
        writeln!(
            out,
            "\nThe flows are deleted again; the runs stay until retention removes them."
        )?;
    }
    Ok(())
}

fn selected(wanted: &[Workload]) -> &[Workload] {
    if wanted.is_empty() {
        &Workload::ALL
    } else {
        wanted
    }
}

async fn measure(workload: Workload, clients: &Clients, pace: Pace) -> Result<Figures, Error> {
    let prepared = workload.prepare(clients).await?;
    let measured = match prepared.warm_up().await {
        Ok(()) => prepared.measure(pace).await,
        Err(error) => Err(error),
    };
    // What went wrong first is what the user has to know.
    let removed = prepared.remove().await;
    let figures = measured?;
    removed?;
    Ok(figures)
}
