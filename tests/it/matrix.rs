//! The crash matrix: each fault at each boundary between what is durable and what is not yet.
//!
//! A row is a boundary, which is a crash point of the program (see `synapps::crash_points`) and what leads there. In each
//! of its cells a process is brought to the point, stands still exactly there, and is then struck by the fault; another
//! process serves beside it. When all clients have come to their ends, [`crate::invariants`] looks at everything.
//!
//! `make crash-matrix` writes the table to docs/CRASH-MATRIX.md. `SYNAPPS_MATRIX_ONLY=drain` does the rows whose names
//! contain that.

mod boundaries;
mod cell;
mod fault;
mod row;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::report;
use boundaries::{Boundary, boundaries};
use fault::Fault;
use row::Row;

/// How many rows are worked on at once: their processes wait for leases most of the time.
const AT_ONCE: usize = 4;

/// What a cell says in the table.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All that has to hold did.
    Held(Held),
    /// What did not hold, and what the processes have said.
    Broken(Vec<String>),
}

/// Figures of a cell in which all held.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// How many runs were looked at.
    pub runs: usize,
    /// How many events.
    pub events: usize,
    /// From the fault until nothing belonged to the struck process any more, where something did.
    pub took_over_in: Option<std::time::Duration>,
    /// How many steps somebody had to say the outcome of.
    pub resolved: usize,
}

/// The cells of the rows that were done.
pub type Table = Vec<(Boundary, BTreeMap<Fault, Outcome>)>;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlasts_every_fault_at_every_boundary() {
    let only = std::env::var("SYNAPPS_MATRIX_ONLY").unwrap_or_default();
    let chosen = boundaries()
        .into_iter()
        .filter(|boundary| boundary.name.contains(&only));
    let rows = futures_util::stream::iter(chosen).map(|boundary| {
        let work = async move {
            let boundary = Arc::new(boundary);
            let cells = Row::prepare(&boundary).await.work().await;
            (Boundary::clone(&boundary), cells)
        };
        async move { tokio::spawn(work).await.unwrap() }
    });
    let table: Table = rows.buffered(AT_ONCE).collect().await;

    let text = report::matrix(&report::circumstances().await, &table);
    println!("{text}");
    if only.is_empty() {
        report::write("matrix", &text);
    }
    let broken: Vec<String> = table
        .iter()
        .flat_map(|(boundary, cells)| {
            cells.iter().filter_map(|(fault, outcome)| match outcome {
                Outcome::Broken(why) => Some(format!(
                    "{} × {fault:?}:\n  {}",
                    boundary.name,
                    why.join("\n  ")
                )),
                Outcome::Held(_) => None,
            })
        })
        .collect();
    assert!(
        broken.is_empty(),
        "{} cells are broken\n{}",
        broken.len(),
        broken.join("\n")
    );
}
