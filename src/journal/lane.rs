//! One lane: collects entries, writes them in batches, and finds out what became of each when a write fails.
//!
//! - The connection was lost after sending: the runs are read again. Whether the last event of an entry stands there,
//!   written in its epoch, tells whether it came through; a blind repeat would hit the primary key.
//! - No room, no writes now: the same, until the database takes them.
//! - A deadlock, a lock timeout, a statement timeout: again, in halves, so that a run whose row is locked is soon alone;
//!   it is then put aside and tried again beside what comes after it. So is one that fails for no known reason: a
//!   missing right may be given back, and what a run has done is not thrown away for it.
//! - A row that the database refuses: the batch is halved until that run is alone, so that it harms nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, warn};

use super::Posted;
use super::aside::Aside;
use super::trouble::Account;
use crate::crash_points::reach;
use crate::hub::Hub;
use crate::ids::{ExecutorId, RunId, RunKey};
use crate::run::event::Recorded;
use crate::store::standing::Standing;
use crate::store::{self, Class, Store, standing};

/// One run's part in a flush.
pub(super) trait Entry: Send + Sync + Sized + 'static {
    /// What becomes of it.
    type Verdict: Send + 'static;

    /// The crash points before its flush is sent, and after the database's answer.
    const POINTS: (&str, &str);

    /// Which run.
    fn key(&self) -> &RunKey;

    /// Its events.
    fn events(&self) -> &Arc<[Recorded]>;

    /// What no other entry of a batch may have too.
    fn exclusive(&self) -> Option<String>;

    /// Writes a batch and gives the runs that were written.
    fn write(
        lane: &mut store::lane::Lane,
        executor: ExecutorId,
        batch: &[Posted<Self>],
    ) -> impl Future<Output = store::Result<HashSet<RunId>>> + Send;

    /// What the database's word about its run says of an entry that was not, or perhaps not, written.
    fn judge(&self, executor: ExecutorId, standing: Option<&Standing>) -> Judgement<Self::Verdict>;

    /// The verdict on an entry whose conditions did not hold although it may be written again.
    fn refused(
        &self,
        lane: &mut store::lane::Lane,
    ) -> impl Future<Output = store::Result<Option<Self::Verdict>>> + Send;

    /// The verdict on an entry that is not written and that nobody wants written any more.
    fn unwanted(&self) -> Option<Self::Verdict>;

    /// It is durable.
    fn committed() -> Self::Verdict;

    /// The database does not take its rows.
    fn rejected(reason: String) -> Self::Verdict;
}

/// What is known of an entry of which it was not known whether it is written.
pub(super) enum Judgement<V> {
    /// It is durable.
    Committed,
    /// It is not, and may be written.
    Unwritten,
    /// It is not, and never will be.
    Lost(V),
}

/// The most events of one flush.
const MAX_EVENTS: usize = 4_096;
/// The most bytes of payload in one flush.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The waits between attempts while the database cannot be reached: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

pub(super) struct Lane<E: Entry> {
    store: Store,
    hub: Hub,
    executor: ExecutorId,
    queue: mpsc::Receiver<Posted<E>>,
    connection: Option<store::lane::Lane>,
    held_back: Option<Posted<E>>,
    aside: Aside<E>,
    /// Whether the batch before was one that had been put aside.
    was_aside: bool,
    account: Account,
}

impl<E: Entry> Lane<E> {
    pub(super) fn new(
        store: Store,
        hub: Hub,
        executor: ExecutorId,
        queue: mpsc::Receiver<Posted<E>>,
        account: Account,
    ) -> Self {
        Self {
            store,
            hub,
            executor,
            queue,
            connection: None,
            held_back: None,
            aside: Aside::new(),
            was_aside: false,
            account,
        }
    }

