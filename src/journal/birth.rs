//! Runs that are to be, each with its first events.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::Posted;
use super::lane::{Entry, Judgement};
use crate::ids::{ExecutorId, FlowKey, RunId, RunKey};
use crate::run::event::{Parent, Recorded};
use crate::store::births::{self, Proviso, Request};
use crate::store::flush::Projection;
use crate::store::lane::Lane;
use crate::store::{self, standing::Standing};

/// A run that is to be, with its first events.
#[derive(Clone, Debug)]
pub struct Birth {
    /// Which run.
    pub key: RunKey,
    /// Its flow.
    pub flow_key: FlowKey,
    /// The revision that it is pinned to.
    pub revision: i32,
    /// The client's marks, as JSON text.
    pub labels: String,
    /// Higher ones go first.
    pub priority: i32,
    /// The client's name for the request, if it gave one.
    pub request: Option<Request>,
    /// Top-level steps.
    pub total_steps: u32,
    /// The step that waits for it, if it is a child.
    pub parent: Option<Parent>,
    /// The run that it was forked from, if it is a fork.
    pub forked_from: Option<RunId>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// From sequence 1 on.
    pub events: Arc<[Recorded]>,
    /// What its row says after these events.
    pub projection: Projection,
    /// What its flow has to be still.
    pub proviso: Proviso,
    /// Set when whoever wanted the run has been told that it was not started: it is not, unless it is written by then.
    pub given_up: CancellationToken,
}

impl Birth {
    /// The rows of it, of a run that is counted by no limit.
    #[must_use]
    pub fn row(&self) -> births::Birth<'_> {
        births::Birth {
            key: &self.key,
            flow_key: self.flow_key,
            revision: self.revision,
            labels: &self.labels,
            priority: self.priority,
            request: self.request.as_ref(),
            total_steps: self.total_steps,
            parent: self.parent.as_ref(),
            forked_from: self.forked_from,
            concurrency_key: None,
            admitted: true,
            created_at: self.created_at,
            events: &self.events,
            projection: &self.projection,
            proviso: self.proviso,
        }
    }
}

/// What became of a [`Birth`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Born {
    /// The run is durable, and watchers know.
    Yes,
    /// The request id has started this run before, by the same request.
    Before(RunId),
    /// The request id has started this run before, by another request.
    Reused(RunId),
    /// Its proviso does not hold: its flow has changed, or is gone.
    Stale,
    /// The database does not take these rows, whatever is tried.
    Rejected(String),
    /// Whoever wanted it has given up before it was written.
    Unwanted,
}

impl Entry for Birth {
    type Verdict = Born;

    const POINTS: (&str, &str) = ("journal.birth.before", "journal.birth.after");

    fn key(&self) -> &RunKey {
        &self.key
    }

    fn events(&self) -> &Arc<[Recorded]> {
        &self.events
    }

    fn exclusive(&self) -> Option<String> {
        // One statement cannot meet the same request id twice.
        self.request
            .as_ref()
            .map(|request| format!("{}\0{}", self.key.namespace, request.id))
    }

    async fn write(
        lane: &mut Lane,
        executor: ExecutorId,
        batch: &[Posted<Self>],
    ) -> store::Result<HashSet<RunId>> {
        let births: Vec<births::Birth<'_>> = batch
            .iter()
            .map(|Posted { entry, .. }| entry.row())
            .collect();
        Ok(births::write(lane, executor, &births)
            .await?
            .into_iter()
            .collect())
    }

    fn judge(&self, _executor: ExecutorId, standing: Option<&Standing>) -> Judgement<Born> {
        // Its id is this process's own and fresh: if the row is there, this entry wrote it.
        if standing.is_some() {
            Judgement::Committed
        } else {
            Judgement::Unwritten
        }
    }

    async fn refused(&self, lane: &mut Lane) -> store::Result<Option<Born>> {
        if let Some(request) = &self.request {
            let found = births::find_request(lane, self.key.namespace.as_str(), &request.id);
            if let Some((run, hash)) = found.await? {
                let same = hash == request.body_hash;
                return Ok(Some(if same {
                    Born::Before(run)
                } else {
                    Born::Reused(run)
                }));
            }
        }
        let (namespace, flow_key) = (&self.key.namespace, self.flow_key);
        let holds = self.proviso.holds(lane, namespace, flow_key, self.revision);
        Ok((!holds.await?).then_some(Born::Stale))
    }

    fn unwanted(&self) -> Option<Born> {
        self.given_up.is_cancelled().then_some(Born::Unwanted)
    }

    fn committed() -> Born {
        Born::Yes
    }

    fn rejected(reason: String) -> Born {
        Born::Rejected(reason)
    }
}
