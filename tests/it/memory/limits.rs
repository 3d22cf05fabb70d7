//! What is refused: too much, and what makes no sense.

use serde_json::{Value, json};
use tonic::Code;

use super::{failure, output, retrieve, store};
use crate::support::calls::{assert_error, violated_fields};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use synapps::proto::CreateFlowRequest;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_over_its_limit_is_refused() {
    let server = TestServer::start().await;
    let just = "x".repeat((1 << 20) - 2);
    let times = |text: &str| json!({"text": text});
    let config = json!({"key": "k", "value": "{{ input.text }}{{ input.more }}"});

    let run = super::run(&server, config.clone(), times(&just[..1 << 19])).await;
    let over = json!({"key": "k", "value": "{{ input.text }}{{ input.text }}{{ input.text }}"});
    let error = failure(&server, over, times(&just[..1 << 19])).await;

    assert!(run.error.is_none());
    assert_eq!(error.code, "MEMORY_VALUE_TOO_LARGE");
    assert!(error.message.contains("1048576"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_collection_takes_no_new_key_but_replaces_old_ones() {
    let server = TestServer::builder()
        .flag("--memory-max-entries=3")
        .start()
        .await;
    for key in ["a", "b", "c"] {
        store(&server, "small", key, json!(1)).await;
    }

    let error = failure(
        &server,
        json!({"namespace": "small", "key": "d"}),
        json!({}),
    )
    .await;

    assert_eq!(error.code, "MEMORY_FULL");
    assert!(error.message.contains("small") && error.message.contains('3'));
    store(&server, "small", "a", json!({"more": "than before"})).await;
    store(&server, "other", "d", json!(1)).await;
    output(
        &server,
        json!({"operation": "delete", "namespace": "small", "key": "b"}),
    )
    .await;
    store(&server, "small", "d", json!(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_namespace_takes_nothing_that_grows_it() {
    let server = TestServer::builder()
        .flag("--memory-max-bytes=1024")
        .start()
        .await;
    store(&server, "a", "one", json!("x".repeat(500))).await;
    store(&server, "b", "two", json!("x".repeat(400))).await;

    let big = json!({"namespace": "c", "key": "three", "value": "x".repeat(200)});
    let error = failure(&server, big.clone(), json!({})).await;
    let grown = json!({"namespace": "b", "key": "two", "value": "x".repeat(700)});
    let grown = failure(&server, grown, json!({})).await;

    assert_eq!(error.code, "MEMORY_FULL");
    assert!(error.message.contains("1024"), "{}", error.message);
    assert_eq!(grown.code, "MEMORY_FULL");
    store(&server, "b", "two", json!("y".repeat(400))).await;
    output(&server, json!({"operation": "clear", "namespace": "a"})).await;
    output(&server, big).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_that_make_no_sense_are_refused_at_save() {
    let server = TestServer::start().await;
    let long = "k".repeat(201);
    let refusals = [
        (json!({"operation": "forget"}), "operation"),
        (json!({"namespace": ""}), "namespace"),
        (json!({"key": long}), "key"),
        (json!({"key": " "}), "key"),
        (json!({"key": ["k"]}), "key"),
        (json!({"top_k": 0}), "top_k"),
        (json!({"top_k": 51}), "top_k"),
        (json!({"language": "English!"}), "language"),
        (json!({"tags": "one"}), "tags"),
        (json!({"tags": ["t".repeat(201)]}), "tags[0]"),
        (json!({"operation": "delete"}), "key"),
        (json!({"operation": "search"}), "query"),
        (json!({"operation": "clear", "key": "k"}), "key"),
        (json!({"operation": "retrieve", "value": 1}), "value"),
        (json!({"backend": "chroma"}), "backend"),
    ];

    for (config, field) in refusals {
        let flow = chain("refused", &[("memory", "memory", config.clone())]);
        let request = CreateFlowRequest {
            flow: Some(flow),
            ..CreateFlowRequest::default()
        };
        let status = server.flows().create_flow(request).await.unwrap_err();
        assert_error(&status, Code::InvalidArgument, "INVALID_FLOW");
        let fields = violated_fields(&status);
        assert_eq!(fields, [format!("flow.nodes[2].data.{field}")], "{config}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_templates_give_is_held_to_the_same_bounds() {
    let server = TestServer::start().await;
    let cases: [(Value, Value, &str); 4] = [
        (
            json!({"key": "{{ input.key }}"}),
            json!({"key": "k".repeat(201)}),
            "key",
        ),
        (
            json!({"key": "{{ input.key }}"}),
            json!({"key": "  "}),
            "key",
        ),
        (
            json!({"operation": "delete", "key": "{{ input.key }}"}),
            json!({"key": null}),
            "key",
        ),
        (
            json!({"operation": "search", "query": "x", "top_k": "{{ input.n }}"}),
            json!({"n": 51}),
            "top_k",
        ),
    ];

    for (config, input, field) in cases {
        let error = failure(&server, config, input).await;
        assert_eq!(error.code, "INVALID_CONFIG", "{field}");
        assert!(error.message.starts_with(field), "{}", error.message);
    }
    // A text of braces that a template gives is no template.
    let config = json!({"key": "{{ input.key }}", "value": 1});
    super::run(&server, config, json!({"key": "{{ odd }}"})).await;
    let keys = json!({"operation": "retrieve"});
    assert_eq!(
        output(&server, keys).await["memories"],
        json!({"{{ odd }}": 1})
    );
    assert_eq!(
        retrieve(&server, "default", "odd").await["status"],
        "not_found"
    );
}