    /// Writes what is posted until all handles are gone.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.collect().await {
            self.settle(batch).await;
        }
    }

    /// All that is posted by now, or one entry that was put aside; `None` at the end.
    async fn collect(&mut self) -> Option<Vec<Posted<E>>> {
        // What is new gets its turn in between: each attempt at what is aside may wait for a lock.
        if !std::mem::take(&mut self.was_aside)
            && let Some(again) = self.aside.take()
        {
            self.was_aside = true;
            return Some(vec![again]);
        }
        let first = if let Some(posted) = self.held_back.take() {
            posted
        } else {
            tokio::select! {
                posted = self.queue.recv() => match posted {
                    Some(posted) => posted,
                    None if self.aside.is_empty() => return None,
                    None => {
                        self.aside.due().await;
                        return Some(Vec::new());
                    }
                },
                // It is taken at the next turn.
                () = self.aside.due() => return Some(Vec::new()),
            }
        };
        // Whoever is ready to run may have something to post too: under load batches become large by that, and an idle
        // process loses a microsecond.
        tokio::task::yield_now().await;
        let mut exclusive: HashSet<String> = first.entry.exclusive().into_iter().collect();
        let (mut events, mut bytes) = size(&first.entry);
        let mut batch = vec![first];
        while events < MAX_EVENTS && bytes < MAX_BYTES {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            if let Some(mark) = next.entry.exclusive()
                && !exclusive.insert(mark)
            {
                self.held_back = Some(next);
                break;
            }
            let (more_events, more_bytes) = size(&next.entry);
            events += more_events;
            bytes += more_bytes;
            batch.push(next);
        }
        Some(batch)
    }

    /// Writes until each entry has its verdict, or was put aside.
    async fn settle(&mut self, batch: Vec<Posted<E>>) {
        let mut open = vec![batch];
        let mut wait = BACKOFF.0;
        while let Some(batch) = open.pop() {
            let batch = wanted(batch);
            if batch.is_empty() {
                continue;
            }
            let began = Instant::now();
            let failure = match self.write(&batch).await {
                Ok(written) => {
                    wait = BACKOFF.0;
                    self.account.settled();
                    let (held, doubtful): (Vec<_>, Vec<_>) = batch
                        .into_iter()
                        .partition(|posted| written.contains(&posted.entry.key().run_id));
                    for posted in held {
                        self.commit(posted);
                    }
                    if !doubtful.is_empty() {
                        open.extend(self.examine(doubtful).await);
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            match failure.class() {
                Class::Again => {
                    warn!(error = %failure, journal.entries = batch.len(), "a flush is repeated");
                    pause(&mut wait).await;
                    self.part(batch, &mut open);
                }
                Class::BadRow => {
                    self.account.settled();
                    open.extend(self.isolate(batch, &failure).await);
                }
                Class::Lost | Class::Refusing => {
                    self.report(&failure, batch.len());
                    self.account.failed(began);
                    pause(&mut wait).await;
                    open.extend(self.examine(batch).await);
                }
                Class::Other => {
                    self.report(&failure, batch.len());
                    if !self.was_aside {
                        // What is aside fails again and again, and may be alone in that.
                        self.account.failed(began);
                    }
                    pause(&mut wait).await;
                    if let Some(unwritten) = self.examine(batch).await {
                        self.part(unwritten, &mut open);
                    }
                }
            }
        }
        if self.aside.is_empty() {
            // Also where all was given up: else nothing new would ever be taken on.
            self.account.settled();
        }
    }

    fn report(&mut self, failure: &store::Error, entries: usize) {
        error!(
            error = failure as &dyn std::error::Error,
            journal.entries = entries,
            "a flush failed; the runs are looked up and what is missing is written again"
        );
        self.connection = None;
    }

    /// Halves a batch of which it is not known whose fault its failure is; an entry that is alone is put aside.
    fn part(&mut self, mut batch: Vec<Posted<E>>, open: &mut Vec<Vec<Posted<E>>>) {
        if batch.len() > 1 {
            let rest = batch.split_off(batch.len() / 2);
            open.extend([rest, batch]);
            return;
        }
        for posted in batch {
            self.aside.put(posted);
        }
    }

    async fn write(&mut self, batch: &[Posted<E>]) -> store::Result<HashSet<RunId>> {
        let executor = self.executor;
        let connection = self.connection().await?;
        reach(E::POINTS.0);
        let written = E::write(connection, executor, batch).await;
        reach(E::POINTS.1);
        written
    }

    async fn connection(&mut self) -> store::Result<&mut store::lane::Lane> {
        if self
            .connection
            .as_ref()
            .is_some_and(store::lane::Lane::has_ended)
        {
            self.connection = None;
        }
        match self.connection {
            Some(ref mut connection) => Ok(connection),
            None => Ok(self.connection.insert(self.store.lane().await?)),
        }
    }

    /// Asks the database what became of each entry; gives those that are to be written again.
    async fn examine(&mut self, batch: Vec<Posted<E>>) -> Option<Vec<Posted<E>>> {
        let standings = self.standings(&batch).await;
        let mut again = Vec::new();
        for posted in batch {
            let standing = standings.get(&posted.entry.key().run_id);
            match posted.entry.judge(self.executor, standing) {
                Judgement::Committed => self.commit(posted),
                Judgement::Lost(verdict) => answer(posted, verdict),
                Judgement::Unwritten => match self.refusal(&posted.entry).await {
                    Some(verdict) => answer(posted, verdict),
                    None => again.push(posted),
                },
            }
        }
        (!again.is_empty()).then_some(again)
    }

    /// Where the runs of a batch stand: asked until the database answers.
    async fn standings(&mut self, batch: &[Posted<E>]) -> HashMap<RunId, Standing> {
        let mut wait = BACKOFF.0;
        loop {
            let questions: Vec<(&RunKey, i64)> = batch
                .iter()
                .map(|posted| (posted.entry.key(), last(&posted.entry)))
                .collect();
            let began = Instant::now();
            let read = match self.connection().await {
                Ok(connection) => standing::read(connection, &questions).await,
                Err(failure) => Err(failure),
            };
            match read {
                Ok(standings) => return standings,
                Err(failure) => {
                    warn!(
                        error = &failure as &dyn std::error::Error,
                        "the runs of a flush cannot be looked up yet"
                    );
                    self.account.failed(began);
                    self.connection = None;
                    pause(&mut wait).await;
                }
            }
        }
    }

    /// Whether an unwritten entry is refused for a reason of its own: asked until the database answers.
    async fn refusal(&mut self, entry: &E) -> Option<E::Verdict> {
        let mut wait = BACKOFF.0;
        loop {
            let began = Instant::now();
            let asked = match self.connection().await {
                Ok(connection) => entry.refused(connection).await,
                Err(failure) => Err(failure),
            };
            match asked {
                Ok(verdict) => return verdict,
                Err(failure) => {
                    warn!(
                        error = &failure as &dyn std::error::Error,
                        "an entry cannot be looked up yet"
                    );
                    self.account.failed(began);
                    self.connection = None;
                    pause(&mut wait).await;
                }
            }
        }
    }

    /// Halves a batch that holds a bad row; an entry that is alone is looked up and then turned away.
    async fn isolate(
        &mut self,
        mut batch: Vec<Posted<E>>,
        failure: &store::Error,
    ) -> Vec<Vec<Posted<E>>> {
        if batch.len() > 1 {
            let rest = batch.split_off(batch.len() / 2);
            return vec![rest, batch];
        }
        let standings = self.standings(&batch).await;
        for posted in batch {
            let key = posted.entry.key().clone();
            match posted
                .entry
                .judge(self.executor, standings.get(&key.run_id))
            {
                // It hit itself: an earlier send, taken for lost, came through.
                Judgement::Committed => self.commit(posted),
                Judgement::Lost(verdict) => answer(posted, verdict),
                Judgement::Unwritten => {
                    error!(error = failure as &dyn std::error::Error, run.id = %key, "the database refuses what a run has to write");
                    let state = failure.sql_state().unwrap_or("unknown");
                    answer(
                        posted,
                        E::rejected(format!(
                            "the database refused to store it (SQLSTATE {state})"
                        )),
                    );
                }
            }
        }
        Vec::new()
    }

    fn commit(&self, posted: Posted<E>) {
        if !posted.entry.events().is_empty() {
            self.hub.publish(posted.entry.key(), posted.entry.events());
        }
        reach("journal.published");
        answer(posted, E::committed());
    }
}

/// Those of a batch, of which nothing is written, that somebody still wants written.
fn wanted<E: Entry>(batch: Vec<Posted<E>>) -> Vec<Posted<E>> {
    let mut wanted = Vec::with_capacity(batch.len());
    for posted in batch {
        match posted.entry.unwanted() {
            Some(verdict) => answer(posted, verdict),
            None => wanted.push(posted),
        }
    }
    wanted
}

fn answer<E: Entry>(posted: Posted<E>, verdict: E::Verdict) {
    // An error says that nobody waits any more; what is durable stays so.
    posted.reply.send(verdict).ok();
}

fn last<E: Entry>(entry: &E) -> i64 {
    entry.events().last().map_or(0, |event| event.sequence)
}

fn size<E: Entry>(entry: &E) -> (usize, usize) {
    let payloads = entry
        .events()
        .iter()
        .filter_map(|event| event.payload.as_ref());
    (
        entry.events().len(),
        payloads.map(|payload| payload.len()).sum(),
    )
}

async fn pause(wait: &mut Duration) {
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(BACKOFF.1);
}
