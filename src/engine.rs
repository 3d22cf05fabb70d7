//! The engine: drives every open run that this process owns.
//!
//! [`Engine`] is the handle that the api calls. Behind it are one `driver` task per open run, and two loops that
//! `ownership` keeps: one renews the lease, the other claims runs and reads letters.

mod admission;
pub mod approval;
mod attempt;
mod cancel;
pub(crate) mod changes;
mod children;
mod claiming;
mod clock;
pub mod control;
mod driver;
pub mod explain;
pub mod fork;
mod intake;
mod lease;
mod lookup;
mod notifier;
mod ownership;
mod pause;
pub mod payloads;
mod plan;
mod pool;
pub mod queue;
mod renewal;
mod resolve;
mod retry;
pub mod signal;
mod start;
mod stranded;
pub mod tryout;
mod view;
mod wakes;
mod whereabouts;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use self::admission::Doors;
use self::changes::Changes;
use self::children::{Order, Orders};
use self::claiming::Claiming;
use self::clock::Clock;
use self::driver::Message;
use self::intake::Intake;
use self::lease::{Lease, Moment};
use self::lookup::Latest;
use self::notifier::Notifier;
use self::payloads::Payloads;
use self::plan::Plans;
use self::pool::Pool;
use self::queue::Queue;
use self::stranded::Search;
use self::wakes::Wakes;
pub(crate) use self::whereabouts::Drive;
use self::whereabouts::Whereabouts;
use crate::applet::registry::Registry;
use crate::cpu::Cpu;
use crate::crash_points::reach;
use crate::egress::Egress;
use crate::files::Files;
use crate::hub::{self, Hub, Subscription};
use crate::ids::{ExecutorId, FlowId, Namespace, RunId, RunKey};
use crate::journal::Journal;
use crate::run::Run;
use crate::run::state::RunState;
use crate::secrets::Vault;
use crate::store::births::Request;
use crate::store::queue::Queued;
use crate::store::runs::RunRow;
use crate::store::{self, Store, executors, partitions};

/// How many flows deep runs may call each other.
pub const MAX_DEPTH: u32 = 8;

/// How long clients may take to be told that the process is about to end.
const LAST_MESSAGES: Duration = Duration::from_secs(1);

/// What may be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lanes of the journal for step events, each with a connection; half as many for new runs.
    pub journal_lanes: usize,
    /// The most steps that execute at once.
    pub max_concurrent_steps: usize,
    /// The most runs that are in memory at once; what comes beyond waits in the database.
    pub max_open_runs: usize,
    /// The most runs that wait for their start, of all namespaces.
    pub max_queued_runs: u64,
    /// The most runs of a namespace that wait for their start.
    pub max_queued_runs_per_namespace: u64,
    /// Whether replicas tell each other what is there for them, and do not only look for themselves.
    pub notify: bool,
    /// The most watches at once.
    pub max_watchers: usize,
    /// How long this executor's runs stay its own without a sign of life: 2 to 60 s.
    pub lease: Duration,
    /// The longest that a run may take, waits included.
    pub max_run_time: Duration,
    /// The most bytes of one payload.
    pub max_payload_bytes: u64,
    /// The most bytes of payloads that are kept at hand.
    pub payload_cache_bytes: u64,
    /// The time that one partition of history holds.
    pub partition_width: Duration,
    /// Where other replicas reach this one; empty if they cannot.
    pub address: String,
    /// Whether no other process uses this database: then every older executor is dead.
    pub alone: bool,
}

/// What drivers, attempts and loops share.
#[derive(Debug)]
pub(crate) struct Parts {
    executor: ExecutorId,
    settings: Settings,
    store: Store,
    journal: Journal,
    payloads: Payloads,
    plans: Plans,
    pool: Pool,
    cpu: Cpu,
    egress: Egress,
    vault: Vault,
    hub: Hub,
    clock: Clock,
    lease: Lease,
    doors: Doors,
    orders: Orders,
    queue: Queue,
    notifier: Notifier,
}

impl Parts {
    /// What a run keeps that is no JSON.
    fn files(&self, run: &RunKey) -> Files {
        let store = self.store.clone();
        Files::new(store, run.clone(), self.settings.max_payload_bytes)
    }

    /// Has something done for a run that goes beyond it: its children started, cancelled, told of.
    fn order(&self, order: Order) {
        self.orders.send(order);
    }
}

/// The handle that the api calls; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Arc<Parts>,
    hub: Hub,
    changes: Changes,
    whereabouts: Whereabouts,
    registry: Registry,
    /// The mailbox of each run that is in memory.
    open: Mutex<HashMap<RunKey, mpsc::Sender<Message>>>,
    drivers: TaskTracker,
    watches: TaskTracker,
    loops: TaskTracker,
    draining: CancellationToken,
    abandon: CancellationToken,
    tick_soon: Notify,
    wakes: Wakes,
    stranded: Search,
    intake: Intake,
    latest: Latest,
    /// Whether the lease could be renewed lately.
    renewing: watch::Sender<bool>,
    claiming: Claiming,
    /// Bounds how many starts are under way at once.
    starting: Semaphore,
    reachable: watch::Sender<bool>,
}

