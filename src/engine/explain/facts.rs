//! What follows from all that is known of a run: the reasons why it is not moving.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{Reason, StepAt, Waits};
use crate::engine::admission::shown_key;
use crate::engine::driver::Inside;
use crate::engine::plan::{Plan, PlanNode};
use crate::ids::{ExecutorId, StepPath};
use crate::run::Run;
use crate::run::event::{Awaited, Event, Recorded};
use crate::run::scope::StepKey;
use crate::run::state::{RunState, StepState};
use crate::run::step::Wait;
use crate::store::admission::Line;
use crate::store::circumstances::{Circumstances, Executor};
use crate::store::runs::RunRow;

/// All that is known of a run.
pub(super) struct Facts<'a> {
    pub(super) row: &'a RunRow,
    pub(super) run: &'a Run,
    pub(super) plan: &'a Plan,
    pub(super) history: &'a [Recorded],
    pub(super) around: &'a Circumstances,
    pub(super) line: Option<Line>,
    pub(super) inside: Option<Inside>,
    pub(super) me: ExecutorId,
    /// Runs in memory here, and how many may be.
    pub(super) room: (usize, usize),
    /// Slots of the pool that are taken here, and all.
    pub(super) pool: (usize, usize),
    pub(super) now: DateTime<Utc>,
}

