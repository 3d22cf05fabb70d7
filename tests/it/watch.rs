//! `WatchRun`: each durable event once, in order, whatever happens to the watcher or the service.

pub mod bare;
mod drain;
mod live;
mod replay;
mod slow;

use serde_json::json;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{CaughtUp, Flow, StreamEndReason, WatchRunRequest, WatchRunResponse};
use tonic::{Status, Streaming};

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::within;

/// A flow that asks a server and makes a text of the answer.
pub fn asking(id: &str, bin: &HttpBin) -> Flow {
    let get = json!({ "url": bin.url("/slow") });
    let text = json!({ "operation": "template", "template": "{{ content.data.count }}" });
    chain(
        id,
        &[("get", "http_request", get), ("text", "transform", text)],
    )
}

/// A request to watch a run from its beginning.
pub fn request(run_id: &str) -> WatchRunRequest {
    WatchRunRequest {
        run_id: run_id.to_owned(),
        ..WatchRunRequest::default()
    }
}

pub async fn watch(
    server: &Calls,
    request: WatchRunRequest,
) -> Result<Streaming<WatchRunResponse>, Status> {
    Ok(server.runs().watch_run(request).await?.into_inner())
}

/// The next message, which has to come.
pub async fn next(watch: &mut Streaming<WatchRunResponse>) -> WatchRunResponse {
    let message = within("a message", watch.message()).await;
    message.unwrap().expect("the watch goes on")
}

/// The messages up to the one that says that all the past was sent, and that one.
pub async fn past(watch: &mut Streaming<WatchRunResponse>) -> (Vec<WatchRunResponse>, CaughtUp) {
    let mut messages = Vec::new();
    loop {
        let message = next(watch).await;
        if let Some(Message::CaughtUp(caught_up)) = message.message {
            assert_eq!(message.sequence, caught_up.sequence);
            return (messages, caught_up);
        }
        messages.push(message);
    }
}

/// All that comes until the stream ends, however it does.
pub async fn to_the_end(
    mut watch: Streaming<WatchRunResponse>,
) -> (Vec<WatchRunResponse>, Option<Status>) {
    let collect = async {
        let mut messages = Vec::new();
        loop {
            match watch.message().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(status) => return (messages, Some(status)),
            }
        }
    };
    within("the end of a watch", collect).await
}

/// The reason in the last message.
pub fn end_of(messages: &[WatchRunResponse]) -> Option<StreamEndReason> {
    match messages.last()?.message {
        Some(Message::End(end)) => Some(end.reason()),
        _ => None,
    }
}
