//! ListFlows and ListFlowRevisions.

use prost_types::Timestamp;
use serde_json::json;
use synapps::proto::{
    FlowOrder, FlowSummary, ListFlowRevisionsRequest, ListFlowsRequest, RunState,
};
use tonic::Code;

use super::{create, list, smallest, update};
use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::flows::chain;
use crate::support::server::TestServer;

fn ids(flows: &[FlowSummary]) -> Vec<&str> {
    flows.iter().map(|flow| flow.id.as_str()).collect()
}

/// All pages of a list: how many flows each has, and all of them.
async fn pages(server: &Calls, mut request: ListFlowsRequest) -> (Vec<usize>, Vec<FlowSummary>) {
    let (mut sizes, mut all) = (Vec::new(), Vec::new());
    loop {
        let page = list(server, request.clone()).await.unwrap();
        sizes.push(page.flows.len());
        all.extend(page.flows);
        if page.next_page_token.is_empty() {
            return (sizes, all);
        }
        request.page_token = page.next_page_token;
    }
}

/// Saves flows `f0`, `f1` … one after the other.
async fn save(server: &Calls, count: usize) -> Vec<String> {
    let mut saved = Vec::new();
    for number in 0..count {
        saved.push(server.save(smallest(&format!("f{number}"))).await.id);
    }
    saved
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_bring_every_flow_once_and_the_newest_first() {
    let server = TestServer::start().await;
    let mut saved = save(&server, 11).await;
    saved.reverse();
    let of = |page_size, order: FlowOrder| ListFlowsRequest {
        page_size,
        order: order.into(),
        ..ListFlowsRequest::default()
    };

    let (sizes, all) = pages(&server, of(3, FlowOrder::Unspecified)).await;
    let (single, whole) = pages(&server, of(5_000, FlowOrder::CreateTimeDesc)).await;
    let (exact, _) = pages(&server, of(11, FlowOrder::CreateTimeDesc)).await;
    let (_, oldest) = pages(&server, of(2, FlowOrder::CreateTimeAsc)).await;

    assert_eq!(sizes, [3, 3, 3, 2]);
    assert_eq!(ids(&all), saved);
    assert_eq!((single, &whole), (vec![11], &all));
    assert_eq!(exact, [11]);
    let mut reversed = ids(&oldest);
    reversed.reverse();
    assert_eq!(reversed, saved);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_thousand_flows_take_two_of_the_largest_pages() {
    let server = TestServer::start().await;
    server.save(smallest("f")).await;
    let sql = server.sql().await;
    // As many as would take a minute to save, all created at the same time.
    let copies = "
        INSERT INTO flows (namespace, flow_id, name, description, labels, latest_revision, version)
            SELECT namespace, 'copy-' || n, name, description, labels, 1, 1 FROM flows, generate_series(1, 1003) n;
        INSERT INTO flow_revisions (namespace, flow_key, revision, content_hash, node_count, edge_count)
            SELECT f.namespace, f.flow_key, 1, r.content_hash, r.node_count, r.edge_count
            FROM flows f, flow_revisions r WHERE f.flow_id LIKE 'copy-%'";
    sql.batch_execute(copies).await.unwrap();
    let request = ListFlowsRequest {
        page_size: i32::MAX,
        ..ListFlowsRequest::default()
    };

    let (sizes, mut all) = pages(&server, request).await;
    let (default, _) = pages(&server, ListFlowsRequest::default()).await;

    assert_eq!(sizes, [1_000, 4]);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all.dedup_by(|a, b| a.id == b.id);
    assert_eq!(all.len(), 1_004);
    assert_eq!(default[0], 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_was_changed_last_comes_first_where_that_is_asked_for() {
    let server = TestServer::start().await;
    save(&server, 4).await;
    let mut renamed = smallest("f1");
    renamed.name = "another".to_owned();
    update(&server, renamed, "").await.unwrap();
    let request = ListFlowsRequest {
        page_size: 2,
        order: FlowOrder::UpdateTimeDesc.into(),
        ..ListFlowsRequest::default()
    };

    let (_, all) = pages(&server, request).await;

    assert_eq!(ids(&all), ["f1", "f3", "f2", "f0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_counts_and_the_last_run() {
    let server = TestServer::start().await;
    let steps = [
        (
            "a",
            "transform",
            json!({"operation": "template", "template": "{{ input.x }}"}),
        ),
        (
            "b",
            "transform",
            json!({"operation": "template", "template": "x"}),
        ),
    ];
    let saved = server.save(chain("f", &steps)).await;
    let first = server.start("f", &json!({"x": 1})).await;
    server.finished_run(&first).await;
    let last = server.start("f", &json!({})).await;
    server.finished_run(&last).await;

    let listed = list(&server, ListFlowsRequest::default()).await.unwrap();

    let flow = &listed.flows[0];
    assert_eq!((flow.node_count, flow.edge_count, flow.revision), (4, 3, 1));
    assert_eq!(
        (&flow.etag, &flow.content_hash),
        (&saved.etag, &saved.content_hash)
    );
    assert_eq!(flow.last_run_id, last);
    assert_eq!(flow.last_run_state(), RunState::Failed);
    assert!(flow.last_run_create_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_flows_that_satisfy_every_filter_are_listed() {
    let server = TestServer::start().await;
    let mut times: Vec<Option<Timestamp>> = Vec::new();
    for (id, labels) in [
        ("none", vec![]),
        ("a", vec![("team", "a")]),
        ("ab", vec![("team", "a"), ("env", "b")]),
        ("other", vec![("team", "b")]),
    ] {
        let mut flow = smallest(id);
        let labels = labels
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        flow.labels = labels.collect();
        times.push(create(&server, flow).await.unwrap().create_time);
    }
    let with = |labels: &[(&str, &str)]| ListFlowsRequest {
        page_size: 1,
        labels: labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        ..ListFlowsRequest::default()
    };

    let (_, team) = pages(&server, with(&[("team", "a")])).await;
    let (_, both) = pages(&server, with(&[("team", "a"), ("env", "b")])).await;
    let (_, nobody) = pages(&server, with(&[("team", "")])).await;
    let between = ListFlowsRequest {
        created_after: times[1],
        created_before: times[3],
        ..with(&[])
    };
    let (_, between) = pages(&server, between).await;
    let team_later = ListFlowsRequest {
        created_after: times[2],
        ..with(&[("team", "a")])
    };
    let (_, team_later) = pages(&server, team_later).await;

    assert_eq!(ids(&team), ["ab", "a"]);
    assert_eq!(ids(&both), ["ab"]);
    assert!(nobody.is_empty());
    assert_eq!(ids(&between), ["ab", "a"]);
    assert_eq!(ids(&team_later), ["ab"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_forged_page_tokens_are_refused() {
    let server = TestServer::start().await;
    save(&server, 3).await;
    for text in ["one", "two", "three"] {
        let step = json!({"operation": "template", "template": text});
        update(&server, chain("f0", &[("x", "transform", step)]), "")
            .await
            .unwrap();
    }
    let page = |page_size, page_token: &str| ListFlowsRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..ListFlowsRequest::default()
    };
    let revisions = |flow_id: &str, page_token: &str| ListFlowRevisionsRequest {
        flow_id: flow_id.to_owned(),
        page_size: 1,
        page_token: page_token.to_owned(),
    };
    let token = list(&server, page(1, "")).await.unwrap().next_page_token;
    let foreign = server
        .flows()
        .list_flow_revisions(revisions("f0", ""))
        .await;
    let foreign = foreign.unwrap().into_inner().next_page_token;

    let mut refused = Vec::new();
    for bad in ["x", "!!!", "\0", &token[1..], &foreign, &"A".repeat(10_000)] {
        refused.push(list(&server, page(1, bad)).await.unwrap_err());
    }
    let other_order = ListFlowsRequest {
        order: FlowOrder::CreateTimeAsc.into(),
        ..page(1, &token)
    };
    refused.push(list(&server, other_order).await.unwrap_err());
    let other_filter = ListFlowsRequest {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..page(1, &token)
    };
    refused.push(list(&server, other_filter).await.unwrap_err());
    for other in [revisions("f1", &foreign), revisions("f0", &token)] {
        refused.push(server.flows().list_flow_revisions(other).await.unwrap_err());
    }
    let larger = list(&server, page(2, &token)).await.unwrap();

    for refused in refused {
        assert_error(&refused, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        assert_eq!(violated_fields(&refused), ["page_token"]);
    }
    assert_eq!(ids(&larger.flows), ["f1", "f0"], "the page size may change");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_list_is_told_at_once() {
    let server = TestServer::start().await;
    let request = ListFlowsRequest {
        page_size: -1,
        page_token: "?".to_owned(),
        labels: [("no key\0".to_owned(), "v".to_owned())].into(),
        created_after: Some(Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        created_before: Some(Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        order: 99,
    };

    let refused = list(&server, request).await.unwrap_err();
    let revisions = ListFlowRevisionsRequest {
        page_size: i32::MIN,
        ..ListFlowRevisionsRequest::default()
    };
    let revisions = server
        .flows()
        .list_flow_revisions(revisions)
        .await
        .unwrap_err();

    assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    let mut fields = violated_fields(&refused);
    fields.sort();
    assert_eq!(
        fields,
        [
            "created_after",
            "created_before",
            "labels[no key\\0]",
            "order",
            "page_size",
            "page_token"
        ]
    );
    assert_error(&revisions, Code::InvalidArgument, "INVALID_REQUEST");
    let mut fields = violated_fields(&revisions);
    fields.sort();
    assert_eq!(fields, ["flow_id", "page_size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_are_listed_newest_first_over_all_pages() {
    let server = TestServer::start().await;
    create(&server, smallest("f")).await.unwrap();
    for number in 0..6 {
        let step = json!({"operation": "template", "template": format!("{number}")});
        update(&server, chain("f", &[("x", "transform", step)]), "")
            .await
            .unwrap();
    }
    let mut request = ListFlowRevisionsRequest {
        flow_id: "f".to_owned(),
        page_size: 2,
        page_token: String::new(),
    };

    let (mut sizes, mut all) = (Vec::new(), Vec::new());
    loop {
        let page = server.flows().list_flow_revisions(request.clone()).await;
        let page = page.unwrap().into_inner();
        sizes.push(page.revisions.len());
        all.extend(page.revisions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    request.flow_id = "missing".to_owned();
    request.page_token = String::new();
    let missing = server
        .flows()
        .list_flow_revisions(request)
        .await
        .unwrap_err();

    assert_eq!(sizes, [2, 2, 2, 1]);
    let numbers: Vec<i32> = all.iter().map(|one| one.revision).collect();
    assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!((all[0].node_count, all[0].edge_count), (3, 2));
    assert_eq!((all[6].node_count, all[6].edge_count), (2, 1));
    let latest = super::get(&server, "f", 0).await.unwrap();
    assert_eq!(all[0].content_hash, latest.content_hash);
    assert!(all[0].create_time.is_some());
    assert_error(&missing, Code::NotFound, "FLOW_NOT_FOUND");
}
