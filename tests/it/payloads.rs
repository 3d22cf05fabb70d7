//! Inputs and outputs of all sizes, and those that cannot be stored.

use prost::Message as _;
use serde_json::{Value, json};
use synapps::proto::{
    Flow, PayloadRef, ReadPayloadRequest, ReadPayloadResponse, RunState, StepState,
};
use synapps::value::canonical;
use tonic::{Code, Status};

use crate::support::calls::{Calls, assert_error, assert_gapless};
use crate::support::flows::chain;
use crate::support::http_bin::{Answer, HttpBin};
use crate::support::server::TestServer;
use crate::support::{wire, within};

/// The largest answer that is made.
const MOST_BYTES: usize = 3 << 20;

/// A text that is this long as JSON.
fn text_of(bytes: usize) -> Value {
    json!("x".repeat(bytes - 2))
}

/// A flow that asks this server and goes on with what it says.
fn asking(id: &str, bin: &HttpBin, path: &str) -> Flow {
    let get = json!({ "url": bin.url(path) });
    let data = json!({ "operation": "json_path", "json_path": "$.data" });
    chain(
        id,
        &[("get", "http_request", get), ("data", "transform", data)],
    )
}

async fn pieces(
    server: &Calls,
    run_id: &str,
    reference: &str,
) -> Result<Vec<ReadPayloadResponse>, Status> {
    let request = ReadPayloadRequest {
        run_id: run_id.to_owned(),
        r#ref: reference.to_owned(),
    };
    let mut stream = server.runs().read_payload(request).await?.into_inner();
    let mut pieces = Vec::new();
    while let Some(piece) = within("a piece", stream.message()).await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

/// The payload behind a reference, all that is said about it checked.
async fn read(server: &Calls, run_id: &str, reference: &PayloadRef) -> Value {
    let pieces = pieces(server, run_id, &reference.r#ref).await.unwrap();
    assert!(
        pieces
            .iter()
            .all(|piece| (1..=256 << 10).contains(&piece.data.len()))
    );
    assert_eq!(pieces[0].size_bytes, reference.size_bytes);
    assert_eq!(pieces[0].sha256, reference.sha256);
    assert!(
        pieces[1..]
            .iter()
            .all(|piece| piece.size_bytes == 0 && piece.sha256.is_empty())
    );
    let whole: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.data.iter().copied())
        .collect();
    assert_eq!(i64::try_from(whole.len()).unwrap(), reference.size_bytes);
    assert_eq!(canonical::hex(&canonical::digest(&whole)), reference.sha256);
    serde_json::from_slice(&whole).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_around_each_bound_come_back_as_they_went_in() {
    const PIECE: usize = 256 << 10;
    const INLINE: usize = 32 << 10;
    let server = TestServer::start().await;
    server
        .save(chain("flow", &[("same", "transform", json!({}))]))
        .await;

    let sizes = [2, INLINE - 1, INLINE, INLINE + 1, PIECE, PIECE + 1, 1 << 20];
    for size in sizes {
        let input = text_of(size);
        let run_id = server.start("flow", &input).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Succeeded, "{size}: {:?}", run.error);
        assert!(run.encoded_len() < MOST_BYTES);
        for step in &run.steps {
            let reference = step.output.as_ref().unwrap();
            assert_eq!(usize::try_from(reference.size_bytes).unwrap(), size);
            assert!(read(&server, &run_id, reference).await == input, "{size}");
        }
        // Five times the same: as many as fit are in the answer, the others are referred to.
        let inside = usize::from(run.input.is_some()) + usize::from(run.output.is_some());
        let beside = usize::from(run.input_ref.is_some()) + usize::from(run.output_ref.is_some());
        assert_eq!(
            inside + run.results.len() + beside + run.result_refs.len(),
            5
        );
        assert_eq!(
            run.results.len() + inside,
            if size == 1 << 20 { 2 } else { 5 }
        );
        for value in run.results.values().chain(&run.input).chain(&run.output) {
            assert!(wire::json(Some(value)) == input, "{size}");
        }
        assert_gapless(&server.events_after(&run_id, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_nothing_in_it_is_an_empty_text() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    bin.answer("/empty", Answer::status(200).body(""));
    let run_id = server
        .save_and_start(asking("flow", &bin, "/empty"), &json!({}))
        .await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    assert_eq!(wire::json(run.output.as_ref()), json!(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_an_answer_is_referred_to_and_read_in_pieces() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    // Characters of three bytes, so that pieces end inside of them.
    let text = "\u{20ac}".repeat(1_200_000);
    bin.answer("/big", Answer::status(200).body(text.clone()));
    let run_id = server
        .save_and_start(asking("flow", &bin, "/big"), &json!({}))
        .await;

    let run = server.finished_run(&run_id).await;

    assert_eq!(run.state(), RunState::Succeeded, "{:?}", run.error);
    assert!(run.encoded_len() < MOST_BYTES);
    assert_eq!(wire::json(run.input.as_ref()), json!({}));
    assert!(run.output.is_none());
    let output = run.output_ref.unwrap();
    assert!(read(&server, &run_id, &output).await == json!(text));
    let mut referred: Vec<_> = run.result_refs.keys().cloned().collect();
    referred.sort();
    assert_eq!(referred, ["data", "end", "get"]);
    let whole = read(&server, &run_id, &run.result_refs["get"]).await;
    assert!(whole["data"] == json!(text));
    // Events stay small too, and the last one has a reference where it would have the output.
    let events = server.events_after(&run_id, 0).await;
    assert_gapless(&events);
    assert!(events.iter().all(|event| event.encoded_len() < 4_096));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_a_run_does_not_have_is_not_found() {
    let server = TestServer::start().await;
    let run_id = server.save_and_start(chain("flow", &[]), &json!({})).await;
    server.finished_run(&run_id).await;

    // The second event is run_started, which has none.
    for reference in ["e2", "e99", "e03", "nonsense"] {
        let error = pieces(&server, &run_id, reference).await.unwrap_err();
        assert_error(&error, Code::NotFound, "PAYLOAD_NOT_FOUND");
    }
    let error = pieces(&server, &run_id, "").await.unwrap_err();
    assert_error(&error, Code::InvalidArgument, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_be_stored_fails_its_step_by_name() {
    let server = TestServer::builder()
        .flag("--max-payload-bytes=2048")
        .start()
        .await;
    let bin = HttpBin::start().await;
    bin.answer("/large", Answer::status(200).body("x".repeat(3_000)));
    bin.answer("/nul", Answer::status(200).body(r#"{"text":"a\u0000b"}"#));
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    bin.answer("/deep", Answer::status(200).body(deep));

    let cases = [
        ("large", "OUTPUT_TOO_LARGE"),
        ("nul", "NUL_CHARACTER"),
        ("deep", "TOO_DEEP"),
    ];
    for (id, reason) in cases {
        let flow = asking(id, &bin, &format!("/{id}"));
        let run_id = server.save_and_start(flow, &json!({})).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Failed);
        let error = run.error.unwrap();
        assert_eq!(
            (error.code.as_str(), error.node_id.as_str(), error.attempt),
            (reason, "get", 1)
        );
        assert!(!error.message.is_empty());
        assert_eq!(run.steps[2].state(), StepState::Failed);
        assert_gapless(&server.events_after(&run_id, 0).await);
    }
    // Nobody else is harmed.
    let run_id = server
        .save_and_start(asking("fine", &bin, "/fine"), &json!({}))
        .await;
    assert_eq!(
        server.finished_run(&run_id).await.state(),
        RunState::Succeeded
    );
}
