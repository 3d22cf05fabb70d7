//! Events of a run that this executor owns, and the word that gives the run back.

use std::collections::HashSet;
use std::sync::Arc;

use super::Posted;
use super::lane::{Entry, Judgement};
use crate::ids::{ExecutorId, RunId, RunKey};
use crate::run::event::Recorded;
use crate::store::flush::{self, Projection};
use crate::store::lane::Lane;
use crate::store::{self, standing::Standing};

/// One run's next events, with what its row becomes.
///
/// One without events changes only whose the run is.
#[derive(Clone, Debug)]
pub struct Move {
    /// Which run.
    pub key: RunKey,
    /// The epoch in which this executor owns it.
    pub epoch: i64,
    /// The sequence of the run's last event before these.
    pub before: i64,
    /// In order, without gaps; may be empty where the run is given back.
    pub events: Arc<[Recorded]>,
    /// What the row becomes.
    pub projection: Projection,
    /// How many letters the owner has folded; set where the entry parks or ends the run.
    pub folded: Option<i64>,
    /// Letters that the events answer.
    pub answered: Vec<i64>,
}

/// What became of a [`Move`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable, and watchers know.
    Committed,
    /// The run belongs to somebody else, or has ended: forget it.
    Fenced,
    /// The run is still ours, but a letter has come: fold it and write again.
    LetterCame,
    /// The database does not take these rows, whatever is tried.
    Rejected(String),
}

impl Entry for Move {
    type Verdict = Verdict;

    const POINTS: (&str, &str) = ("journal.move.before", "journal.move.after");

    fn key(&self) -> &RunKey {
        &self.key
    }

    fn events(&self) -> &Arc<[Recorded]> {
        &self.events
    }

    fn exclusive(&self) -> Option<String> {
        None
    }

    async fn write(
        lane: &mut Lane,
        executor: ExecutorId,
        batch: &[Posted<Self>],
    ) -> store::Result<HashSet<RunId>> {
        let moves: Vec<flush::Move<'_>> = batch
            .iter()
            .map(|Posted { entry, .. }| flush::Move {
                key: &entry.key,
                epoch: entry.epoch,
                before: entry.before,
                events: &entry.events,
                projection: &entry.projection,
                folded: entry.folded,
                answered: &entry.answered,
            })
            .collect();
        Ok(flush::write(lane, executor, &moves)
            .await?
            .into_iter()
            .collect())
    }

    fn judge(&self, executor: ExecutorId, standing: Option<&Standing>) -> Judgement<Verdict> {
        let Some(standing) = standing else {
            return Judgement::Lost(Verdict::Fenced);
        };
        // Of an entry without events nothing stands there. Once it is written the run is nobody's or another's, and so it
        // is if it was lost before: in both cases the run is to be forgotten.
        if standing.written_in == Some(self.epoch) && !self.events.is_empty() {
            return Judgement::Committed;
        }
        let ours = standing.owner == Some(executor) && standing.epoch == self.epoch;
        if !ours || standing.last_sequence != self.before {
            return Judgement::Lost(Verdict::Fenced);
        }
        match self.folded {
            Some(folded) if folded != standing.inbox_count => Judgement::Lost(Verdict::LetterCame),
            _ => Judgement::Unwritten,
        }
    }

    async fn refused(&self, _lane: &mut Lane) -> store::Result<Option<Verdict>> {
        Ok(None)
    }

    fn unwanted(&self) -> Option<Verdict> {
        None
    }

    fn committed() -> Verdict {
        Verdict::Committed
    }

    fn rejected(reason: String) -> Verdict {
        Verdict::Rejected(reason)
    }
}
