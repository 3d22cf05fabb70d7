//! Claims where not all that is due finds room: whose turn it is, and what each executor leaves to the others.

use std::collections::BTreeMap;

use synapps::ids::ExecutorId;
use synapps::run::event::FORMAT;
use synapps::store::executors::{self, Order, TickRequest, Ticked, Turn};

use super::claims::Floor;
use crate::support::binary::Binary;
use crate::support::server::TestServer;
use crate::support::within;

/// Puts runs into a namespace that are due, the later ones less long.
async fn crowd(floor: &Floor, namespace: &str, priority: i32, runs: i32, due: &str) {
    // Ids of now, so that there is a partition for them: of a v7 uuid the first half is the time.
    let insert = format!(
        "INSERT INTO workflow_runs (namespace, run_id, flow_key, revision, state, priority, epoch, event_format, wake_at, \
         total_steps, created_at) SELECT $1, overlay(gen_random_uuid()::text PLACING $4::text FROM 1 FOR 18)::uuid, 1, 1, \
         'QUEUED', $2, 1, {FORMAT}, now() + interval '{due}' + n * interval '1 microsecond', 1, now() \
         FROM generate_series(1, $3::integer) AS n"
    );
    let now = uuid::Uuid::now_v7().to_string()[..18].to_owned();
    floor
        .sql
        .execute(&insert, &[&namespace, &priority, &runs, &now])
        .await
        .unwrap();
}

async fn tick(floor: &mut Floor, executor: ExecutorId, capacity: usize, order: Order) -> Ticked {
    let request = TickRequest {
        executor,
        capacity,
        take_over_until: Some(chrono::Utc::now() + chrono::TimeDelta::seconds(10)),
        order,
    };
    executors::tick(&mut floor.conn, request).await.unwrap()
}

fn turn(first: i32, after: &str) -> Order {
    let after = after.into();
    Order::Turns(Turn { first, after })
}

/// How many were claimed of each namespace.
fn shares(ticked: &Ticked) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for claim in &ticked.claimed {
        *shares.entry(claim.key.namespace.to_string()).or_insert(0) += 1;
    }
    shares
}

