//! What a run has done beyond itself: children are started and cancelled, parents are told of an end.
//!
//! All of it is idempotent and can be repeated by any process: a child's id stands in its parent's journal before it is
//! started, and a child's row says whether its parent knows. What a process that died left undone is found by the next
//! owner of the parent, or by the tick.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::driver::Message;
use super::start::Newborn;
use super::{Engine, Error};
use crate::crash_points::reach;
use crate::ids::{FlowKey, Namespace, RunKey};
use crate::journal::Born;
use crate::run::event::{ChildStarted, Event, Failure, Parent};
use crate::run::state::RunState;
use crate::store::births::Proviso;
use crate::store::inbox::{self, Letter, Request};
use crate::store::{self, Class, children, events, runs};
use crate::usage::Usage;

/// Something to be done for a run beyond it.
#[derive(Debug)]
pub(super) enum Order {
    /// Start a child, if it is not there yet.
    Start(Box<Start>),
    /// Cancel a child, for nobody waits for it any more.
    Cancel(RunKey),
    /// Tell the parent of this child that it has ended.
    Tell(RunKey),
    /// Let in who comes next under this concurrency key.
    Admit(Namespace, String),
}

/// A child that is to be started.
#[derive(Debug)]
pub(super) struct Start {
    /// The child.
    pub(super) child: RunKey,
    /// The parent's event that says so, which holds the input.
    pub(super) at: i64,
    /// Inherited from the parent.
    pub(super) priority: i32,
    /// The step that waits.
    pub(super) parent: Parent,
    /// Counts it until it is there.
    #[expect(dead_code, reason = "held until the order is fulfilled")]
    pub(super) unborn: Unborn,
}

/// Counts a child that was ordered, until it is there or cannot be.
#[derive(Debug)]
pub(super) struct Unborn(Arc<AtomicU32>);

impl Unborn {
    /// One more.
    pub(super) fn count(counter: &Arc<AtomicU32>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The way to those who do what is ordered.
///
/// It needs no bound of its own: what a run orders is bounded by its steps that wait for it, and what sweeps order again
/// and again is kept once.
#[derive(Debug)]
pub(super) struct Orders {
    sender: mpsc::UnboundedSender<Order>,
    waiting: Arc<Waiting>,
}

/// Orders that wait to be done, other than starts.
type Waiting = Mutex<HashSet<Errand>>;

/// What tells orders apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Errand {
    Cancel(RunKey),
    Tell(RunKey),
    Admit(Namespace, String),
}

/// What is ordered, for those who do it.
#[derive(Debug)]
pub(super) struct Ordered {
    orders: mpsc::UnboundedReceiver<Order>,
    waiting: Arc<Waiting>,
}

impl Orders {
    /// The way, and its other end.
    pub(super) fn new() -> (Self, Ordered) {
        let (sender, orders) = mpsc::unbounded_channel();
        let waiting = Arc::<Waiting>::default();
        let ordered = Ordered {
            orders,
            waiting: Arc::clone(&waiting),
        };
        (Self { sender, waiting }, ordered)
    }

