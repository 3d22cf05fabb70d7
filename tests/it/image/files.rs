//! The examples that draw, and images that move on to other runs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use synapps::proto::{DeleteRunRequest, ForkRunRequest, ImportFlowRequest, RunState};

use super::painter::{PNG, Painter, Reply, within};
use super::{content, server};
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::wire;

/// A painter that draws the same whatever it is asked, as each provider does.
async fn painter() -> Painter {
    Painter::start(|seen, _| {
        if seen.line.ends_with("text-to-image") {
            let drawn =
                json!({"base64": STANDARD.encode(PNG), "finishReason": "SUCCESS", "seed": 1});
            Reply::json(&json!({"artifacts": [drawn]}))
        } else {
            within(PNG)
        }
    })
    .await
}

async fn import(server: &TestServer, document: &str) {
    let request = ImportFlowRequest {
        document: document.to_owned(),
        ..ImportFlowRequest::default()
    };
    let imported = server.flows().import_flow(request).await.unwrap();
    assert_eq!(imported.into_inner().warnings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_draw_what_they_say() {
    let painter = painter().await;
    let server = server(&painter).await;
    import(&server, include_str!("../../../examples/image.json")).await;
    import(&server, include_str!("../../../examples/image-artist.json")).await;

    for (id, input) in [
        ("image", json!({"place": "Lisbon"})),
        ("image-artist", json!("a fox")),
    ] {
        let run_id = server.start(id, &input).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
        let output = wire::json(run.output.as_ref());
        assert_eq!(content(&server, &run, &output["image"]).await, PNG);
    }

    let asked: Vec<Value> = painter.seen().into_iter().map(|seen| seen.body).collect();
    assert!(asked[0].to_string().contains("A postcard from Lisbon"));
    assert!(asked[1].to_string().contains("digital art"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_along_with_its_value_into_parents_children_and_forks() {
    let painter = painter().await;
    let server = server(&painter).await;
    server
        .save(chain("draws", &[("draw", "image", json!({}))]))
        .await;
    server.save(chain("passes", &[])).await;
    let calls = |flow: &str| json!({"flow_id": flow, "input": "{{ content }}"});
    let outer = chain(
        "outer",
        &[
            ("above", "subflow", calls("draws")),
            ("below", "subflow", calls("passes")),
        ],
    );

    let run_id = server.save_and_start(outer, &json!("a fox")).await;
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    let image = wire::json(run.output.as_ref())["image"].clone();
    assert_eq!(content(&server, &run, &image).await, PNG);
    let steps = server.steps(&run_id, "").await;
    let child = |node: &str| {
        let step = steps.iter().find(|step| step.node_id == node).unwrap();
        step.child_run_id.clone()
    };
    let below = server.get(&child("below")).await;
    assert_eq!(content(&server, &below, &image).await, PNG);

    let fork = ForkRunRequest {
        run_id: child("above"),
        ..ForkRunRequest::default()
    };
    let fork = server.runs().fork_run(fork).await.unwrap().into_inner();
    let fork = server.finished_run(&fork.run.unwrap().run_id).await;
    let deleted = DeleteRunRequest {
        run_id: child("above"),
    };
    server.runs().delete_run(deleted).await.unwrap();

    assert_eq!(fork.state(), RunState::Succeeded, "{:?}", fork.error);
    assert_eq!(content(&server, &fork, &image).await, PNG);
    assert_eq!(painter.seen().len(), 1);
}
