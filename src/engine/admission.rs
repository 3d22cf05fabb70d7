//! Limits of open runs: which run may start, which waits for its place, and who comes next when one ends.
//!
//! Only runs of flows that set a limit come here, and the database alone counts them (see [`admission`]). Such a run is
//! born by a transaction of its own that counts, and is driven from what that has written.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tracing::warn;

use super::attempt::Placed;
use super::children::Order;
use super::intake::away;
use super::plan::{OpenRuns, Plan};
use super::start::{Seat, unowned};
use super::{Engine, Error};
use crate::flow::Violation;
use crate::ids::{FlowKey, Namespace, NodeId, RunId, RunKey};
use crate::journal::{Birth, Born};
use crate::run::FAR;
use crate::run::event::{Recorded, RunQueued};
use crate::store::admission::{self, Gate, Passage};
use crate::store::executors::Claim;
use crate::store::flush::{Owner, Projection};
use crate::store::{self, Class, births, payloads, runs};
use crate::template::{self, MAX_RENDERED_BYTES, Scope};
use crate::value::canonical;

/// The most characters that a concurrency key renders to.
pub const MOST_KEY_CHARS: usize = 500;
/// The most bytes of it that are kept as they are; of a longer one its hash is.
const MOST_KEY_BYTES: usize = 500;
/// How many keys with a free place that nobody has given away are dealt with by one sweep.
const SWEPT: i64 = 500;

/// Bounds how many connections wait for locks of concurrency keys: one for each key, and a quarter of the pool in all.
#[derive(Debug)]
pub(super) struct Doors {
    by_key: Vec<Mutex<()>>,
    at_once: Semaphore,
}

impl Doors {
    /// Doors for a pool of so many connections.
    pub(super) fn new(pool_size: usize) -> Self {
        Self {
            by_key: (0..64).map(|_| Mutex::default()).collect(),
            at_once: Semaphore::new((pool_size / 4).max(1)),
        }
    }

    /// Waits for the turn of this process's next transaction under this key.
    async fn open(&self, namespace: &Namespace, key: &str) -> Open<'_> {
        let mut hasher = DefaultHasher::new();
        (namespace, key).hash(&mut hasher);
        let doors = self.by_key.len() as u64;
        let door = usize::try_from(hasher.finish() % doors).unwrap_or(0);
        let door = self.by_key[door].lock().await;
        let place = self.at_once.acquire().await;
        Open {
            _door: door,
            _place: place.expect("the semaphore is never closed"),
        }
    }
}

struct Open<'a> {
    _door: MutexGuard<'a, ()>,
    _place: SemaphorePermit<'a>,
}

/// A run that is to be, of a flow that limits its open runs.
pub(super) struct Counted {
    /// All but its events, and whether it is admitted.
    pub(super) birth: Birth,
    /// Its first event; `blocked` is not known yet.
    pub(super) queued: RunQueued,
    /// Its input.
    pub(super) input: Placed,
    /// What it counts under.
    pub(super) key: String,
    /// Its place in the queue, should it have to wait; none if the queue is full.
    pub(super) seat: Seat,
}

impl Counted {
    fn events(&self, blocked: bool) -> Arc<[Recorded]> {
        let queued = RunQueued {
            blocked,
            ..self.queued.clone()
        };
        Arc::new([Recorded {
            sequence: 1,
            at: self.birth.created_at,
            event: queued.into(),
            payload: self.input.beside(),
        }])
    }
}

impl Engine {
    /// What a run counts under: the key of its flow, and what the policy's template makes of the input.
    pub(super) async fn concurrency_key(
        &self,
        plan: &Arc<Plan>,
        run_id: RunId,
        input: &Arc<Value>,
    ) -> Result<Option<String>, Error> {
        let Some(limits) = plan.open_runs() else {
            return Ok(None);
        };
        let scope = Scope {
            secrets: template::Secrets::default(),
            input: Arc::clone(input),
            content: Arc::default(),
            results: Arc::default(),
            run_id,
            node_id: NodeId::new(""),
            item: None,
            extra: BTreeMap::new(),
        };
        let rendered = if limits.needs_cpu() {
            let plan = Arc::clone(plan);
            let render = move || plan.open_runs().map(|limits| render(limits, &scope));
            let rendered = self.inner.parts.cpu.run(render).await;
            rendered.map_err(|panic| Error::Rejected(panic.to_string()))?
        } else {
            Some(render(limits, &scope))
        };
        let rendered = rendered.transpose().map_err(Error::NoConcurrencyKey)?;
        Ok(rendered.map(|text| counted_as(plan.revision.flow_key, &text)))
    }

