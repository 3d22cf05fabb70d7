//! What was measured: numbers with a name and a unit, and how they come out of many samples.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Something a second.
    #[serde(rename = "1/s")]
    PerSecond,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Microseconds.
    #[serde(rename = "µs")]
    Micros,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Mebibytes: 1,048,576 bytes.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// How often.
    #[serde(rename = "times")]
    Count,
    /// One figure by another.
    #[serde(rename = "ratio")]
    Ratio,
    /// The same in hundredths.
    #[serde(rename = "%")]
    Percent,
}

impl Unit {
    /// A number with as many digits as say something, and the unit.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let digits = match self {
            Self::Count if value < 100.0 && value.fract() != 0.0 => 2,
            Self::Count | Self::Bytes | Self::Micros => 0,
            Self::PerSecond if value >= 100.0 => 0,
            Self::Mebibytes | Self::PerSecond | Self::Percent => 1,
            Self::Millis | Self::Seconds | Self::Ratio => 2,
        };
        format!("{value:.digits$}{self}")
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerSecond => " /s",
            Self::Millis => " ms",
            Self::Micros => " µs",
            Self::Seconds => " s",
            Self::Mebibytes => " MiB",
            Self::Bytes => " B",
            Self::Count => "",
            Self::Ratio => " ×",
            Self::Percent => " %",
        })
    }
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it says.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
}

/// The numbers of one measurement, in the order in which they are to be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: Unit) {
        let name = name.into();
        self.0.push(Figure { name, value, unit });
    }

    /// The number of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<f64> {
        let figure = self.0.iter().find(|figure| figure.name == name);
        figure.map(|figure| figure.value)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Figure> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Figures {
    type Item = &'a Figure;
    type IntoIter = std::slice::Iter<'a, Figure>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// How long each of many things took.
#[derive(Clone, Debug)]
pub struct Latencies {
    // The shortest first; never empty.
    sorted: Vec<Duration>,
}

impl Latencies {
    /// Of these; `None` if there are none.
    #[must_use]
    pub fn of(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        (!samples.is_empty()).then_some(Self { sorted: samples })
    }

    /// How long at most this many of a hundred took, by the nearest rank; `percent` is above 0 and at most 100.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Duration {
        let count = self.sorted.len();
        let rank = (count * percent as usize).div_ceil(100).clamp(1, count);
        self.sorted[rank - 1]
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn percentile_ms(&self, percent: u32) -> f64 {
        self.percentile(percent).as_secs_f64() * 1_000.0
    }

    /// How many there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }
}

/// What there is for each second.
#[must_use]
pub fn rate(count: usize, spent: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "nothing is counted beyond 2^53 in a benchmark"
    )]
    let count = count as f64;
    count / spent.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(samples: impl IntoIterator<Item = u64>) -> Option<Latencies> {
        Latencies::of(samples.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let hundred = millis((1..=100).rev()).unwrap();
        let three = millis([30, 10, 20]).unwrap();

        assert_eq!(hundred.percentile(50), Duration::from_millis(50));
        assert_eq!(hundred.percentile(99), Duration::from_millis(99));
        assert_eq!(hundred.percentile(100), Duration::from_millis(100));
        assert_eq!(three.percentile(50), Duration::from_millis(20));
        assert_eq!(three.percentile(99), Duration::from_millis(30));
        assert!(millis([]).is_none());
    }

    #[test]
    fn figures_are_shown_with_the_digits_that_count() {
        assert_eq!(Unit::PerSecond.show(3_649.4), "3649 /s");
        assert_eq!(Unit::PerSecond.show(1.96), "2.0 /s");
        assert_eq!(Unit::Ratio.show(1.512), "1.51 ×");
        assert_eq!(Unit::Millis.show(1.9), "1.90 ms");
    }
}