fn are(wanted: &[(&str, usize)]) -> BTreeMap<String, usize> {
    wanted
        .iter()
        .map(|(namespace, count)| ((*namespace).to_owned(), *count))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_namespace_gets_its_share_whatever_the_crowd_of_another() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    crowd(&floor, "flood", 0, 2_000, "-1 hour").await;
    crowd(&floor, "small", 0, 1, "-1 second").await;
    crowd(&floor, "some", 0, 30, "-1 minute").await;
    crowd(&floor, "later", 0, 50, "1 hour").await;

    let oldest = tick(&mut floor, executor, 20, Order::Oldest).await;
    let first = tick(&mut floor, executor, 21, turn(10, "")).await;
    let second = tick(&mut floor, executor, 20, turn(10, "")).await;

    assert_eq!(shares(&oldest), are(&[("flood", 20)]));
    assert_eq!(
        shares(&first),
        are(&[("flood", 10), ("small", 1), ("some", 10)])
    );
    assert_eq!(shares(&second), are(&[("flood", 10), ("some", 10)]));
    assert_eq!((first.due, first.orphaned), (21, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_go_on_where_they_have_ended_and_round() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    for namespace in ["a", "b", "c", "d"] {
        crowd(&floor, namespace, 0, 100, "-1 minute").await;
    }

    let (mut after, mut served) = (String::new(), Vec::new());
    for _ in 0..4 {
        let ticked = tick(&mut floor, executor, 3, turn(10, &after)).await;
        after = ticked.last_turn.as_ref().unwrap().after.to_string();
        served.push(shares(&ticked));
    }

    let rounds = [
        are(&[("a", 1), ("b", 1), ("c", 1)]),
        are(&[("d", 1), ("a", 1), ("b", 1)]),
        are(&[("c", 1), ("d", 1), ("a", 1)]),
        are(&[("b", 1), ("c", 1), ("d", 1)]),
    ];
    assert_eq!(served, rounds);
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_are_within_a_priority_and_the_one_that_is_asked_for_comes_first() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    crowd(&floor, "low", -3, 100, "-1 hour").await;
    crowd(&floor, "middle", 0, 2, "-1 hour").await;
    crowd(&floor, "high", 5, 1, "-1 minute").await;
    crowd(&floor, "high", 0, 3, "-1 minute").await;

    let from_below = tick(&mut floor, executor, 1, turn(-1, "")).await;
    let from_top = tick(&mut floor, executor, 4, turn(10, "")).await;
    let rest = tick(&mut floor, executor, 5, turn(-5, "")).await;

    assert_eq!(shares(&from_below), are(&[("low", 1)]));
    assert_eq!(from_below.last_turn.unwrap().first, -3);
    assert_eq!(shares(&from_top), are(&[("high", 3), ("middle", 1)]));
    assert_eq!(from_top.last_turn.unwrap().first, 5);
    assert_eq!(
        shares(&rest),
        are(&[("high", 1), ("low", 3), ("middle", 1)]),
        "nothing is below, so it begins at the top"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_locked_cost_nobody_a_turn() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    crowd(&floor, "a", 0, 4, "-1 minute").await;
    crowd(&floor, "b", 0, 4, "-1 minute").await;
    let locker = floor.database.sql().await;
    locker.batch_execute("BEGIN").await.unwrap();
    let lock =
        "SELECT 1 FROM workflow_runs WHERE namespace = 'a' ORDER BY wake_at LIMIT 1 FOR UPDATE";
    locker.query_one(lock, &[]).await.unwrap();

    let ticked = tick(&mut floor, executor, 4, turn(10, "")).await;

    assert_eq!(ticked.claimed.len(), 4);
    assert!(shares(&ticked)["b"] >= 2, "{:?}", shares(&ticked));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_many_namespaces_that_only_wait_the_turns_go_on_after_the_last_one_looked_at() {
    let mut floor = Floor::open().await;
    let executor = floor.executor().await;
    for n in 0..510 {
        crowd(&floor, &format!("waits{n:03}"), 0, 1, "1 hour").await;
    }
    crowd(&floor, "z", 0, 1, "-1 minute").await;

    let nothing = tick(&mut floor, executor, 10, turn(10, "")).await;
    let after = nothing.last_turn.unwrap().after;
    let found = tick(&mut floor, executor, 10, turn(10, after.as_str())).await;

    assert!(nothing.claimed.is_empty());
    assert_eq!(after.as_str(), "waits499");
    assert_eq!(shares(&found), are(&[("z", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_orphans_an_executor_takes_its_share_at_a_time() {
    let mut floor = Floor::open().await;
    let (dead, one, two) = (
        floor.executor().await,
        floor.executor().await,
        floor.executor().await,
    );
    for _ in 0..10 {
        floor.run(Some(dead), "0").await;
    }
    floor.dies(dead).await;

    let first = tick(&mut floor, one, 10, Order::Oldest).await;
    let second = tick(&mut floor, two, 10, Order::Oldest).await;
    let nothing = tick(&mut floor, two, 10, Order::Oldest).await;

    let counts = [first, second, nothing].map(|ticked| ticked.orphaned);
    assert_eq!(counts, [5, 5, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_full_of_one_namespace_starts_the_single_run_of_another_soon() {
    let floor = Floor::open().await;
    crowd(&floor, "flood", 0, 3_000, "-1 hour").await;
    crowd(&floor, "single", 0, 1, "-1 second").await;
    let builder = TestServer::builder().database(&floor.database);

    // These runs have no history: whoever claims one fails it, which is all that has to be seen here.
    let _server = builder.flag("--max-open-runs=8").start().await;
    let left = "SELECT count(*) FILTER (WHERE namespace = 'flood' AND ended_at IS NULL), \
                bool_and(ended_at IS NOT NULL) FILTER (WHERE namespace = 'single') FROM workflow_runs";
    let wait = async {
        loop {
            let row = floor.sql.query_one(left, &[]).await.unwrap();
            if row.get(1) {
                return row.get::<_, i64>(0);
            }
        }
    };
    let left = within("the single run", wait).await;

    assert!(left > 2_000, "{left} of the others are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_schema_before_this_version_claims_go_by_age() {
    let floor = Floor::open().await;
    let old = "DROP INDEX workflow_runs_due_by_namespace; DROP INDEX workflow_runs_in_queue";
    floor.sql.batch_execute(old).await.unwrap();
    crowd(&floor, "flood", 0, 200, "-1 hour").await;
    let builder = TestServer::builder().database(&floor.database);

    let _server = builder.flag("--max-open-runs=8").start().await;
    let left = "SELECT count(*) FROM workflow_runs WHERE ended_at IS NULL";
    let wait = async {
        while floor
            .sql
            .query_one(left, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    within("the end of all", wait).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_row_is_held_is_reported_with_who_holds_it() {
    let floor = Floor::open().await;
    let run = floor.run(None, "-10 seconds").await;
    let locker = floor.database.sql().await;
    locker.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT pg_backend_pid() FROM workflow_runs WHERE run_id = $1 FOR UPDATE";
    let pid: i32 = locker.query_one(lock, &[&run]).await.unwrap().get(0);

    let server = Binary::start_on(&floor.database, &[]).await;
    let line = server.log().line_with("a run cannot be claimed").await;

    assert!(line.contains(&run.to_string()), "{line}");
    assert!(line.contains(&pid.to_string()), "{line}");
}