    /// Brings a run into being whose flow limits its open runs.
    pub(super) async fn bring_forth_counted(
        &self,
        plan: &Plan,
        counted: Counted,
    ) -> Result<Born, Error> {
        let limits = plan.open_runs().ok_or_else(|| {
            let problem = format!("run {} is counted by no limit", counted.birth.key);
            store::Error::Corrupt(problem)
        })?;
        let (limit, on_conflict) = (limits.limit, limits.on_conflict);
        let full = counted.seat.full().cloned();
        let queue_is_full = full.is_some();
        let (run, key) = (counted.birth.key.clone(), counted.key.clone());
        let request = counted.birth.request.clone();
        // In a task of its own: a caller that leaves must not leave what was written to the sweep.
        let engine = self.clone();
        let passing = self.inner.drivers.spawn(async move {
            let gate = Gate {
                namespace: &counted.birth.key.namespace,
                key: &counted.key,
                limit,
                on_conflict,
                queue_is_full,
            };
            engine.pass(gate, &counted).await
        });
        let Ok(passed) = passing.await else {
            return Err(Error::Draining);
        };
        match passed {
            Ok(Passage::Admitted) => Ok(Born::Yes),
            Ok(Passage::Queued(letters)) => {
                for letter in letters {
                    self.deliver(letter);
                }
                // A place may be free that one who waits longer has not been given yet.
                self.inner.parts.order(Order::Admit(run.namespace, key));
                Ok(Born::Yes)
            }
            Ok(Passage::Refused { open }) => Err(Error::TooManyOpenRuns {
                flow_id: plan.revision.flow_id.clone(),
                key: shown_key(&key).to_owned(),
                limit,
                open,
            }),
            Ok(Passage::QueueFull) => Err(full.map_or(Error::Draining, Error::QueueFull)),
            Ok(Passage::Taken(before, hash)) => {
                let same = request.is_some_and(|request| request.body_hash.as_slice() == hash);
                Ok(if same {
                    Born::Before(before)
                } else {
                    Born::Reused(before)
                })
            }
            Err(error) if error.class() == Class::BadRow => {
                Ok(Born::Rejected(format!("the database refused it: {error}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts and writes; what is admitted is driven here if there is room.
    async fn pass(&self, gate: Gate<'_>, counted: &Counted) -> store::Result<Passage> {
        let birth = &counted.birth;
        let (free, blocked) = (counted.events(false), counted.events(true));
        let here = self.has_room();
        let admitted = Projection {
            owner: if here {
                Owner::Kept
            } else {
                Owner::Parked(birth.created_at)
            },
            ..unowned(birth.created_at)
        };
        let waiting = unowned(FAR);
        let rows = |may_run: bool| births::Birth {
            concurrency_key: Some(gate.key),
            admitted: may_run,
            events: if may_run { &free } else { &blocked },
            projection: if may_run { &admitted } else { &waiting },
            ..birth.row()
        };
        let opened = self.inner.parts.doors.open(gate.namespace, gate.key).await;
        if birth.given_up.is_cancelled() {
            return Err(away());
        }
        let written = async {
            let mut conn = self.store().conn().await?;
            admission::bear(&mut conn, self.inner.parts.executor, gate, rows).await
        };
        let passage = match written.await {
            Ok(passage) => passage,
            // It may have been written all the same.
            Err(error) => self.passed(&birth.key).await.ok_or(error)?,
        };
        drop(opened);
        match &passage {
            Passage::Admitted => {
                self.inner.hub.publish(&birth.key, &free);
                if here {
                    counted.seat.give_back();
                    self.adopt(Claim {
                        key: birth.key.clone(),
                        died: false,
                    });
                } else {
                    self.one_waits();
                }
            }
            Passage::Queued(_) => self.inner.hub.publish(&birth.key, &blocked),
            Passage::Refused { .. } | Passage::QueueFull | Passage::Taken(..) => {
                counted.seat.give_back();
            }
        }
        Ok(passage)
    }

    /// What became of a run whose transaction has ended in an error.
    async fn passed(&self, key: &RunKey) -> Option<Passage> {
        let found = async {
            let mut conn = self.store().conn().await?;
            runs::find(&mut conn, key).await
        };
        let row = found.await.ok()??;
        Some(if row.admitted {
            Passage::Admitted
        } else {
            Passage::Queued(Vec::new())
        })
    }

    /// Lets in those who are first in line under a key, as many as there are places.
    pub(super) async fn admit(&self, namespace: &Namespace, key: &str) -> Result<(), Error> {
        loop {
            let opened = self.inner.parts.doors.open(namespace, key).await;
            let mut conn = self.store().conn().await?;
            let letter = admission::admit(&mut conn, namespace, key).await?;
            drop(conn);
            drop(opened);
            match letter {
                Some(letter) => self.deliver(letter),
                None => return Ok(()),
            }
        }
    }

    /// Gives places away that a process has left free that has died.
    pub(super) async fn sweep_queues(&self, conn: &mut AsyncPgConnection) -> store::Result<()> {
        for (namespace, key) in admission::left_over(conn, SWEPT).await? {
            self.inner.parts.order(Order::Admit(namespace, key));
        }
        Ok(())
    }

    /// Removes the chunks of an input whose run did not come into being.
    pub(super) async fn forget_input(&self, key: &RunKey) {
        let forgotten = async {
            let mut conn = self.store().conn().await?;
            payloads::forget(&mut conn, key).await
        };
        if let Err(error) = forgotten.await {
            warn!(
                error = &error as &dyn std::error::Error,
                run.id = %key,
                "the input of a run that was not started is left over"
            );
        }
    }
}

fn render(limits: &OpenRuns, scope: &Scope) -> Result<String, Violation> {
    let violation = |reason: &'static str, problem: String| Violation {
        field: "input".to_owned(),
        reason,
        description: format!("the flow's concurrency_key cannot be made of it: {problem}"),
    };
    let failed = |error: &template::Error| violation(error.reason(), error.to_string());
    let template = limits.key.as_ref().map_err(failed)?;
    let mut budget = MAX_RENDERED_BYTES;
    let text = template
        .render_text(scope, &mut budget)
        .map_err(|error| failed(&error))?;
    let chars = text.chars().count();
    if chars > MOST_KEY_CHARS {
        let problem = format!("it renders to {chars} characters, the most are {MOST_KEY_CHARS}");
        return Err(violation("TOO_LONG", problem));
    }
    if text.contains('\0') {
        let problem = "it renders to a text with the character U+0000".to_owned();
        return Err(violation("NUL_CHARACTER", problem));
    }
    Ok(text)
}

/// What stands in the run's row: no two flows share it.
fn counted_as(flow: FlowKey, text: &str) -> String {
    if text.len() > MOST_KEY_BYTES {
        let hash = canonical::hex(&canonical::digest(text.as_bytes()));
        return format!("{}#{hash}", flow.0);
    }
    format!("{}/{text}", flow.0)
}

/// What a run is counted under, for people: what the template rendered to, or `#` and a hash of it.
pub(super) fn shown_key(counted: &str) -> &str {
    let flow = counted.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    let rest = &counted[flow..];
    rest.strip_prefix('/').unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_kept_as_its_hash_and_shown_as_such() {
        let long = "ä".repeat(400);

        assert_eq!(counted_as(FlowKey(7), "a/b"), "7/a/b");
        assert_eq!(shown_key("7/a/b"), "a/b");
        assert_eq!(shown_key("7/"), "");
        let hashed = counted_as(FlowKey(7), &long);
        assert_eq!(hashed.len(), 2 + 64);
        assert!(shown_key(&hashed).starts_with('#'));
    }
}
