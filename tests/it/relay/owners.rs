//! Watches outlast the owner of their run, whatever becomes of it, and are relayed again where it goes on.

use serde_json::json;
use synapps::proto::execute_run_response::Message;
use synapps::proto::{ExecuteRunRequest, RunState};

use super::{Seen, fill, on, speaks, telling};
use crate::control::{a_signal, signal};
use crate::llm::model::ModelServer;
use crate::support::binary::Binary;
use crate::support::database::Database;
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::HttpBin;
use crate::support::{wire, within};

/// Has room for one run.
const SMALL: &str = "--max-open-runs=1";

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_when_the_owner_is_killed_and_a_third_replica_takes_over() {
    let model = ModelServer::start().await;
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let mut owner = Binary::start_on(&database, &[&speaks(&model)]).await;
    let watching = on(&database)
        .flag(SMALL)
        .flag(&speaks(&model))
        .start()
        .await;
    let _full = fill(&watching, &bin).await;
    let (first, second) = (model.speech(), model.speech());
    let run_id = owner.save_and_start(telling("flow"), &json!("Hi")).await;
    let mut seen = Seen::of(&watching, &run_id).await;
    assert!(!seen.polling);
    first.say("It was");
    seen.text_becomes("It was").await;

    owner.kill().await;
    let heir = on(&database).flag(&speaks(&model)).start().await;
    second.say("It is");
    seen.text_becomes("It is").await;
    second.end();

    seen.succeeded(&heir, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_when_the_replica_that_watches_takes_over_itself() {
    let model = ModelServer::start().await;
    let database = Database::migrated().await;
    let mut owner = Binary::start_on(&database, &[&speaks(&model)]).await;
    let watching = on(&database).flag(&speaks(&model)).start().await;
    let (first, second) = (model.speech(), model.speech());
    let run_id = owner.save_and_start(telling("flow"), &json!("Hi")).await;
    let mut seen = Seen::of(&watching, &run_id).await;
    first.say("It was");
    seen.text_becomes("It was").await;

    owner.kill().await;
    second.say("It is");
    seen.text_becomes("It is").await;
    second.end();

    seen.succeeded(&watching, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_when_the_owner_leaves_in_order() {
    let model = ModelServer::start().await;
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let owner = on(&database).flag(&speaks(&model)).start().await;
    let watching = on(&database)
        .flag(SMALL)
        .flag(&speaks(&model))
        .start()
        .await;
    let _full = fill(&watching, &bin).await;
    let heir = on(&database).flag(&speaks(&model)).start().await;
    let (first, second) = (model.speech(), model.speech());
    let run_id = owner.save_and_start(telling("flow"), &json!("Hi")).await;
    let mut seen = Seen::of(&watching, &run_id).await;
    assert!(!seen.polling);
    first.say("It was");
    seen.text_becomes("It was").await;

    owner.stop().await;
    second.say("It is");
    seen.text_becomes("It is").await;
    second.end();

    seen.succeeded(&heir, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_is_polled_and_relayed_again_when_it_goes_on() {
    let model = ModelServer::start().await;
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let owner = on(&database).flag(&speaks(&model)).start().await;
    let watching = on(&database)
        .flag(SMALL)
        .flag(&speaks(&model))
        .start()
        .await;
    let _full = fill(&watching, &bin).await;
    let config = json!({"provider": "custom", "model": "some-model"});
    let flow = flow_with_ends("flow")
        .node("wait", "wait_signal", json!({ "name": "go" }))
        .node("ask", "llm", config)
        .edge("start", "wait")
        .edge_from("wait", "received", "ask")
        .edge("ask", "end")
        .build();
    let speech = model.speech();
    let run_id = owner.save_and_start(flow, &json!("Hi")).await;
    owner.run_in_state(&run_id, RunState::Waiting).await;
    let mut seen = Seen::of(&watching, &run_id).await;
    assert!(seen.polling, "nobody drives it");

    let sent = signal(&watching, a_signal(&run_id, "go", &json!("Hi"))).await;
    assert!(sent.unwrap());
    seen.event("step_started ask").await;
    speech.say("Here");
    seen.text_becomes("Here").await;
    speech.end();

    seen.succeeded(&owner, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_began_before_anybody_had_the_run_is_relayed_from_who_claims_it() {
    let model = ModelServer::start().await;
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let full = on(&database)
        .flag(SMALL)
        .flag(&speaks(&model))
        .start()
        .await;
    let _full = fill(&full, &bin).await;
    let speech = model.speech();
    full.save(telling("flow")).await;
    let request = ExecuteRunRequest {
        flow_id: "flow".to_owned(),
        input: Some(wire::value(&json!("Hi"))),
        include_deltas: true,
        ..ExecuteRunRequest::default()
    };
    let executed = full.runs().execute_run(request).await;
    let mut executed = executed.unwrap().into_inner();
    let Some(Message::RunStarted(started)) = executed.message().await.unwrap().unwrap().message
    else {
        panic!("it says first what was started");
    };
    let run = started.run.unwrap();
    assert_eq!(run.state(), RunState::Queued);
    let mut seen = Seen::of(&full, &run.run_id).await;
    assert!(seen.polling, "nobody drives it");

    let claiming = on(&database).flag(&speaks(&model)).start().await;
    speech.say("Hel");
    seen.text_becomes("Hel").await;
    let wait = async {
        loop {
            let message = executed.message().await.unwrap().unwrap().message;
            if let Some(Message::Delta(delta)) = message {
                return delta.text;
            }
        }
    };
    assert_eq!(within("a delta", wait).await, "Hel");
    speech.end();

    seen.succeeded(&claiming, &run.run_id).await;
}
