//! Starting a run: it is durable before anybody is told of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::{SemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::admission::Counted;
use super::attempt::Placed;
use super::driver::{self, Delivered, Message};
use super::intake::away;
use super::lookup::Meant;
use super::payloads::Encoded;
use super::plan::Plan;
use super::{Engine, Error, Start, Started, queue};
use crate::flow::Violation;
use crate::hub::Subscription;
use crate::ids::RunKey;
use crate::journal::{Birth, Born};
use crate::run::event::{ChunkKey, Origin, Parent, PayloadInfo, Recorded, RunQueued};
use crate::run::state::RunState;
use crate::store::births::{FIRST_EPOCH, Proviso};
use crate::store::flush::{Owner, Projection};
use crate::store::{self};
use crate::usage::Usage;

/// How many starts may be under way at once: more would only pile up before the database.
pub(super) const AT_ONCE: usize = 4_096;
/// How long a start waits for a database that could not be reached a moment ago.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(1);
/// How long a start waits until the run is durable. It may become so later: the same request id tells.
const BIRTH_PATIENCE: Duration = Duration::from_secs(15);

/// How many messages a run's mailbox holds.
pub(super) const MAILBOX: usize = 16;

/// A run that is to be.
pub(super) struct Newborn {
    /// Its id.
    pub(super) key: RunKey,
    /// When it was accepted.
    pub(super) created_at: DateTime<Utc>,
    /// Marks.
    pub(super) labels: BTreeMap<String, String>,
    /// Higher ones go first.
    pub(super) priority: i32,
    /// The client's name for the request, if a client has asked for it.
    pub(super) request: Option<store::births::Request>,
    /// What it is started with.
    pub(super) input: Arc<Value>,
    /// The step that waits for it, if it is a child.
    pub(super) parent: Option<Parent>,
    /// The run whose outputs it may use, if it is a fork.
    pub(super) origin: Option<Origin>,
    /// What its flow has to be still when it is written.
    pub(super) proviso: Proviso,
    /// Set when whoever wanted it has been told that it was not started.
    pub(super) given_up: CancellationToken,
}

/// Where a run waits that finds no place in memory.
#[derive(Debug)]
pub(super) enum Seat {
    /// In the queue.
    Held(queue::Place),
    /// Nowhere, if it has to wait.
    Full(queue::Full),
    /// It need not ask: children are let in however full the queue is. Their parents wait for them, and could end no
    /// sooner if they were refused.
    Exempt,
}

impl Seat {
    /// Why it may not wait, if so.
    pub(super) fn full(&self) -> Option<&queue::Full> {
        match self {
            Self::Full(full) => Some(full),
            Self::Held(_) | Self::Exempt => None,
        }
    }

    /// It is not needed: the run has found a place in memory, or will not be.
    pub(super) fn give_back(&self) {
        if let Self::Held(place) = self {
            place.give_back();
        }
    }
}

impl Engine {
    /// Starts a run and answers when it is durable.
    ///
    /// The same request id again gives the run that it has started. `watch` asks for a place at the hub that misses
    /// nothing. The input must keep the rules of payloads.
    ///
    /// # Errors
    ///
    /// No such flow or revision, an input that does not fit the flow's schema, a request id that was used for another
    /// request, too many watchers or starts, a full queue, the process about to end, or the store's own.
    pub async fn start(&self, start: Start, watch: bool) -> Result<Started, Error> {
        let _starting = self.starting().await?;
        if let Some(meant) = self.remembered(&start).await?
            && let Some(started) = self.start_as(&start, meant, watch).await?
        {
            return Ok(started);
        }
        // Boxed, as few come here.
        Box::pin(async {
            let meant = self.look_up(&start).await?;
            let started = self.start_as(&start, meant, watch).await?;
            Ok(started.expect("only a proviso may not hold"))
        })
        .await
    }

