//! Durations as protobuf's JSON writes them: seconds with an `s` behind, `1.5s`.

use std::time::Duration;

/// The longest duration of protobuf, in seconds: about 10,000 years.
const MAX_SECONDS: u64 = 315_576_000_000;

/// Reads a duration that is not negative: whole seconds, then perhaps a point and up to nine digits, then `s`.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 12) || !digits(fraction, 9) {
        return None;
    }
    let seconds = whole
        .parse()
        .ok()
        .filter(|&seconds| seconds <= MAX_SECONDS)?;
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds, nanos))
}

/// Writes a duration, with no more digits than it needs.
#[must_use]
pub fn text(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos == 0 {
        return format!("{seconds}s");
    }
    let fraction = format!("{nanos:09}");
    format!("{seconds}.{}s", fraction.trim_end_matches('0'))
}
