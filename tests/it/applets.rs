//! `AppletService`: the catalogue, and that its examples are what it says.

mod tryout;

use serde_json::json;
use synapps::proto::{
    Applet, DescribeAppletRequest, Effect, Flow, ListAppletsRequest, Node, RunState,
    ValidateFlowRequest,
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::flows::flow;
use crate::support::server::TestServer;
use crate::support::wire;

const ALL: [&str; 18] = [
    "approval",
    "artist",
    "code",
    "delay",
    "end",
    "for_each",
    "http_request",
    "if_else",
    "image",
    "llm",
    "memory",
    "merge",
    "start",
    "subflow",
    "switch",
    "transform",
    "wait_signal",
    "writer",
];

/// Applets whose examples wait for something, or need another flow.
const NOT_RUN: [&str; 4] = ["approval", "delay", "subflow", "wait_signal"];

async fn list(server: &Calls, page_size: i32, page_token: &str) -> (Vec<Applet>, String) {
    let request = ListAppletsRequest {
        page_size,
        page_token: page_token.to_owned(),
    };
    let answer = server.applets().list_applets(request).await;
    let answer = answer.unwrap().into_inner();
    (answer.applets, answer.next_page_token)
}

async fn describe(server: &Calls, kind: &str) -> Result<Applet, tonic::Status> {
    let request = DescribeAppletRequest {
        r#type: kind.to_owned(),
    };
    let answer = server.applets().describe_applet(request).await?;
    Ok(answer.into_inner().applet.unwrap())
}

/// A flow around an example: a start before it unless it is one, an end after each of its ports unless it is one.
fn around(example: &Node, applet: &Applet) -> Flow {
    let id = example.id.as_str();
    let mut around = flow(&format!("around-{id}")).add(example.clone());
    if id != "start" {
        around = around.node("start", "start", json!({})).edge("start", id);
    }
    if id != "end" {
        around = around.node("end", "end", json!({}));
        // Ports that the config names are not known here, and need no edge.
        let ports: Vec<&str> = applet
            .handles
            .iter()
            .map(|handle| handle.name.as_str())
            .filter(|name| !name.contains('<'))
            .collect();
        if ports.is_empty() {
            around = around.edge(id, "end");
        }
        for port in ports {
            around = around.edge_from(id, port, "end");
        }
    }
    around.build()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_applets_are_listed_by_type_over_all_pages() {
    let server = TestServer::start().await;

    let (whole, end) = list(&server, 0, "").await;
    let (first, token) = list(&server, 5, "").await;
    let (second, token) = list(&server, 5, &token).await;
    let (third, last) = list(&server, 5, &token).await;

    let types: Vec<&str> = whole.iter().map(|applet| applet.r#type.as_str()).collect();
    assert_eq!(types, ALL);
    assert_eq!((&*end, &*last), ("", ""));
    assert_eq!([first, second, third].concat(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_applet_is_described_in_full() {
    let server = TestServer::start().await;
    let (listed, _) = list(&server, 0, "").await;

    for (kind, listed) in ALL.into_iter().zip(listed) {
        let applet = describe(&server, kind).await.unwrap();

        assert_eq!(applet, listed);
        assert!(applet.version >= 1, "{kind}");
        assert!(
            !applet.title.is_empty() && !applet.description.is_empty(),
            "{kind}"
        );
        assert_ne!(applet.effect(), Effect::Unspecified, "{kind}");
        let (default, most) = (applet.default_timeout.unwrap(), applet.max_timeout.unwrap());
        assert!(
            0 < default.seconds && default.seconds <= most.seconds,
            "{kind}"
        );
        for handle in &applet.handles {
            assert!(
                !handle.name.is_empty() && !handle.description.is_empty(),
                "{kind}"
            );
        }
        for reason in &applet.failure_reasons {
            assert!(
                !reason.reason.is_empty() && !reason.description.is_empty(),
                "{kind}"
            );
        }
        let schema = wire::object_of(applet.config_schema.as_ref().unwrap());
        assert_eq!(schema["type"], "object", "{kind}");
        assert_eq!(schema["additionalProperties"], false, "{kind}");
        let example = wire::object_of(applet.example.unwrap().data.as_ref().unwrap());
        let schema = jsonschema::draft202012::new(&schema).unwrap();
        assert!(schema.is_valid(&example), "{kind}: {example}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_a_valid_node_and_runs_where_it_is_pure() {
    let server = TestServer::start().await;
    let (applets, _) = list(&server, 0, "").await;
    let input = json!({"items": [{"sku": "A1"}], "user": {"name": "Ada"}, "status": "paid"});

    for applet in applets {
        let kind = applet.r#type.as_str();
        let flow = around(applet.example.as_ref().unwrap(), &applet);
        let request = ValidateFlowRequest {
            flow: Some(flow.clone()),
        };
        let answer = server.flows().validate_flow(request).await;
        let answer = answer.unwrap().into_inner();
        assert_eq!(answer.violations, [], "{kind}");
        if applet.effect() != Effect::Pure || NOT_RUN.contains(&kind) {
            continue;
        }

        let run_id = server.save_and_start(flow, &input).await;
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Succeeded, "{kind}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_applets_and_bad_pages_are_refused() {
    let server = TestServer::start().await;
    let page = |page_size, page_token: &str| ListAppletsRequest {
        page_size,
        page_token: page_token.to_owned(),
    };

    let unknown = describe(&server, "frobnicate").await.unwrap_err();
    let nothing = describe(&server, "").await.unwrap_err();
    let long = describe(&server, &"x\0".repeat(50_000)).await.unwrap_err();
    let negative = server.applets().list_applets(page(-1, "")).await;
    let negative = negative.unwrap_err();
    let forged = server.applets().list_applets(page(0, "x")).await;
    let forged = forged.unwrap_err();

    assert_error(&unknown, Code::NotFound, "APPLET_NOT_FOUND");
    assert_eq!(metadata(&unknown, "type"), "frobnicate");
    let resource = unknown.get_details_resource_info().unwrap();
    assert_eq!(resource.resource_name, "frobnicate");
    assert_error(&nothing, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violated_fields(&nothing), ["type"]);
    assert!(
        [Code::NotFound, Code::InvalidArgument].contains(&long.code()),
        "{long:?}"
    );
    assert_error(&negative, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violated_fields(&negative), ["page_size"]);
    assert_error(&forged, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
}
