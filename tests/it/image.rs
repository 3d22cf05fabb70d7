//! The applets `image` and `artist`, against servers that speak as the providers do.

mod answers;
mod files;
pub mod painter;
mod providers;

use serde_json::{Value, json};
use synapps::proto::{ReadPayloadRequest, Run, RunError, RunState};
use uuid::Uuid;

use crate::support::calls::Calls;
use crate::support::flows::chain;
use crate::support::server::TestServer;
use crate::support::{wire, within};
use painter::Painter;

/// The key of the server.
const KEY: &str = "sk-of-the-server";

/// A server whose providers are all this one.
async fn server(painter: &Painter) -> TestServer {
    let url = painter.url();
    let mut builder = TestServer::builder();
    for (provider, path) in [("openai", "/v1"), ("stability", ""), ("flux", "/v1")] {
        builder = builder
            .flag(&format!("--{provider}-base-url={url}{path}"))
            .flag(&format!("--{provider}-api-key={KEY}"));
    }
    builder.start().await
}

/// A finished run of a flow with this node between start and end.
async fn run(server: &Calls, kind: &str, config: Value, input: Value) -> Run {
    let id = format!("image-{}", Uuid::now_v7());
    let flow = chain(&id, &[("image", kind, config)]);
    let run_id = server.save_and_start(flow, &input).await;
    server.finished_run(&run_id).await
}

/// Such a run with its output.
async fn drawn(server: &Calls, kind: &str, config: Value, input: Value) -> (Run, Value) {
    let run = run(server, kind, config, input).await;
    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    let output = wire::json(run.output.as_ref());
    (run, output)
}

/// The failure of an `image` node.
async fn failure(server: &Calls, config: Value) -> RunError {
    let run = run(server, "image", config, json!("a fox")).await;
    assert_eq!(run.state(), RunState::Failed, "{:?}", run.output);
    run.error.unwrap()
}

/// The bytes of a file of a run.
async fn content(server: &Calls, run: &Run, file: &Value) -> Vec<u8> {
    let request = ReadPayloadRequest {
        run_id: run.run_id.clone(),
        r#ref: file["ref"].as_str().unwrap().to_owned(),
    };
    let answer = server.runs().read_payload(request).await;
    let mut stream = answer.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = within("a piece", stream.message()).await.unwrap() {
        bytes.extend(piece.data);
    }
    bytes
}
