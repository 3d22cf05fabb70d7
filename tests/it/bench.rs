//! `synapps bench`: the load against a running service, and why it does not begin.

use std::process::Output;

use serde_json::Value;
use synapps::proto::{ListFlowsRequest, ListRunsRequest};

use crate::support::binary::{Binary, run};

async fn bench(address: &str, workloads: &str) -> Output {
    let arguments = ["bench", "--address", address, "--workload", workloads];
    let little = ["--clients", "4", "--window", "1s", "--json"];
    run(&[&arguments[..], &little[..]].concat(), &[]).await
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_gives_figures_and_leaves_runs_behind_but_no_flow() {
    let server = Binary::start(&[]).await;
    let address = format!("http://{}", server.address());

    let output = bench(&address, "w5,START").await;

    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = said["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|outcome| outcome["figures"].as_array().unwrap())
        .map(|figure| {
            assert!(figure["value"].as_f64().unwrap() > 0.0, "{figure}");
            figure["name"].as_str().unwrap()
        })
        .collect();
    let crowd = ["throughput", "loaded p50", "loaded p99"];
    assert_eq!(names, [&crowd[..], &["p50", "p99"], &crowd[..]].concat());
    let flows = server.flows().list_flows(ListFlowsRequest::default()).await;
    assert!(flows.unwrap().into_inner().flows.is_empty());
    let runs = server.runs().list_runs(ListRunsRequest::default()).await;
    assert!(!runs.unwrap().into_inner().runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_service_is_named() {
    let nobody = complaint(&bench("http://127.0.0.1:1", "W5").await);
    let encrypted = complaint(&bench("https://127.0.0.1:1", "W5").await);

    assert!(
        nobody.contains("nothing answers at http://127.0.0.1:1"),
        "{nobody}"
    );
    assert!(encrypted.contains("without TLS"), "{encrypted}");
}
