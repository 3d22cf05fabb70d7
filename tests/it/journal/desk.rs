//! A journal with one lane behind a proxy, and entries for it.

use std::pin::Pin;
use std::sync::Arc;

use chrono::Utc;
use futures_util::future::{JoinAll, join_all};
use futures_util::poll;
use synapps::hub::Hub;
use synapps::ids::{ExecutorId, FlowKey, Namespace, RunId, RunKey, StepPath};
use synapps::journal::{Birth, Born, Closed, Journal, Move, Verdict};
use synapps::run::event::{Event, PayloadInfo, Recorded, RunQueued, RunSucceeded, StepSkipped};
use synapps::run::state::RunState;
use synapps::store::births::{FIRST_EPOCH, Proviso};
use synapps::store::flush::{Owner, Projection};
use synapps::store::{Settings, Store};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::support::database::Database;
use crate::support::proxy::Proxy;
use crate::support::within;
use synapps::usage::Usage;

/// What the statement of a flush begins with.
pub const FLUSH: &str = "WITH moved AS";
/// What the statement that brings runs into being begins with.
pub const BIRTH: &str = "WITH batch AS";

/// A journal and what is around it.
pub struct Desk {
    pub database: Database,
    pub proxy: Proxy,
    pub store: Store,
    pub hub: Hub,
    pub journal: Journal,
    pub tasks: TaskTracker,
    /// A client of the database that does not go through the proxy.
    pub sql: Client,
}

/// Holds up the lane, so that what is posted meanwhile is one batch.
pub struct Gate {
    journal: Journal,
    holder: Client,
    waiting: tokio::task::JoinHandle<Verdict>,
}

/// Entries that lie in the queue of the lane.
pub struct Posted {
    verdicts: Pin<Box<JoinAll<Append>>>,
}

type Append = Pin<Box<dyn Future<Output = Result<Verdict, Closed>> + Send>>;

