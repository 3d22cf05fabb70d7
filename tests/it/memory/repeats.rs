//! Writes that are repeated, and writes at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synapps::ids::Namespace;
use synapps::memory::{Collection, Limits, Memory, New, Patience};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::database::Database;

fn at(name: &str) -> Collection {
    Collection {
        namespace: Namespace::default_namespace(),
        name: name.to_owned(),
    }
}

fn patience() -> Patience {
    Patience {
        deadline: Instant::now() + Duration::from_secs(30),
        cancelled: CancellationToken::new(),
    }
}

async fn store(memory: &Memory, key: &str, value: Value, write: &str) {
    let new = New {
        key: key.to_owned(),
        value: Arc::new(value),
        tags: Vec::new(),
        language: "simple".to_owned(),
        idempotency_key: write.to_owned(),
        run_id: Uuid::now_v7(),
        node_id: "node".to_owned(),
    };
    let ready = new.ready().unwrap();
    memory.store(&at("c"), &ready, &patience()).await.unwrap();
}

async fn value(memory: &Memory, key: &str) -> Value {
    memory.find(&at("c"), key).await.unwrap().unwrap().value
}

async fn usage(database: &Database) -> (i64, i64) {
    let sql = database.sql().await;
    let query = "SELECT sum(entries)::bigint, sum(size_bytes)::bigint FROM memory_usage WHERE collection = ''";
    let row = sql.query_one(query, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_write_does_not_undo_a_later_one() {
    let database = Database::migrated().await;
    let memory = Memory::new(database.store().await, Limits::default());
    store(&memory, "k", json!("first"), "step-1").await;
    store(&memory, "k", json!("second"), "step-2").await;

    store(&memory, "k", json!("first"), "step-1").await;

    assert_eq!(value(&memory, "k").await, json!("second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_value_is_another_write_also_of_the_same_step() {
    let database = Database::migrated().await;
    let memory = Memory::new(database.store().await, Limits::default());
    store(&memory, "k", json!("first"), "step").await;

    store(&memory, "k", json!("other"), "step").await;

    assert_eq!(value(&memory, "k").await, json!("other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_eight_writes_are_known_again() {
    let database = Database::migrated().await;
    let memory = Memory::new(database.store().await, Limits::default());
    for n in 0..20 {
        store(&memory, "k", json!(n), &format!("step-{n}")).await;
    }

    store(&memory, "k", json!(12), "step-12").await;
    assert_eq!(value(&memory, "k").await, json!(19));

    store(&memory, "k", json!(11), "step-11").await;
    assert_eq!(value(&memory, "k").await, json!(11));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_at_the_same_time_are_counted_once_each() {
    let database = Database::migrated().await;
    let memory = Memory::new(database.store().await, Limits::default());

    let writes = (0..60).map(|n| {
        let memory = memory.clone();
        // Ten keys, each written by six at once.
        tokio::spawn(async move {
            let (key, write) = (format!("k{}", n % 10), format!("step-{n}"));
            store(&memory, &key, json!("x".repeat(n)), &write).await;
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }

    let sql = database.sql().await;
    let query = "SELECT count(*), sum(size_bytes)::bigint FROM memories";
    let row = sql.query_one(query, &[]).await.unwrap();
    assert_eq!(usage(&database).await, (row.get(0), row.get(1)));
    assert_eq!(row.get::<_, i64>(0), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_deletions_and_clearing_at_the_same_time_keep_the_counters_right() {
    let database = Database::migrated().await;
    let memory = Memory::new(database.store().await, Limits::default());

    let work = (0..80).map(|n| {
        let memory = memory.clone();
        tokio::spawn(async move {
            let key = format!("k{}", n % 7);
            match n % 8 {
                0 => drop(memory.clear(&at("c")).await.unwrap()),
                1 | 2 => drop(memory.delete(&at("c"), &key).await.unwrap()),
                _ => store(&memory, &key, json!("x".repeat(n)), &format!("{n}")).await,
            }
        })
    });
    for one in work.collect::<Vec<_>>() {
        one.await.unwrap();
    }

    let sql = database.sql().await;
    let query = "SELECT count(*), coalesce(sum(size_bytes), 0)::bigint FROM memories";
    let row = sql.query_one(query, &[]).await.unwrap();
    assert_eq!(usage(&database).await, (row.get(0), row.get(1)));
}
