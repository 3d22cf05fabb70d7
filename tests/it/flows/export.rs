//! `ExportFlow`.

use std::fs;

use serde_json::json;
use synapps::proto::{ExportFlowRequest, ExportFlowResponse, Flow, FlowFormat, ImportFlowRequest};
use tonic::{Code, Status};

use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;

async fn export(
    server: &Calls,
    flow_id: &str,
    format: FlowFormat,
) -> Result<ExportFlowResponse, Status> {
    let request = ExportFlowRequest {
        flow_id: flow_id.to_owned(),
        revision: 0,
        format: format.into(),
    };
    Ok(server.flows().export_flow(request).await?.into_inner())
}

async fn import(server: &Calls, document: String, flow_id: &str) -> Flow {
    let request = ImportFlowRequest {
        document,
        flow_id: flow_id.to_owned(),
        ..ImportFlowRequest::default()
    };
    let answer = server.flows().import_flow(request).await.unwrap();
    let answer = answer.into_inner();
    assert!(
        answer
            .warnings
            .iter()
            .all(|one| one.field.starts_with("flow"))
    );
    answer.flow.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_survives_the_way_out_and_back() {
    let server = TestServer::start().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let first = import(&server, fs::read_to_string(&path).unwrap(), "").await;
        for (format, copy) in [
            (FlowFormat::Unspecified, "a"),
            (FlowFormat::Json, "b"),
            (FlowFormat::Yaml, "c"),
        ] {
            let exported = export(&server, &first.id, format).await.unwrap();
            assert_eq!(exported.warnings, []);
            let copy = format!("{}-{copy}", first.id);

            let again = import(&server, exported.document, &copy).await;

            assert_eq!(again.content_hash, first.content_hash, "{path:?}");
            assert_eq!(
                (again.name, again.description, again.labels),
                (
                    first.name.clone(),
                    first.description.clone(),
                    first.labels.clone()
                )
            );
        }
        count += 1;
    }
    assert!(count > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_revision_is_exported_by_its_number() {
    let server = TestServer::start().await;
    let flow = |text: &str| chain("f", &[("t", "transform", json!({"template": text}))]);
    super::create(&server, flow("one")).await.unwrap();
    super::update(&server, flow("two"), "").await.unwrap();
    let request = |revision| ExportFlowRequest {
        flow_id: "f".to_owned(),
        revision,
        ..ExportFlowRequest::default()
    };

    let first = server.flows().export_flow(request(1)).await.unwrap();
    let latest = server.flows().export_flow(request(0)).await.unwrap();
    let missing = server.flows().export_flow(request(3)).await.unwrap_err();
    let negative = server.flows().export_flow(request(-1)).await.unwrap_err();

    assert!(first.into_inner().document.contains("\"one\""));
    assert!(latest.into_inner().document.contains("\"two\""));
    assert_error(&missing, Code::NotFound, "REVISION_NOT_FOUND");
    assert_eq!(violated_fields(&negative), ["revision"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_predecessor_had_nothing_for_is_refused_with_the_node() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("f")
        .node("wait", "delay", json!({"seconds": 1}))
        .edge("start", "wait")
        .edge("wait", "end")
        .build();
    super::create(&server, flow).await.unwrap();

    let status = export(&server, "f", FlowFormat::PredecessorYaml)
        .await
        .unwrap_err();

    assert_error(&status, Code::FailedPrecondition, "NOT_EXPRESSIBLE");
    assert!(status.message().contains("wait"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_survives_the_way_through_the_predecessors_formats() {
    let server = TestServer::start().await;
    let flow = flow_with_ends("f")
        .node(
            "pick",
            "transform",
            json!({"operation": "json_path", "json_path": "$.a", "source": "{{ input }}"}),
        )
        .node(
            "is",
            "if_else",
            json!({"source": "{{ results.pick.output }}", "value": 1}),
        )
        .node(
            "yes",
            "transform",
            json!({"template": "{{ results.pick.output.b }}"}),
        )
        .node("no", "transform", json!({"template": "{{ run.id }}"}))
        .edge("start", "pick")
        .edge("pick", "is")
        .edge_from("is", "true", "yes")
        .edge_from("is", "false", "no")
        .edge("yes", "end")
        .edge("no", "end")
        .build();
    let stored = super::create(&server, flow).await.unwrap();
    for (format, copy) in [
        (FlowFormat::PredecessorJson, "a"),
        (FlowFormat::PredecessorYaml, "b"),
    ] {
        let exported = export(&server, "f", format).await.unwrap();
        let request = ImportFlowRequest {
            document: exported.document,
            flow_id: copy.to_owned(),
            ..ImportFlowRequest::default()
        };

        let answer = server.flows().import_flow(request).await.unwrap();

        let answer = answer.into_inner();
        assert_eq!(answer.format(), format);
        // Edges have ids there, and these had none.
        assert_eq!(answer.flow.unwrap().nodes, stored.nodes);
    }
}
