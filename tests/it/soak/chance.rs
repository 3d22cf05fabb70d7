//! Chance that can be repeated: numbers that follow from a seed.

use std::time::Duration;

/// A sequence of numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A time between two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_millis();
        let span = u64::try_from(span).unwrap();
        least + Duration::from_millis(self.below(span + 1))
    }

    /// One of them, each as often as its share says.
    pub fn pick<'a, T>(&mut self, shares: &'a [(T, u64)]) -> &'a T {
        let mut left = self.below(shares.iter().map(|(_, share)| share).sum());
        for (value, share) in shares {
            if left < *share {
                return value;
            }
            left -= share;
        }
        unreachable!("it is below the sum of the shares")
    }
}