/// A run that somebody wants started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Whose run it is to be.
    pub namespace: Namespace,
    /// The flow to run.
    pub flow_id: FlowId,
    /// Its revision; 0 is the latest.
    pub revision: i32,
    /// What it is started with.
    pub input: Arc<Value>,
    /// The client's name for the request, if it gave one.
    pub request: Option<Request>,
    /// The client's marks.
    pub labels: BTreeMap<String, String>,
    /// -10 to 10: higher ones go first.
    pub priority: i32,
}

/// The answer to [`Engine::start`].
#[derive(Debug)]
pub struct Started {
    /// The run, which is durable now.
    pub key: RunKey,
    /// Whether this call has started it; else the request id had done so before.
    pub started: bool,
    /// What its row said when it came into being, where that is known here.
    pub row: Option<Box<RunRow>>,
    /// A place at the hub. Where `started` is set it was taken before the first event: nothing needs to be replayed.
    pub subscription: Option<Subscription>,
}

/// A run as it stands: its row, and the fold of its events up to `row.last_sequence`.
#[derive(Clone, Debug)]
pub struct View {
    /// The projection.
    pub row: RunRow,
    /// All its steps.
    pub run: Run,
}

/// Why the engine refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refuses, or cannot be reached.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The namespace has no such run.
    #[error("run {0} does not exist")]
    RunNotFound(RunId),
    /// The run has ended, which the call does not allow.
    #[error("run {id} is {state}")]
    RunDone {
        /// Which run.
        id: RunId,
        /// How it ended.
        state: RunState,
    },
    /// It cannot be asked of the run as it stands.
    #[error(transparent)]
    Refused(#[from] control::Refused),
    /// The request id has started another run, by another request.
    #[error("request id {request_id} was used for another request, which started run {run_id}")]
    RequestIdReused {
        /// The request id.
        request_id: String,
        /// The run that it has started.
        run_id: RunId,
    },
    /// The input does not fit the flow's input schema.
    #[error("the input does not fit the flow's input schema")]
    InvalidInput(Vec<crate::flow::Violation>),
    /// The fork cannot be: all that is wrong with the request for it.
    #[error("the fork cannot be made")]
    InvalidFork(Vec<crate::flow::Violation>),
    /// The run's flow was deleted, and starts no more runs.
    #[error("the flow of run {0} was deleted")]
    FlowDeleted(RunId),
    /// The flow's concurrency key cannot be made of the input.
    #[error("{}", .0.description)]
    NoConcurrencyKey(crate::flow::Violation),
    /// As many runs of the flow are open as may be, and its policy refuses further ones.
    #[error("{open} runs of flow {flow_id} are open, the most are {limit}")]
    TooManyOpenRuns {
        /// The flow.
        flow_id: FlowId,
        /// What they are counted under; empty if all runs of the flow are.
        key: String,
        /// The most.
        limit: u32,
        /// Those that are.
        open: u32,
    },
    /// As many runs wait for their start as may.
    #[error(transparent)]
    QueueFull(#[from] queue::Full),
    /// As many starts are under way in this process as may be.
    #[error("{0} starts are under way, which is the most")]
    TooManyStarts(usize),
    /// A payload was asked for that is not there.
    #[error("run {run_id} has no payload {reference}")]
    PayloadNotFound {
        /// Which run.
        run_id: RunId,
        /// What was asked for.
        reference: String,
    },
    /// The database does not take the run, whatever is tried.
    #[error("{0}")]
    Rejected(String),
    /// As much is being started as fits into memory before it is durable.
    #[error("{limit} bytes of runs are being started")]
    TooMuchStarting {
        /// The most bytes.
        limit: usize,
    },
    /// There are too many watchers.
    #[error(transparent)]
    TooManyWatchers(#[from] hub::TooMany),
    /// The process is about to end.
    #[error("the service is shutting down")]
    Draining,
}

impl Engine {
    /// Registers this process as an executor and starts to work.
    ///
    /// # Errors
    ///
    /// As every query: the database has to be there.
    pub async fn launch(
        settings: Settings,
        store: Store,
        registry: Registry,
        cpu: Cpu,
        egress: Egress,
        vault: Vault,
    ) -> store::Result<Self> {
        let executor = ExecutorId::fresh();
        let lease = Lease::new(settings.lease);
        let mut renewals = store.dedicated().await?;
        let sent = Moment::now();
        let executors::Renewal {
            now, event_format, ..
        } = executors::renew(&mut renewals, executor, &settings.address, settings.lease).await?;
        lease.renewed(sent, event_format);
        partitions::ensure(&mut renewals, now, settings.partition_width).await?;
        let claiming = Claiming::new(executors::can_take_turns(&mut renewals).await?);
        if settings.alone {
            executors::declare_dead_all_but(&mut renewals, executor).await?;
        }
        let hub = Hub::new(settings.max_watchers);
        let loops = TaskTracker::new();
        let abandon = CancellationToken::new();
        let journal = Journal::open(
            &store,
            &hub,
            executor,
            settings.journal_lanes,
            &loops,
            &abandon,
        );
        let (orders, to_be_done) = Orders::new();
        let parts = Parts {
            orders,
            executor,
            journal,
            payloads: Payloads::new(store.clone(), cpu.clone(), settings.payload_cache_bytes),
            plans: Plans::new(registry.clone(), store.clone()),
            pool: Pool::new(settings.max_concurrent_steps),
            clock: Clock::new(now),
            lease,
            doors: Doors::new(store.settings().pool_size),
            queue: Queue::new(Queued {
                of_namespace: settings.max_queued_runs_per_namespace,
                of_all: settings.max_queued_runs,
            }),
            notifier: Notifier::new(settings.notify),
            store,
            cpu,
            egress,
            vault,
            hub: hub.clone(),
            settings,
        };
        let engine = Self {
            inner: Arc::new(Inner {
                parts: Arc::new(parts),
                hub,
                changes: Changes::default(),
                whereabouts: Whereabouts::default(),
                registry,
                open: Mutex::default(),
                drivers: TaskTracker::new(),
                watches: TaskTracker::new(),
                loops,
                draining: CancellationToken::new(),
                abandon,
                tick_soon: Notify::new(),
                wakes: Wakes::default(),
                stranded: Search::default(),
                intake: Intake::default(),
                latest: Latest::default(),
                renewing: watch::Sender::new(true),
                claiming,
                starting: Semaphore::new(start::AT_ONCE),
                reachable: watch::Sender::new(true),
            }),
        };
        engine.keep_watching_the_database();
        engine.keep_lease(renewals);
        engine.keep_ticking();
        engine.keep_notifying();
        engine.keep_listening();
        engine.keep_children(to_be_done);
        engine.keep_telling_changes();
        info!(executor.id = %executor, "the executor is at work");
        Ok(engine)
    }

    /// Ends the work: nothing new begins; what may not be repeated is waited for, for at most `grace`.
    ///
    /// Runs that are not done stay in the database, free to be taken over.
    pub async fn stop(&self, grace: Duration) {
        reach("drain.begun");
        self.inner.draining.cancel();
        let mailboxes: Vec<mpsc::Sender<Message>> = self.open().values().cloned().collect();
        for mailbox in mailboxes {
            // A full mailbox is read soon; a closed one belongs to a run that has ended.
            tokio::spawn(async move { mailbox.send(Message::Drain).await.ok() });
        }
        self.inner.drivers.close();
        self.inner.watches.close();
        // Some of the time is for saying that this executor is gone, so that what is left here need not wait for its lease.
        let patience = grace.saturating_sub((grace / 5).min(Duration::from_secs(1)));
        let (driven, watched) = tokio::join!(
            tokio::time::timeout(patience, self.inner.drivers.wait()),
            tokio::time::timeout(LAST_MESSAGES.min(patience), self.inner.watches.wait()),
        );
        if driven.is_err() {
            warn!(
                runs.open = self.open().len(),
                "runs were left in the middle of an attempt"
            );
        }
        if watched.is_err() {
            warn!(
                watches.open = self.inner.watches.len(),
                "watches are cut off"
            );
        }
        self.inner.abandon.cancel();
        self.inner.loops.close();
        self.inner.loops.wait().await;
        reach("drain.unretired");
        let retired = async {
            let mut conn = self.store().conn().await?;
            executors::retire(&mut conn, self.inner.parts.executor).await
        };
        match tokio::time::timeout(Duration::from_secs(2), retired).await {
            Ok(Ok(())) => {
                reach("drain.retired");
                let notifier = &self.inner.parts.notifier;
                notifier.something_to_claim();
                notifier.tell(self.store(), self.inner.parts.executor).await;
                info!(executor.id = %self.inner.parts.executor, "the executor has left its work in order");
            }
            Ok(Err(error)) => error!(
                error = &error as &dyn std::error::Error,
                "the lease has to run out by itself"
            ),
            Err(_) => error!("the lease has to run out by itself: the database does not answer"),
        }
    }

    /// The applets.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// The secrets that flows name.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.inner.parts.vault
    }

    /// Where committed events are handed to watchers.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// Set when the process is about to end: streams end too.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Where tasks run that serve a client: they end by themselves once [`Engine::draining`] is set.
    #[must_use]
    pub fn watches(&self) -> &TaskTracker {
        &self.inner.watches
    }

    /// Whether the database could be reached and written to lately, and each change of that.
    #[must_use]
    pub fn reachable(&self) -> watch::Receiver<bool> {
        self.inner.reachable.subscribe()
    }

    /// Whether this process drives the run, so that its events are signalled at once.
    #[must_use]
    pub fn drives(&self, key: &RunKey) -> bool {
        self.open().contains_key(key)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<RunKey, mpsc::Sender<Message>>> {
        // Every change to the map is complete before anything could panic.
        self.inner
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
