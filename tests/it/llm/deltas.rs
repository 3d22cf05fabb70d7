//! Watchers see an answer as it grows.

use serde_json::json;
use synapps::proto::execute_run_response::Message;
use synapps::proto::watch_run_response::Message as Watched;
use synapps::proto::{
    DeltaKind, ExecuteRunRequest, ExecuteRunResponse, StepDelta, WatchRunRequest,
};
use tonic::Streaming;

use super::model::ModelServer;
use super::{asking, server_with};
use crate::support::server::TestServer;
use crate::support::{wire, within};

async fn execute(server: &TestServer) -> Streaming<ExecuteRunResponse> {
    let request = ExecuteRunRequest {
        flow_id: "asking".to_owned(),
        input: Some(wire::value(&json!("Hi"))),
        request_id: "once".to_owned(),
        include_deltas: true,
        ..ExecuteRunRequest::default()
    };
    server
        .runs()
        .execute_run(request)
        .await
        .unwrap()
        .into_inner()
}

/// The text that a watcher has of the deltas so far.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn take(&mut self, delta: &StepDelta) {
        assert_eq!(
            (delta.node_id.as_str(), delta.kind()),
            ("ask", DeltaKind::Output)
        );
        self.0.truncate(usize::try_from(delta.offset).unwrap());
        self.0.push_str(&delta.text);
    }

    async fn becomes(&mut self, stream: &mut Streaming<ExecuteRunResponse>, wanted: &str) {
        let wait = async {
            while self.0 != wanted {
                let message = stream.message().await.unwrap().unwrap();
                if let Some(Message::Delta(delta)) = message.message {
                    self.take(&delta);
                }
            }
        };
        within(wanted, wait).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_seen_before_the_answer_is_whole_also_by_who_comes_late() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    server.save(asking("asking", &json!({}))).await;
    let speech = model.speech();

    let mut stream = execute(&server).await;
    let mut text = Text::default();
    speech.say("Hel");
    text.becomes(&mut stream, "Hel").await;
    speech.say("lo, ");
    text.becomes(&mut stream, "Hello, ").await;

    let first = server
        .runs()
        .list_runs(synapps::proto::ListRunsRequest::default())
        .await;
    let run_id = first.unwrap().into_inner().runs.remove(0).run_id;
    let late = WatchRunRequest {
        run_id: run_id.clone(),
        include_deltas: true,
        ..WatchRunRequest::default()
    };
    let mut late = server.runs().watch_run(late).await.unwrap().into_inner();
    let so_far = async {
        loop {
            if let Some(Watched::Delta(delta)) = late.message().await.unwrap().unwrap().message {
                return delta;
            }
        }
    };
    let so_far = within("the text so far", so_far).await;
    assert_eq!((so_far.offset, so_far.text.as_str()), (0, "Hello, "));
    speech.say("Ada");
    text.becomes(&mut stream, "Hello, Ada").await;
    speech.end();

    let run = server.finished_run(&run_id).await;
    assert_eq!(wire::json(run.output.as_ref()), json!("Hello, Ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_starts_the_text_anew() {
    let model = ModelServer::start().await;
    let server = server_with(&model).await;
    let fallback = json!([{"provider": "custom", "model": "other"}]);
    server
        .save(asking("asking", &json!({"fallback": fallback})))
        .await;
    let (first, second) = (model.speech(), model.speech());

    let mut stream = execute(&server).await;
    let mut text = Text::default();
    first.say("It beg");
    text.becomes(&mut stream, "It beg").await;
    drop(first);
    second.say("Again");
    text.becomes(&mut stream, "Again").await;
    second.end();
}