    /// Has something done, unless it waits to be done already.
    pub(super) fn send(&self, order: Order) {
        if let Some(errand) = order.errand()
            && !lock(&self.waiting).insert(errand)
        {
            return;
        }
        // There is nobody to do it only when the process ends; what was durable is ordered again by the next owner.
        self.sender.send(order).ok();
    }
}

impl Ordered {
    /// The next order. What is ordered from now on may need to be done again.
    async fn next(&mut self) -> Option<Order> {
        let order = self.orders.recv().await?;
        if let Some(errand) = order.errand() {
            lock(&self.waiting).remove(&errand);
        }
        Some(order)
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashSet<Errand>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Order {
    /// What it is, if to do it twice is to do it once.
    fn errand(&self) -> Option<Errand> {
        match self {
            Self::Start(_) => None,
            Self::Cancel(child) => Some(Errand::Cancel(child.clone())),
            Self::Tell(child) => Some(Errand::Tell(child.clone())),
            Self::Admit(namespace, key) => Some(Errand::Admit(namespace.clone(), key.clone())),
        }
    }

    /// Whether sweeps order it again as long as it is not done.
    fn is_swept(&self) -> bool {
        self.errand().is_some()
    }
}

/// How many orders are worked on at once.
const AT_ONCE: usize = 32;
/// How many children that were left over are dealt with by one sweep.
const SWEPT: i64 = 500;
/// How long a child that is cancelled with its parent may take to end.
const GRACE_MS: u64 = 10_000;

impl Engine {
    /// Does what drivers order, each in a task of its own.
    pub(super) fn keep_children(&self, mut ordered: Ordered) {
        let engine = self.clone();
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        let working = async move {
            while let Some(order) = ordered.next().await {
                let Ok(place) = Arc::clone(&at_once).acquire_owned().await else {
                    return;
                };
                let worker = engine.clone();
                let task = async move {
                    worker.fulfil(order).await;
                    drop(place);
                };
                let ending = engine.inner.abandon.clone();
                engine
                    .inner
                    .loops
                    .spawn(ending.run_until_cancelled_owned(task));
            }
        };
        let ending = self.inner.abandon.clone();
        self.inner
            .loops
            .spawn(ending.run_until_cancelled_owned(working));
    }

    /// Does what was ordered, however often the database has to be asked.
    async fn fulfil(&self, order: Order) {
        let mut pause = Duration::from_millis(50);
        loop {
            let done = match &order {
                Order::Start(start) => self.start_child(start).await,
                Order::Cancel(child) => self.cancel_child(child).await,
                Order::Tell(child) => self.tell_parent(child).await,
                Order::Admit(namespace, key) => self.admit(namespace, key).await,
            };
            let Err(error) = done else {
                return;
            };
            if order.is_swept() && !is_passing(&error) {
                error!(
                    error = &error as &dyn std::error::Error,
                    ?order,
                    "what a run has ordered cannot be done now; a sweep orders it again"
                );
                return;
            }
            warn!(
                error = &error as &dyn std::error::Error,
                "what a run has ordered has to wait"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn start_child(&self, start: &Start) -> Result<(), Error> {
        let child = &start.child;
        let parent = RunKey {
            namespace: child.namespace.clone(),
            run_id: start.parent.run_id,
        };
        let mut conn = self.store().conn().await?;
        if let Some(row) = runs::find(&mut conn, child).await? {
            drop(conn);
            return if row.state.is_final() {
                self.tell_parent(child).await
            } else {
                Ok(())
            };
        }
        let event = events::find(&mut conn, &parent, start.at).await?;
        drop(conn);
        let Some(Event::ChildStarted(event)) = event.map(|found| found.event) else {
            debug!(run.id = %parent, "the run that wanted a child is gone");
            return Ok(());
        };
        reach("child.unborn");
        match self.bear_child(start, &parent, &event).await {
            // Where the process drains, the next owner of the parent starts it.
            Ok(Born::Yes) | Err(Error::Draining) => Ok(()),
            Ok(Born::Before(_) | Born::Reused(_) | Born::Stale | Born::Unwanted) => {
                unreachable!("a child has no request id and no proviso, and nobody gives it up")
            }
            Ok(Born::Rejected(why)) => {
                // Another owner of the parent may have started it at the same moment.
                if self.find_row(child).await?.is_some() {
                    return Ok(());
                }
                self.give_up_child(child, &parent, why).await
            }
            Err(Error::Store(store::Error::Corrupt(why))) => {
                self.give_up_child(child, &parent, why).await
            }
            Err(error @ (Error::TooManyOpenRuns { .. } | Error::NoConcurrencyKey(_))) => {
                self.give_up_child(child, &parent, error.to_string()).await
            }
            Err(error) => Err(error),
        }
    }

    async fn bear_child(
        &self,
        start: &Start,
        parent: &RunKey,
        event: &ChildStarted,
    ) -> Result<Born, Error> {
        let parts = &self.inner.parts;
        let namespace = &start.child.namespace;
        let flow_key = FlowKey(event.flow_key);
        let plan = parts.plans.get(namespace, flow_key, event.revision).await?;
        let input = parts.payloads.value(parent, start.at, &event.input).await?;
        let newborn = Newborn {
            key: start.child.clone(),
            created_at: parts.clock.now(),
            labels: std::collections::BTreeMap::new(),
            priority: start.priority,
            request: None,
            input,
            parent: Some(start.parent.clone()),
            origin: None,
            proviso: Proviso::None,
            given_up: CancellationToken::new(),
        };
        let (born, _) = self.bring_forth(plan, newborn).await?;
        Ok(born)
    }

    async fn find_row(&self, key: &RunKey) -> Result<Option<runs::RunRow>, Error> {
        let mut conn = self.store().conn().await?;
        Ok(runs::find(&mut conn, key).await?)
    }

    /// Tells a parent that its child cannot be.
    async fn give_up_child(
        &self,
        child: &RunKey,
        parent: &RunKey,
        message: String,
    ) -> Result<(), Error> {
        let error = Failure {
            reason: "CHILD_NOT_STARTED".to_owned(),
            message,
            details: serde_json::Map::new(),
            usage: Usage::default(),
        };
        let request = Request::ChildEnded {
            run_id: child.run_id,
            state: RunState::Failed,
            error: Some(error),
        };
        let mut conn = self.store().conn().await?;
        let posted = inbox::post(&mut conn, parent, &request).await?;
        drop(conn);
        if let Some(id) = posted.and_then(|posted| posted.letter) {
            self.deliver(Letter {
                key: parent.clone(),
                id,
                request,
            });
        }
        Ok(())
    }

    async fn cancel_child(&self, child: &RunKey) -> Result<(), Error> {
        let request = Request::Cancel {
            reason: "its parent has no use for it any more".to_owned(),
            grace_ms: GRACE_MS,
        };
        let mut conn = self.store().conn().await?;
        let posted = inbox::post(&mut conn, child, &request).await?;
        drop(conn);
        if let Some(id) = posted.and_then(|posted| posted.letter) {
            self.deliver(Letter {
                key: child.clone(),
                id,
                request,
            });
        }
        Ok(())
    }

    async fn tell_parent(&self, child: &RunKey) -> Result<(), Error> {
        let mut conn = self.store().conn().await?;
        reach("child.untold");
        let letter = children::tell(&mut conn, child).await?;
        reach("child.told");
        drop(conn);
        if let Some(letter) = letter {
            self.deliver(letter);
        }
        Ok(())
    }

    /// Brings a letter that was posted to the run's driver if that is here; else its owner is told, and
    /// its tick does.
    pub(super) fn deliver(&self, letter: Letter) {
        let mailbox = self.open().get(&letter.key).cloned();
        let Some(mailbox) = mailbox else {
            // It is elsewhere, or nobody's until the next tick.
            self.inner.parts.notifier.asked_of(&letter.key);
            self.inner.tick_soon.notify_one();
            return;
        };
        if mailbox.try_send(Message::Letter(letter)).is_err() {
            // It has just left or is busy: the tick brings it.
            self.inner.tick_soon.notify_one();
        }
    }

    /// Deals with what processes left undone that have died.
    pub(super) async fn sweep_children(
        &self,
        conn: &mut diesel_async::AsyncPgConnection,
    ) -> store::Result<()> {
        let (untold, orphaned) = children::left_over(conn, SWEPT).await?;
        for child in untold {
            self.inner.parts.order(Order::Tell(child));
        }
        for child in orphaned {
            self.inner.parts.order(Order::Cancel(child));
        }
        Ok(())
    }
}

/// Whether only waiting helps.
fn is_passing(error: &Error) -> bool {
    let Error::Store(error) = error else {
        return false;
    };
    match error.class() {
        Class::Lost | Class::Again | Class::Refusing => true,
        Class::BadRow | Class::Other => false,
    }
}
