//! `ImportFlow`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use synapps::proto::{FlowFormat, GetFlowRequest, ImportFlowRequest, ImportFlowResponse, RunState};
use tonic::{Code, Status};

use crate::support::calls::{Calls, assert_error, violated_fields};
use crate::support::server::TestServer;
use crate::support::wire;

const CHATBOT: &str = include_str!("../../conformance/predecessor-flows/chatbot-memory.json");
const PIPELINE: &str =
    include_str!("../../conformance/predecessor-flows/content-engine-pipeline.yaml");
const STORY: &str = include_str!("../../conformance/predecessor-flows/illustrated-story.json");

async fn import(server: &Calls, request: ImportFlowRequest) -> Result<ImportFlowResponse, Status> {
    Ok(server.flows().import_flow(request).await?.into_inner())
}

fn document(document: impl Into<String>) -> ImportFlowRequest {
    ImportFlowRequest {
        document: document.into(),
        ..ImportFlowRequest::default()
    }
}

fn checked(text: impl Into<String>) -> ImportFlowRequest {
    ImportFlowRequest {
        validate_only: true,
        ..document(text)
    }
}

/// A flow of the predecessor with one node between `start` and `end`.
fn around(kind: &str, data: &Value) -> Value {
    json!({
        "id": "old", "name": "Old",
        "nodes": [
            {"id": "start", "type": "start", "position": {"x": 0, "y": 0}, "data": {"label": "Start"}},
            {"id": "here", "type": kind, "position": {"x": 0, "y": 100}, "data": data},
            {"id": "end", "type": "end", "position": {"x": 0, "y": 200}, "data": {"label": "End"}},
        ],
        "edges": [
            {"id": "start-here", "source": "start", "target": "here", "animated": false},
            {"id": "here-end", "source": "here", "target": "end", "animated": false},
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_ours_is_stored_as_it_is() {
    let server = TestServer::start().await;
    let yaml = "
id: hello
name: Hello
labels: { team: docs }
nodes:
  - { id: start, type: start }
  - id: greet
    type: transform
    timeout: 5s
    data: { template: 'Hello, {{ input.name }}!' }
  - { id: end, type: end }
edges:
  - { source: start, target: greet }
  - { source: greet, target: end }
";

    let answer = import(&server, document(yaml)).await.unwrap();

    assert_eq!(answer.format(), FlowFormat::Yaml);
    assert_eq!(answer.warnings, []);
    let flow = answer.flow.unwrap();
    assert_eq!((flow.id.as_str(), flow.revision), ("hello", 1));
    let stored = super::get(&server, "hello", 0).await.unwrap();
    assert_eq!(stored, flow);
    let run_id = server.start("hello", &json!({"name": "Ada"})).await;
    let run = server.finished_run(&run_id).await;
    assert_eq!(wire::json(run.output.as_ref()), json!("Hello, Ada!"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_of_the_predecessor_is_converted_stored_and_runs() {
    let server = TestServer::start().await;
    let mut old = around(
        "transform-node",
        &json!({"label": "Pick", "operation": "extract", "jsonPath": "user.name", "timeout_seconds": 5}),
    );
    old["nodes"][2]["data"]["template"] = json!("{{x}}");

    let answer = import(&server, document(old.to_string())).await.unwrap();

    assert_eq!(answer.format(), FlowFormat::PredecessorJson);
    let told: Vec<_> = answer
        .warnings
        .iter()
        .map(|one| (&*one.node_id, &*one.reason, &*one.field))
        .collect();
    assert_eq!(
        told,
        [
            ("start", "KEY_MOVED", "document.nodes[0].data.label"),
            ("here", "KEY_MOVED", "document.nodes[1].data.label"),
            (
                "here",
                "KEY_MOVED",
                "document.nodes[1].data.timeout_seconds"
            ),
            ("here", "KIND_RENAMED", "document.nodes[1].type"),
            ("here", "VALUE_CHANGED", "document.nodes[1].data.operation"),
            ("here", "KEY_RENAMED", "document.nodes[1].data.jsonPath"),
            ("end", "KEY_MOVED", "document.nodes[2].data.label"),
            ("end", "KEY_DROPPED", "document.nodes[2].data.template"),
        ]
    );
    let run_id = server.start("old", &json!({"user": {"name": "Ada"}})).await;
    let run = server.finished_run(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(wire::json(run.output.as_ref()), json!("Ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_predecessors_own_flows_are_stored_with_what_was_changed_in_them() {
    let server = TestServer::start().await;
    for text in [CHATBOT, STORY, PIPELINE] {
        let dry = import(&server, checked(text)).await.unwrap();
        let answer = import(&server, document(text)).await.unwrap();

        assert_eq!(dry.violations, [], "{:?}", dry.violations);
        assert_eq!(dry.warnings, answer.warnings);
        assert!(answer.warnings.iter().all(|one| !one.field.is_empty()));
        let flow = answer.flow.unwrap();
        let get = GetFlowRequest {
            flow_id: flow.id.clone(),
            revision: 0,
        };
        let stored = server.flows().get_flow(get).await.unwrap().into_inner();
        assert_eq!(stored.flow.unwrap().nodes, flow.nodes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_taken_is_refused_unless_it_is_to_be_replaced() {
    let server = TestServer::start().await;
    let old = around("transform", &json!({"template": "1"})).to_string();
    import(&server, document(&*old)).await.unwrap();

    let again = import(&server, document(&*old)).await.unwrap_err();
    let dry = import(&server, checked(&*old)).await.unwrap();
    let same = ImportFlowRequest {
        replace_existing: true,
        ..document(&*old)
    };
    let same = import(&server, same).await.unwrap();
    let changed = ImportFlowRequest {
        replace_existing: true,
        ..document(old.replace("\"1\"", "\"2\""))
    };
    let changed = import(&server, changed).await.unwrap();
    let elsewhere = ImportFlowRequest {
        flow_id: "new".to_owned(),
        ..document(&*old)
    };
    let elsewhere = import(&server, elsewhere).await.unwrap();

    assert_error(&again, Code::AlreadyExists, "FLOW_ALREADY_EXISTS");
    assert_eq!(dry.violations[0].reason, "FLOW_ALREADY_EXISTS");
    assert_eq!(same.flow.unwrap().revision, 1);
    assert_eq!(changed.flow.unwrap().revision, 2);
    assert_eq!(elsewhere.flow.unwrap().id, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_inline_key_comes_back() {
    let server = TestServer::start().await;
    let key = "sk-0123456789abcdef0123456789";
    let data = json!({
        "url": format!("http://a.example/x?api_key={key}"), "auth_type": "bearer", "auth_value": key,
        "headers": {"X-Api-Key": key, "Authorization": format!("Bearer {key}")}, "body": {"password": key},
    });

    let answer = import(&server, document(around("http", &data).to_string()))
        .await
        .unwrap();

    assert!(!format!("{answer:?}").contains(key));
    let removed = answer
        .warnings
        .iter()
        .filter(|one| one.reason == "SECRET_REMOVED");
    assert_eq!(removed.count(), 5);
    let data = answer.flow.unwrap().nodes[1].data.clone().unwrap();
    assert_eq!(
        wire::json(data.fields.get("url")),
        json!("http://a.example/x?api_key={{ secrets.here_api_key }}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_documents_are_refused_and_the_service_goes_on() {
    let server = TestServer::start().await;
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='j').zip('a'..) {
        let aliases = vec![format!("*{before}"); 10].join(", ");
        writeln!(laughs, "{name}: &{name} [{aliases}]").unwrap();
    }
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let deep_data = format!(
        r#"{{"id": "d", "nodes": [{{"id": "n", "type": "merge", "data": {{"strategy": {}1{}}}}}]}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    for (text, field) in [
        (" ".repeat(10), "document"),
        ("{".to_owned(), "document"),
        ("nodes: [".to_owned(), "document"),
        ("x".repeat(3 << 20), "document"),
        ("[".repeat(1_000_000), "document"),
        ("- ".repeat(500_000), "document"),
        (deep, "document"),
        (laughs, "document"),
        (r#"{"id": 7, "nodes": {}}"#.to_owned(), "flow.id"),
        (
            r#"{"id": "a", "nodez": [], "labels": {}}"#.to_owned(),
            "flow.nodez",
        ),
        (r#"{"tags": [], "nodes": 5}"#.to_owned(), "document.nodes"),
        (deep_data, "flow.nodes[0].data"),
    ] {
        let status = import(&server, document(&*text)).await.unwrap_err();

        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let fields = violated_fields(&status);
        assert!(
            fields.iter().any(|one| one.starts_with(field)),
            "{field}: {fields:?}"
        );
    }
    let deep_schema = format!(
        r#"{{"id": "d", "input_schema": {}1{}, "nodes": [{{"id": "n", "type": "merge"}}]}}"#,
        r#"{"a":"#.repeat(45),
        "}".repeat(45)
    );
    let asked = ImportFlowRequest {
        validate_only: true,
        ..document(&*deep_schema)
    };
    let answer = import(&server, asked).await.unwrap();
    assert_eq!(answer.flow, None, "most clients could not read it back");
    assert!(!answer.violations.is_empty());
    let unknown = ImportFlowRequest {
        format: 77,
        flow_id: "a b".to_owned(),
        ..ImportFlowRequest::default()
    };
    let status = import(&server, unknown).await.unwrap_err();
    assert_eq!(violated_fields(&status), ["format", "document", "flow_id"]);

    let answer = import(&server, document(around("merge", &json!({})).to_string()));
    assert!(answer.await.is_ok());
}