impl Facts<'_> {
    /// All reasons that there are, what concerns the whole run first.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let state = self.row.state;
        if state.is_final() {
            return vec![Reason::Final(state)];
        }
        let mut reasons = Vec::new();
        self.who_has_it(&mut reasons);
        if let (false, Some(line)) = (self.row.admitted, self.line) {
            let counted = self.row.concurrency_key.as_deref().unwrap_or_default();
            let key = shown_key(counted).to_owned();
            reasons.push(Reason::ConcurrencyLimit { key, line });
        }
        self.pause_and_end(&mut reasons);
        if self.around.letters > 0 {
            reasons.push(Reason::Letters {
                count: self.around.letters,
                since: self.around.oldest_letter_at,
            });
        }
        if let Some(inside) = &self.inside {
            self.what_is_full(inside, &mut reasons);
        }
        self.stuck(&mut reasons);
        let waits = self.run.waiting();
        reasons.extend(waits.map(|(key, wait)| self.waits(key, wait)));
        self.executing(&mut reasons);
        reasons
    }

    /// Whether somebody drives it who can.
    fn who_has_it(&self, reasons: &mut Vec<Reason>) {
        let live = || {
            self.around
                .executors
                .iter()
                .filter(|one| one.is_live(self.now))
        };
        let readable = live().map(|one| one.event_format).max().unwrap_or(0);
        let format = self.around.event_format;
        let owner = self.row.owner;
        let known =
            owner.and_then(|owner| self.around.executors.iter().find(|one| one.id == owner));
        let alive = known.filter(|one| one.is_live(self.now));
        if alive.is_none() && readable > 0 && format > readable {
            reasons.push(Reason::FormatTooNew { format, readable });
        }
        match (owner, alive) {
            (Some(executor), Some(alive)) => {
                if executor != self.me {
                    reasons.push(Reason::Elsewhere {
                        executor,
                        address: alive.address.clone(),
                        lease_until: alive.lease_until,
                    });
                }
            }
            (Some(executor), None) => {
                reasons.push(Reason::LeaseExpired {
                    executor,
                    address: known.map(|one| one.address.clone()).unwrap_or_default(),
                    since: known.map(|one| self.ended(one)),
                });
                if readable == 0 {
                    let due_since = known.map_or(self.now, |one| self.ended(one));
                    reasons.push(Reason::NoLiveExecutor { due_since });
                }
            }
            (None, _) => {
                let Some(due_since) = self.row.wake_at.filter(|at| *at <= self.now) else {
                    return;
                };
                if readable == 0 {
                    reasons.push(Reason::NoLiveExecutor { due_since });
                } else if format <= readable {
                    reasons.push(Reason::Unclaimed {
                        due_since,
                        live: live().count(),
                        open_here: self.room.0,
                        limit_here: self.room.1,
                    });
                }
            }
        }
    }

    /// When an executor has ended: one that retired did so before its lease was over.
    fn ended(&self, executor: &Executor) -> DateTime<Utc> {
        executor.lease_until.min(self.now)
    }

    fn pause_and_end(&self, reasons: &mut Vec<Reason>) {
        if self.row.state == RunState::Paused {
            let paused = self.history.iter().rev().find_map(|one| match &one.event {
                Event::RunPaused(event) => Some((one.at, event.reason.clone())),
                _ => None,
            });
            let (since, reason) = paused.unwrap_or((self.now, String::new()));
            reasons.push(Reason::Paused { since, reason });
        }
        let grace_ends_at = self.run.grace_ends_at();
        if self.row.state == RunState::Cancelling {
            reasons.push(Reason::Ending {
                to: RunState::Cancelled,
                why: self.run.cancel_reason().to_owned(),
                grace_ends_at,
            });
        } else if let Some(error) = self.run.failing() {
            let why = format!("{}: {}", error.failure.reason, error.failure.message);
            reasons.push(Reason::Ending {
                to: RunState::Failed,
                why,
                grace_ends_at,
            });
        }
    }

    fn what_is_full(&self, inside: &Inside, reasons: &mut Vec<Reason>) {
        if !inside.await_slot.is_empty() {
            reasons.push(Reason::PoolFull {
                steps: inside.await_slot.clone(),
                in_use: self.pool.0,
                limit: self.pool.1,
            });
        }
        if !inside.await_probe.is_empty() {
            reasons.push(Reason::Probing {
                steps: inside.await_probe.clone(),
            });
        }
        if !inside.await_others.is_empty() {
            reasons.push(Reason::ParallelLimit {
                steps: inside.await_others.clone(),
                limit: self.plan.parallel_steps(),
            });
        }
        if inside.awaits_lease {
            reasons.push(Reason::LeaseNotFirm);
        }
    }

    /// Steps that somebody has to decide about.
    fn stuck(&self, reasons: &mut Vec<Reason>) {
        for &key in self.run.unknown() {
            let step = self.step_at(key);
            let found = self.run.find_step(key);
            let error = found.and_then(|found| found.attempts.last()?.error.clone());
            let quarantined = found.is_some_and(|found| found.state == StepState::Quarantined);
            reasons.push(if quarantined {
                Reason::Quarantined { step, error }
            } else {
                Reason::OutcomeUnknown { step, error }
            });
        }
    }

    fn waits(&self, key: StepKey, wait: &Wait) -> Reason {
        let what = match &wait.what {
            Awaited::Time => Waits::Delay,
            Awaited::Retry => {
                let attempts = &self.run.step(key).attempts;
                let retry = self.node(key).node.retry.as_ref();
                Waits::Retry {
                    max_attempts: retry.map_or(1, |retry| retry.max_attempts),
                    error: attempts.last().and_then(|last| last.error.clone()),
                }
            }
            Awaited::Signal { name, expires } => Waits::Signal {
                name: name.clone(),
                expires: *expires,
            },
            Awaited::Approval(asked) => Waits::Approval {
                asked: asked.clone(),
                asked_at: wait.since,
            },
            Awaited::Child { run_id } => Waits::Child {
                run_id: *run_id,
                state: None,
            },
        };
        let since = usize::try_from(wait.since - 1).ok();
        Reason::Waits {
            step: self.step_at(key),
            since: since.and_then(|at| Some(self.history.get(at)?.at)),
            until: wait.until,
            what,
        }
    }

    /// Attempts that the journal knows, and those that only this process does.
    fn executing(&self, reasons: &mut Vec<Reason>) {
        let flying: BTreeSet<&StepPath> = self
            .inside
            .iter()
            .flat_map(|inside| inside.in_flight.iter().map(|(path, _)| path))
            .collect();
        let mut keys: Vec<StepKey> = self.run.running().iter().copied().collect();
        keys.extend(flying.iter().filter_map(|path| self.run.find(path)));
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let Some(found) = self.run.find_step(key) else {
                continue;
            };
            let at = self.step_at(key);
            let here = self.inside.as_ref().map(|_| flying.contains(&at.path));
            let last = found.attempts.last();
            let open = last.filter(|attempt| attempt.ended_at.is_none());
            reasons.push(Reason::Executing {
                since: open.map_or(self.now, |attempt| attempt.started_at),
                timeout: self.node(key).timeout,
                step: at,
                here,
            });
        }
    }

    fn step_at(&self, key: StepKey) -> StepAt {
        StepAt {
            path: self.run.path(key),
            attempt: self.run.step(key).attempt(),
        }
    }

    fn node(&self, key: StepKey) -> &PlanNode {
        self.plan
            .node(self.run.graph_of(key.scope).number(), key.node)
    }
}
