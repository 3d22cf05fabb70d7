//! What the predecessor did, case by case, through the whole service: saved as a flow, run, and compared.

use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use synapps::proto::{CreateFlowRequest, Flow, Run, RunState};
use tonic::Code;

use crate::support::calls::Calls;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::server::TestServer;
use crate::support::wire;

const CASES: &str = include_str!("../conformance/applets.json");

/// Applets with recorded cases that are here.
const HERE: [&str; 3] = ["transform", "if_else", "merge"];

/// How many cases run at once.
const AT_ONCE: usize = 8;

#[derive(Deserialize)]
struct Case {
    applet: String,
    #[serde(rename = "case")]
    name: String,
    config: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    inputs: Vec<Value>,
    expect: Value,
}

impl Case {
    /// The flow that it makes.
    fn flow(&self, id: &str) -> Flow {
        match self.applet.as_str() {
            "if_else" => self.branch(id),
            "merge" => self.join(id),
            _ => chain(id, &[("here", &self.applet, self.config.clone())]),
        }
    }

    /// The input leaves by a port, whose node passes it on: the end has it by the name of that node.
    fn branch(&self, id: &str) -> Flow {
        let pass = json!({"operation": "template", "template": "{{ content }}"});
        flow_with_ends(id)
            .node("here", "if_else", self.config.clone())
            .node("true", "transform", pass.clone())
            .node("false", "transform", pass)
            .edge("start", "here")
            .edge_from("here", "true", "true")
            .edge_from("here", "false", "false")
            .edge("true", "end")
            .edge("false", "end")
            .build()
    }

    /// Each input is picked out of the run's by a node of its own.
    fn join(&self, id: &str) -> Flow {
        let mut flow = flow_with_ends(id).node("here", "merge", self.config.clone());
        for number in 0..self.inputs.len() {
            let pick = json!({
                "operation": "json_path", "source": "{{ input }}", "json_path": format!("$[{number}]"),
            });
            let name = format!("n{number}");
            flow = flow
                .node(&name, "transform", pick)
                .edge("start", &name)
                .edge(&name, "here");
        }
        flow.edge("here", "end").build()
    }

    /// Whether there is a flow for it: a merge that nothing leads to is refused when it is saved.
    fn makes_a_flow(&self) -> bool {
        self.applet != "merge" || !self.inputs.is_empty()
    }

    fn input(&self) -> Value {
        if self.applet == "merge" {
            json!(self.inputs)
        } else {
            self.input.clone()
        }
    }

    /// What is not as expected.
    async fn failure(&self, server: &Calls, number: usize) -> Option<String> {
        let id = format!("case-{number}");
        let request = CreateFlowRequest {
            flow: Some(self.flow(&id)),
            validate_only: false,
        };
        let failing = self.expect["error"] == true;
        if let Err(status) = server.flows().create_flow(request).await {
            let as_expected = failing && status.code() == Code::InvalidArgument;
            return (!as_expected).then(|| format!("refused: {status:?}"));
        }
        let run_id = server.start(&id, &self.input()).await;
        let run = server.finished_run(&run_id).await;
        if failing {
            let failed = run.state() == RunState::Failed && run.error.is_some();
            return (!failed).then(|| format!("{run:?} instead of an error"));
        }
        self.difference(&run)
    }

    fn difference(&self, run: &Run) -> Option<String> {
        let output = wire::json(run.output.as_ref());
        let expected = match &self.expect["branch"] {
            Value::String(branch) => json!({branch: self.input}),
            _ => self.expect["value"].clone(),
        };
        (run.state() != RunState::Succeeded || output != whole(&expected))
            .then(|| format!("{output} instead of {expected}: {:?}", run.error))
    }
}

/// The value as gRPC would bring it: whole numbers without a fraction.
fn whole(value: &Value) -> Value {
    wire::json(Some(&wire::value(value)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_case_that_makes_a_flow_runs_as_expected() {
    let server = TestServer::start().await;
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    let here = cases
        .into_iter()
        .filter(|case| HERE.contains(&case.applet.as_str()) && case.makes_a_flow());

    let calls: &Calls = &server;
    let results: Vec<Option<String>> = stream::iter(here.enumerate())
        .map(|(number, case)| async move {
            let failure = case.failure(calls, number).await?;
            Some(format!("{} {}: {failure}", case.applet, case.name))
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    assert_eq!(
        results.len(),
        65,
        "the cases, but for two merges of nothing"
    );
    let failures: Vec<String> = results.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
