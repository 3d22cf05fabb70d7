//! Forks that cannot be, and request ids.

use serde_json::json;
use synapps::proto::{DeleteFlowRequest, ForkRunRequest};
use tonic::Code;
use tonic_types::StatusExt;

use super::{fork, of, two_ways};
use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;
use crate::support::wire;

/// The fields that a fork is refused for, each with its reason.
async fn refused(calls: &Calls, request: ForkRunRequest) -> Vec<(String, String)> {
    let error = fork(calls, request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    let violations = error.get_details_bad_request().unwrap().field_violations;
    let fields = violations
        .into_iter()
        .map(|violation| (violation.field, violation.reason));
    fields.collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    let owned = pairs.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    owned.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_revision_does_not_have_is_refused_by_name() {
    let server = TestServer::start().await;
    let check = json!({ "operation": "equals", "source": "{{ content }}", "value": "a" });
    let flow = flow_with_ends("checked")
        .node("check", "if_else", check)
        .edge("start", "check")
        .edge_from("check", "true", "end")
        .build();
    let run_id = server.save_and_start(flow, &json!("a")).await;
    server.finished_run(&run_id).await;
    let given = |id: &str| (id.to_owned(), wire::value(&json!(1)));
    let port = |id: &str, port: &str| (id.to_owned(), port.to_owned());

    let mut request = of(&run_id);
    request.from_nodes = vec!["start".to_owned(), "nobody".to_owned(), "check".to_owned()];
    request.output_overrides = [given("check"), given("none"), given("end")].into();
    request.output_ports = [port("end", "out"), port("start", "")].into();
    request.input_overrides = Some(wire::fields(&json!({ "a": 1 })));
    assert_eq!(
        refused(&server, request).await,
        pairs([
            ("from_nodes[1]", "UNKNOWN_NODE"),
            ("from_nodes[2]", "CONFLICT"),
            ("output_ports.check", "HANDLE_REQUIRED"),
            ("output_ports.end", "UNKNOWN_HANDLE"),
            ("output_overrides.none", "UNKNOWN_NODE"),
            ("output_ports.start", "CONFLICT"),
            ("input_overrides", "CONFLICT"),
        ])
    );

    let mut request = of(&run_id);
    request.output_overrides = [given("check")].into();
    request.output_ports = [port("check", "error")].into();
    assert_eq!(
        refused(&server, request).await,
        pairs([("output_ports.check", "UNKNOWN_HANDLE")])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_fork_can_be_is_refused_before_anything_is_looked_up() {
    let server = TestServer::start().await;
    let mut request = of("nothing");
    request.revision = -1;
    request.latest_revision = true;
    request.request_id = "ü".to_owned();
    request.labels = [("bad key".to_owned(), String::new())].into();
    let huge = json!("x".repeat((1 << 20) + 1));
    request.output_overrides = [("a".to_owned(), wire::value(&huge))].into();
    let refusals = refused(&server, request).await;
    assert_eq!(
        refusals[..4],
        pairs([
            ("run_id", "INVALID_ID"),
            ("revision", "OUT_OF_BOUNDS"),
            ("latest_revision", "CONFLICT"),
            ("request_id", "INVALID_ID"),
        ])
    );
    assert!(refusals[4].0.starts_with("labels"), "{refusals:?}");
    assert_eq!(refusals[5], ("output_overrides".into(), "TOO_LARGE".into()));

    let nobody = of("01890a5d-ac96-774b-bcce-b302099a8057");
    let error = fork(&server, nobody).await.unwrap_err();
    assert_error(&error, Code::NotFound, "RUN_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_and_inputs_have_to_be_those_of_the_flow() {
    let server = TestServer::start().await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "number" } } });
    let flow = flow_with_ends("schema")
        .edge("start", "end")
        .input_schema(&schema)
        .build();
    let run_id = server.save_and_start(flow, &json!({ "n": 1 })).await;
    server.finished_run(&run_id).await;

    let mut request = of(&run_id);
    request.revision = 2;
    let error = fork(&server, request).await.unwrap_err();
    assert_error(&error, Code::NotFound, "REVISION_NOT_FOUND");
    assert_eq!(metadata(&error, "latestRevision"), "1");

    let mut request = of(&run_id);
    request.input_overrides = Some(wire::fields(&json!({ "n": "one" })));
    let error = fork(&server, request.clone()).await.unwrap_err();
    assert_error(&error, Code::InvalidArgument, "INVALID_INPUT");
    assert_eq!(violated_fields(&error), ["input.n"]);
    request.validate_only = true;
    let error = fork(&server, request).await.unwrap_err();
    assert_error(&error, Code::InvalidArgument, "INVALID_INPUT");

    let mut request = of(&run_id);
    let many = json!({ "more": "x".repeat(1 << 20) });
    request.input_overrides = Some(wire::fields(&many));
    assert_eq!(
        refused(&server, request).await,
        pairs([("input_overrides", "TOO_LARGE")])
    );

    let delete = DeleteFlowRequest {
        flow_id: "schema".to_owned(),
        ..DeleteFlowRequest::default()
    };
    server.flows().delete_flow(delete).await.unwrap();
    let error = fork(&server, of(&run_id)).await.unwrap_err();
    assert_error(&error, Code::FailedPrecondition, "FLOW_DELETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_id_gives_the_same_fork() {
    let server = TestServer::start().await;
    let bin = HttpBin::start().await;
    let run_id = server.save_and_start(two_ways(&bin), &json!({})).await;
    server.finished_run(&run_id).await;
    let mut request = of(&run_id);
    request.request_id = "once".to_owned();
    request.labels = [("why".to_owned(), "test".to_owned())].into();

    let mut looked = request.clone();
    looked.validate_only = true;
    let foreseen = fork(&server, looked).await.unwrap();
    let first = fork(&server, request.clone()).await.unwrap();
    let second = fork(&server, request.clone()).await.unwrap();
    request.from_nodes = vec!["left".to_owned()];
    let other = fork(&server, request).await.unwrap_err();

    assert!((!foreseen.started) && foreseen.run.is_none());
    assert!(first.started && !second.started);
    let (first, second) = (first.run.unwrap(), second.run.unwrap());
    assert_eq!(first.run_id, second.run_id);
    assert_eq!(first.labels["why"], "test");
    assert_error(&other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(metadata(&other, "runId"), first.run_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_a_run_that_is_gone_meanwhile_is_still_itself() {
    let server = TestServer::start().await;
    let flow = chain("small", &[("x", "transform", json!({}))]);
    let run_id = server.save_and_start(flow, &json!({ "n": 1 })).await;
    server.finished_run(&run_id).await;
    let run = fork(&server, of(&run_id)).await.unwrap().run.unwrap();
    server.finished_run(&run.run_id).await;

    let delete = synapps::proto::DeleteRunRequest {
        run_id: run_id.clone(),
    };
    server.runs().delete_run(delete).await.unwrap();

    let kept = server.get(&run.run_id).await;
    assert_eq!(kept.forked_from, run_id);
    assert_eq!(wire::json(kept.output.as_ref()), json!({ "n": 1 }));
}
