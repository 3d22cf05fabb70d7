//! Durations as people write them: `500ms`, `15s`, `2m`, `24h`, `30d`.

use std::time::Duration;

use clap::builder::{TypedValueParser, ValueParser};

/// 24 hours.
pub const DAY: Duration = Duration::from_hours(24);

/// The units, the largest first.
const UNITS: [(&str, Duration); 5] = [
    ("d", DAY),
    ("h", Duration::from_hours(1)),
    ("m", Duration::from_mins(1)),
    ("s", Duration::from_secs(1)),
    ("ms", Duration::from_millis(1)),
];

/// Why a text is not the duration that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No whole number followed by a unit.
    #[error("a duration is a whole number and a unit: ms, s, m, h or d, as in 15s")]
    Malformed,
    /// Too short or too long; both ends of the range are allowed.
    #[error("not within {} to {}", text(*least), text(*most))]
    OutOfBounds {
        /// The shortest that is allowed.
        least: Duration,
        /// The longest that is allowed.
        most: Duration,
    },
}

/// Reads a whole number and a unit.
///
/// # Errors
///
/// [`Error::Malformed`] for anything else, and for what no `Duration` can hold.
pub fn parse(text: &str) -> Result<Duration, Error> {
    let text = text.trim();
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .ok_or(Error::Malformed)?;
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| Error::Malformed)?;
    UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, length)| length.checked_mul(number))
        .ok_or(Error::Malformed)
}

/// Writes a duration in the largest unit that needs no fraction; below a millisecond is left out.
#[must_use]
pub fn text(duration: Duration) -> String {
    let millis = duration.as_millis();
    UNITS
        .iter()
        .map(|(name, length)| (name, length.as_millis()))
        .find(|(_, length)| millis > 0 && millis.is_multiple_of(*length))
        .map_or_else(
            || format!("{millis}ms"),
            |(name, length)| format!("{}{name}", millis / length),
        )
}

/// A parser for a flag whose duration is within both ends.
#[must_use]
pub fn between(least: Duration, most: Duration) -> ValueParser {
    let parser = clap::builder::StringValueParser::new().try_map(move |text: String| {
        let duration = parse(&text)?;
        if (least..=most).contains(&duration) {
            Ok(duration)
        } else {
            Err(Error::OutOfBounds { least, most })
        }
    });
    ValueParser::new(parser)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (written, millis) in [
            ("500ms", 500),
            ("15s", 15_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(parse(written), Ok(Duration::from_millis(millis)));
        }
        assert_eq!(text(Duration::from_secs(90)), "90s");
        assert_eq!(text(DAY), "1d");
        assert_eq!(text(Duration::ZERO), "0ms");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for written in [
            "",
            "15",
            "s",
            "1.5s",
            "-1s",
            "15 s",
            "15sec",
            "99999999999d",
        ] {
            assert_eq!(parse(written), Err(Error::Malformed), "{written}");
        }
    }
}
