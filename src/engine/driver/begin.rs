//! How a driver comes to its run: it is born here, or taken over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::DateTime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Delivered, Driver, Letters, Message};
use crate::engine::Parts;
use crate::engine::attempt::Placed;
use crate::engine::plan::Plan;
use crate::ids::RunKey;
use crate::journal::Birth;
use crate::run::Run;
use crate::run::event::{RECOVERY_FORMAT, RunQueued};
use crate::store::births::FIRST_EPOCH;
use crate::store::{self, events, inbox, runs};

/// A driver for a run that is to be: its birth is the first thing that it hands to the journal.
pub fn born(
    parts: Arc<Parts>,
    plan: Arc<Plan>,
    birth: Birth,
    (queued, input): (RunQueued, Placed),
    reply: oneshot::Sender<Delivered>,
    mailbox: mpsc::Receiver<Message>,
) -> Box<Driver> {
    let run = Run::new(Arc::clone(&plan.graph));
    let mut driver = Box::new(Driver::new(
        parts,
        birth.key.clone(),
        FIRST_EPOCH,
        plan,
        run,
        mailbox,
    ));
    driver.priority = birth.priority;
    driver.birth = Some(birth);
    driver.birth_reply = Some(reply);
    driver.record(queued, input.beside());
    driver.input = Some(input.encoded);
    driver
}

/// What came of taking a run over.
pub enum Adopted {
    /// It goes on.
    Driver(Box<Driver>),
    /// It is somebody else's by now, or gone.
    Gone,
    /// Its history cannot be followed: it can only be failed, for this reason.
    Broken {
        /// Named reason, for programs.
        reason: &'static str,
        /// For people.
        message: String,
        /// The run's row.
        row: Box<runs::RunRow>,
    },
}

/// Takes over a run that was claimed: reads its history and goes on where it ended. `died` says whether the executor before
/// has died with it.
///
/// # Errors
///
/// As every query; the run stays claimed, and the call may be repeated.
pub async fn adopt(
    parts: Arc<Parts>,
    key: &RunKey,
    died: bool,
    mailbox: mpsc::Receiver<Message>,
) -> store::Result<Adopted> {
    let mut conn = parts.store.conn().await?;
    let Some(row) = runs::find(&mut conn, key).await? else {
        return Ok(Adopted::Gone);
    };
    if row.owner != Some(parts.executor) || row.state.is_final() {
        return Ok(Adopted::Gone);
    }
    let history = events::history(&mut conn, key, row.last_sequence).await;
    let (count, letters) = inbox::read(&mut conn, key).await?;
    drop(conn);
    let broken = |reason, message: String| {
        Ok(Adopted::Broken {
            reason,
            message,
            row: Box::new(row.clone()),
        })
    };
    let plan = match parts
        .plans
        .get(&key.namespace, row.flow_key, row.revision)
        .await
    {
        Ok(plan) => plan,
        Err(store::Error::Corrupt(problem)) => return broken("REVISION_LOST", problem),
        Err(error) => return Err(error),
    };
    let history = match history {
        Ok(history) => history,
        Err(store::Error::Corrupt(problem)) => return broken("JOURNAL_CORRUPT", problem),
        Err(error) => return Err(error),
    };
    let run = match Run::fold(Arc::clone(&plan.graph), &history) {
        Ok(run) => run,
        Err(mismatch) => return broken("JOURNAL_CORRUPT", mismatch.to_string()),
    };
    let mut driver = Driver::new(parts, key.clone(), row.epoch, plan, run, mailbox);
    driver.committed = row.last_sequence;
    driver.priority = row.priority;
    driver.concurrency_key.clone_from(&row.concurrency_key);
    driver.ensure_children();
    if died && driver.parts.lease.event_format() >= RECOVERY_FORMAT {
        driver.recover();
    }
    for letter in &letters {
        driver.fold(letter);
    }
    driver.letters.folded = count;
    Ok(Adopted::Driver(Box::new(driver)))
}

impl Driver {
    fn new(
        parts: Arc<Parts>,
        key: RunKey,
        epoch: i64,
        plan: Arc<Plan>,
        run: Run,
        mailbox: mpsc::Receiver<Message>,
    ) -> Self {
        Self {
            parts,
            key,
            epoch,
            plan,
            run,
            pending: Vec::new(),
            pending_since: None,
            told_to_end: HashSet::new(),
            handed: None,
            flush: None,
            committed: 0,
            birth: None,
            birth_reply: None,
            newborn: None,
            outputs: HashMap::new(),
            items: HashMap::new(),
            input: None,
            attempts: JoinSet::new(),
            flying: HashMap::new(),
            ancestry: super::reuse::Ancestry::default(),
            held: Vec::new(),
            gated: Vec::new(),
            places: super::Places::default(),
            probes: HashMap::new(),
            finish: None,
            orders: Vec::new(),
            unborn: Arc::default(),
            idle_since: None,
            priority: 0,
            concurrency_key: None,
            before_end: None,
            letters: Letters::default(),
            mailbox,
            decided_at: DateTime::UNIX_EPOCH,
            stopping: None,
            draining: false,
            unsure: None,
        }
    }
}
