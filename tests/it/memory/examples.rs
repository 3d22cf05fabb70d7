//! The examples that remember do what they say.

use serde_json::{Value, json};
use synapps::proto::{ImportFlowRequest, RunState};

use crate::support::server::TestServer;
use crate::support::wire;

/// The output of an example's run.
async fn run(server: &TestServer, id: &str, input: Value) -> Value {
    let run_id = server.start(id, &input).await;
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    wire::json(run.output.as_ref())
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
async fn visits_are_counted_from_run_to_run() {
    let server = TestServer::start().await;
    import(&server, include_str!("../../../examples/memory.json")).await;

    let mut said = Vec::new();
    for name in ["Ada", "Ada", "Grace", "Ada"] {
        said.push(run(&server, "memory", json!({"name": name})).await);
    }

    assert_eq!(said[1], "Hello Ada, this is visit 2");
    assert_eq!(said[2], "Hello Grace, this is visit 1");
    assert_eq!(said[3], "Hello Ada, this is visit 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_are_found_by_the_words_of_a_question() {
    let server = TestServer::start().await;
    import(
        &server,
        include_str!("../../../examples/memory-search.json"),
    )
    .await;
    let ask = |note: &str| json!({"note": note, "question": "Where are my keys?"});

    run(
        &server,
        "memory-search",
        ask("The key hangs beside the door"),
    )
    .await;
    let found = run(&server, "memory-search", ask("Milk is in the fridge")).await;

    assert_eq!(found["count"], 1);
    assert_eq!(found["results"][0]["data"], "The key hangs beside the door");
}
