//! Texts that are too long, and the character that Postgres cannot store, in every text of a flow.

use serde_json::json;
use synapps::proto::{Flow, GetFlowRequest};
use tonic::Code;

use super::{assert_refused, assert_unharmed, refusal, told};
use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

fn plain() -> Flow {
    chain("f", &[("x", "transform", json!({"template": "t"}))])
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_too_long_are_refused_all_at_once() {
    let server = TestServer::start().await;
    let mut flow = plain();
    flow.id = "i".repeat(201);
    flow.name = "ü".repeat(201);
    flow.description = "ü".repeat(4_001);
    flow.labels = [
        ("k".repeat(64), String::new()),
        ("l".to_owned(), "v".repeat(256)),
    ]
    .into();
    flow.nodes[0].id = "n".repeat(201);
    flow.edges[0].source = "n".repeat(201);
    flow.nodes[1].display_name = "d".repeat(201);
    flow.edges[0].id = "e".repeat(201);
    flow.edges[1].target_handle = "h".repeat(301);
    let key = format!("flow.labels[{}…]", "k".repeat(60));

    let status = assert_refused(
        &server,
        flow,
        &[
            ("flow.id", "INVALID_ID"),
            ("flow.name", "TOO_LONG"),
            ("flow.description", "TOO_LONG"),
            (&key, "INVALID_LABEL"),
            ("flow.labels[l]", "TOO_LONG"),
            ("flow.nodes[0].id", "TOO_LONG"),
            ("flow.nodes[1].display_name", "TOO_LONG"),
            ("flow.edges[0].id", "TOO_LONG"),
            ("flow.edges[1].target_handle", "TOO_LONG"),
        ],
    )
    .await;

    assert!(status.message().contains("201"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_ten_kilobytes_and_odd_ones_are_refused() {
    let server = TestServer::start().await;
    for id in [
        "i".repeat(10_000),
        "a b".to_owned(),
        "ä".to_owned(),
        "a/b".to_owned(),
        "a\nb".to_owned(),
    ] {
        let request = GetFlowRequest {
            flow_id: id.clone(),
            revision: 0,
        };
        let read = server.flows().get_flow(request).await.unwrap_err();
        let stored = refusal(&server, Flow { id, ..plain() }).await;

        assert_eq!(violated_fields(&read), ["flow_id"]);
        assert_eq!(
            told(&stored),
            [("flow.id".to_owned(), "INVALID_ID".to_owned())]
        );
    }
    for (id, reason) in [
        ("n".repeat(10_000), "TOO_LONG"),
        ("a[0]".to_owned(), "INVALID_ID"),
        (" a".to_owned(), "INVALID_ID"),
    ] {
        let mut flow = plain();
        flow.nodes[1].id.clone_from(&id);
        flow.edges[0].target.clone_from(&id);
        let status = refusal(&server, flow).await;
        assert!(
            told(&status).contains(&("flow.nodes[1].id".to_owned(), reason.to_owned())),
            "{status:?}"
        );
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_labels_are_refused() {
    let server = TestServer::start().await;
    let mut flow = plain();
    flow.labels = (0..33)
        .map(|number| (format!("k{number}"), String::new()))
        .collect();

    assert_refused(&server, flow, &[("flow.labels", "TOO_MANY_LABELS")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_character_is_refused_in_every_text_of_a_flow() {
    type Text = fn(&mut Flow) -> &mut String;
    let server = TestServer::start().await;
    let texts: [(&str, Text); 11] = [
        ("flow.id", |flow| &mut flow.id),
        ("flow.name", |flow| &mut flow.name),
        ("flow.description", |flow| &mut flow.description),
        ("flow.labels[k]", |flow| {
            flow.labels.entry("k".to_owned()).or_default()
        }),
        ("flow.nodes[2].id", |flow| &mut flow.nodes[2].id),
        ("flow.nodes[2].type", |flow| &mut flow.nodes[2].r#type),
        ("flow.nodes[2].display_name", |flow| {
            &mut flow.nodes[2].display_name
        }),
        ("flow.edges[0].id", |flow| &mut flow.edges[0].id),
        ("flow.edges[0].source", |flow| &mut flow.edges[0].source),
        ("flow.edges[0].source_handle", |flow| {
            &mut flow.edges[0].source_handle
        }),
        ("flow.edges[0].target_handle", |flow| {
            &mut flow.edges[0].target_handle
        }),
    ];

    for (field, text) in texts {
        let mut flow = plain();
        "a\0b".clone_into(text(&mut flow));
        assert_nul_refused(&server, flow, field).await;
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_character_is_refused_in_configs_schemas_and_keys() {
    let server = TestServer::start().await;
    let with = |config| chain("f", &[("x", "transform", config)]);
    let mut labelled = plain();
    labelled.labels.insert("a\0b".to_owned(), String::new());
    let mut titled = plain();
    titled.input_schema = Some(wire::fields(&json!({"title": "a\0b"})));

    for (field, flow) in [
        (
            "flow.nodes[2].data.template",
            with(json!({"template": "a\0b"})),
        ),
        (
            "flow.nodes[2].data.source",
            with(json!({"source": {"a\0b": 1}})),
        ),
        (
            "flow.nodes[2].data.schema[1].k",
            with(json!({"schema": [0, {"k": "a\0b"}]})),
        ),
        ("flow.nodes[2].data", with(json!({"a\0b": 1}))),
        ("flow.labels[a\\0b]", labelled),
        ("flow.input_schema.title", titled),
    ] {
        assert_nul_refused(&server, flow, field).await;
    }
    assert_unharmed(&server).await;
}

/// Asserts that a flow is refused for this field, and that the refusal does not repeat the character.
async fn assert_nul_refused(server: &Calls, flow: Flow, field: &str) {
    let status = refusal(server, flow).await;

    assert_error(&status, Code::InvalidArgument, "INVALID_FLOW");
    let fields = violated_fields(&status);
    assert!(fields.contains(&field.to_owned()), "{field}: {fields:?}");
    assert!(!fields.concat().contains('\0'), "{fields:?}");
    assert!(!status.message().contains('\0'), "{status:?}");
}
