//! Why a run is not moving: all reasons that there are, from what the database and, where it is here, its driver say.

mod facts;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use self::facts::Facts;
use super::driver::{Inside, Message};
use super::{Engine, Error};
use crate::ids::{ExecutorId, RunId, RunKey, StepPath};
use crate::run::Run;
use crate::run::event::{Asked, Failure};
use crate::run::state::RunState;
use crate::store::admission::{self, Line};
use crate::store::runs::RunRow;
use crate::store::{self, circumstances, events, runs};

/// How long a driver may take to say what is going on.
const PATIENCE: Duration = Duration::from_millis(500);

/// Something that keeps a run from moving.
#[derive(Clone, Debug)]
pub enum Reason {
    /// It has ended.
    Final(RunState),
    /// Too many runs of its concurrency key are open.
    ConcurrencyLimit {
        /// The key; empty where all runs of the flow are counted.
        key: String,
        /// Where it stands.
        line: Line,
    },
    /// It is due, and no live executor has claimed it yet.
    Unclaimed {
        /// Since when.
        due_since: DateTime<Utc>,
        /// How many executors live.
        live: usize,
        /// How many runs this process has in memory.
        open_here: usize,
        /// How many it takes.
        limit_here: usize,
    },
    /// No executor lives that could take it.
    NoLiveExecutor {
        /// When it was or will be due.
        due_since: DateTime<Utc>,
    },
    /// Its owner's lease is over.
    LeaseExpired {
        /// The owner.
        executor: ExecutorId,
        /// Where it was.
        address: String,
        /// When it ended; `None` if nothing is known of the owner any more.
        since: Option<DateTime<Utc>>,
    },
    /// Its history is of a format that no live executor reads.
    FormatTooNew {
        /// The history's.
        format: i16,
        /// The highest that a live executor reads; 0 if none lives.
        readable: i16,
    },
    /// Somebody has paused it.
    Paused {
        /// When.
        since: DateTime<Utc>,
        /// Why, as that caller said.
        reason: String,
    },
    /// A step waits.
    Waits {
        /// Which.
        step: StepAt,
        /// Since when.
        since: Option<DateTime<Utc>>,
        /// Until when at the latest.
        until: DateTime<Utc>,
        /// What for.
        what: Waits,
    },
    /// It is not known whether an attempt took effect, and somebody has to decide.
    OutcomeUnknown {
        /// The step.
        step: StepAt,
        /// What is known.
        error: Option<Failure>,
    },
    /// A step put aside for having brought the process down.
    Quarantined {
        /// The step.
        step: StepAt,
        /// What is known.
        error: Option<Failure>,
    },
    /// All slots of this process's pool are taken.
    PoolFull {
        /// The steps that wait for one.
        steps: Vec<StepPath>,
        /// How many are taken.
        in_use: usize,
        /// How many there are.
        limit: usize,
    },
    /// Attempts at steps have died with their process, and the next ones are made one at a time.
    Probing {
        /// The steps that wait for their turn.
        steps: Vec<StepPath>,
    },
    /// The run executes as many steps as it may.
    ParallelLimit {
        /// The steps that wait.
        steps: Vec<StepPath>,
        /// How many it may.
        limit: usize,
    },
    /// Its executor's own lease is about to run out, so that nothing is begun.
    LeaseNotFirm,
    /// It comes to an early end, and what is in flight has until then.
    Ending {
        /// How it will have ended.
        to: RunState,
        /// Why.
        why: String,
        /// When what is in flight is given up.
        grace_ends_at: Option<DateTime<Utc>>,
    },
    /// It was asked something that its owner has not taken in.
    Letters {
        /// How many times.
        count: i64,
        /// Since when.
        since: Option<DateTime<Utc>>,
    },
    /// An attempt is being made.
    Executing {
        /// The step.
        step: StepAt,
        /// Since when.
        since: DateTime<Utc>,
        /// How long an attempt may take.
        timeout: Duration,
        /// Whether its applet runs in this process; `None` if another one would know.
        here: Option<bool>,
    },
    /// Another process owns it, and only that knows what goes on in it right now.
    Elsewhere {
        /// The owner.
        executor: ExecutorId,
        /// Where it is; empty if replicas cannot reach it.
        address: String,
        /// Until when its lease lasts.
        lease_until: DateTime<Utc>,
    },
}

