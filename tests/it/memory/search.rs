//! Finding entries by words, tags and time.

use serde_json::{Value, json};

use super::{failure, found, output, store};
use crate::support::calls::Calls;
use crate::support::server::TestServer;

async fn animals(server: &Calls) {
    for (key, text, tags) in [
        (
            "fox",
            "The quick brown fox jumps over the lazy dog",
            json!(["wild", "red"]),
        ),
        (
            "dog",
            "A dog sleeps. The dog dreams of a fox.",
            json!(["tame"]),
        ),
        (
            "cats",
            "Two cats are running in the garden",
            json!(["tame", "Grey"]),
        ),
        ("note", "Nothing of interest here", json!([])),
    ] {
        let config = json!({"key": key, "value": {"text": text, "year": 1999}, "tags": tags});
        output(server, config).await;
    }
}

fn search(query: &str) -> Value {
    json!({"operation": "search", "query": query})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_gives_entries_with_any_of_the_words_the_best_first() {
    let server = TestServer::start().await;
    animals(&server).await;

    let found = output(&server, search("the DOG's bone")).await;

    assert_eq!(found["count"], 3);
    assert_eq!(found["query"], "the DOG's bone");
    assert_eq!(found["tags"], json!([]));
    let results = found["results"].as_array().unwrap();
    assert_eq!(results[0]["key"], "dog");
    assert_eq!(results[0]["data"]["year"], 1999);
    assert_eq!(results[0]["tags"], json!(["tame"]));
    let scores: Vec<f64> = results
        .iter()
        .map(|one| one["score"].as_f64().unwrap())
        .collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(
        scores
            .iter()
            .all(|score| (0.0..=1.0).contains(score) && *score > 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_tags_and_numbers_are_words_too() {
    let server = TestServer::start().await;
    animals(&server).await;

    assert_eq!(found(&server, search("grey")).await, ["cats"]);
    assert_eq!(found(&server, search("note")).await, ["note"]);
    assert_eq!(found(&server, search("1999")).await.len(), 4);
    assert!(found(&server, search("year")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_whole_word_fits_beginnings_do() {
    let server = TestServer::start().await;
    animals(&server).await;

    assert_eq!(
        found(&server, search("gard intere")).await,
        ["note", "cats"]
    );
    assert!(found(&server, search("arden")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_knows_the_forms_of_words() {
    let server = TestServer::start().await;
    for (language, key) in [("english", "en"), ("simple", "plain")] {
        let config = json!({"key": key, "value": "Two cats are running", "language": language});
        output(&server, config).await;
    }

    let english = json!({"operation": "search", "query": "The cat runs", "language": "english"});

    assert_eq!(found(&server, english).await, ["en"]);
    assert_eq!(found(&server, search("running")).await, ["plain"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_language_fails_and_tells_which_there_are() {
    let server = TestServer::start().await;
    let config = json!({"operation": "search", "query": "x", "language": "klingon"});

    let error = failure(&server, config, json!({})).await;

    assert_eq!(error.code, "UNKNOWN_LANGUAGE");
    assert!(error.message.contains("english") && error.message.contains("simple"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_narrow_a_search_before_it_is_cut() {
    let server = TestServer::start().await;
    animals(&server).await;

    let tame = json!({"operation": "search", "query": "fox", "tags": ["tame", "none"], "top_k": 1});
    let by_tags = json!({"operation": "search", "tags": ["red", "Grey"]});
    let other_case = json!({"operation": "search", "tags": ["grey"]});

    assert_eq!(found(&server, tame).await, ["dog"]);
    assert_eq!(found(&server, by_tags).await, ["cats", "fox"]);
    assert!(found(&server, other_case).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_top_k_entries_are_found_and_equals_are_in_order_of_time() {
    let server = TestServer::start().await;
    for n in 0..8 {
        store(&server, "default", &format!("k{n}"), json!("same words")).await;
    }

    let all = |top_k: u32| json!({"operation": "search", "query": "words", "top_k": top_k});

    assert_eq!(found(&server, all(3)).await, ["k7", "k6", "k5"]);
    assert_eq!(found(&server, all(50)).await.len(), 8);
    assert_eq!(found(&server, search("words")).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retrieve_without_an_entry_searches_if_it_is_told_what_for() {
    let server = TestServer::start().await;
    animals(&server).await;

    let config =
        json!({"operation": "retrieve", "key": "wolf", "query": "{{ input }}", "tags": ["wild"]});
    let by_query = super::run(&server, config.clone(), json!({"text": "fox"})).await;
    let nothing = super::run(&server, config, json!({"text": "zebra"})).await;

    let by_query = crate::support::wire::json(by_query.output.as_ref());
    assert_eq!(by_query["status"], "retrieved");
    assert_eq!(by_query["memories"]["fox"]["year"], 1999);
    assert_eq!(by_query["memories"].as_object().unwrap().len(), 1);
    assert_eq!(by_query.get("results"), None);
    let nothing = crate::support::wire::json(nothing.output.as_ref());
    assert_eq!(nothing, json!({"status": "not_found"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retrieve_of_nothing_in_particular_gives_the_newest() {
    let server = TestServer::start().await;
    animals(&server).await;

    let config = json!({"operation": "retrieve", "top_k": 2, "include_metadata": true});
    let newest = output(&server, config).await;

    assert_eq!(newest["count"], 2);
    assert_eq!(newest["results"][0]["key"], "note");
    assert_eq!(newest["results"][0]["metadata"]["node_id"], "memory");
    assert!(newest["memories"]["cats"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_sees_only_its_namespace_and_collection() {
    let server = TestServer::start().await;
    store(&server, "mine", "k", json!("shared words")).await;
    store(&server, "yours", "k", json!("shared words")).await;
    let sql = server.sql().await;
    // The same collection of somebody else, as access control will make it.
    sql.batch_execute("UPDATE memories SET namespace = 'other' WHERE collection = 'yours'")
        .await
        .unwrap();
    sql.batch_execute(
        "UPDATE memories SET collection = 'mine', key = 'theirs' WHERE namespace = 'other'",
    )
    .await
    .unwrap();

    for config in [
        json!({"operation": "search", "namespace": "mine", "query": "words", "top_k": 50}),
        json!({"operation": "search", "namespace": "mine", "query": "wor", "top_k": 50}),
        json!({"operation": "retrieve", "namespace": "mine", "include_metadata": true}),
    ] {
        assert_eq!(found(&server, config).await, ["k"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_queries_and_texts_do_no_harm() {
    let server = TestServer::start().await;
    let long = "x".repeat(3_000);
    let many: Vec<String> = (0..20_000).map(|n| format!("w{n}-a/b{n}")).collect();
    let many = many.join(" ");
    store(
        &server,
        "default",
        "odd",
        json!(["it's", "a\\b", "c' & !(d | e):*", long, many]),
    )
    .await;

    for query in [
        "it's", "a\\b", "' | !x", "):*", "c' & !(d", "  ", "\u{1}", "w7-a/b7", &many, &long,
    ] {
        output(&server, search(query)).await;
    }

    assert_eq!(found(&server, search("it's")).await, ["odd"]);
    assert_eq!(found(&server, search("w7-a/b7")).await, ["odd"]);
    let searched = output(&server, search("' | !x")).await;
    assert_eq!(searched["query"], "' | !x");
}