#[expect(clippy::unused_self, reason = "entries are for this desk's journal")]
impl Desk {
    pub async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// With other settings of the store.
    pub async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let database = Database::migrated().await;
        let proxy = Proxy::start().await;
        let mut settings = Settings::new(proxy.url(&database));
        change(&mut settings);
        let store = Store::connect(&settings).await.unwrap();
        let (hub, tasks) = (Hub::new(100), TaskTracker::new());
        let never = CancellationToken::new();
        let journal = Journal::open(&store, &hub, ExecutorId::fresh(), 1, &tasks, &never);
        let sql = database.sql().await;
        Self {
            database,
            proxy,
            store,
            hub,
            journal,
            tasks,
            sql,
        }
    }

    /// A run that is to be, owned by the journal's executor.
    pub fn birth(&self) -> Birth {
        let now = Utc::now();
        let key = RunKey {
            namespace: Namespace::default_namespace(),
            run_id: RunId::new(Uuid::now_v7()),
        };
        let input = PayloadInfo {
            size_bytes: 2,
            sha256: String::new(),
            chunks: None,
        };
        let queued = Recorded {
            sequence: 1,
            at: now,
            event: RunQueued {
                input,
                parent: None,
                origin: None,
                blocked: false,
            }
            .into(),
            payload: Some("{}".into()),
        };
        Birth {
            key,
            flow_key: FlowKey(1),
            revision: 1,
            labels: "{}".to_owned(),
            priority: 0,
            request: None,
            total_steps: 3,
            parent: None,
            forked_from: None,
            created_at: now,
            events: Arc::new([queued]),
            projection: projection(RunState::Running, Owner::Kept),
            proviso: Proviso::None,
            given_up: CancellationToken::new(),
        }
    }

    /// Runs that are there, with one event each.
    pub async fn born(&self, count: usize) -> Vec<RunKey> {
        let mut runs = Vec::new();
        for _ in 0..count {
            let birth = self.birth();
            runs.push(birth.key.clone());
            let born = within("a birth", self.journal.bear(birth)).await;
            assert_eq!(born, Ok(Born::Yes));
        }
        runs
    }

    /// One event about this step.
    pub fn step(&self, run: &RunKey, sequence: i64, path: &str) -> Move {
        let path = StepPath::new(path);
        self.entry(run, sequence, StepSkipped { path }.into())
    }

    /// The end of a run.
    pub fn end(&self, run: &RunKey, sequence: i64, folded: Option<i64>) -> Move {
        let output = PayloadInfo {
            size_bytes: 4,
            sha256: String::new(),
            chunks: None,
        };
        let event = RunSucceeded { output }.into();
        let mut projection = projection(RunState::Succeeded, Owner::Ended);
        projection.ended_at = Some(Utc::now());
        Move {
            projection,
            folded,
            ..self.entry(run, sequence, event)
        }
    }

    fn entry(&self, run: &RunKey, sequence: i64, event: Event) -> Move {
        let recorded = Recorded {
            sequence,
            at: Utc::now(),
            event,
            payload: None,
        };
        Move {
            key: run.clone(),
            epoch: FIRST_EPOCH,
            before: sequence - 1,
            events: Arc::new([recorded]),
            projection: projection(RunState::Running, Owner::Kept),
            folded: None,
            answered: Vec::new(),
        }
    }

    /// Has the next flush wait, for as long as the gate is not opened.
    pub async fn gate(&self) -> Gate {
        let run = self.born(1).await.remove(0);
        let holder = self.hold(&run).await;
        let (journal, step) = (self.journal.clone(), self.step(&run, 2, "gate"));
        let waiting = tokio::spawn(async move { journal.append(step).await.unwrap() });
        self.proxy
            .executed(FLUSH, self.proxy.count(FLUSH) + 1)
            .await;
        Gate {
            journal: self.journal.clone(),
            holder,
            waiting,
        }
    }

    /// Locks a run's row in a transaction of the client that is given back.
    pub async fn hold(&self, run: &RunKey) -> Client {
        let holder = self.database.sql().await;
        holder.batch_execute("BEGIN").await.unwrap();
        let lock = "SELECT 1 FROM workflow_runs WHERE run_id = $1 FOR UPDATE";
        holder.query_one(lock, &[&run.run_id.uuid()]).await.unwrap();
        holder
    }

    /// Does to a run what a take-over does.
    pub async fn take_away(&self, sql: &Client, run: &RunKey) {
        let take = "UPDATE workflow_runs SET epoch = epoch + 1, executor_id = $2 WHERE run_id = $1";
        let taken = sql
            .execute(take, &[&run.run_id.uuid(), &Uuid::new_v4()])
            .await;
        assert_eq!(taken.unwrap(), 1);
    }

    /// Has the database refuse events of steps with this path.
    pub async fn refuse_step(&self, path: &str) {
        let check = format!(
            "ALTER TABLE run_events ADD CONSTRAINT no_such_step CHECK (data ->> 'path' IS DISTINCT FROM '{path}')"
        );
        self.sql.batch_execute(&check).await.unwrap();
    }

    /// The sequences that the database has of a run.
    pub async fn sequences(&self, run: &RunKey) -> Vec<i64> {
        let query = "SELECT sequence FROM run_events WHERE run_id = $1 ORDER BY sequence";
        let rows = self.sql.query(query, &[&run.run_id.uuid()]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How many rows a table has.
    pub async fn rows(&self, table: &str) -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        self.sql.query_one(&query, &[]).await.unwrap().get(0)
    }
}

impl Gate {
    /// Puts entries into the queue behind the gate.
    pub async fn post(&self, moves: Vec<Move>) -> Posted {
        let appends = moves.into_iter().map(|entry| {
            let journal = self.journal.clone();
            Box::pin(async move { journal.append(entry).await }) as Append
        });
        let mut verdicts = Box::pin(join_all(appends));
        assert!(poll!(&mut verdicts).is_pending(), "the gate is closed");
        Posted { verdicts }
    }

    /// Lets the lane go on.
    pub async fn open(self) {
        self.holder.batch_execute("ROLLBACK").await.unwrap();
        let own = within("the verdict on the gate", self.waiting)
            .await
            .unwrap();
        assert_eq!(own, Verdict::Committed);
    }
}

impl Posted {
    /// What became of the entries.
    pub async fn verdicts(self) -> Vec<Verdict> {
        let verdicts = within("the verdicts", self.verdicts).await;
        verdicts.into_iter().map(Result::unwrap).collect()
    }
}

fn projection(state: RunState, owner: Owner) -> Projection {
    Projection {
        state,
        wait_reason: None,
        progress: 0,
        usage: Usage::default(),
        error: None,
        started_at: None,
        ended_at: None,
        owner,
    }
}
