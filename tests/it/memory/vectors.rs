//! Finding entries by meaning, where Postgres has the extension `vector`.
//!
//! Most installations do not have it. The variable `SYNAPPS_TEST_VECTOR_POSTGRES` names the directory of the programs
//! of one that has (those in the package `pgserver` of `PyPI` do); without it, and without the extension in the usual
//! cluster, these tests say so and do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use synapps::config::search_path;
use synapps::postgres::{Durability, Options, Place, PrivateCluster};

use super::{found, output, run, store};
use crate::image::painter::{Painter, Reply};
use crate::support::database::Database;
use crate::support::server::TestServer;
use crate::support::wire;

/// Names the programs of a Postgres with vectors.
const PROGRAMS: &str = "SYNAPPS_TEST_VECTOR_POSTGRES";

/// A Postgres with vectors, if there is one.
async fn cluster() -> Option<PrivateCluster> {
    let Some(programs) = std::env::var_os(PROGRAMS) else {
        println!("skipped: {PROGRAMS} names no Postgres with the extension vector");
        return None;
    };
    let cluster = PrivateCluster::start(Options {
        place: Place::Ephemeral,
        durability: Durability::None,
        programs: Some(programs.into()),
        search_path: search_path(),
    });
    Some(cluster.await.unwrap())
}

/// An embedder that knows two subjects; it refuses everything while `is_down`.
async fn embedder(is_down: &Arc<AtomicBool>) -> Painter {
    let is_down = Arc::clone(is_down);
    Painter::start(move |seen, _| {
        if is_down.load(Ordering::Relaxed) {
            return Reply::new("503 Unavailable", "");
        }
        let text = seen.body["input"].as_str().unwrap().to_lowercase();
        let share = |words: &[&str]| words.iter().filter(|word| text.contains(**word)).count();
        let (cats, food) = (
            share(&["cat", "kitten", "feline", "purr"]),
            share(&["pizza", "pasta", "dinner"]),
        );
        Reply::json(&json!({"data": [{"embedding": [cats, food, 0.1]}]}))
    })
    .await
}

fn flags(embedder: &Painter) -> [String; 4] {
    [
        "--embedder=custom".to_owned(),
        "--embedder-model=two-subjects".to_owned(),
        format!("--embedder-base-url={}/v1", embedder.url()),
        "--embedder-api-key=its-key".to_owned(),
    ]
}

async fn server(url: Option<String>, embedder: &Painter) -> TestServer {
    let mut builder = TestServer::builder();
    for flag in flags(embedder) {
        builder = builder.flag(&flag);
    }
    if let Some(url) = url {
        builder = builder.url(url);
    }
    builder.start().await
}

fn search(query: &str) -> Value {
    json!({"operation": "search", "query": query})
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_found_by_meaning_and_by_words() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let is_down = Arc::new(AtomicBool::new(false));
    let embedder = embedder(&is_down).await;
    let server = server(Some(cluster.url("postgres")), &embedder).await;
    store(
        &server,
        "default",
        "nap",
        json!("A kitten sleeps in the sun"),
    )
    .await;
    store(&server, "default", "menu", json!("Pizza or pasta tonight")).await;
    store(&server, "default", "sun", json!("Dinner under the sun")).await;
    store(
        &server,
        "other",
        "secret",
        json!("A kitten of somebody else"),
    )
    .await;

    let by_meaning = run(&server, search("feline"), json!({})).await;
    let by_both = found(&server, search("a feline in the sun")).await;
    let tagged = json!({"operation": "search", "query": "feline", "tags": ["none"]});

    let output = wire::json(by_meaning.output.as_ref());
    assert_eq!(output["results"][0]["key"], "nap");
    assert!(output["results"][0]["score"].as_f64().unwrap() <= 1.0);
    assert_eq!(output["count"], 3, "{output}");
    assert_eq!(by_both[0], "nap");
    assert_eq!(by_both.len(), 3);
    assert!(found(&server, tagged).await.is_empty());
    let asked = embedder.seen();
    assert_eq!(asked[0].line, "POST /v1/embeddings");
    assert_eq!(asked[0].header("authorization"), Some("Bearer its-key"));

    super::output(&server, json!({"operation": "delete", "key": "nap"})).await;
    assert_eq!(found(&server, search("feline")).await.len(), 2);
    super::output(&server, json!({"operation": "clear"})).await;
    assert!(found(&server, search("feline")).await.is_empty());
    server.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_of_the_embedder_words_are_enough() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let is_down = Arc::new(AtomicBool::new(false));
    let embedder = embedder(&is_down).await;
    let server = server(Some(cluster.url("postgres")), &embedder).await;
    store(&server, "default", "nap", json!("A kitten sleeps")).await;

    is_down.store(true, Ordering::Relaxed);
    store(&server, "default", "nap", json!("Pizza in the oven")).await;
    let by_words = found(&server, search("oven")).await;
    is_down.store(false, Ordering::Relaxed);

    assert_eq!(by_words, ["nap"]);
    // Its vector is that of another text, and does not count.
    assert!(found(&server, search("feline")).await.is_empty());
    store(&server, "default", "nap", json!("Purring in the oven")).await;
    assert_eq!(found(&server, search("feline")).await, ["nap"]);
    server.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_extension_an_embedder_is_not_asked() {
    let database = Database::migrated().await;
    let query = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'";
    let row = database.sql().await.query_one(query, &[]).await.unwrap();
    if row.get::<_, i64>(0) > 0 {
        println!("skipped: Postgres has the extension vector");
        return;
    }
    let embedder = embedder(&Arc::default()).await;
    let server = server(Some(database.url()), &embedder).await;

    store(&server, "default", "nap", json!("A kitten sleeps")).await;

    assert_eq!(found(&server, search("kitten")).await, ["nap"]);
    assert!(found(&server, search("feline")).await.is_empty());
    assert!(embedder.seen().is_empty());
    let stored = output(&server, json!({"operation": "retrieve", "key": "nap"})).await;
    assert_eq!(stored, json!("A kitten sleeps"));
}
