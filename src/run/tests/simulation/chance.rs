//! Chance, as a list of numbers.

use std::ops::Range;

use proptest::prelude::*;

/// Numbers to choose by; after the last one it is always the first choice.
#[derive(Clone, Debug)]
pub(in crate::run::tests) struct Chance {
    numbers: std::vec::IntoIter<u8>,
}

impl Chance {
    /// Chooses one of so many, at most 256.
    pub fn pick(&mut self, of: usize) -> usize {
        usize::from(self.numbers.next().unwrap_or_default()) % of.max(1)
    }
}

/// Any list of choices; short ones, where nearly all goes well, as well as long ones.
pub(in crate::run::tests) fn any_chance() -> impl Strategy<Value = Chance> {
    any_numbers(0..400)
}

/// Any list of so many choices.
pub(in crate::run::tests) fn any_numbers(length: Range<usize>) -> impl Strategy<Value = Chance> {
    prop::collection::vec(any::<u8>(), length).prop_map(|numbers| Chance {
        numbers: numbers.into_iter(),
    })
}
