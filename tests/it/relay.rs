//! A watch through a replica that does not own its run: the owner tells what happens, tokens included.

mod between;
mod callers;
mod drafts;
mod owners;
mod service;
mod streams;

use serde_json::json;
use synapps::proto::watch_run_response::Message;
use synapps::proto::{Flow, RunEvent, RunState, StepDelta, StreamEndReason, WatchRunResponse};
use tonic::Streaming;

use crate::llm::model::ModelServer;
use crate::support::calls::{Calls, assert_gapless, events_of};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::{Held, HttpBin};
use crate::support::server::{Builder, TestServer};
use crate::support::within;
use crate::watch::{asking, end_of, past, request, to_the_end, watch};

/// A flow whose only step, `ask`, is answered by a model server.
fn telling(id: &str) -> Flow {
    let config = json!({"provider": "custom", "model": "some-model"});
    chain(id, &[("ask", "llm", config)])
}

/// The flag that makes a model server the provider of [`telling`].
fn speaks(model: &ModelServer) -> String {
    format!("--custom-llm-base-url={}", model.url("/v1"))
}

fn on(database: &Database) -> Builder {
    TestServer::builder().database(database)
}

/// Two servers on one database: the owner of what is started there, and another one.
async fn pair(flag: &str) -> (TestServer, TestServer) {
    let database = Database::migrated().await;
    let owner = on(&database).flag(flag).start().await;
    let other = on(&database).flag(flag).start().await;
    (owner, other)
}

/// Lets a server that has room for one run have none, for as long as what this gives is kept.
async fn fill(server: &Calls, bin: &HttpBin) -> Held {
    let held = bin.hold("/slow");
    server
        .save_and_start(asking("filling", bin), &json!({}))
        .await;
    bin.requested("/slow", 1).await;
    held
}

/// A watch, past what was there before.
struct Seen {
    watch: Streaming<WatchRunResponse>,
    messages: Vec<WatchRunResponse>,
    /// Whether live events come by asking the database.
    polling: bool,
}

impl Seen {
    /// Watches a run from its beginning, deltas included.
    async fn of(server: &Calls, run_id: &str) -> Self {
        let mut request = request(run_id);
        request.include_deltas = true;
        let mut watch = watch(server, request).await.unwrap();
        let (messages, caught_up) = past(&mut watch).await;
        Self {
            watch,
            messages,
            polling: caught_up.polling,
        }
    }

    /// Takes in what comes until the text of `ask` is this.
    async fn text_becomes(&mut self, wanted: &str) {
        let wait = async {
            while text(&self.messages) != wanted {
                let message = self.watch.message().await.unwrap();
                self.messages.push(message.expect("the watch goes on"));
            }
        };
        within(wanted, wait).await;
    }

    /// Takes in what comes until this has happened.
    async fn event(&mut self, what: &str) {
        let wait = async {
            while !crate::support::history::has(&events_of(&self.messages), what) {
                let message = self.watch.message().await.unwrap();
                self.messages.push(message.expect("the watch goes on"));
            }
        };
        within(what, wait).await;
    }

    /// All that has come once the run has ended, and that it has been seen whole.
    async fn rest(self) -> Vec<WatchRunResponse> {
        let (after, error) = to_the_end(self.watch).await;
        assert!(error.is_none(), "{error:?}");
        let all = [self.messages, after].concat();
        assert_eq!(end_of(&all), Some(StreamEndReason::Finished));
        all
    }

    /// The same of a run that has succeeded: its events, each once.
    async fn succeeded(self, server: &Calls, run_id: &str) -> Vec<RunEvent> {
        let events = events_of(&self.rest().await);
        assert_gapless(&events);
        let run = server.get(run_id).await;
        assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
        let last = events.last().map(|event| event.sequence);
        assert_eq!(last, Some(run.last_sequence));
        events
    }
}

/// The text of the newest attempt, as a client puts it together.
fn text(messages: &[WatchRunResponse]) -> String {
    let mut of = (0, 0);
    let mut text = String::new();
    for delta in messages.iter().filter_map(delta) {
        if of != (delta.attempt, delta.epoch) {
            of = (delta.attempt, delta.epoch);
            text.clear();
        }
        text.truncate(usize::try_from(delta.offset).unwrap());
        text.push_str(&delta.text);
    }
    text
}

fn delta(message: &WatchRunResponse) -> Option<&StepDelta> {
    match &message.message {
        Some(Message::Delta(delta)) => Some(delta),
        _ => None,
    }
}

/// Whether the step `ask` has ended with this.
fn is_end_of_ask(event: &RunEvent) -> bool {
    event.node_id == "ask" && crate::support::history::kind(event) == "step_succeeded"
}
