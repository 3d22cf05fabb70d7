//! One order out of two: reciprocal rank fusion.
//!
//! Scores of words and of vectors cannot be compared, ranks can: an entry gets 1/(60 + rank) from each order that it is
//! in (Cormack, Clarke and Büttcher, SIGIR 2009). The sum is divided by the most that there can be, so that it is from
//! 0 to 1.

use super::Hit;

/// How little the first places count more than the next; the constant of the paper.
const DAMPING: f64 = 60.0;

/// Both orders as one, the best first, then the newest, then by key; at most `limit` of them.
pub(super) fn fuse(by_words: Vec<Hit>, by_meaning: Vec<Hit>, limit: u32) -> Vec<Hit> {
    let mut fused: Vec<Hit> = Vec::with_capacity(by_words.len() + by_meaning.len());
    for order in [by_words, by_meaning] {
        let mut rank = 0.0;
        for hit in order {
            rank += 1.0;
            let score = (DAMPING + 1.0) / (DAMPING + rank) / 2.0;
            match fused.iter_mut().find(|one| one.entry.key == hit.entry.key) {
                Some(one) => one.score += score,
                None => fused.push(Hit { score, ..hit }),
            }
        }
    }
    fused.sort_by(|a, b| {
        let by_time = || b.entry.updated_at.cmp(&a.entry.updated_at);
        let by_key = || a.entry.key.cmp(&b.entry.key);
        b.score
            .total_cmp(&a.score)
            .then_with(by_time)
            .then_with(by_key)
    });
    fused.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    fused
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::memory::Entry;

    fn order(keys: &[&str]) -> Vec<Hit> {
        let hit = |key: &&str| Hit {
            entry: Entry {
                key: (*key).to_owned(),
                value: Value::Null,
                tags: Vec::new(),
                run_id: Uuid::nil(),
                node_id: String::new(),
                created_at: DateTime::UNIX_EPOCH,
                updated_at: DateTime::UNIX_EPOCH,
            },
            score: 0.3,
        };
        keys.iter().map(hit).collect()
    }

    fn keys(hits: &[Hit]) -> Vec<&str> {
        hits.iter().map(|hit| hit.entry.key.as_str()).collect()
    }

    #[test]
    fn what_is_in_both_orders_comes_before_the_first_of_one() {
        let fused = fuse(order(&["a", "b"]), order(&["c", "b"]), 10);

        assert_eq!(keys(&fused), ["b", "a", "c"]);
    }

    #[test]
    fn the_first_of_both_has_the_whole_score_and_others_have_less() {
        let fused = fuse(order(&["a", "b"]), order(&["a"]), 10);

        assert!((fused[0].score - 1.0).abs() < 1e-9);
        assert!(fused[1].score > 0.0 && fused[1].score < 0.5);
        assert_eq!(keys(&fuse(order(&["a", "b"]), order(&[]), 1)), ["a"]);
    }
}
