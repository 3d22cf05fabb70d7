//! Watchers see no value while a text grows, not even its beginning.

use serde_json::json;
use synapps::proto::execute_run_response::Message;
use synapps::proto::{DeltaKind, ExecuteRunRequest, ExecuteRunResponse};
use tonic::Streaming;

use super::store;
use crate::llm::model::ModelServer;
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::{wire, within};

const KEY: &str = "sk-live-0123456789";

/// The text of the deltas once it is this one. At no time before may it hold a beginning of the key.
async fn becomes(stream: &mut Streaming<ExecuteRunResponse>, text: &mut String, wanted: &str) {
    let wait = async {
        while text != wanted {
            let message = stream.message().await.unwrap().unwrap();
            if let Some(Message::Delta(delta)) = message.message {
                assert_eq!(delta.kind(), DeltaKind::Output);
                text.truncate(usize::try_from(delta.offset).unwrap());
                text.push_str(&delta.text);
                assert!(!text.contains("sk-"), "{text}");
            }
        }
    };
    within(wanted, wait).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_in_pieces_is_held_back_until_it_is_known() {
    let model = ModelServer::start().await;
    let server = TestServer::start().await;
    store(&server, "key", KEY).await;
    let config = json!({
        "provider": "custom", "model": "m", "base_url": model.url("/v1"), "api_key": "{{ secrets.key }}",
    });
    server.save(chain("live", &[("ask", "llm", config)])).await;
    let speech = model.speech();
    let request = ExecuteRunRequest {
        flow_id: "live".to_owned(),
        input: Some(wire::value(&json!("What is my key?"))),
        include_deltas: true,
        ..ExecuteRunRequest::default()
    };

    let answer = server.runs().execute_run(request).await;
    let (mut stream, mut text) = (answer.unwrap().into_inner(), String::new());
    let started = stream.message().await.unwrap().unwrap().message;
    let Some(Message::RunStarted(started)) = started else {
        panic!("{started:?}");
    };
    let run_id = started.run.unwrap().run_id;
    speech.say("It is sk-");
    becomes(&mut stream, &mut text, "It is ").await;
    for piece in KEY[3..].split_inclusive(char::is_numeric) {
        speech.say(piece);
    }
    speech.say(", or s");
    becomes(&mut stream, &mut text, "It is [redacted], or ").await;
    speech.say("o.");
    becomes(&mut stream, &mut text, "It is [redacted], or so.").await;
    speech.end();

    let run = server.finished_run(&run_id).await;
    assert_eq!(
        wire::json(run.output.as_ref()),
        json!("It is [redacted], or so.")
    );
    assert_eq!(
        model.seen()[0].headers["authorization"],
        format!("Bearer {KEY}")
    );
}
