//! Storing, retrieving, deleting and clearing by key.

use serde_json::json;
use synapps::proto::RunState;

use super::{output, retrieve, run, store};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_stores_a_later_run_retrieves() {
    let server = TestServer::start().await;
    let config = json!({"operation": "retrieve", "key": "chat-history"});
    let before = output(&server, config.clone()).await;

    let input = json!({"turns": ["Hello", "Hi, I am a bot"], "n": 2.5});
    let stored = run(&server, json!({"key": "chat-history"}), input.clone()).await;
    let after = output(&server, config).await;

    assert_eq!(before, json!({"status": "not_found"}));
    assert_eq!(
        wire::json(stored.output.as_ref()),
        json!({"key": "chat-history", "status": "stored", "namespace": "default", "backend": "postgres"})
    );
    assert_eq!(after, input);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_of_a_run_uses_its_own_config() {
    let server = TestServer::start().await;
    let flow = chain(
        "own",
        &[
            (
                "first",
                "memory",
                json!({"key": "{{ input.id }}", "namespace": "a", "value": "one"}),
            ),
            (
                "second",
                "memory",
                json!({"key": "b", "value": "{{ content.key }}"}),
            ),
            (
                "get",
                "memory",
                json!({"operation": "retrieve", "key": "b"}),
            ),
        ],
    );

    let run_id = server
        .save_and_start(flow, &json!({"id": 7, "key": "c"}))
        .await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(wire::json(run.output.as_ref()), json!("7"));
    assert_eq!(retrieve(&server, "a", "7").await, json!("one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_tells_who_wrote_it_when() {
    let server = TestServer::start().await;
    let config = json!({"key": "k", "value": {"a": 1}, "tags": [" Blue ", "red", "", "Blue"]});
    let run = run(&server, config, json!({})).await;

    let config = json!({"operation": "retrieve", "key": "k", "include_metadata": true});
    let entry = output(&server, config).await;

    assert_eq!(entry["key"], "k");
    assert_eq!(entry["data"], json!({"a": 1}));
    assert_eq!(entry["score"], 1);
    let metadata = &entry["metadata"];
    assert_eq!(metadata["tags"], json!(["Blue", "red"]));
    assert_eq!(metadata["run_id"], json!(run.run_id));
    assert_eq!(metadata["node_id"], "memory");
    assert!(metadata["timestamp"].as_f64().unwrap() > 1.7e9);
    assert_eq!(metadata["created_at"], metadata["updated_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_do_not_meet() {
    let server = TestServer::start().await;
    store(&server, "a", "k", json!("of a")).await;
    store(&server, "b", "k", json!("of b")).await;

    let cleared = output(&server, json!({"operation": "clear", "namespace": "a"})).await;

    assert_eq!(
        cleared,
        json!({"status": "cleared", "count": 1, "namespace": "a"})
    );
    assert_eq!(retrieve(&server, "a", "k").await["status"], "not_found");
    assert_eq!(retrieve(&server, "b", "k").await, json!("of b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_gone_and_can_be_stored_again() {
    let server = TestServer::start().await;
    store(&server, "default", "k", json!(null)).await;
    assert_eq!(retrieve(&server, "default", "k").await, json!(null));

    let delete = json!({"operation": "delete", "key": "k"});
    let first = output(&server, delete.clone()).await;
    let second = output(&server, delete).await;

    assert_eq!(first, json!({"status": "deleted", "key": "k"}));
    assert_eq!(second, json!({"status": "not_found", "key": "k"}));
    store(&server, "default", "k", json!("again")).await;
    assert_eq!(retrieve(&server, "default", "k").await, json!("again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_removes_more_entries_than_fit_one_transaction() {
    let server = TestServer::start().await;
    store(&server, "many", "seed", json!("x")).await;
    let sql = server.sql().await;
    sql.batch_execute(
        "INSERT INTO memories SELECT namespace, collection, 'k' || n, value, tags, language, words, size_bytes, writers, \
         run_id, node_id, created_at, updated_at FROM memories, generate_series(1, 2500) n; \
         UPDATE memory_usage SET entries = entries + 2500, size_bytes = 2501 * size_bytes",
    )
    .await
    .unwrap();

    let cleared = output(&server, json!({"operation": "clear", "namespace": "many"})).await;

    assert_eq!(cleared["count"], 2501);
    let left = "SELECT coalesce(sum(entries), 0)::bigint, coalesce(sum(size_bytes), 0)::bigint FROM memory_usage";
    let left = sql.query_one(left, &[]).await.unwrap();
    assert_eq!((left.get::<_, i64>(0), left.get::<_, i64>(1)), (0, 0));
    let rows = "SELECT count(*) FROM memory_usage WHERE collection = 'many'";
    assert_eq!(sql.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_one_is_made_for_each_step() {
    let server = TestServer::start().await;

    let first = output(&server, json!({"value": "one"})).await;
    let second = output(&server, json!({"value": "two"})).await;

    assert_ne!(first["key"], second["key"]);
    let key = first["key"].as_str().unwrap();
    assert_eq!(retrieve(&server, "default", key).await, json!("one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_stores_each_item_by_itself() {
    let server = TestServer::start().await;
    let body = json!({
        "nodes": [{"id": "keep", "type": "memory", "data": {"key": "item-{{ item.id }}", "value": "{{ item.text }}"}}],
        "edges": [],
    });
    let each = json!({"array_source": "{{ input.items }}", "body": body});
    let flow = chain("each", &[("each", "for_each", each)]);
    let items: Vec<_> = (0..12)
        .map(|n| json!({"id": n, "text": format!("text {n}")}))
        .collect();

    let run_id = server.save_and_start(flow, &json!({"items": items})).await;
    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    assert_eq!(
        retrieve(&server, "default", "item-11").await,
        json!("text 11")
    );
}
