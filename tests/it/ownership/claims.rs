//! The statement of the tick: which runs it gives to an executor.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use diesel_async::AsyncPgConnection;
use synapps::ids::ExecutorId;
use synapps::run::event::FORMAT;
use synapps::store::Store;
use synapps::store::executors::{self, Claim, Order, TickRequest, Ticked};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::database::Database;

const LEASE: Duration = Duration::from_secs(15);

/// A database with executors and runs, and a connection to ask for claims.
pub(super) struct Floor {
    pub(super) database: Database,
    store: Store,
    pub(super) sql: Client,
    pub(super) conn: AsyncPgConnection,
}

impl Floor {
    pub(super) async fn open() -> Self {
        let database = Database::migrated().await;
        let store = database.store().await;
        let conn = store.dedicated().await.unwrap();
        Self {
            sql: database.sql().await,
            database,
            store,
            conn,
        }
    }

    pub(super) async fn executor(&mut self) -> ExecutorId {
        let executor = ExecutorId::fresh();
        executors::renew(&mut self.conn, executor, "", LEASE)
            .await
            .unwrap();
        executor
    }

    /// Lets an executor's lease run out.
    pub(super) async fn dies(&self, executor: ExecutorId) {
        let out =
            "UPDATE executors SET lease_until = now() - interval '1 second' WHERE executor_id = $1";
        assert_eq!(self.sql.execute(out, &[&executor.uuid()]).await.unwrap(), 1);
    }

    /// A run that is owned, or due at an interval from now.
    pub(super) async fn run(&self, owner: Option<ExecutorId>, due: &str) -> Uuid {
        let run = Uuid::now_v7();
        let insert = format!(
            "INSERT INTO workflow_runs (namespace, run_id, flow_key, revision, state, executor_id, epoch, event_format, \
             wake_at, total_steps, created_at) VALUES ('default', $1, 1, 1, 'RUNNING', $2, 1, {FORMAT}, \
             CASE WHEN $2::uuid IS NULL THEN now() + interval '{due}' END, 1, now())"
        );
        let owner = owner.map(ExecutorId::uuid);
        self.sql.execute(&insert, &[&run, &owner]).await.unwrap();
        run
    }

    async fn tick(&mut self, executor: ExecutorId, take_over: bool) -> Ticked {
        self.tick_for(executor, take_over, 100).await
    }

    async fn tick_for(&mut self, executor: ExecutorId, take_over: bool, capacity: usize) -> Ticked {
        let right = Utc::now() + TimeDelta::seconds(10);
        let request = TickRequest {
            executor,
            capacity,
            take_over_until: take_over.then_some(right),
            order: Order::Oldest,
        };
        executors::tick(&mut self.conn, request).await.unwrap()
    }

    async fn owner_and_epoch(&self, run: Uuid) -> (Option<ExecutorId>, i64) {
        let query = "SELECT executor_id, epoch FROM workflow_runs WHERE run_id = $1";
        let row = self.sql.query_one(query, &[&run]).await.unwrap();
        let owner: Option<Uuid> = row.get(0);
        (owner.map(ExecutorId::new), row.get(1))
    }
}

