//! The time by the database's clock, and run ids made of it.
//!
//! Replicas disagree about the time; the database does not disagree with itself. Each renewal of the lease tells the
//! database's time, and between renewals it goes on by this machine's monotonic clock. An answer that took long says less
//! than what is known already, and is passed over.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::ids::RunId;

/// The time as the database knows it.
#[derive(Debug)]
pub struct Clock {
    reading: Mutex<Reading>,
    order: Mutex<ContextV7>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    time: DateTime<Utc>,
    at: Instant,
    /// By how much `time` may have been off; `None` if that is not known.
    doubt: Option<TimeDelta>,
    last: DateTime<Utc>,
}

/// One part in so many: how much further two clocks may drift apart, generously, while one of them is not asked.
const DRIFT: i32 = 1_000;

impl Clock {
    /// A clock that was told the database's time just now.
    #[must_use]
    pub fn new(time: DateTime<Utc>) -> Self {
        let reading = Reading {
            time,
            at: Instant::now(),
            doubt: None,
            last: time,
        };
        Self {
            reading: Mutex::new(reading),
            order: Mutex::new(ContextV7::new()),
        }
    }

    /// Sets the clock: the database said `time` between `asked` and now.
    pub fn correct(&self, time: DateTime<Utc>, asked: Instant) {
        let now = Instant::now();
        let half = TimeDelta::from_std(now.duration_since(asked) / 2).unwrap_or_default();
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let since = TimeDelta::from_std(now.duration_since(reading.at)).unwrap_or_default();
        if reading
            .doubt
            .is_some_and(|doubt| half > doubt + since / DRIFT)
        {
            return;
        }
        reading.time = time + half;
        reading.at = now;
        reading.doubt = Some(half);
    }

    /// The time now; never earlier than what it has said before.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = TimeDelta::from_std(reading.at.elapsed()).unwrap_or_default();
        // Postgres keeps microseconds: what is told live must not differ from what is read back.
        let time = (reading.time + passed).trunc_subsecs(6);
        reading.last = reading.last.max(time);
        reading.last
    }

    /// A fresh run id of this time; those of one process are in order.
    #[must_use]
    pub fn run_id(&self, time: DateTime<Utc>) -> RunId {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        RunId::new(Uuid::new_v7(Timestamp::from_unix(
            &*order,
            seconds,
            time.timestamp_subsec_nanos(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_are_in_order_and_carry_their_time() {
        let time = DateTime::from_timestamp_millis(1_800_000_000_123).expect("a time");
        let clock = Clock::new(time);

        let ids: Vec<RunId> = (0..1_000).map(|_| clock.run_id(time)).collect();

        assert!(ids.is_sorted());
        assert!(
            ids.iter()
                .all(|id| id.uuid() >= crate::store::runs::first_id_at(time))
        );
    }

    #[test]
    fn an_answer_that_took_long_does_not_spoil_what_a_quick_one_said() {
        let clock = Clock::new(Utc::now() - TimeDelta::hours(2));
        let time = Utc::now() - TimeDelta::hours(1);
        let minute = std::time::Duration::from_mins(1);
        clock.correct(time, Instant::now());

        let asked = Instant::now().checked_sub(minute).expect("a time");
        clock.correct(time, asked);

        assert!(clock.now() - time < TimeDelta::seconds(20));
    }

    #[test]
    fn the_time_never_goes_back() {
        let clock = Clock::new(Utc::now());
        let before = clock.now();

        clock.correct(before - TimeDelta::hours(1), Instant::now());

        assert!(clock.now() >= before);
    }
}