/// A step, and the attempt that something is about.
#[derive(Clone, Debug)]
pub struct StepAt {
    /// The step.
    pub path: StepPath,
    /// The attempt; 0 if there was none.
    pub attempt: u32,
}

/// What a step waits for.
#[derive(Clone, Debug)]
pub enum Waits {
    /// Its time.
    Delay,
    /// Its next attempt.
    Retry {
        /// The most attempts.
        max_attempts: u32,
        /// What its last one failed with.
        error: Option<Failure>,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: String,
        /// Whether the wait has a time of its own.
        expires: bool,
    },
    /// Somebody's decision.
    Approval {
        /// What is asked.
        asked: Box<Asked>,
        /// The event that asks.
        asked_at: i64,
    },
    /// The end of a child.
    Child {
        /// Which run.
        run_id: RunId,
        /// Where that stands; `None` if it is not there yet.
        state: Option<RunState>,
    },
}

/// What keeps a run from moving.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The run.
    pub row: RunRow,
    /// What was found, the most general first.
    pub reasons: Vec<Reason>,
    /// How many more there are.
    pub more: usize,
    /// When it was looked at.
    pub at: DateTime<Utc>,
    /// Whether this process drives the run.
    pub is_here: bool,
}

/// How many reasons are given.
const MOST: usize = 100;

impl Engine {
    /// Why a run is not moving.
    ///
    /// # Errors
    ///
    /// [`Error::RunNotFound`], or the store's own.
    pub async fn explain(&self, key: &RunKey) -> Result<Explanation, Error> {
        // The driver first: what it says is then in the database, or is just being written.
        let inside = self.ask(key).await;
        let parts = &self.inner.parts;
        let mut conn = self.store().conn().await?;
        let row = runs::find(&mut conn, key)
            .await?
            .ok_or(Error::RunNotFound(key.run_id))?;
        let history = events::history(&mut conn, key, row.last_sequence).await?;
        let around = circumstances::of(&mut conn, key).await?;
        let line = admission::line(&mut conn, key).await?;
        drop(conn);
        let plan = parts
            .plans
            .get(&key.namespace, row.flow_key, row.revision)
            .await?;
        let run = Run::fold(Arc::clone(&plan.graph), &history).map_err(|mismatch| {
            store::Error::Corrupt(format!("journal of run {key}: {mismatch}"))
        })?;
        let now = parts.clock.now();
        let facts = Facts {
            row: &row,
            run: &run,
            plan: &plan,
            history: &history,
            around: &around,
            line,
            me: parts.executor,
            room: (self.open().len(), parts.settings.max_open_runs),
            pool: (parts.pool.in_use(), parts.pool.size()),
            inside,
            now,
        };
        let mut reasons = facts.reasons();
        let more = reasons.len().saturating_sub(MOST);
        reasons.truncate(MOST);
        self.look_at_children(key, &mut reasons).await?;
        let is_here = facts.inside.is_some();
        Ok(Explanation {
            reasons,
            more,
            at: now,
            is_here,
            row,
        })
    }

    /// What the run's driver says, if it is here.
    async fn ask(&self, key: &RunKey) -> Option<Inside> {
        let mailbox = self.open().get(key).cloned()?;
        let (reply, answer) = oneshot::channel();
        mailbox.try_send(Message::Ask(reply)).ok()?;
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
    }

    async fn look_at_children(&self, key: &RunKey, reasons: &mut [Reason]) -> Result<(), Error> {
        for reason in reasons {
            if let Reason::Waits {
                what: Waits::Child { run_id, state },
                ..
            } = reason
            {
                let child = RunKey {
                    namespace: key.namespace.clone(),
                    run_id: *run_id,
                };
                let mut conn = self.store().conn().await?;
                let row = runs::find(&mut conn, &child).await?;
                *state = row.map(|row| row.state);
            }
        }
        Ok(())
    }
}