    /// Starts a run of what is meant; `None` if its proviso does not hold.
    async fn start_as(
        &self,
        start: &Start,
        Meant { plan, proviso }: Meant,
        watch: bool,
    ) -> Result<Option<Started>, Error> {
        let violations = self.violations(&start.input, &plan).await?;
        if !violations.is_empty() {
            if proviso == Proviso::None {
                return Err(Error::InvalidInput(violations));
            }
            // By another revision than the latest, perhaps.
            return Ok(None);
        }
        let parts = &self.inner.parts;
        let created_at = parts.clock.now();
        let key = RunKey {
            namespace: start.namespace.clone(),
            run_id: parts.clock.run_id(created_at),
        };
        let subscription = watch
            .then(|| self.inner.hub.subscribe_with_drafts(&key))
            .transpose()?;
        let newborn = Newborn {
            key: key.clone(),
            created_at,
            labels: start.labels.clone(),
            priority: start.priority,
            request: start.request.clone(),
            input: Arc::clone(&start.input),
            parent: None,
            origin: None,
            proviso,
            given_up: CancellationToken::new(),
        };
        let (born, row) = self.take_in(plan, newborn).await?;
        if born == Born::Stale {
            return Ok(None);
        }
        let request = start.request.clone();
        let started = self.answer(key, request, (born, row), subscription, watch)?;
        Ok(Some(started))
    }

