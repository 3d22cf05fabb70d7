//! How long this executor may be sure that its runs are its own.
//!
//! The lease is in the database, by the database's clock. The executor counts it from when it *sent* the last renewal
//! that succeeded, by a clock that goes on while the machine sleeps, so that it always gives up before others take over.

use std::sync::atomic::{AtomicI16, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// This executor's own count of its lease.
#[derive(Debug)]
pub struct Lease {
    length: Duration,
    sent_nanos: AtomicI64,
    /// The first renewal of those since which the lease was always firm.
    steady_since_nanos: AtomicI64,
    /// How often the lease was not firm for a while, and up to which of these times it is known which runs were lost.
    breaks: AtomicU64,
    confirmed: AtomicU64,
    /// The event format that all live executors read.
    event_format: AtomicI16,
    renewed: watch::Sender<u64>,
}

impl Lease {
    /// A lease of this length that was never renewed.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            sent_nanos: AtomicI64::new(i64::MIN),
            steady_since_nanos: AtomicI64::new(i64::MAX),
            breaks: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            event_format: AtomicI16::new(0),
            renewed: watch::Sender::new(0),
        }
    }

    /// Its length.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// How often it is renewed.
    #[must_use]
    pub fn renewal_interval(&self) -> Duration {
        self.length / 3
    }

    /// Notes that a renewal that was sent at `sent` has succeeded, when all live executors read events of `event_format`.
    /// Renewals are sent one after the other.
    pub fn renewed(&self, sent: Moment, event_format: i16) {
        self.event_format.store(event_format, Ordering::Relaxed);
        let before = self.sent_nanos.load(Ordering::Relaxed);
        if before == i64::MIN || sent.0.saturating_sub(before) >= self.firm_nanos() {
            self.steady_since_nanos.store(sent.0, Ordering::Relaxed);
            if before != i64::MIN {
                // Before the lease looks firm again: runs may have been taken over meanwhile.
                self.breaks.fetch_add(1, Ordering::Release);
            }
        }
        self.sent_nanos.fetch_max(sent.0, Ordering::Release);
        self.renewed.send_modify(|count| *count += 1);
    }

    /// Whether an attempt that is not `PURE` may start: the lease lasts for a while yet, and the runs are surely ours.
    #[must_use]
    pub fn is_firm(&self) -> bool {
        self.firm_for().is_some() && self.unconfirmed().is_none()
    }

    /// Waits until the lease is firm.
    pub async fn firm(&self) {
        let mut renewals = self.renewals();
        while !self.is_firm() {
            if renewals.changed().await.is_err() {
                // Nobody renews it any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The break after which it is not known yet which runs are still ours, if there is one.
    #[must_use]
    pub fn unconfirmed(&self) -> Option<u64> {
        let breaks = self.breaks.load(Ordering::Acquire);
        (self.confirmed.load(Ordering::Acquire) < breaks).then_some(breaks)
    }

    /// Notes that it is known which runs are still ours after this break, and that all others are dropped.
    pub fn confirm(&self, at_break: u64) {
        self.confirmed.fetch_max(at_break, Ordering::Release);
        self.renewed.send_modify(|count| *count += 1);
    }

    /// The highest event format that all live executors read, as of the last renewal.
    #[must_use]
    pub fn event_format(&self) -> i16 {
        self.event_format.load(Ordering::Relaxed)
    }

    /// How much longer the lease is firm, if it is.
    fn firm_for(&self) -> Option<Duration> {
        let sent = self.sent_nanos.load(Ordering::Acquire);
        if sent == i64::MIN {
            return None;
        }
        let left = self.firm_nanos() - Moment::now().0.saturating_sub(sent);
        u64::try_from(left)
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_nanos)
    }

    /// How much longer this executor may take runs from those whose lease ran out, if it may.
    ///
    /// After an outage all leases have run out together: nobody takes from others until his own has been kept for a
    /// whole period without a break.
    #[must_use]
    pub fn may_take_over_for(&self) -> Option<Duration> {
        let since = self.steady_since_nanos.load(Ordering::Relaxed);
        let steady = Moment::now().0.saturating_sub(since);
        let length = i64::try_from(self.length.as_nanos()).unwrap_or(i64::MAX);
        self.firm_for().filter(|_| steady >= length)
    }

    /// For how long after a renewal was sent the lease is firm.
    fn firm_nanos(&self) -> i64 {
        let margin = Duration::from_secs(3).min(self.length / 5);
        i64::try_from(self.length.saturating_sub(margin).as_nanos()).unwrap_or(i64::MAX)
    }

    /// Tells of renewals: changes at each one.
    #[must_use]
    pub fn renewals(&self) -> watch::Receiver<u64> {
        self.renewed.subscribe()
    }
}

/// A point in time by the clock that goes on while the machine sleeps (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        let time = clock_gettime(clock);
        Self(
            time.tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(time.tv_nsec),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_firm_after_a_renewal_and_not_before() {
        let lease = Lease::new(Duration::from_secs(15));
        assert!(!lease.is_firm());

        lease.renewed(Moment::now(), 1);

        assert!(lease.is_firm());
    }

    #[test]
    fn a_lease_that_was_renewed_long_ago_is_not_firm() {
        let lease = Lease::new(Duration::from_secs(15));

        lease.renewed(Moment(Moment::now().0 - 12_500_000_000), 1);

        assert!(!lease.is_firm());
    }

    #[test]
    fn after_a_break_a_lease_is_firm_once_it_is_known_which_runs_are_left() {
        let lease = Lease::new(Duration::from_secs(15));
        lease.renewed(Moment(Moment::now().0 - 30_000_000_000), 1);
        assert_eq!(
            lease.unconfirmed(),
            None,
            "there was nothing to lose before"
        );

        lease.renewed(Moment::now(), 1);
        assert!(!lease.is_firm());
        let at_break = lease.unconfirmed().expect("there was a break");
        lease.renewed(Moment::now(), 1);
        assert!(!lease.is_firm(), "a renewal says nothing of the runs");
        lease.confirm(at_break);

        assert!(lease.is_firm());
    }

    #[test]
    fn the_right_to_take_over_takes_a_whole_period_without_a_break_in_the_renewals() {
        let ago = |millis: i64| Moment(Moment::now().0 - millis * 1_000_000);
        let renewed = |times: &[i64]| {
            let lease = Lease::new(Duration::from_secs(15));
            for millis in times {
                lease.renewed(ago(*millis), 1);
            }
            lease.may_take_over_for()
        };

        assert_eq!(renewed(&[]), None);
        assert_eq!(renewed(&[14_000, 9_000, 4_000]), None, "not yet");
        assert!(
            renewed(&[16_000, 11_000, 6_000, 1_000])
                .is_some_and(|left| left < Duration::from_secs(12))
        );
        assert_eq!(
            renewed(&[60_000, 55_000, 14_000, 9_000, 4_000]),
            None,
            "there was a break"
        );
        assert_eq!(
            renewed(&[60_000, 49_000, 38_000, 27_000, 16_000]),
            None,
            "the last one is too old"
        );
    }
}
