//! The time that a caller gives a call, by its `grpc-timeout`.

use std::time::Duration;

/// Reads `TimeoutValue TimeoutUnit` of the gRPC protocol: at most 8 digits and one of `H M S m u n`.
#[must_use]
pub fn of(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_says() {
        for (text, timeout) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("1H", Some(Duration::from_hours(1))),
            ("", None),
            ("S", None),
            ("5", None),
            ("+5S", None),
            ("999999999S", None),
            ("5é", None),
        ] {
            assert_eq!(of(text), timeout, "{text}");
        }
    }
}
