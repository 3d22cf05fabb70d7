//! What came of it: a table for people, a JSON document for programs, and a word on each target.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;
use synapps::bench::{Figures, Unit};

use crate::Result;
use crate::machine::{self, FAST_PHASE_MS, Machine};
use crate::settings::Settings;
use crate::stand;

/// The whole report.
#[derive(Serialize)]
pub struct Report {
    #[serde(skip)]
    file: PathBuf,
    begun_at: String,
    machine: Machine,
    window_seconds: f64,
    clients: u16,
    connections: usize,
    workloads: Vec<Section>,
}

impl Report {
    /// Looks at the machine.
    pub async fn begin(settings: &Settings) -> Result<Self> {
        let now = Utc::now();
        // Below the directory that everything is built in, wherever that is.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
        let dir = target.ok_or("no directory for the report")?.join("bench");
        fs::create_dir_all(&dir)?;
        let cluster = stand::cluster().await?;
        let program = settings.program.display().to_string();
        let machine = Machine::look(&cluster, program).await?;
        cluster.stop().await;
        Ok(Self {
            file: dir.join(format!("{}.json", now.format("%Y-%m-%dT%H%M%SZ"))),
            begun_at: now.to_rfc3339(),
            machine,
            window_seconds: settings.window().as_secs_f64(),
            clients: settings.clients,
            connections: synapps::bench::clients::CONNECTIONS,
            workloads: Vec::new(),
        })
    }

    /// Adds a workload, and writes what there is so far.
    pub fn add(&mut self, section: Section) -> Result<()> {
        self.workloads.push(section);
        let text = serde_json::to_string_pretty(self)?;
        Ok(fs::write(&self.file, text + "\n")?)
    }

    /// Prints how it stands with all targets, and where the document is.
    pub fn summary(&self) {
        println!("targets");
        for section in &self.workloads {
            for target in &section.targets {
                println!("  {:<8}  {target}", section.name);
            }
        }
        println!("\nwritten to {}", self.file.display());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{} clients on {} connections, windows of {} s\n",
            self.machine, self.clients, self.connections, self.window_seconds
        )
    }
}

/// A row of the table: what was measured once a pair.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    unit: Unit,
    median: f64,
    min: f64,
    max: f64,
    samples: Vec<f64>,
}

/// What came of one workload.
#[derive(Debug, Serialize)]
pub struct Section {
    name: String,
    cpu_loop_ms: Vec<f64>,
    rows: Vec<Row>,
    targets: Vec<Target>,
    notes: Vec<String>,
}

/// What a figure has to be.
#[derive(Debug, Serialize)]
struct Target {
    figure: String,
    value: f64,
    unit: Unit,
    limit: f64,
    is_upper: bool,
    /// By what the limit was multiplied, for the phase of the machine.
    scale: Option<f64>,
    holds: bool,
}

impl Section {
    /// Nothing yet.
    pub fn new(name: impl fmt::Display) -> Self {
        Self {
            name: name.to_string(),
            cpu_loop_ms: Vec::new(),
            rows: Vec::new(),
            targets: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes the phase of the machine: before each pair.
    pub fn phase(&mut self) {
        self.cpu_loop_ms.push(machine::cpu_loop());
    }

    /// One more sample of a row.
    pub fn add(&mut self, name: &str, unit: Unit, sample: f64) {
        let known = self.rows.iter().position(|row| row.name == name);
        let index = known.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.to_owned(),
                unit,
                median: sample,
                min: sample,
                max: sample,
                samples: Vec::new(),
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        row.samples.push(sample);
        row.median = median(&row.samples);
        row.min = row.min.min(sample);
        row.max = row.max.max(sample);
    }

    /// One more sample of each of these.
    pub fn add_all(&mut self, figures: &Figures) {
        for figure in figures {
            self.add(&figure.name, figure.unit, figure.value);
        }
    }

    /// Something the reader has to know.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The median of this row has to be at least so much.
    pub fn at_least(&mut self, name: &str, limit: f64) {
        self.target(name, limit, false, None);
    }

    /// The median of this row may be at most so much, in whatever phase the machine is: ratios, memory, counts.
    pub fn at_most(&mut self, name: &str, limit: f64) {
        self.target(name, limit, true, None);
    }

    /// The median of this row, a time, may be at most so much in the fast phase of the machine.
    pub fn at_most_in_fast_phase(&mut self, name: &str, limit: f64) {
        let scale = median(&self.cpu_loop_ms) / FAST_PHASE_MS;
        self.target(name, limit, true, Some(scale));
    }

    /// The median of this row, a rate, has to be at least so much in the fast phase of the machine.
    pub fn at_least_in_fast_phase(&mut self, name: &str, limit: f64) {
        let scale = FAST_PHASE_MS / median(&self.cpu_loop_ms);
        self.target(name, limit, false, Some(scale));
    }

    fn target(&mut self, name: &str, limit: f64, is_upper: bool, scale: Option<f64>) {
        // A figure that was not measured holds nothing.
        let row = self.rows.iter().find(|row| row.name == name);
        let (value, unit) = row.map_or((f64::NAN, Unit::Ratio), |row| (row.median, row.unit));
        let limit = limit * scale.unwrap_or(1.0);
        self.targets.push(Target {
            figure: name.to_owned(),
            value,
            unit,
            limit,
            is_upper,
            scale,
            holds: if is_upper {
                value <= limit
            } else {
                value >= limit
            },
        });
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        writeln!(
            f,
            "{name:<36} {:>14} {:>14} {:>14}",
            "median", "least", "most"
        )?;
        for row in &self.rows {
            let [median, min, max] = [row.median, row.min, row.max].map(|n| row.unit.show(n));
            writeln!(f, "  {:<34} {median:>14} {min:>14} {max:>14}", row.name)?;
        }
        if !self.cpu_loop_ms.is_empty() {
            let shown = self.cpu_loop_ms.iter().map(|ms| format!("{ms:.0}"));
            let shown: Vec<String> = shown.collect();
            writeln!(
                f,
                "  CPU loop before each pair: {} ms (fast phase: {FAST_PHASE_MS:.0} ms)",
                shown.join(", ")
            )?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        for target in &self.targets {
            writeln!(f, "  {target}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "holds " } else { "MISSES" };
        let bound = if self.is_upper { "at most" } else { "at least" };
        write!(
            f,
            "{verdict}  {}: {}, {bound} {}",
            self.figure,
            self.unit.show(self.value),
            self.unit.show(self.limit)
        )?;
        match self.scale {
            Some(scale) => write!(f, " (scaled by {scale:.2} for the phase of the machine)"),
            None => Ok(()),
        }
    }
}

/// The middle one of the samples, or the mean of the two in the middle; NaN of none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
