//! docs/CRASH-MATRIX.md: the part of each trial between its marks is written anew by that trial.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::matrix::{Outcome, Table};
use crate::support::cluster::Cluster;

/// The page.
const PAGE: &str = "docs/CRASH-MATRIX.md";

/// Writes a part of the page if `SYNAPPS_WRITE_CRASH_MATRIX` says so; what is around it stays.
pub fn write(part: &str, text: &str) {
    if std::env::var_os("SYNAPPS_WRITE_CRASH_MATRIX").is_none_or(|value| value != "1") {
        return;
    }
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let old = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = (
        format!("<!-- {part} -->\n"),
        format!("<!-- end of {part} -->"),
    );
    let (before, rest) = old.split_once(&begin).expect("the page has a place for it");
    let (_, after) = rest.split_once(&end).expect("the place has an end");
    std::fs::write(&page, format!("{before}{begin}\n{text}\n{end}{after}")).unwrap();
}

/// When, where and of what this was found.
pub async fn circumstances() -> String {
    let sql = Cluster::get().connect("postgres").await;
    let now =
        "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), split_part(version(), ' ', 2)";
    let row = sql.query_one(now, &[]).await.unwrap();
    let (day, postgres): (String, String) = (row.get(0), row.get(1));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name);
    let commit = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let commit = commit.unwrap_or_default();
    format!("{day}, commit {commit}, a debug build on {cores} cores ({cpu}), Postgres {postgres}.")
}

/// The table of the matrix.
pub fn matrix(circumstances: &str, table: &Table) -> String {
    let mut text = format!("{circumstances}\n\n");
    text.push_str("| Boundary | Crash point | What is done, and what is not | kill | stop | cut | delay | black hole |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    let (mut cells_held, mut runs, mut events, mut resolved, mut longest) = (0, 0, 0, 0, 0.0_f64);
    for (boundary, cells) in table {
        let mut line = format!(
            "| {} | `{}` | {} |",
            boundary.name, boundary.point, boundary.meaning
        );
        let (mut row_runs, mut row_events) = (0, 0);
        for outcome in cells.values() {
            match outcome {
                Outcome::Held(held) => {
                    cells_held += 1;
                    (row_runs, row_events) = (held.runs, held.events);
                    resolved += held.resolved;
                    line.push_str(" holds");
                    if let Some(took) = held.took_over_in {
                        longest = longest.max(took.as_secs_f64());
                        write!(line, ", {:.1} s", took.as_secs_f64()).expect("a text takes all");
                    }
                    line.push_str(" |");
                }
                Outcome::Broken(_) => line.push_str(" **broken** |"),
            }
        }
        runs += row_runs;
        events += row_events;
        text.push_str(&line);
        text.push('\n');
    }
    write!(
        text,
        "\n{cells_held} cells hold, with {runs} runs and {events} events in all; {resolved} times a client had to say what \
         became of an `AT_MOST_ONCE` step. The longest take-over, from the fault until nothing belonged to the struck \
         process any more, took {longest:.1} s with a lease of 2 s.\n"
    )
    .expect("a text takes all");
    text
}
