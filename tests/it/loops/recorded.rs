//! What the predecessor's loops did, case by case, as flows of this service.
//!
//! `parallel` and `concurrency_limit` are `concurrency` here, `max_iterations` is `max_items` with truncation: as an
//! import would have it.

use serde::Deserialize;
use serde_json::{Value, json};
use synapps::proto::{CreateFlowRequest, RunState};
use tonic::Code;

use super::{looping, output, step, told};
use crate::support::server::TestServer;

const CASES: &str = include_str!("../../conformance/applets.json");

#[derive(Deserialize)]
struct Case {
    applet: String,
    #[serde(rename = "case")]
    name: String,
    config: Value,
    #[serde(default)]
    input: Value,
    expect: Value,
}

/// The config as it is here.
fn mapped(recorded: &Value) -> Value {
    let mut config = json!({"array_source": recorded["array_source"]});
    config["concurrency"] = if recorded["parallel"] == true {
        recorded["concurrency_limit"].as_u64().unwrap_or(10).into()
    } else {
        1.into()
    };
    if let Some(most) = recorded["max_iterations"].as_u64() {
        config["max_items"] = most.into();
        config["on_excess"] = "truncate".into();
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_loop_gives_what_it_gave() {
    let server = TestServer::start().await;
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    let loops: Vec<Case> = cases
        .into_iter()
        .filter(|case| case.applet == "for_each")
        .collect();
    assert_eq!(loops.len(), 5);

    for (number, case) in loops.into_iter().enumerate() {
        let (id, name) = (format!("case-{number}"), &case.name);
        let request = CreateFlowRequest {
            flow: Some(looping(&id, mapped(&case.config))),
            validate_only: false,
        };
        if let Err(status) = server.flows().create_flow(request).await {
            assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status:?}");
            assert_eq!(case.expect["error"], true, "{name}: {status:?}");
            continue;
        }
        let run_id = server.start(&id, &case.input).await;
        let run = server.finished_run(&run_id).await;

        if case.expect["error"] == true {
            assert_eq!(run.state(), RunState::Failed, "{name}");
            continue;
        }
        assert_eq!(output(&run), case.expect["outputs"], "{name}");
        let details = told(step(&run, "loop").details.as_ref());
        assert_eq!(details["truncated"], case.expect["truncated"], "{name}");
    }
}
