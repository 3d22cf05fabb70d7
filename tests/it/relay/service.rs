//! What the owner of a run tells whoever follows it, message by message.

use serde_json::json;
use synapps::proto::RunState;
use synapps::proto::internal::follow_response::Message;
use synapps::proto::internal::relay_service_client::RelayServiceClient;
use synapps::proto::internal::{EndReason, FollowRequest};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::{speaks, telling};
use crate::llm::model::ModelServer;
use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::within;

type Stream = Streaming<synapps::proto::internal::FollowResponse>;

/// Begins to follow a run of a namespace.
async fn follow(server: &Calls, namespace: &str, run_id: &str) -> Stream {
    follow_over(server.channel(), namespace, run_id).await
}

async fn follow_over(channel: Channel, namespace: &str, run_id: &str) -> Stream {
    let request = FollowRequest {
        namespace: namespace.to_owned(),
        run_id: run_id.to_owned(),
        include_drafts: true,
    };
    let mut client = RelayServiceClient::new(channel);
    client.follow(request).await.unwrap().into_inner()
}

async fn next(stream: &mut Stream) -> Option<Message> {
    let next = within("a message of a relay", stream.message()).await;
    next.unwrap().map(|response| response.message.unwrap())
}

/// All that comes until the stream ends.
async fn rest(mut stream: Stream) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(message) = next(&mut stream).await {
        messages.push(message);
    }
    messages
}

fn end(messages: &[Message]) -> Option<EndReason> {
    match messages.last() {
        Some(Message::End(end)) => Some(end.reason()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_driven_here_under_this_name_is_not_told() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let server = TestServer::start().await;
    let run_id = server
        .save_and_start(crate::watch::asking("flow", &bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;

    let unknown = uuid::Uuid::now_v7().to_string();
    let asked = [
        ("default", unknown.as_str()),
        ("default", "none"),
        ("other", run_id.as_str()),
    ];
    for (namespace, run_id) in asked {
        let told = rest(follow(&server, namespace, run_id).await).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(end(&told), Some(EndReason::NotDriven));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_comes_whole_before_the_event_that_ends_it_and_the_stream_ends_with_the_run() {
    let model = ModelServer::start().await;
    let builder = TestServer::builder().flag(&speaks(&model));
    let server = builder.start().await;
    let speech = model.speech();
    let run_id = server.save_and_start(telling("flow"), &json!("Hi")).await;

    let mut stream = follow(&server, "default", &run_id).await;
    assert!(matches!(next(&mut stream).await, Some(Message::Joined(_))));
    let last_before = server.get(&run_id).await.last_sequence;
    speech.say("Hello, ");
    speech.say("Ada");
    speech.end();
    let told = rest(stream).await;

    assert_eq!(end(&told), Some(EndReason::Left));
    let run = server.get(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded);
    let (mut text, mut sequence) = (String::new(), 0);
    for message in &told {
        match message {
            Message::Draft(draft) => {
                assert_eq!(draft.offset, text.len() as u64);
                text += &draft.text;
            }
            Message::Events(batch) => {
                for event in &batch.events {
                    assert!(sequence == 0 || event.sequence == sequence + 1);
                    sequence = event.sequence;
                    if event.kind == "step_succeeded" && event.data.contains("ask") {
                        assert_eq!(text, "Hello, Ada");
                        assert_eq!(event.payload.as_deref(), Some("\"Hello, Ada\""));
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!(text, "Hello, Ada");
    assert!(last_before <= sequence);
    assert_eq!(sequence, run.last_sequence);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_nobody_up_and_is_told_that_something_is_missing() {
    let bin = HttpBin::start().await;
    let held = bin.hold("/start");
    // What waits for the follower is soon more than the connection takes.
    let large = json!({ "text": "x".repeat(16_000) }).to_string();
    let answer = Answer::status(200).header("content-type", "application/json");
    bin.answer("/item", answer.body(large));
    let server = TestServer::start().await;
    let get = |path: &str| json!({ "url": bin.url(path) });
    let body = json!({"nodes": [{"id": "get", "type": "http_request", "data": get("/item")}]});
    let items: Vec<u32> = (0..360).collect();
    let each = json!({"array_source": items, "body": body, "concurrency": 1});
    let flow = chain(
        "flow",
        &[
            ("start_it", "http_request", get("/start")),
            ("loop", "for_each", each),
        ],
    );
    let run_id = server.save_and_start(flow, &json!({})).await;
    bin.requested("/start", 1).await;
    // A connection of its own that takes little unread.
    let narrow = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    let narrow = narrow
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .connect_lazy();
    let mut stream = follow_over(narrow, "default", &run_id).await;
    assert!(matches!(next(&mut stream).await, Some(Message::Joined(_))));

    held.release();
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    let told = rest(stream).await;

    assert!(
        told.iter()
            .any(|message| matches!(message, Message::Missed(_)))
    );
    assert_eq!(end(&told), Some(EndReason::Left));
}
