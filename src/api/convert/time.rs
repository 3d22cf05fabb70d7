//! Times and durations.
//!
//! The bounds are those of protobuf's own types: years 1 to 9999, and ±10,000 years.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::violation;
use crate::flow::Violation;

/// The first second of the year 1, as protobuf's `timestamp.proto` has it.
const FIRST_SECOND: i64 = -62_135_596_800;
/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// The longest duration, in seconds, as protobuf's `duration.proto` has it.
const MAX_SECONDS: i64 = 315_576_000_000;

/// A point in time as the wire has it.
#[must_use]
pub fn timestamp(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        // Above 10^9 only within a leap second, which the wire does not know.
        nanos: i32::try_from(time.timestamp_subsec_nanos().min(999_999_999))
            .expect("less than 10^9"),
    }
}

/// A point in time that a client sent.
///
/// # Errors
///
/// `OUT_OF_BOUNDS` outside the years 1 to 9999, and for nanoseconds that make more than a second.
pub fn from_timestamp(
    timestamp: &prost_types::Timestamp,
    field: &str,
) -> Result<DateTime<Utc>, Violation> {
    let prost_types::Timestamp { seconds, nanos } = *timestamp;
    (FIRST_SECOND..=LAST_SECOND)
        .contains(&seconds)
        .then(|| fraction(nanos))
        .flatten()
        .and_then(|nanos| DateTime::from_timestamp(seconds, nanos))
        .ok_or_else(|| {
            let description = format!(
                "{seconds} s and {nanos} ns is no time of the years 1 to 9999 with 0 to 999,999,999 ns"
            );
            violation(field, "OUT_OF_BOUNDS", description)
        })
}

/// A duration as the wire has it; what is longer than it can have is shortened to that.
#[must_use]
pub fn duration(duration: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(MAX_SECONDS);
    prost_types::Duration {
        seconds: seconds.min(MAX_SECONDS),
        nanos: i32::try_from(duration.subsec_nanos()).expect("less than 10^9"),
    }
}

/// The time from one point to another as the wire has it; nothing if the clock has gone back in between.
#[must_use]
pub fn duration_between(from: DateTime<Utc>, to: DateTime<Utc>) -> prost_types::Duration {
    duration((to - from).to_std().unwrap_or_default())
}

/// A duration that a client sent; zero is one.
///
/// # Errors
///
/// `OUT_OF_BOUNDS` if it is negative or above 10,000 years, or for nanoseconds that make more than a second.
pub fn from_duration(duration: &prost_types::Duration, field: &str) -> Result<Duration, Violation> {
    let prost_types::Duration { seconds, nanos } = *duration;
    u64::try_from(seconds)
        .ok()
        .filter(|_| seconds <= MAX_SECONDS)
        .zip(fraction(nanos))
        .map(|(seconds, nanos)| Duration::new(seconds, nanos))
        .ok_or_else(|| {
            let description = format!(
                "{seconds} s and {nanos} ns is no duration of 0 to {MAX_SECONDS} s with 0 to 999,999,999 ns"
            );
            violation(field, "OUT_OF_BOUNDS", description)
        })
}

/// Nanoseconds that make less than a second.
fn fraction(nanos: i32) -> Option<u32> {
    u32::try_from(nanos)
        .ok()
        .filter(|&nanos| nanos < 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_to_the_wire_and_back() {
        for (seconds, nanos) in [(0, 0), (1_700_000_000, 123_456_789), (-1, 1)] {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();

            assert_eq!(from_timestamp(&timestamp(time), "t"), Ok(time));
        }
    }

    #[test]
    fn times_outside_of_the_calendar_are_refused() {
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            let given = prost_types::Timestamp { seconds, nanos };

            let violation = from_timestamp(&given, "created_after").unwrap_err();

            assert_eq!(violation.field, "created_after");
            assert_eq!(violation.reason, "OUT_OF_BOUNDS");
        }
    }

    #[test]
    fn durations_survive_the_way_to_the_wire_and_back() {
        for given in [
            Duration::ZERO,
            Duration::from_millis(1_500),
            Duration::from_secs(1 << 31),
        ] {
            assert_eq!(from_duration(&duration(given), "d"), Ok(given));
        }
        assert_eq!(duration(Duration::MAX).seconds, MAX_SECONDS);
    }

    #[test]
    fn negative_and_malformed_durations_are_refused() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, 1_000_000_000), (i64::MAX, 0)] {
            let given = prost_types::Duration { seconds, nanos };

            assert_eq!(
                from_duration(&given, "d").unwrap_err().reason,
                "OUT_OF_BOUNDS"
            );
        }
    }
}
