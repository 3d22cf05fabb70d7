//! How long a step waits before its next attempt.

use std::time::Duration;

use super::RetryPolicy;

impl RetryPolicy {
    /// The wait after so many failed attempts, or `None` if there is to be no other.
    ///
    /// `chance` is any number from 0 to 1, by which the wait is varied within the policy's jitter. `asked` is what the
    /// other side asked to wait (`Retry-After`), which is never cut short.
    #[must_use]
    pub fn next_wait(
        &self,
        failures: u32,
        chance: f64,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        if failures >= self.max_attempts {
            return None;
        }
        let grown = self.coefficient.powf(f64::from(failures.saturating_sub(1)));
        let most = self.max_interval.as_secs_f64();
        let wait = (self.initial_interval.as_secs_f64() * grown).min(most);
        let varied = wait * self.jitter.mul_add(2.0 * chance - 1.0, 1.0);
        let wait =
            Duration::try_from_secs_f64(varied.clamp(0.0, most)).unwrap_or(self.max_interval);
        Some(wait.max(asked.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(max_attempts: u32, coefficient: f64, jitter: f64) -> RetryPolicy {
        RetryPolicy {
            max_attempts,
            coefficient,
            jitter,
            ..RetryPolicy::default()
        }
    }

    #[test]
    fn waits_grow_by_the_coefficient_up_to_the_longest() {
        let policy = policy(10, 3.0, 0.0);
        let waits: Vec<u64> = (1..=6)
            .map(|failures| policy.next_wait(failures, 0.5, None).unwrap().as_secs())
            .collect();

        assert_eq!(waits, [1, 3, 9, 27, 60, 60]);
    }

    #[test]
    fn the_other_side_may_ask_for_more_than_the_longest() {
        let asked = Some(Duration::from_secs(100));

        assert_eq!(policy(2, 2.0, 0.0).next_wait(1, 0.0, asked), asked);
    }

    proptest! {
        #[test]
        fn a_policy_never_gives_more_attempts_than_it_says_and_never_waits_longer(
            most in 1_u32..20, failures in 1_u32..40, coefficient in 1.0..100.0, jitter in 0.0..1.0, chance in 0.0..1.0
        ) {
            let policy = policy(most, coefficient, jitter);
            let wait = policy.next_wait(failures, chance, None);

            prop_assert_eq!(wait.is_some(), failures < most);
            prop_assert!(wait.unwrap_or_default() <= policy.max_interval);
        }
    }
}
