//! How much the next tick claims, and by which order.
//!
//! As long as each tick finds room for all that is due, the order means little. When it does not, every other claim gives
//! each namespace a turn within its priority, so that one with a hundred thousand runs keeps nobody else waiting; the
//! claims between go by priority and age alone. Of the claims by turns, each fourth begins at a lower priority, each of
//! those in use in its time, so that a stream of more important runs slows the others down but does not stop them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ids::Namespace;
use crate::store::births::PRIORITIES;
use crate::store::executors::{Order, Ticked, Turn};

/// The most runs that are claimed at once: others want some too, and each takes a few queries to be read.
const MOST: usize = 500;
/// Of so many claims by turns, one begins at a lower priority.
const LOWER_EVERY: u32 = 4;

/// What is known of those that wait for room.
#[derive(Debug)]
pub(super) struct Claiming {
    /// Whether the database can give turns.
    takes_turns: bool,
    /// Whether runs may be due for which no claim had room.
    short: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Whether the next claim of those that have no room for all goes by turns.
    turns_next: bool,
    /// How many claims have gone by turns.
    count: u32,
    /// The namespace that had the last turn.
    after: Namespace,
    /// The priority that the last claim from below began with.
    low: i32,
}

/// The next claim.
#[derive(Clone, Debug)]
pub(super) struct Next {
    /// How many runs.
    pub(super) capacity: usize,
    /// Which first.
    pub(super) order: Order,
    /// Whether it begins below the highest priority.
    low: bool,
}

impl Claiming {
    /// Nothing is known.
    pub(super) fn new(takes_turns: bool) -> Self {
        Self {
            takes_turns,
            short: AtomicBool::new(false),
            state: Mutex::new(State {
                turns_next: true,
                count: 0,
                after: "".into(),
                low: *PRIORITIES.start(),
            }),
        }
    }

    /// Whether runs may be due for which there was no room: then every place that becomes free is worth a tick.
    pub(super) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Notes that a run waits for room.
    pub(super) fn one_waits(&self) {
        self.short.store(true, Ordering::Relaxed);
    }

    /// What to claim with room for so many runs: half of it, so that replicas that find a crowd share it by their room.
    pub(super) fn next(&self, free: usize) -> Next {
        let capacity = free.div_ceil(2).min(MOST);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if capacity == 0 || !(self.is_short() && self.takes_turns && state.turns_next) {
            return Next {
                capacity,
                order: Order::Oldest,
                low: false,
            };
        }
        let low = state.count % LOWER_EVERY == LOWER_EVERY - 1;
        let (lowest, highest) = (*PRIORITIES.start(), *PRIORITIES.end());
        let first = match state.low - 1 {
            _ if !low => highest,
            // From the lowest one it goes on with the highest but one: the highest is first at all other times.
            below if below < lowest => highest - 1,
            below => below,
        };
        let after = state.after.clone();
        Next {
            capacity,
            order: Order::Turns(Turn { first, after }),
            low,
        }
    }

    /// Takes in what a claim has found; gives whether there may be more.
    pub(super) fn learn(&self, next: &Next, ticked: &Ticked) -> bool {
        if next.capacity == 0 {
            self.one_waits();
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = &ticked.last_turn {
            state.after = turn.after.clone();
            state.count = state.count.wrapping_add(1);
            if next.low {
                state.low = turn.first;
            }
            state.turns_next = false;
            // Whether all found room is for the next one to say, which sees every run.
            return true;
        }
        state.turns_next = true;
        let short = ticked.due + ticked.orphaned >= next.capacity;
        self.short.store(short, Ordering::Relaxed);
        short || ticked.orphaned > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oldest(due: usize) -> Ticked {
        Ticked {
            due,
            ..Ticked::default()
        }
    }

    fn turns(first: i32, after: &str) -> Ticked {
        let after = after.into();
        Ticked {
            due: 1,
            last_turn: Some(Turn { first, after }),
            ..Ticked::default()
        }
    }

    fn turn(next: &Next) -> Option<(i32, &str)> {
        match &next.order {
            Order::Oldest => None,
            Order::Turns(turn) => Some((turn.first, turn.after.as_str())),
        }
    }

    #[test]
    fn a_claim_takes_half_of_the_room_and_never_more_than_some_hundreds() {
        let claiming = Claiming::new(true);

        let taken = [0, 1, 2, 7, 100_000].map(|free| claiming.next(free).capacity);

        assert_eq!(taken, [0, 1, 1, 4, MOST]);
    }

    #[test]
    fn where_there_is_no_room_for_all_every_other_claim_goes_by_turns() {
        let claiming = Claiming::new(true);
        let first = claiming.next(10);
        assert_eq!(turn(&first), None);

        assert!(
            !claiming.learn(&first, &oldest(4)),
            "there was room for all"
        );
        assert_eq!(turn(&claiming.next(10)), None);
        assert!(claiming.learn(&first, &oldest(5)));
        let second = claiming.next(10);
        assert_eq!(turn(&second), Some((10, "")));
        assert!(claiming.learn(&second, &turns(0, "b")));
        let third = claiming.next(10);
        assert_eq!(turn(&third), None);
        claiming.learn(&third, &oldest(5));
        assert_eq!(turn(&claiming.next(10)), Some((10, "b")));
        claiming.learn(&third, &oldest(0));

        assert!(!claiming.is_short());
        assert_eq!(turn(&claiming.next(10)), None);
    }

    #[test]
    fn each_lower_priority_in_use_comes_first_in_its_time() {
        let claiming = Claiming::new(true);
        let mut firsts = Vec::new();
        for _ in 0..5 * LOWER_EVERY {
            claiming.learn(&claiming.next(2), &oldest(1));
            let next = claiming.next(2);
            let (first, _) = turn(&next).unwrap();
            // Priorities 3 and -4 are in use.
            let served = match first {
                3.. => 3,
                -4..3 => -4,
                _ => 3,
            };
            if next.low {
                firsts.push(served);
            } else {
                assert_eq!(first, 10);
            }
            claiming.learn(&next, &turns(served, "a"));
        }

        assert_eq!(firsts, [3, -4, 3, -4, 3]);
    }

    #[test]
    fn without_the_index_all_claims_go_by_age() {
        let claiming = Claiming::new(false);
        claiming.one_waits();

        assert_eq!(turn(&claiming.next(10)), None);
    }
}
