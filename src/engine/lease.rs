//! How long this executor may be sure that its runs are its own.
//!
//! The lease is in the database, by the database's clock. The executor counts it from when it *sent* the last renewal
//! that succeeded, by a clock that goes on while the machine sleeps, so that it always gives up before others take over.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// This executor's own count of its lease.
#[derive(Debug)]
pub struct Lease {
    length: Duration,
    sent_nanos: AtomicI64,
    renewed: watch::Sender<u64>,
}

impl Lease {
    /// A lease of this length that was never renewed.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            sent_nanos: AtomicI64::new(i64::MIN),
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

    /// Notes that a renewal that was sent at `sent` has succeeded.
    pub fn renewed(&self, sent: Moment) {
        self.sent_nanos.fetch_max(sent.0, Ordering::Relaxed);
        self.renewed.send_modify(|count| *count += 1);
    }

    /// Whether an attempt that is not `PURE` may start: the lease lasts for a while yet.
    #[must_use]
    pub fn is_firm(&self) -> bool {
        let sent = self.sent_nanos.load(Ordering::Relaxed);
        let margin = Duration::from_secs(3).min(self.length / 5);
        let firm = i64::try_from(self.length.saturating_sub(margin).as_nanos()).unwrap_or(i64::MAX);
        sent != i64::MIN && Moment::now().0.saturating_sub(sent) < firm
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

    /// How long ago that was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(u64::try_from(Self::now().0.saturating_sub(self.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_firm_after_a_renewal_and_not_before() {
        let lease = Lease::new(Duration::from_secs(15));
        assert!(!lease.is_firm());

        lease.renewed(Moment::now());

        assert!(lease.is_firm());
    }

    #[test]
    fn a_lease_that_was_renewed_long_ago_is_not_firm() {
        let lease = Lease::new(Duration::from_secs(15));

        lease.renewed(Moment(Moment::now().0 - 12_500_000_000));

        assert!(!lease.is_firm());
    }
}
