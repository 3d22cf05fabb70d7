//! UpdateFlow.

use serde_json::json;
use synapps::proto::{Flow, RunState, UpdateFlowRequest};
use tonic::{Code, Status};

use super::{as_sent, create, get, smallest, update, waiting};
use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::flows::chain;
use crate::support::server::TestServer;

fn greeting(id: &str, text: &str) -> Flow {
    let config = json!({"operation": "template", "template": text});
    chain(id, &[("greet", "transform", config)])
}

async fn send(server: &Calls, request: UpdateFlowRequest) -> Result<Flow, Status> {
    let answer = server.flows().update_flow(request).await?;
    Ok(answer.into_inner().flow.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_graph_is_a_new_revision_and_the_old_one_stays() {
    let server = TestServer::start().await;
    let first = create(&server, greeting("f", "one")).await.unwrap();

    let second = update(&server, greeting("f", "two"), "").await.unwrap();

    assert_eq!(second.revision, 2);
    assert_ne!(second.content_hash, first.content_hash);
    assert_ne!(second.etag, first.etag);
    assert_eq!(second.create_time, first.create_time);
    assert_eq!(get(&server, "f", 0).await.unwrap(), second);
    let old = get(&server, "f", 1).await.unwrap();
    assert_eq!(old.nodes, first.nodes);
    assert_eq!((old.revision, &old.content_hash), (1, &first.content_hash));
    assert_eq!(
        old.etag, second.etag,
        "an etag is of the flow, not of a revision"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_is_no_new_revision_but_a_new_etag() {
    let server = TestServer::start().await;
    let first = create(&server, smallest("f")).await.unwrap();
    let mut renamed = smallest("f");
    renamed.name = "another".to_owned();
    renamed.labels.insert("k".to_owned(), "v".to_owned());

    let second = update(&server, renamed.clone(), &first.etag).await.unwrap();

    assert_eq!(
        (second.revision, &second.content_hash),
        (1, &first.content_hash)
    );
    assert_ne!(second.etag, first.etag);
    assert_ne!(second.update_time, first.update_time);
    let read = get(&server, "f", 0).await.unwrap();
    assert_eq!(read, second);
    assert_eq!((read.name, read.labels), (renamed.name, renamed.labels));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_flow_again_changes_nothing() {
    let server = TestServer::start().await;
    let first = create(&server, greeting("f", "one")).await.unwrap();

    let again = update(&server, greeting("f", "one"), "").await.unwrap();

    assert_eq!(again, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_was_there_before_is_a_revision_of_its_own() {
    let server = TestServer::start().await;
    let first = create(&server, greeting("f", "one")).await.unwrap();
    update(&server, greeting("f", "two"), "").await.unwrap();

    let third = update(&server, greeting("f", "one"), "").await.unwrap();

    assert_eq!(
        (third.revision, third.content_hash),
        (3, first.content_hash)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_etag_is_refused_and_nothing_is_written() {
    let server = TestServer::start().await;
    let first = create(&server, greeting("f", "one")).await.unwrap();
    let second = update(&server, greeting("f", "two"), &first.etag)
        .await
        .unwrap();

    let refused = update(&server, greeting("f", "three"), &first.etag)
        .await
        .unwrap_err();
    let tried = send(
        &server,
        UpdateFlowRequest {
            flow: Some(greeting("f", "three")),
            etag: first.etag.clone(),
            validate_only: true,
            ..UpdateFlowRequest::default()
        },
    );
    let tried = tried.await.unwrap_err();
    let odd = update(&server, greeting("f", "three"), &"\0".repeat(5_000))
        .await
        .unwrap_err();

    for refused in [refused, tried, odd] {
        assert_error(&refused, Code::Aborted, "ETAG_MISMATCH");
        assert_eq!(metadata(&refused, "etag"), second.etag);
    }
    assert_eq!(get(&server, "f", 0).await.unwrap(), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_have_read_the_same_etag_one_writes() {
    let server = TestServer::start().await;
    let first = create(&server, greeting("f", "one")).await.unwrap();

    let texts = ["a", "b", "c", "d", "e", "f"];
    let all = texts.map(|text| update(&server, greeting("f", text), &first.etag));
    let results = futures_util::future::join_all(all).await;

    let (written, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(written.len(), 1);
    for refused in refused {
        assert_error(&refused.unwrap_err(), Code::Aborted, "ETAG_MISMATCH");
    }
    assert_eq!(get(&server, "f", 0).await.unwrap().revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_write_without_an_etag_leave_no_gap() {
    let server = TestServer::start().await;
    create(&server, greeting("f", "one")).await.unwrap();

    let texts = ["a", "b", "c", "d", "e", "f"];
    let all = texts.map(|text| update(&server, greeting("f", text), ""));
    let results = futures_util::future::join_all(all).await;

    let mut revisions: Vec<i32> = results
        .into_iter()
        .map(|flow| flow.unwrap().revision)
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [2, 3, 4, 5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_flow_is_created_only_where_that_is_allowed() {
    let server = TestServer::start().await;
    let allowed = |etag: &str, validate_only| UpdateFlowRequest {
        flow: Some(smallest("new")),
        etag: etag.to_owned(),
        allow_missing: true,
        validate_only,
    };

    let refused = update(&server, smallest("new"), "").await.unwrap_err();
    let read_before = send(&server, allowed("some", false)).await.unwrap_err();
    let tried = send(&server, allowed("", true)).await.unwrap();
    let still_missing = get(&server, "new", 0).await.unwrap_err();
    let created = send(&server, allowed("", false)).await.unwrap();
    let again = send(&server, allowed("", false)).await.unwrap();

    for missing in [refused, read_before, still_missing] {
        assert_error(&missing, Code::NotFound, "FLOW_NOT_FOUND");
    }
    assert_eq!((tried.revision, tried.create_time), (1, None));
    assert_eq!(created.revision, 1);
    assert_eq!(again, created);
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_tells_the_revision_that_would_be_and_stores_nothing() {
    let server = TestServer::start().await;
    let first = create(&server, greeting("f", "one")).await.unwrap();
    let tried = |flow| UpdateFlowRequest {
        flow: Some(flow),
        validate_only: true,
        ..UpdateFlowRequest::default()
    };

    let same = send(&server, tried(greeting("f", "one"))).await.unwrap();
    let other = send(&server, tried(greeting("f", "two"))).await.unwrap();

    assert_eq!(same, first);
    assert_eq!(other.revision, 2);
    assert_eq!(as_sent(&other).edges, first.edges);
    assert_eq!(get(&server, "f", 0).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_needs_an_id_and_a_valid_graph() {
    let server = TestServer::start().await;
    let first = create(&server, smallest("f")).await.unwrap();
    let mut broken = smallest("");
    broken.edges[0].target = "nowhere".to_owned();

    let refused = update(&server, broken.clone(), "").await.unwrap_err();
    broken.id = "f".to_owned();
    let known = update(&server, broken, "").await.unwrap_err();
    let nothing = send(&server, UpdateFlowRequest::default())
        .await
        .unwrap_err();

    assert_error(&refused, Code::InvalidArgument, "INVALID_FLOW");
    let fields = violated_fields(&refused);
    assert!(fields.contains(&"flow.id".to_owned()), "{fields:?}");
    assert!(
        fields.contains(&"flow.edges[0].target".to_owned()),
        "{fields:?}"
    );
    assert_error(&known, Code::InvalidArgument, "INVALID_FLOW");
    assert_eq!(violated_fields(&nothing), ["flow"]);
    assert_eq!(get(&server, "f", 0).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_run_goes_on_with_the_revision_it_has() {
    let server = TestServer::start().await;
    let run_id = server.save_and_start(waiting("f"), &json!({})).await;
    server.run_in_state(&run_id, RunState::Waiting).await;

    update(&server, greeting("f", "two"), "").await.unwrap();
    let after = server.start("f", &json!({})).await;

    assert_eq!(server.get(&run_id).await.revision, 1);
    assert_eq!(server.get(&run_id).await.state(), RunState::Waiting);
    let run = server.finished_run(&after).await;
    assert_eq!((run.revision, run.state()), (2, RunState::Succeeded));
}
