//! `CreateFlow` and `GetFlow`.

use prost_types::Duration;
use serde_json::json;
use synapps::proto::{ConflictAction, Effect, Flow, FlowPolicy, GetFlowRequest, Position};
use tonic::Code;
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{as_sent, create, get, smallest, try_create, update};
use crate::support::calls::{assert_error, metadata, violated_fields};
use crate::support::flows::flow_with_ends;
use crate::support::server::TestServer;

/// A flow with something in every field that a client can set.
fn full(id: &str) -> Flow {
    let schema =
        json!({"type": "object", "required": ["url"], "properties": {"n": {"minimum": 0.5}}});
    let policy = FlowPolicy {
        run_timeout: Some(Duration {
            seconds: 60,
            nanos: 5_000_000,
        }),
        max_open_runs: 3,
        concurrency_key: "{{ input.customer }}".to_owned(),
        on_conflict: ConflictAction::Reject.into(),
        max_parallel_steps: 7,
    };
    let config = json!({"method": "POST", "url": "{{ input.url }}", "headers": {"X-A": "{{ input.a }}"}, "query_params": {"π": [1, 0.5, null, true, "ü"]}});
    let mut flow = flow_with_ends(id)
        .node("call", "http_request", config)
        .with(|node| {
            node.position = Some(Position { x: -1.5, y: 1e6 });
            node.timeout = Some(Duration {
                seconds: 3,
                nanos: 0,
            });
            "Ask — 問う".clone_into(&mut node.display_name);
        })
        .effect(Effect::Idempotent)
        .edge("start", "call")
        .edge("call", "end")
        .input_schema(&schema)
        .policy(policy)
        .build();
    "A description\nin two lines".clone_into(&mut flow.description);
    flow.labels = [
        ("team".to_owned(), "a b".to_owned()),
        ("x/y.z_-".to_owned(), String::new()),
    ]
    .into();
    for node in &mut flow.nodes {
        node.position.get_or_insert_default();
    }
    let edge = &mut flow.edges[0];
    "the way".clone_into(&mut edge.id);
    "in".clone_into(&mut edge.target_handle);
    edge.animated = true;
    flow
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_read_back_as_it_was_sent() {
    let server = TestServer::start().await;
    let sent = full("full.flow_1-A");

    let created = create(&server, sent.clone()).await.unwrap();
    let read = get(&server, "full.flow_1-A", 0).await.unwrap();
    let first = get(&server, "full.flow_1-A", 1).await.unwrap();

    assert_eq!(as_sent(&created), sent);
    assert_eq!(read, created);
    assert_eq!(first, created);
    assert_eq!(created.revision, 1);
    assert_eq!(created.content_hash.len(), 64);
    assert!(!created.etag.is_empty());
    assert!(created.create_time.is_some());
    assert_eq!(created.create_time, created.update_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_can_be_sent_back_and_is_the_same_graph() {
    let server = TestServer::start().await;
    let created = create(&server, full("there-and-back")).await.unwrap();

    let again = update(&server, created.clone(), &created.etag)
        .await
        .unwrap();

    assert_eq!(again, created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_without_an_id_gets_a_uuid_each_time() {
    let server = TestServer::start().await;

    let first = create(&server, smallest("")).await.unwrap();
    let second = create(&server, smallest("")).await.unwrap();

    assert_eq!(Uuid::parse_str(&first.id).unwrap().get_version_num(), 7);
    assert_ne!(first.id, second.id);
    assert_eq!(get(&server, &first.id, 0).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_taken_is_refused_and_the_flow_under_it_stays() {
    let server = TestServer::start().await;
    let first = create(&server, smallest("taken")).await.unwrap();

    let refused = create(&server, full("taken")).await.unwrap_err();
    let tried = try_create(&server, full("taken")).await.unwrap_err();

    for refused in [refused, tried] {
        assert_error(&refused, Code::AlreadyExists, "FLOW_ALREADY_EXISTS");
        assert_eq!(metadata(&refused, "flowId"), "taken");
        let resource = refused.get_details_resource_info().unwrap();
        assert_eq!(
            (&*resource.resource_type, &*resource.resource_name),
            ("synapps.v1.Flow", "taken")
        );
    }
    assert_eq!(get(&server, "taken", 0).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_create_the_same_id_one_does() {
    let server = TestServer::start().await;

    let all = (0..8).map(|_| create(&server, smallest("race")));
    let results = futures_util::future::join_all(all).await;

    let (made, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refused in refused {
        assert_error(
            &refused.unwrap_err(),
            Code::AlreadyExists,
            "FLOW_ALREADY_EXISTS",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_stores_nothing() {
    let server = TestServer::start().await;

    let tried = try_create(&server, full("tried")).await.unwrap();
    let nameless = try_create(&server, smallest("")).await.unwrap();
    let missing = get(&server, "tried", 0).await.unwrap_err();
    let created = create(&server, full("tried")).await.unwrap();

    assert_error(&missing, Code::NotFound, "FLOW_NOT_FOUND");
    assert_eq!(nameless.id, "");
    assert_eq!(
        (tried.revision, &tried.content_hash),
        (1, &created.content_hash)
    );
    assert_eq!((tried.create_time, &*tried.etag), (None, ""));
    assert_eq!(as_sent(&tried), as_sent(&created));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_sets_is_ignored_in_requests() {
    let server = TestServer::start().await;
    let mut flow = smallest("mine");
    flow.revision = 77;
    flow.content_hash = "none\0".to_owned();
    flow.etag = "none".to_owned();
    flow.create_time = Some(prost_types::Timestamp {
        seconds: i64::MIN,
        nanos: -1,
    });

    let created = create(&server, flow).await.unwrap();

    assert_eq!(created.revision, 1);
    assert_eq!(created.content_hash.len(), 64);
    assert!(created.create_time.unwrap().seconds > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_of_every_text_is_taken() {
    let server = TestServer::start().await;
    let mut flow = smallest(&"i".repeat(200));
    flow.name = "ü".repeat(200);
    flow.description = "ü".repeat(4_000);
    for number in 0..32 {
        let key = format!("{number:0>63}");
        flow.labels.insert(key, "ü".repeat(255));
    }
    flow.nodes[0].display_name = "ü".repeat(200);
    flow.nodes[1].id = "n".repeat(200);
    flow.edges[0].target = "n".repeat(200);
    flow.edges[0].id = "e".repeat(200);

    let created = create(&server, flow).await.unwrap();

    assert_eq!(get(&server, &created.id, 0).await.unwrap(), created);
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_and_revisions_that_are_not_there_are_told_so() {
    let server = TestServer::start().await;
    create(&server, smallest("here")).await.unwrap();

    let flow = get(&server, "nowhere", 0).await.unwrap_err();
    let revision = get(&server, "here", 2).await.unwrap_err();
    let negative = get(&server, "here", -1).await.unwrap_err();
    let nothing = server.flows().get_flow(GetFlowRequest::default()).await;
    let nothing = nothing.unwrap_err();

    assert_error(&flow, Code::NotFound, "FLOW_NOT_FOUND");
    assert_eq!(
        flow.get_details_resource_info().unwrap().resource_name,
        "nowhere"
    );
    assert_error(&revision, Code::NotFound, "REVISION_NOT_FOUND");
    assert_eq!(metadata(&revision, "latestRevision"), "1");
    assert_error(&negative, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violated_fields(&negative), ["revision"]);
    assert_error(&nothing, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violated_fields(&nothing), ["flow_id"]);
}
