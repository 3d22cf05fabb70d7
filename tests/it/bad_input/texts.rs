//! Texts that are too long, and the character that Postgres cannot store, in every text of a flow.

use serde_json::json;
use synapps::proto::{Flow, GetFlowRequest};

use super::{assert_refused, assert_unharmed, refusal, told};
use crate::support::calls::violated_fields;
use crate::support::flows::chain;
use crate::support::server::TestServer;

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
    type Change = fn(&mut Flow);
    let server = TestServer::start().await;
    let changes: [(&str, Change); 16] = [
        ("flow.id", |flow| flow.id = "a\0b".to_owned()),
        ("flow.name", |flow| flow.name = "a\0b".to_owned()),
        ("flow.description", |flow| {
            flow.description = "a\0b".to_owned()
        }),
        ("flow.labels[a\\0b]", |flow| {
            drop(flow.labels.insert("a\0b".to_owned(), String::new()))
        }),
        ("flow.labels[k]", |flow| {
            drop(flow.labels.insert("k".to_owned(), "a\0b".to_owned()))
        }),
        ("flow.nodes[2].id", |flow| {
            flow.nodes[2].id = "a\0b".to_owned()
        }),
        ("flow.nodes[2].type", |flow| {
            flow.nodes[2].r#type = "a\0b".to_owned()
        }),
        ("flow.nodes[2].display_name", |flow| {
            flow.nodes[2].display_name = "a\0b".to_owned()
        }),
        ("flow.nodes[2].data.template", |flow| {
            set(flow, "template", json!("a\0b"))
        }),
        ("flow.nodes[2].data.source", |flow| {
            set(flow, "source", json!({"a\0b": 1}))
        }),
        ("flow.nodes[2].data.schema[1].k", |flow| {
            set(flow, "schema", json!([0, {"k": "a\0b"}]))
        }),
        ("flow.edges[0].id", |flow| {
            flow.edges[0].id = "a\0b".to_owned()
        }),
        ("flow.edges[0].source", |flow| {
            flow.edges[0].source = "a\0b".to_owned()
        }),
        ("flow.edges[0].target_handle", |flow| {
            flow.edges[0].target_handle = "a\0b".to_owned()
        }),
        ("flow.edges[0].source_handle", |flow| {
            flow.edges[0].source_handle = "a\0b".to_owned()
        }),
        ("flow.input_schema.title", |flow| {
            let schema = json!({"title": "a\0b"});
            flow.input_schema = Some(crate::support::wire::fields(&schema));
        }),
    ];

    for (field, change) in changes {
        let mut flow = plain();
        change(&mut flow);
        let status = refusal(&server, flow).await;

        assert_eq!(
            status.code(),
            tonic::Code::InvalidArgument,
            "{field}: {status:?}"
        );
        let fields = violated_fields(&status);
        assert!(fields.contains(&field.to_owned()), "{field}: {fields:?}");
        assert!(
            !fields.iter().any(|field| field.contains('\0')),
            "{fields:?}"
        );
    }
    assert_unharmed(&server).await;
}

fn set(flow: &mut Flow, key: &str, value: serde_json::Value) {
    let data = flow.nodes[2].data.get_or_insert_default();
    data.fields
        .insert(key.to_owned(), crate::support::wire::value(&value));
}
