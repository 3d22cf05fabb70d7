//! Where a watch stands: which events it has sent, and which come next.

use crate::run::event::Recorded;

/// The sequence of the last event that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    last: i64,
}

/// What a batch of live events is to the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// From this place in the batch on its events come next.
    Next(usize),
    /// All of it was sent before.
    Old,
    /// Events are missing before it: they are in the store.
    Gap,
}

impl Cursor {
    /// All up to this sequence was sent before.
    pub(super) fn after(last: i64) -> Self {
        Self { last }
    }

    /// The sequence of the last event that was sent.
    pub(super) fn last(self) -> i64 {
        self.last
    }

    /// Goes on to the event of this sequence.
    pub(super) fn advance(&mut self, sequence: i64) {
        self.last = sequence;
    }

    /// What of a batch, which has no gaps in itself, comes next.
    pub(super) fn admit(self, batch: &[Recorded]) -> Admitted {
        match batch.iter().position(|event| event.sequence > self.last) {
            None => Admitted::Old,
            Some(from) if batch[from].sequence == self.last + 1 => Admitted::Next(from),
            Some(_) => Admitted::Gap,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use proptest::prelude::*;

    use super::*;
    use crate::run::event::RunCancelled;

    fn batch(from: i64, length: i64) -> Vec<Recorded> {
        (from..from + length)
            .map(|sequence| Recorded {
                sequence,
                at: Utc::now(),
                event: RunCancelled {
                    reason: String::new(),
                }
                .into(),
                payload: None,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn whatever_batches_come_each_event_is_sent_once_and_in_order(
            after in 0_i64..20,
            batches in proptest::collection::vec((1_i64..30, 1_i64..10), 0..40),
        ) {
            let mut cursor = Cursor::after(after);
            let mut sent = Vec::new();
            for (from, length) in batches {
                let batch = batch(from, length);
                match cursor.admit(&batch) {
                    Admitted::Next(at) => for event in &batch[at..] {
                        sent.push(event.sequence);
                        cursor.advance(event.sequence);
                    },
                    Admitted::Old => prop_assert!(from + length - 1 <= cursor.last()),
                    Admitted::Gap => prop_assert!(from > cursor.last() + 1),
                }
            }
            let expected: Vec<i64> = (after + 1..).take(sent.len()).collect();
            prop_assert_eq!(sent, expected);
        }
    }
}
