//! The graphs inside of loops: kept as they were sent, and checked like the flow's own.

use serde_json::{Value, json};
use synapps::proto::{Flow, ValidateFlowRequest, ValidateFlowResponse};

use super::{as_sent, create, get, update};
use crate::support::calls::Calls;
use crate::support::flows::flow_with_ends;
use crate::support::server::TestServer;

/// `start`, `before`, a loop with this body, `end`.
#[expect(clippy::needless_pass_by_value, reason = "reads better with `json!`")]
fn looping(id: &str, body: Value) -> Flow {
    let mut flow = flow_with_ends(id)
        .node("before", "transform", json!({}))
        .node("loop", "for_each", json!({ "body": body }))
        .edge("start", "before")
        .edge("before", "loop")
        .edge("loop", "end")
        .build();
    for node in &mut flow.nodes {
        node.position.get_or_insert_default();
    }
    flow
}

async fn validated(server: &Calls, flow: Flow) -> ValidateFlowResponse {
    let request = ValidateFlowRequest { flow: Some(flow) };
    let answer = server.flows().validate_flow(request).await;
    answer.unwrap().into_inner()
}

fn told(answer: &ValidateFlowResponse) -> Vec<(&str, &str, &str)> {
    let violations = answer.violations.iter();
    violations
        .map(|one| (&*one.field, &*one.reason, &*one.node_id))
        .collect()
}

fn body() -> Value {
    json!({
        "nodes": [
            {"id": "fetch", "type": "http_request", "timeout": "5s",
             "data": {"method": "GET", "url": "http://shop.example/{{ item.sku }}?n={{ index }}"},
             "retry": {"max_attempts": 3}, "on_error": {"fallback": {"node_id": "none"}}},
            {"id": "none", "type": "transform", "data": {"source": "{{ results.before.output }}"}},
            {"id": "each", "type": "for_each", "data": {"array_source": "{{ results.fetch.output.data }}",
             "body": {"nodes": [{"id": "inner", "type": "transform",
                                 "data": {"source": ["{{ item }}", "{{ results.fetch.output.url }}"]}}]}}},
        ],
        "edges": [{"source": "fetch", "target": "each"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_back_as_it_was_sent() {
    let server = TestServer::start().await;
    let sent = looping("loops", body());

    let created = create(&server, sent.clone()).await.unwrap();
    let read = get(&server, "loops", 0).await.unwrap();
    let again = update(&server, read.clone(), "").await.unwrap();
    let answer = validated(&server, sent.clone()).await;

    assert_eq!(as_sent(&created), sent);
    assert_eq!(read, created);
    assert_eq!(again, created);
    assert_eq!(answer.hosts, ["shop.example"]);
    assert_eq!(answer.layers.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_inside_is_told_with_its_path() {
    let server = TestServer::start().await;
    let wrong = json!({
        "nodes": [
            {"id": "a", "type": "transform", "timeout": "1h", "colour": "red"},
        ],
    });
    let worse = json!({
        "nodes": [
            {"id": "before", "type": "transform", "retry": {"jitter": 2}},
            {"id": "s", "type": "start"},
            {"id": "b", "type": "transform", "data": {"source": "{{ results.end.output }}", "colour": 1}},
            {"id": "c", "type": "frobnicate"},
        ],
        "edges": [{"source": "b", "target": "end"}],
    });

    let unread = validated(&server, looping("f", wrong)).await;
    let refused = validated(&server, looping("f", worse)).await;
    let status = create(&server, looping("f", json!({"nodes": []}))).await;

    let inside = |answer| -> Vec<(String, String, String)> {
        let told = told(answer).into_iter();
        let stripped = told.map(|(field, reason, node)| {
            let inner = field.strip_prefix("flow.nodes[3].data.body.");
            (
                inner.unwrap().to_owned(),
                reason.to_owned(),
                node.to_owned(),
            )
        });
        stripped.collect()
    };
    let of = |told: &[(&str, &str, &str)]| -> Vec<(String, String, String)> {
        let owned = told.iter();
        let owned = owned.map(|one| (one.0.to_owned(), one.1.to_owned(), one.2.to_owned()));
        owned.collect()
    };
    assert_eq!(
        inside(&unread),
        of(&[
            ("nodes[0].timeout", "WRONG_TYPE", "a"),
            ("nodes[0].colour", "UNKNOWN_FIELD", "a"),
        ])
    );
    assert_eq!(
        inside(&refused),
        of(&[
            ("nodes[0].id", "DUPLICATE_NODE_ID", "before"),
            ("nodes[0].retry.jitter", "OUT_OF_BOUNDS", "before"),
            ("nodes[1].type", "START_IN_BODY", "s"),
            ("nodes[2].data.colour", "UNKNOWN_FIELD", "b"),
            ("nodes[2].data", "NOT_UPSTREAM", "b"),
            ("nodes[3].type", "UNKNOWN_APPLET", "c"),
            ("edges[0].target", "DANGLING_EDGE", "loop"),
        ])
    );
    assert!(
        status
            .unwrap_err()
            .message()
            .contains("a body needs a node")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_read_only_inside_of_a_loop() {
    let server = TestServer::start().await;
    let outside = flow_with_ends("f")
        .node(
            "t",
            "transform",
            json!({"source": "{{ item.x }} {{ index + 1 }}"}),
        )
        .edge("start", "t")
        .edge("t", "end")
        .build();
    let own =
        json!({"operation": "cel", "source": [1], "expression": "source.all(item, item > 0)"});
    let bound = flow_with_ends("f")
        .node("t", "transform", own)
        .edge("start", "t")
        .edge("t", "end")
        .build();

    let outside = validated(&server, outside).await;
    let bound = validated(&server, bound).await;

    assert_eq!(told(&outside), [("flow.nodes[2].data", "NOT_IN_LOOP", "t")]);
    assert_eq!(told(&bound), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_nest_four_deep_and_their_nodes_count() {
    let server = TestServer::start().await;
    let nested = |depth: usize| {
        let leaf = json!({"nodes": [{"id": "leaf", "type": "transform", "data": {"source": "{{ item }}"}}]});
        (1..depth).fold(leaf, |body, level| {
            json!({"nodes": [{"id": format!("l{level}"), "type": "for_each", "data": { "body": body }}]})
        })
    };
    let many: Vec<_> = (0..997)
        .map(|n| json!({"id": format!("n{n}"), "type": "transform"}))
        .collect();

    let four = create(&server, looping("four", nested(4))).await;
    let five = validated(&server, looping("five", nested(5))).await;
    let many = validated(&server, looping("many", json!({ "nodes": many }))).await;

    assert_eq!(get(&server, "four", 0).await.unwrap(), four.unwrap());
    assert_eq!(five.violations.len(), 1);
    assert_eq!(five.violations[0].reason, "LOOPS_TOO_DEEP");
    assert_eq!(
        told(&many),
        [("flow.nodes[3].data.body.nodes", "TOO_MANY_NODES", "loop")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_a_flow_and_needs_no_id_of_its_own() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("f")
        .node(
            "flow",
            "for_each",
            json!({"body": "another-flow", "revision": 2}),
        )
        .node("again", "for_each", json!({"body": "another-flow"}))
        .edge("start", "flow")
        .edge("flow", "again")
        .edge("again", "end")
        .build();

    let answer = validated(&server, flow).await;

    assert_eq!(told(&answer), []);
}
