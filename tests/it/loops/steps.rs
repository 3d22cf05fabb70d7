//! `ListSteps` inside of loops: by path, by state, page by page.

use serde_json::json;
use synapps::proto::{ListStepsRequest, StepState};

use super::{expression, looping, paths, run};
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;

fn request(run_id: &str, parent_path: &str) -> ListStepsRequest {
    ListStepsRequest {
        run_id: run_id.to_owned(),
        parent_path: parent_path.to_owned(),
        ..ListStepsRequest::default()
    }
}

/// A loop of two steps an item, of which `/3` and `/7` fail.
async fn some_failed(server: &TestServer) -> String {
    let bin = HttpBin::start().await;
    for path in ["/3", "/7"] {
        bin.answer(path, Answer::status(404));
    }
    let config = json!({
        "array_source": (0..10).collect::<Vec<_>>(),
        "on_item_error": "skip",
        "body": {
            "nodes": [
                {"id": "get", "type": "http_request", "data": {"url": bin.url("/{{ index }}")}},
                {"id": "path", "type": "transform", "data": expression("content.data.path")},
            ],
            "edges": [{"source": "get", "target": "path"}],
        },
    });
    run(server, looping("some", config), json!({})).await.run_id
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_items_come_in_order_page_by_page() {
    let server = TestServer::start().await;
    let run_id = some_failed(&server).await;
    let expected: Vec<String> = (0..10)
        .flat_map(|n| [format!("loop[{n}]/get"), format!("loop[{n}]/path")])
        .collect();

    let whole = server.steps(&run_id, "loop").await;
    let mut pages = Vec::new();
    let mut next = ListStepsRequest {
        page_size: 7,
        ..request(&run_id, "loop")
    };
    loop {
        let page = server.runs().list_steps(next.clone()).await;
        let page = page.unwrap().into_inner();
        assert!(page.steps.len() <= 7);
        pages.extend(page.steps);
        if page.next_page_token.is_empty() {
            break;
        }
        next.page_token = page.next_page_token;
    }

    assert_eq!(paths(&whole), expected);
    assert_eq!(pages, whole);
    assert!(
        whole
            .iter()
            .all(|step| step.node_id == "get" || step.node_id == "path")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_items_are_found_by_their_states() {
    let server = TestServer::start().await;
    let run_id = some_failed(&server).await;

    let failed = ListStepsRequest {
        states: vec![StepState::Failed.into()],
        ..request(&run_id, "loop")
    };
    let failed = server.runs().list_steps(failed).await.unwrap().into_inner();
    let paged = ListStepsRequest {
        states: vec![StepState::Succeeded.into()],
        page_size: 5,
        ..request(&run_id, "loop")
    };
    let first = server.runs().list_steps(paged.clone()).await.unwrap();
    let first = first.into_inner();
    let second = ListStepsRequest {
        page_token: first.next_page_token.clone(),
        ..paged
    };
    let second = server.runs().list_steps(second).await.unwrap().into_inner();

    assert_eq!(paths(&failed.steps), ["loop[3]/get", "loop[7]/get"]);
    let error = failed.steps[1].error.as_ref().unwrap();
    assert_eq!(
        (&*error.code, &*error.step_path),
        ("HTTP_4XX", "loop[7]/get")
    );
    assert_eq!(
        paths(&first.steps),
        [
            "loop[0]/get",
            "loop[0]/path",
            "loop[1]/get",
            "loop[1]/path",
            "loop[2]/get"
        ]
    );
    assert_eq!(
        paths(&second.steps),
        [
            "loop[2]/path",
            "loop[4]/get",
            "loop[4]/path",
            "loop[5]/get",
            "loop[5]/path"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_item_is_seen_by_its_number() {
    let server = TestServer::start().await;
    let run_id = some_failed(&server).await;

    let item = server.steps(&run_id, "loop[7]").await;
    let top = server.steps(&run_id, "").await;

    assert_eq!(paths(&item), ["loop[7]/get", "loop[7]/path"]);
    assert_eq!(item[0].state(), StepState::Failed);
    assert_ne!(item[1].state(), StepState::Succeeded);
    assert_eq!(paths(&top), ["start", "end", "loop"]);
    for nothing in [
        "loop[10]",
        "loop[",
        "loop[-1]",
        "loop[99999999999]",
        "end",
        "no[1]",
    ] {
        assert_eq!(server.steps(&run_id, nothing).await, [], "{nothing}");
    }
}
