//! ValidateFlow.

use prost_types::Duration;
use serde_json::json;
use synapps::proto::{Flow, FlowPolicy, ValidateFlowRequest, ValidateFlowResponse};
use tonic::Code;

use super::smallest;
use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::flows::{flow, flow_with_ends};
use crate::support::server::TestServer;

async fn validated(server: &Calls, flow: Flow) -> ValidateFlowResponse {
    let request = ValidateFlowRequest { flow: Some(flow) };
    let answer = server.flows().validate_flow(request).await;
    answer.unwrap().into_inner()
}

fn layers(answer: &ValidateFlowResponse) -> Vec<Vec<&str>> {
    let layers = answer.layers.iter();
    layers
        .map(|layer| layer.node_ids.iter().map(String::as_str).collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_flow_is_told_with_its_layers_and_hosts_and_not_stored() {
    let server = TestServer::start().await;
    let get = |url: &str| json!({"method": "GET", "url": url});
    let flow = flow_with_ends("shape")
        .node(
            "b",
            "http_request",
            get("https://b.example.org:8443/{{ input.x }}"),
        )
        .node("a", "http_request", get("http://a.example.org/x"))
        .node("open", "http_request", get("{{ input.url }}"))
        .node("all", "merge", json!({}))
        .edge("start", "b")
        .edge("start", "a")
        .edge("a", "open")
        .edge("a", "all")
        .edge("b", "all")
        .edge("open", "all")
        .edge("all", "end")
        .build();

    let answer = validated(&server, flow).await;

    assert_eq!(answer.violations, []);
    assert_eq!(
        layers(&answer),
        [
            vec!["start"],
            vec!["b", "a"],
            vec!["open"],
            vec!["all"],
            vec!["end"]
        ]
    );
    assert_eq!(answer.hosts, ["a.example.org", "b.example.org:8443"]);
    assert_eq!(answer.secrets, Vec::<String>::new());
    let missing = super::get(&server, "shape", 0).await.unwrap_err();
    assert_error(&missing, Code::NotFound, "FLOW_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_nothing_leads_to_are_named() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("f")
        .node("island", "merge", json!({}))
        .node("after", "merge", json!({}))
        .edge("start", "end")
        .edge("island", "after")
        .build();

    let answer = validated(&server, flow).await;

    assert_eq!(answer.unreachable_node_ids, ["island", "after"]);
    let found: Vec<_> = answer
        .violations
        .iter()
        .map(|one| (&*one.reason, &*one.field, &*one.node_id))
        .collect();
    assert_eq!(
        found,
        [
            ("UNREACHABLE_NODE", "flow.nodes[2]", "island"),
            ("UNREACHABLE_NODE", "flow.nodes[3]", "after"),
        ]
    );
    assert_eq!(layers(&answer).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_but_doubtful_is_a_warning() {
    let server = TestServer::start().await;
    let seconds = |seconds| Some(Duration { seconds, nanos: 0 });
    let policy = FlowPolicy {
        run_timeout: seconds(10),
        ..FlowPolicy::default()
    };
    let flow = flow_with_ends("f")
        .node("m", "merge", json!({}))
        .with(|node| node.timeout = seconds(20))
        .edge("start", "m")
        .edge("start", "m")
        .edge("start", "end")
        .edge("end", "m")
        .policy(policy)
        .build();

    let answer = validated(&server, flow).await;

    assert_eq!(answer.violations, []);
    let mut found: Vec<_> = answer
        .warnings
        .iter()
        .map(|one| (&*one.reason, &*one.field, &*one.node_id))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("DUPLICATE_EDGE", "flow.edges[1]", ""),
            ("END_NOT_LAST", "flow.nodes[1]", "end"),
            ("TIMEOUT_ABOVE_RUN_TIMEOUT", "flow.nodes[2].timeout", "m"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_with_a_cycle_or_a_loose_edge_has_no_layers() {
    let server = TestServer::start().await;
    let cycle = flow("f")
        .node("a", "merge", json!({}))
        .node("b", "merge", json!({}))
        .edge("a", "b")
        .edge("b", "a")
        .build();
    let mut loose = smallest("f");
    loose.edges[0].target = "nowhere".to_owned();

    let cycle = validated(&server, cycle).await;
    let loose = validated(&server, loose).await;

    assert_eq!(cycle.layers, []);
    assert_eq!(cycle.violations.len(), 1);
    assert_eq!(cycle.violations[0].reason, "CYCLE");
    assert_eq!(cycle.violations[0].field, "flow.edges[1]");
    assert!(cycle.violations[0].description.contains("a -> b -> a"));
    assert_eq!(loose.layers, []);
    let mut found = loose
        .violations
        .iter()
        .map(|one| (&*one.reason, &*one.field));
    assert!(
        found.any(|one| one == ("DANGLING_EDGE", "flow.edges[0].target")),
        "{:?}",
        loose.violations
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_be_absent_or_taken_but_a_flow_is_needed() {
    let server = TestServer::start().await;
    server.save(smallest("taken")).await;

    let taken = validated(&server, smallest("taken")).await;
    let absent = validated(&server, smallest("")).await;
    let request = ValidateFlowRequest { flow: None };
    let nothing = server.flows().validate_flow(request).await.unwrap_err();

    assert_eq!(taken.violations, []);
    assert_eq!(absent.violations, []);
    assert_error(&nothing, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violated_fields(&nothing), ["flow"]);
}