    /// Lets a start begin, which it is until what this gives is dropped.
    ///
    /// While the database is away it waits for a moment only, so that nothing piles up that could not be written.
    pub(super) async fn starting(&self) -> Result<SemaphorePermit<'_>, Error> {
        if self.inner.draining.is_cancelled() {
            return Err(Error::Draining);
        }
        let starting = self.inner.starting.try_acquire();
        let starting = starting.map_err(|_| Error::TooManyStarts(AT_ONCE))?;
        let mut reachable = self.reachable();
        let back = reachable.wait_for(|reachable| *reachable);
        match tokio::time::timeout(OUTAGE_PATIENCE, back).await {
            Ok(Ok(_)) => Ok(starting),
            Ok(Err(_)) | Err(_) => Err(store::Error::no_answer("the renewal of the lease").into()),
        }
    }

    /// Asks for a place in the queue.
    async fn seat(&self, newborn: &Newborn) -> Result<Seat, Error> {
        if newborn.parent.is_some() {
            return Ok(Seat::Exempt);
        }
        let queue = &self.inner.parts.queue;
        match queue.enter(self.store(), &newborn.key.namespace).await {
            Ok(place) => Ok(Seat::Held(place)),
            Err(Error::QueueFull(full)) => Ok(Seat::Full(full)),
            Err(error) => Err(error),
        }
    }

    /// Which run a request has started before, if it has.
    async fn started_before(&self, newborn: &Newborn) -> Result<Option<Born>, Error> {
        let Some(request) = &newborn.request else {
            return Ok(None);
        };
        let mut conn = self.store().conn().await?;
        let namespace = newborn.key.namespace.as_str();
        let found = store::births::find_request_on(&mut conn, namespace, &request.id).await?;
        Ok(found.map(|(run, hash)| {
            if hash == request.body_hash {
                Born::Before(run)
            } else {
                Born::Reused(run)
            }
        }))
    }

    /// Notes that a run waits for whoever has room first.
    pub(super) fn one_waits(&self) {
        self.inner.claiming.one_waits();
        self.inner.parts.notifier.something_to_claim();
    }

    /// Brings a run into being, here if there is room, else for whoever has room first.
    pub(super) async fn bring_forth(
        &self,
        plan: Arc<Plan>,
        newborn: Newborn,
    ) -> Result<Delivered, Error> {
        // Boxed here and below is what few starts do: else all of them would carry its state.
        let counted_as = if plan.open_runs().is_some() {
            let (run_id, input) = (newborn.key.run_id, &newborn.input);
            Box::pin(self.concurrency_key(&plan, run_id, input)).await?
        } else {
            None
        };
        let seat = if counted_as.is_some() || !self.has_room() {
            Some(Box::pin(self.seat(&newborn)).await?)
        } else {
            None
        };
        if let Some(Seat::Full(full)) = &seat
            && !self.has_room()
        {
            // Before anything is written for it.
            let before = Box::pin(self.started_before(&newborn)).await?;
            return before
                .map(|born| (born, None))
                .ok_or(Error::QueueFull(full.clone()));
        }
        let encoded = Encoded::new(Arc::clone(&newborn.input));
        let info = if encoded.is_inline() {
            encoded.info.clone()
        } else {
            Box::pin(self.place(&newborn.key, &encoded)).await?
        };
        let has_chunks = info.chunks.is_some() || newborn.origin.is_some();
        if newborn.parent.is_some() || newborn.origin.is_some() {
            Box::pin(self.bring_files(&newborn, &encoded.value)).await?;
        }
        let input = Placed { encoded, info };
        let queued = RunQueued {
            input: input.info.clone(),
            parent: newborn.parent.clone(),
            origin: newborn.origin.clone(),
            blocked: false,
        };
        let birth = Birth {
            key: newborn.key,
            flow_key: plan.revision.flow_key,
            revision: plan.revision.number,
            labels: serde_json::to_string(&newborn.labels).expect("a map of texts always encodes"),
            priority: newborn.priority,
            request: newborn.request,
            total_steps: u32::try_from(plan.graph.len()).unwrap_or(u32::MAX),
            parent: newborn.parent,
            forked_from: newborn.origin.map(|origin| origin.run_id),
            created_at: newborn.created_at,
            events: Arc::default(),
            projection: unowned(newborn.created_at),
            proviso: newborn.proviso,
            given_up: newborn.given_up,
        };
        let key = birth.key.clone();
        let is_child = birth.parent.is_some();
        let born = if let Some(key) = counted_as {
            let counted = Counted {
                birth,
                queued,
                input,
                key,
                seat: seat.unwrap_or(Seat::Exempt),
            };
            let born = Box::pin(self.bring_forth_counted(&plan, counted)).await;
            born.map(|born| (born, None))
        } else if self.has_room() {
            if let Some(seat) = &seat {
                seat.give_back();
            }
            self.bear(plan, birth, (queued, input)).await
        } else {
            let born = Box::pin(self.leave_queued(birth, queued, &input)).await;
            let is_born = matches!(born, Ok(Born::Yes));
            if let Some(seat) = seat.filter(|_| born.is_ok() && !is_born) {
                seat.give_back();
            }
            born.map(|born| (born, None))
        };
        let unborn = matches!(
            born,
            Ok((
                Born::Before(_) | Born::Reused(_) | Born::Stale | Born::Unwanted,
                _
            )) | Err(Error::TooManyOpenRuns { .. } | Error::QueueFull(_))
        );
        // A child may be started twice, under one id.
        if unborn && has_chunks && !is_child {
            Box::pin(self.forget_input(&key)).await;
        }
        born
    }

    /// Copies the files of the run that this one comes from, as far as it may name them.
    async fn bring_files(&self, newborn: &Newborn, input: &Value) -> store::Result<()> {
        let files = self.inner.parts.files(&newborn.key);
        let beside = |run_id| RunKey {
            namespace: newborn.key.namespace.clone(),
            run_id,
        };
        if let Some(parent) = &newborn.parent {
            files.bring(&beside(parent.run_id), input).await?;
        }
        if let Some(origin) = &newborn.origin {
            files.bring_all(&beside(origin.run_id)).await?;
        }
        Ok(())
    }

    /// What of the input does not fit the flow's schema.
    async fn violations(
        &self,
        input: &Arc<Value>,
        plan: &Arc<Plan>,
    ) -> Result<Vec<Violation>, Error> {
        if !plan.has_input_schema() {
            return Ok(Vec::new());
        }
        let (plan, input) = (Arc::clone(plan), Arc::clone(input));
        let checked = self.inner.parts.cpu.run(move || plan.check_input(&input));
        let panicked = |panic: crate::cpu::Panicked| Error::Rejected(panic.to_string());
        checked.await.map_err(panicked)
    }

    /// Writes an input that is too large to lie beside its event.
    async fn place(&self, key: &RunKey, encoded: &Encoded) -> store::Result<PayloadInfo> {
        let at = ChunkKey {
            path: String::new(),
            attempt: 0,
            epoch: FIRST_EPOCH,
        };
        self.inner.parts.payloads.write(key, encoded, at).await
    }

    pub(super) fn has_room(&self) -> bool {
        self.open().len() < self.inner.parts.settings.max_open_runs
    }

    /// Brings the run into being and drives it.
    async fn bear(
        &self,
        plan: Arc<Plan>,
        birth: Birth,
        beginning: (RunQueued, Placed),
    ) -> Result<Delivered, Error> {
        let (reply, born) = oneshot::channel();
        let (mailbox, messages) = mpsc::channel::<Message>(MAILBOX);
        let key = birth.key.clone();
        // A child is started again under the same id, and not while this goes on.
        let patience = birth.parent.is_none().then_some(BIRTH_PATIENCE);
        self.open().insert(key.clone(), mailbox);
        let driver = driver::born(
            Arc::clone(&self.inner.parts),
            plan,
            birth,
            beginning,
            reply,
            messages,
        );
        self.drive(key, driver);
        let born = async { born.await.map_err(|_| Error::Draining) };
        within(patience, born).await
    }

    /// Brings the run into being and leaves it to whoever has room first.
    async fn leave_queued(
        &self,
        mut birth: Birth,
        queued: RunQueued,
        input: &Placed,
    ) -> Result<Born, Error> {
        birth.events = Arc::new([Recorded {
            sequence: 1,
            at: birth.created_at,
            event: queued.into(),
            payload: input.beside(),
        }]);
        let journal = &self.inner.parts.journal;
        let born = async { journal.bear(birth).await.map_err(|_| Error::Draining) };
        let born = within(Some(BIRTH_PATIENCE), born).await?;
        self.one_waits();
        Ok(born)
    }

    pub(super) fn answer(
        &self,
        key: RunKey,
        request: Option<store::births::Request>,
        (born, row): Delivered,
        subscription: Option<Subscription>,
        watch: bool,
    ) -> Result<Started, Error> {
        let request_id = request.map(|request| request.id).unwrap_or_default();
        match born {
            Born::Yes => Ok(Started {
                key,
                started: true,
                row,
                subscription,
            }),
            Born::Before(run_id) => {
                let key = RunKey {
                    namespace: key.namespace,
                    run_id,
                };
                let subscription = watch
                    .then(|| self.inner.hub.subscribe_with_drafts(&key))
                    .transpose()?;
                Ok(Started {
                    key,
                    started: false,
                    row: None,
                    subscription,
                })
            }
            Born::Reused(run_id) => Err(Error::RequestIdReused { request_id, run_id }),
            Born::Rejected(reason) => Err(Error::Rejected(reason)),
            Born::Unwanted => Err(away().into()),
            Born::Stale => unreachable!("its caller goes by what is so now"),
        }
    }
}

/// Waits for a birth, for so long.
async fn within<T>(
    patience: Option<Duration>,
    born: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(patience) = patience else {
        return born.await;
    };
    tokio::time::timeout(patience, born)
        .await
        .unwrap_or_else(|_| Err(store::Error::no_answer("the write of the run").into()))
}

/// The row of a run that nobody owns yet and that is due at this time.
pub(super) fn unowned(due_at: DateTime<Utc>) -> Projection {
    Projection {
        state: RunState::Queued,
        wait_reason: None,
        progress: 0,
        usage: Usage::default(),
        error: None,
        started_at: None,
        ended_at: None,
        owner: Owner::Parked(due_at),
    }
}
