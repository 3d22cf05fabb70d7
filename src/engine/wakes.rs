//! When runs that were parked here are due: so that the tick comes in time for them, and not up to a second late.
//!
//! Only a hint: whoever ticks next claims what is due, whether it was noted or not.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The most times that are noted; what is due later than all of them is found by the regular tick.
const MOST: usize = 100_000;
/// The shortest time between two ticks, however many runs are due.
const SHORTEST: Duration = Duration::from_millis(50);

/// Times at which runs are due.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    times: Mutex<BTreeSet<DateTime<Utc>>>,
}

impl Wakes {
    /// Notes that a run is due at a time.
    pub(super) fn note(&self, at: DateTime<Utc>) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.insert(at);
        if times.len() > MOST {
            times.pop_last();
        }
    }

    /// How long nobody is due, at most `longest`; what is due by now is forgotten.
    pub(super) fn pause(&self, now: DateTime<Utc>, longest: Duration) -> Duration {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        // A tick that comes too early finds nothing: what is due now is claimed by the next one.
        let later = times.split_off(&(now + TimeDelta::milliseconds(1)));
        let missed = !std::mem::replace(&mut *times, later).is_empty();
        let next = times
            .first()
            .map(|at| (*at - now).to_std().unwrap_or_default());
        let pause = if missed { Some(SHORTEST) } else { next };
        pause.map_or(longest, |pause| pause.clamp(SHORTEST, longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(1);

    #[test]
    fn the_pause_ends_with_the_first_time_and_is_never_longer_than_a_tick_nor_too_short() {
        let (wakes, now) = (Wakes::default(), Utc::now());
        assert_eq!(wakes.pause(now, TICK), TICK);

        wakes.note(now + TimeDelta::seconds(60));
        assert_eq!(wakes.pause(now, TICK), TICK);

        wakes.note(now + TimeDelta::milliseconds(400));
        assert_eq!(wakes.pause(now, TICK), Duration::from_millis(400));

        wakes.note(now + TimeDelta::milliseconds(5));
        assert_eq!(wakes.pause(now, TICK), SHORTEST);
    }

    #[test]
    fn what_is_due_by_now_makes_the_next_tick_come_soon_once() {
        let (wakes, now) = (Wakes::default(), Utc::now());
        wakes.note(now - TimeDelta::seconds(1));

        assert_eq!(wakes.pause(now, TICK), SHORTEST);
        assert_eq!(wakes.pause(now, TICK), TICK);
    }
}