fn ids(claims: &[Claim]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = claims.iter().map(|claim| claim.key.run_id.uuid()).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_dead_executor_are_taken_over_in_the_next_epoch() {
    let mut floor = Floor::open().await;
    let (dead, heir) = (floor.executor().await, floor.executor().await);
    let run = floor.run(Some(dead), "0").await;

    let alive = floor.tick(heir, true).await;
    floor.dies(dead).await;
    let claimed = floor.tick(heir, true).await;
    let again = floor.tick(heir, true).await;

    assert!(alive.claimed.is_empty(), "its lease lasts");
    assert_eq!(ids(&claimed.claimed), [run]);
    assert!(claimed.claimed[0].died);
    assert!(again.claimed.is_empty(), "it has it already");
    assert_eq!(floor.owner_and_epoch(run).await, (Some(heir), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_take_over_yet_leaves_the_dead_alone_and_still_takes_from_the_retired() {
    let mut floor = Floor::open().await;
    let (dead, retired) = (floor.executor().await, floor.executor().await);
    let heir = floor.executor().await;
    let of_dead = floor.run(Some(dead), "0").await;
    let of_retired = floor.run(Some(retired), "0").await;
    floor.dies(dead).await;
    executors::retire(&mut floor.conn, retired).await.unwrap();

    let claimed = floor.tick(heir, false).await;

    assert_eq!(ids(&claimed.claimed), [of_retired]);
    assert!(!claimed.claimed[0].died, "its executor has left in order");
    assert_eq!(floor.owner_and_epoch(of_dead).await, (Some(dead), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_on_its_way_for_too_long_takes_nothing_from_the_dead() {
    let mut floor = Floor::open().await;
    let (dead, heir) = (floor.executor().await, floor.executor().await);
    floor.run(Some(dead), "0").await;
    floor.dies(dead).await;
    let request = TickRequest {
        executor: heir,
        capacity: 100,
        take_over_until: Some(Utc::now() - TimeDelta::milliseconds(1)),
        order: Order::Oldest,
    };

    let late = executors::tick(&mut floor.conn, request).await.unwrap();

    assert!(
        late.claimed.is_empty(),
        "after an outage the lease of the other one may be about to be renewed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_whose_lease_ran_out_unnoticed_goes_on_and_takes_nothing_from_itself() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    let run = floor.run(Some(executor), "0").await;
    floor.dies(executor).await;

    let claimed = floor.tick(executor, true).await;
    executors::renew(&mut floor.conn, executor, "", LEASE)
        .await
        .unwrap();
    let other = floor.executor().await;
    let too_late = floor.tick(other, true).await;

    assert!(claimed.claimed.is_empty());
    assert!(too_late.claimed.is_empty());
    assert_eq!(floor.owner_and_epoch(run).await, (Some(executor), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_executor_cannot_renew_its_lease() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    executors::retire(&mut floor.conn, executor).await.unwrap();

    let renewed = executors::renew(&mut floor.conn, executor, "", LEASE).await;

    assert!(renewed.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_somebody_has_locked_are_skipped_and_claimed_later() {
    let mut floor = Floor::open().await;
    let heir = floor.executor().await;
    let dead = floor.executor().await;
    let (locked, free) = (
        floor.run(Some(dead), "0").await,
        floor.run(Some(dead), "0").await,
    );
    let due = floor.run(None, "-1 second").await;
    floor.dies(dead).await;
    floor.sql.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT 1 FROM workflow_runs WHERE run_id = $1 FOR UPDATE";
    floor.sql.query_one(lock, &[&locked]).await.unwrap();

    let first = floor.tick(heir, true).await;
    floor.sql.batch_execute("ROLLBACK").await.unwrap();
    let second = floor.tick(heir, true).await;

    let mut expected = vec![free, due];
    expected.sort();
    assert_eq!(ids(&first.claimed), expected);
    assert_eq!(ids(&second.claimed), [locked]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_claim_at_once_each_run_goes_to_one() {
    let mut floor = Floor::open().await;
    let mut other = floor.store.dedicated().await.unwrap();
    let (one, two) = (floor.executor().await, floor.executor().await);
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(floor.run(None, "-1 second").await);
    }
    let request = TickRequest {
        executor: two,
        capacity: 100,
        take_over_until: None,
        order: Order::Oldest,
    };

    let (first, second) = tokio::join!(floor.tick(one, true), executors::tick(&mut other, request));

    let mut claimed = ids(&first.claimed);
    claimed.extend(ids(&second.unwrap().claimed));
    claimed.sort();
    runs.sort();
    assert_eq!(claimed, runs);
    for run in runs {
        assert_eq!(floor.owner_and_epoch(run).await.1, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_due_is_claimed_and_no_more_than_there_is_room_for() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    floor.run(None, "1 hour").await;
    for _ in 0..5 {
        floor.run(None, "-1 second").await;
    }

    let none = floor.tick_for(executor, true, 0).await;
    let some = floor.tick_for(executor, true, 3).await;
    let rest = floor.tick_for(executor, true, 3).await;
    let nothing = floor.tick_for(executor, true, 3).await;

    let counts = [none, some, rest, nothing].map(|ticked| ticked.claimed.len());
    assert_eq!(counts, [0, 3, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_events_of_a_newer_version_is_left_to_that_version() {
    let mut floor = Floor::open().await;
    let (dead, heir) = (floor.executor().await, floor.executor().await);
    floor.run(Some(dead), "0").await;
    floor.run(None, "-1 second").await;
    floor.dies(dead).await;
    let newer = format!("UPDATE workflow_runs SET event_format = {}", FORMAT + 1);
    floor.sql.batch_execute(&newer).await.unwrap();

    assert!(floor.tick(heir, true).await.claimed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_gone_is_buried_when_it_owns_nothing_any_more() {
    let mut floor = Floor::open().await;
    let (dead, idle, heir) = (
        floor.executor().await,
        floor.executor().await,
        floor.executor().await,
    );
    let run = floor.run(Some(dead), "0").await;
    floor.dies(dead).await;
    floor.dies(idle).await;

    let first = executors::bury(&mut floor.conn).await.unwrap();
    floor.tick(heir, true).await;
    let second = executors::bury(&mut floor.conn).await.unwrap();

    assert_eq!(
        (first, second),
        (1, 1),
        "first the idle one, then that of the run"
    );
    assert_eq!(floor.owner_and_epoch(run).await.0, Some(heir));
}
