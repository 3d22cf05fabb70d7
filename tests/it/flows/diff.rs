//! `DiffFlowRevisions`.

use serde_json::json;
use synapps::proto::{
    DiffFlowRevisionsRequest, DiffFlowRevisionsResponse, DiffKind, FlowPolicy, Position,
};
use tonic::{Code, Status};

use super::{create, smallest, update};
use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

async fn diff(
    server: &Calls,
    flow_id: &str,
    base: i32,
    compare: i32,
) -> Result<DiffFlowRevisionsResponse, Status> {
    let request = DiffFlowRevisionsRequest {
        flow_id: flow_id.to_owned(),
        base,
        compare,
    };
    let answer = server.flows().diff_flow_revisions(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_revisions_differ_in_what_was_changed_between_them() {
    let server = TestServer::start().await;
    let text = |text: &str| json!({ "operation": "template", "template": text });
    let first = chain(
        "f",
        &[
            ("greet", "transform", text("one")),
            ("old", "merge", json!({})),
        ],
    );
    let mut second = chain(
        "f",
        &[
            ("greet", "transform", text("two")),
            ("new", "merge", json!({})),
        ],
    );
    second.nodes[2].position = Some(Position { x: 5.0, y: 0.0 });
    second.policy = Some(FlowPolicy {
        max_parallel_steps: 3,
        ..FlowPolicy::default()
    });
    second.input_schema = Some(wire::fields(&json!({ "type": "object" })));
    create(&server, first).await.unwrap();
    update(&server, second, "").await.unwrap();

    let found = diff(&server, "f", 1, 0).await.unwrap();

    assert_eq!((found.base, found.compare), (1, 2));
    assert!(!found.equal && !found.truncated);
    assert!(!found.nodes_reordered && !found.edges_reordered);
    let nodes: Vec<_> = found
        .nodes
        .iter()
        .map(|node| (node.node_id.as_str(), node.kind(), node.affects_runs))
        .collect();
    assert_eq!(
        nodes,
        [
            ("greet", DiffKind::Changed, true),
            ("old", DiffKind::Removed, true),
            ("new", DiffKind::Added, true),
        ]
    );
    let places: Vec<_> = found.nodes[0]
        .differences
        .iter()
        .map(|one| {
            let values = [one.base.as_ref(), one.compare.as_ref()].map(wire_json);
            (one.path.as_str(), one.kind(), values)
        })
        .collect();
    assert_eq!(
        places,
        [
            (
                "$.data.template",
                DiffKind::Changed,
                [json!("one"), json!("two")]
            ),
            (
                "$.position",
                DiffKind::Added,
                [json!(null), json!({ "x": 5, "y": 0 })]
            ),
        ]
    );
    assert_eq!(
        (
            &found.nodes[1].base_type[..],
            &found.nodes[1].compare_type[..]
        ),
        ("merge", "")
    );
    assert_eq!(found.edges.len(), 4, "{:?}", found.edges);
    assert_eq!(found.policy[0].path, "$.max_parallel_steps");
    assert_eq!(found.input_schema[0].kind(), DiffKind::Added);
    let back = diff(&server, "f", 2, 1).await.unwrap();
    assert_eq!(back.nodes[1].kind(), DiffKind::Removed);
    assert_eq!(back.nodes[1].node_id, "new");
}

fn wire_json(value: Option<&prost_types::Value>) -> serde_json::Value {
    wire::json(value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_does_not_differ_from_itself() {
    let server = TestServer::start().await;
    create(&server, smallest("f")).await.unwrap();

    let found = diff(&server, "f", 1, 0).await.unwrap();

    let equal = DiffFlowRevisionsResponse {
        base: 1,
        compare: 1,
        equal: true,
        ..DiffFlowRevisionsResponse::default()
    };
    assert_eq!(found, equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_of_large_revisions_fits_into_an_answer_and_says_what_it_leaves_out() {
    let server = TestServer::start().await;
    let large = |text: &str| {
        let config = json!({ "operation": "template", "template": text.repeat(2_000) });
        let names: Vec<String> = (0..900).map(|number| format!("n{number}")).collect();
        let nodes: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), "transform", config.clone()))
            .collect();
        chain("f", &nodes)
    };
    create(&server, large("a")).await.unwrap();
    update(&server, large("b"), "").await.unwrap();

    let found = diff(&server, "f", 1, 2).await.unwrap();

    assert!(found.truncated && !found.equal);
    assert!(found.nodes.len() > 100, "{}", found.nodes.len());
    assert!(prost::Message::encoded_len(&found) < 3 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_compared() {
    let server = TestServer::start().await;
    create(&server, smallest("f")).await.unwrap();

    let no_flow = diff(&server, "g", 1, 2).await.unwrap_err();
    assert_error(&no_flow, Code::NotFound, "FLOW_NOT_FOUND");
    let no_revision = diff(&server, "f", 1, 2).await.unwrap_err();
    assert_error(&no_revision, Code::NotFound, "REVISION_NOT_FOUND");
    let wrong = diff(&server, "", -1, -2).await.unwrap_err();
    assert_eq!(violated_fields(&wrong), ["flow_id", "base", "compare"]);
}
