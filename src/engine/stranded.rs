//! Runs that belong to this executor and that it does not know of.
//!
//! A claim whose answer was lost with the connection is committed all the same: the run is ours, as long as the lease
//! is renewed nobody else takes it, and nobody drives it here. So after a tick that has failed, and now and then in any
//! case, it is looked for runs that are ours and not in memory. One that is found twice in a row, a tick apart, is
//! taken up; a run that is just being started, parked or ended is found at most once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio::time::Instant;
use tracing::warn;

use super::Engine;
use crate::ids::RunKey;
use crate::store::executors::Claim;
use crate::store::{self, executors};

/// The shortest time between two looks, however often it ticks.
const APART: Duration = Duration::from_millis(900);

/// What the search has come to.
#[derive(Debug, Default)]
pub(super) struct Search {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Looks that are still to be made.
    looks: u8,
    /// When the last one was made.
    looked_at: Option<Instant>,
    /// What the look before has found.
    found: HashSet<RunKey>,
}

impl Search {
    /// Has the next ticks look: something may have been claimed that nobody here was told of.
    pub(super) fn begin(&self) {
        self.lock().looks = 2;
    }

    fn is_due(&self) -> bool {
        let state = self.lock();
        state.looks > 0 && state.looked_at.is_none_or(|at| at.elapsed() >= APART)
    }

    /// Takes in what one look has found; gives what the one before has found too.
    fn found(&self, now: HashSet<RunKey>) -> Vec<RunKey> {
        let mut state = self.lock();
        state.looked_at = Some(Instant::now());
        let stranded = now.intersection(&state.found).cloned().collect();
        state.looks = if now.is_empty() {
            0
        } else {
            state.looks.saturating_sub(1)
        };
        state.found = if state.looks == 0 {
            HashSet::new()
        } else {
            now
        };
        stranded
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Takes up runs that are ours and that nobody here drives, if there is reason to look for them.
    pub(super) async fn adopt_stranded(&self, conn: &mut AsyncPgConnection) -> store::Result<()> {
        let search = &self.inner.stranded;
        if !search.is_due() {
            return Ok(());
        }
        let owned = executors::owned(conn, self.inner.parts.executor).await?;
        let unknown = {
            let open = self.open();
            let unknown = owned.into_iter().filter(|key| !open.contains_key(key));
            unknown.collect()
        };
        for key in search.found(unknown) {
            warn!(run.id = %key, "the run is ours and was not driven: it is taken up");
            // Nobody knows whom it was taken from: what was in flight is under suspicion then.
            self.adopt(Claim { key, died: true });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Namespace, RunId};

    fn runs(numbers: &[u128]) -> HashSet<RunKey> {
        let run = |number: &u128| RunKey {
            namespace: Namespace::default_namespace(),
            run_id: RunId::new(uuid::Uuid::from_u128(*number)),
        };
        numbers.iter().map(run).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_found_twice_in_a_row_is_stranded() {
        let search = Search::default();
        assert!(!search.is_due());

        search.begin();
        assert!(search.is_due());
        assert_eq!(search.found(runs(&[1, 2])), []);
        assert!(!search.is_due(), "not at once");
        tokio::time::advance(APART).await;
        assert!(search.is_due());
        let stranded: HashSet<RunKey> = search.found(runs(&[2, 3])).into_iter().collect();

        assert_eq!(stranded, runs(&[2]));
        tokio::time::advance(APART).await;
        assert!(!search.is_due());
        search.begin();
        assert_eq!(search.found(runs(&[3])), [], "that was another search");
        search.found(runs(&[]));
        tokio::time::advance(APART).await;
        assert!(!search.is_due(), "nothing is left to be found");
    }
}
