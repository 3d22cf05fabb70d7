//! `ListRuns`, `ListRunEvents` and `ListSteps`: filters and pages.

use std::collections::{BTreeMap, HashSet};

use prost_types::Timestamp;
use serde_json::json;
use synapps::proto::{
    ListRunEventsRequest, ListRunsRequest, ListRunsResponse, ListStepsRequest, ListStepsResponse,
    Run, RunState, StartRunRequest, StepState,
};
use tonic::{Code, Status};

use super::{asking, greeting, request, start};
use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

async fn page(server: &Calls, request: ListRunsRequest) -> Result<ListRunsResponse, Status> {
    Ok(server.runs().list_runs(request).await?.into_inner())
}

async fn ids(server: &Calls, request: ListRunsRequest) -> Vec<String> {
    let page = page(server, request).await.unwrap();
    assert!(page.next_page_token.is_empty());
    page.runs.into_iter().map(|run| run.run_id).collect()
}

async fn steps(server: &Calls, request: ListStepsRequest) -> Result<ListStepsResponse, Status> {
    Ok(server.runs().list_steps(request).await?.into_inner())
}

/// Starts a run with this label.
async fn labelled(server: &Calls, flow_id: &str, labels: &[(&str, &str)]) -> Run {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let start_it = StartRunRequest {
        labels: labels.collect(),
        ..request(flow_id, &json!({ "name": "Ada" }))
    };
    start(server, start_it).await.unwrap().run.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_by_flow_state_labels_and_time_newest_first() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    bin.answer("/broken", Answer::status(500));
    server.save(greeting("greeting")).await;
    server.save(asking("slow", &bin, "/slow")).await;
    server.save(asking("broken", &bin, "/broken")).await;
    let one = labelled(&server, "greeting", &[("team", "a"), ("stage", "live")]).await;
    let two = labelled(&server, "greeting", &[("team", "b")]).await;
    let three = labelled(&server, "broken", &[("team", "a")]).await;
    let four = labelled(&server, "slow", &[]).await;
    for run in [&one, &two, &three] {
        server.finished_run(&run.run_id).await;
    }
    server.run_in_state(&four.run_id, RunState::Running).await;
    let [one_id, two_id, three_id, four_id] =
        [&one, &two, &three, &four].map(|run| run.run_id.clone());

    let all = ListRunsRequest::default();
    assert_eq!(
        ids(&server, all.clone()).await,
        [
            four_id.clone(),
            three_id.clone(),
            two_id.clone(),
            one_id.clone()
        ]
    );
    let of_flow = |flow_id: &str| ListRunsRequest {
        flow_id: flow_id.to_owned(),
        ..all.clone()
    };
    assert_eq!(
        ids(&server, of_flow("greeting")).await,
        [two_id.clone(), one_id.clone()]
    );
    assert!(ids(&server, of_flow("absent")).await.is_empty());
    let in_states = |states: &[RunState]| ListRunsRequest {
        states: states.iter().map(|state| (*state).into()).collect(),
        ..all.clone()
    };
    assert_eq!(
        ids(&server, in_states(&[RunState::Failed])).await,
        std::slice::from_ref(&three_id)
    );
    let open_or_failed = in_states(&[RunState::Failed, RunState::Running]);
    assert_eq!(
        ids(&server, open_or_failed).await,
        [four_id.clone(), three_id.clone()]
    );
    let marked = |labels: &[(&str, &str)]| ListRunsRequest {
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..all.clone()
    };
    assert_eq!(
        ids(&server, marked(&[("team", "a")])).await,
        [three_id.clone(), one_id.clone()]
    );
    assert_eq!(
        ids(&server, marked(&[("team", "a"), ("stage", "live")])).await,
        std::slice::from_ref(&one_id)
    );
    assert!(ids(&server, marked(&[("team", "c")])).await.is_empty());
    let between = ListRunsRequest {
        created_after: two.create_time,
        created_before: four.create_time,
        ..all.clone()
    };
    assert_eq!(ids(&server, between).await, [three_id.clone(), two_id]);
    let both = ListRunsRequest {
        flow_id: "broken".to_owned(),
        states: vec![RunState::Failed.into()],
        ..marked(&[("team", "a")])
    };
    assert_eq!(ids(&server, both).await, std::slice::from_ref(&three_id));

    let listed = page(&server, of_flow("broken"))
        .await
        .unwrap()
        .runs
        .remove(0);
    assert_eq!(
        listed,
        server
            .get_as(&three_id, synapps::proto::RunView::Basic)
            .await
    );
    assert_eq!(listed.error.unwrap().code, "HTTP_5XX");
    assert!(listed.input.is_none() && listed.results.is_empty() && listed.steps.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_runs_hold_each_run_once_whatever_their_size() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.insert(0, server.start("greeting", &json!({})).await);
    }

    for size in 1..=8 {
        let mut listed = Vec::new();
        let mut request = ListRunsRequest {
            page_size: size,
            ..ListRunsRequest::default()
        };
        loop {
            let page = page(&server, request.clone()).await.unwrap();
            assert!(page.runs.len() <= usize::try_from(size).unwrap());
            listed.extend(page.runs.into_iter().map(|run| run.run_id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(listed, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_with_its_filters_and_not_with_its_page_size() {
    let server = TestServer::start().await;
    server.save(greeting("greeting")).await;
    for _ in 0..3 {
        server.start("greeting", &json!({})).await;
    }
    let first = ListRunsRequest {
        page_size: 1,
        ..ListRunsRequest::default()
    };
    let token = page(&server, first).await.unwrap().next_page_token;

    let rest = ListRunsRequest {
        page_token: token.clone(),
        ..ListRunsRequest::default()
    };
    assert_eq!(page(&server, rest.clone()).await.unwrap().runs.len(), 2);
    let of_another_list = [
        ListRunsRequest {
            flow_id: "greeting".to_owned(),
            ..rest.clone()
        },
        ListRunsRequest {
            states: vec![RunState::Succeeded.into()],
            ..rest.clone()
        },
        ListRunsRequest {
            labels: BTreeMap::from([("a".into(), "b".into())]),
            ..rest.clone()
        },
        ListRunsRequest {
            created_after: Some(Timestamp::default()),
            ..rest
        },
        ListRunsRequest {
            page_token: format!("{token}x"),
            ..ListRunsRequest::default()
        },
    ];
    for request in of_another_list {
        let error = page(&server, request).await.unwrap_err();
        assert_error(&error, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
    }
    let wrong = ListRunsRequest {
        page_size: -1,
        states: vec![RunState::Unspecified.into(), 99],
        flow_id: "no id!".to_owned(),
        created_after: Some(Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..ListRunsRequest::default()
    };
    let error = page(&server, wrong).await.unwrap_err();
    let fields: HashSet<_> = violated_fields(&error).into_iter().collect();
    let expected = [
        "page_size",
        "states[0]",
        "states[1]",
        "flow_id",
        "created_after",
    ];
    assert_eq!(fields, expected.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_events_hold_each_event_once_from_where_they_should() {
    let server = TestServer::start().await;
    let run_id = server
        .save_and_start(greeting("greeting"), &json!({ "name": "Ada" }))
        .await;
    server.finished_run(&run_id).await;
    let all = server.events_after(&run_id, 0).await;
    let last = i64::try_from(all.len()).unwrap();

    for after_sequence in 0..=last {
        let mut listed = Vec::new();
        let mut request = ListRunEventsRequest {
            run_id: run_id.clone(),
            after_sequence,
            page_size: 2,
            include_payloads: true,
            ..ListRunEventsRequest::default()
        };
        loop {
            let page = server
                .runs()
                .list_run_events(request.clone())
                .await
                .unwrap()
                .into_inner();
            assert!(page.events.len() <= 2);
            listed.extend(page.events);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(listed, all[usize::try_from(after_sequence).unwrap()..]);
    }
    let beyond = ListRunEventsRequest {
        run_id,
        after_sequence: last + 1,
        ..ListRunEventsRequest::default()
    };
    let error = server.runs().list_run_events(beyond).await.unwrap_err();
    assert_error(&error, Code::OutOfRange, "SEQUENCE_BEYOND_END");
    assert_eq!(metadata(&error, "lastSequence"), last.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_listed_in_the_order_of_nodes_with_their_attempts_and_times() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let flow = flow_with_ends("flow")
        .node("if", "if_else", json!({ "source": 1, "value": 1 }))
        .node("get", "http_request", json!({ "url": bin.url("/x") }))
        .node("other", "transform", json!({}))
        .edge("start", "if")
        .edge_from("if", "true", "get")
        .edge_from("if", "false", "other")
        .edge("get", "end")
        .edge("other", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.finished_run(&run_id).await;

    let request = ListStepsRequest {
        run_id,
        ..ListStepsRequest::default()
    };
    let all = steps(&server, request.clone()).await.unwrap().steps;
    let ids: Vec<_> = all.iter().map(|step| step.node_id.as_str()).collect();
    assert_eq!(ids, ["start", "end", "if", "get", "other"]);
    let get = &all[3];
    assert_eq!(
        (get.state(), get.attempt, get.applet.as_str()),
        (StepState::Succeeded, 1, "http_request")
    );
    assert_eq!(get.step_path, "get");
    let [attempt] = &*get.attempts else {
        panic!("one attempt: {get:?}");
    };
    assert_eq!((attempt.number, attempt.state()), (1, StepState::Succeeded));
    assert_eq!(
        (attempt.start_time, attempt.end_time),
        (get.start_time, get.end_time)
    );
    assert!(get.start_time.is_some() && get.duration.is_some() && get.output.is_some());
    assert_eq!(all[2].ports, ["true"]);
    let skipped = &all[4];
    assert_eq!((skipped.state(), skipped.attempt), (StepState::Skipped, 0));
    assert!(skipped.start_time.is_none() && skipped.attempts.is_empty());

    let mut paged = Vec::new();
    let mut next = ListStepsRequest {
        page_size: 2,
        ..request.clone()
    };
    loop {
        let page = steps(&server, next.clone()).await.unwrap();
        assert!(page.steps.len() <= 2);
        paged.extend(page.steps);
        if page.next_page_token.is_empty() {
            break;
        }
        next.page_token = page.next_page_token;
    }
    assert_eq!(paged, all);

    let only = ListStepsRequest {
        states: vec![StepState::Skipped.into()],
        ..request.clone()
    };
    assert_eq!(steps(&server, only.clone()).await.unwrap().steps, all[4..]);
    let inside = ListStepsRequest {
        parent_path: "get".to_owned(),
        ..request
    };
    assert!(steps(&server, inside).await.unwrap().steps.is_empty());
    let foreign = ListStepsRequest {
        page_token: next.page_token,
        ..only
    };
    let error = steps(&server, foreign).await.unwrap_err();
    assert_error(&error, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
}
