//! `TestApplet`: one node tried out, outside any run.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Map, Value};

use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::convert::{self, MOST_BYTES, event, flow, required, run, time, value};
use crate::api::flows::check::on_cpu;
use crate::api::status::{Error, Result};
use crate::engine::tryout::{Tried, TriedEnd, Tryout, surround};
use crate::flow::validate::validate;
use crate::flow::{Draft, Violation};
use crate::ids::{Namespace, NodeId, StepPath};
use crate::proto::{Flow, StepState, TestAppletRequest, TestAppletResponse};
use crate::value::normalise;

/// The most results that may be given.
const MOST_RESULTS: usize = 100;

impl Api {
    pub(super) async fn try_out(
        &self,
        namespace: Namespace,
        request: TestAppletRequest,
    ) -> Result<TestAppletResponse> {
        let mut checks = Checks::default();
        let most = self.settings.max_input_bytes;
        let mut given = |field: &str, sent: Option<prost_types::Value>| {
            let sent = sent.map(|sent| value::from_proto(sent, field));
            let mut sent = checks.take(sent.transpose())?;
            checks.payload(field, &sent, most);
            normalise(&mut sent);
            Some(sent)
        };
        let input = given("input", request.input);
        let run_input = given("run_input", request.run_input);
        let results: BTreeMap<NodeId, Value> = request
            .results
            .into_iter()
            .take(MOST_RESULTS + 1)
            .filter_map(|(id, sent)| {
                let sent = given(&format!("results.{id}"), Some(sent))?;
                Some((NodeId::new(id), sent))
            })
            .collect();
        if results.len() > MOST_RESULTS {
            let description = format!("has more than {MOST_RESULTS} entries");
            checks.add("results", "TOO_MANY", description);
        }
        let is_given = request.node.is_some();
        let node = request.node.unwrap_or_default();
        let id = node.id.clone();
        if id.is_empty() {
            checks.extend([required(if is_given { "node.id" } else { "node" })]);
        }
        if results.contains_key(&NodeId::new(id.clone())) {
            checks.add("results", "DUPLICATE", "names the node itself");
        }
        checks.finish()?;

        let flow = Flow {
            nodes: vec![node],
            ..Flow::default()
        };
        let ids: Vec<NodeId> = results.keys().cloned().collect();
        let definition = on_cpu(self, move |limits, applets| {
            let (mut draft, found) = flow::draft(flow);
            let node = draft.definition.nodes.pop();
            let Some(node) = node.filter(|_| found.is_empty()) else {
                return Err(of_node(found));
            };
            let draft = Draft {
                definition: surround(node, ids.iter()),
                ..draft
            };
            match validate(draft, limits, applets) {
                Ok(valid) => Ok(valid.definition),
                Err(report) => Err(of_node(report.violations)),
            }
        })
        .await?
        .map_err(Error::Invalid)?;
        let input = input.unwrap_or_else(|| Value::Object(Map::new()));
        let tryout = Tryout {
            namespace,
            definition,
            run_input: run_input.unwrap_or_else(|| input.clone()),
            input,
            results,
        };
        let tried = self.engine.try_out(tryout).await?;
        Ok(answer(&id, tried))
    }
}

/// Violations of the flow around the node, as ones of the node.
fn of_node(violations: Vec<Violation>) -> Vec<Violation> {
    let renamed = |violation: Violation| {
        let field = match violation.field.strip_prefix("flow.nodes[0]") {
            Some(inside) => format!("node{inside}"),
            None => "node".to_owned(),
        };
        Violation { field, ..violation }
    };
    violations.into_iter().map(renamed).collect()
}

fn answer(node_id: &str, tried: Tried) -> TestAppletResponse {
    let mut answer = TestAppletResponse {
        usage: run::usage(tried.usage),
        duration: Some(time::duration(tried.took)),
        ..TestAppletResponse::default()
    };
    match tried.end {
        TriedEnd::Output {
            output,
            port,
            details,
        } => {
            answer.state = StepState::Succeeded.into();
            answer.ports = event::ports(&port);
            answer.details = event::details(&details);
            put(&mut answer, &output);
        }
        TriedEnd::Failed(failure) => {
            answer.state = StepState::Failed.into();
            let path = StepPath::from(&NodeId::from(node_id));
            answer.error = Some(event::step_error(&failure, &path, 1));
        }
        TriedEnd::Waits(reason, until) => {
            answer.state = StepState::Waiting.into();
            answer.wait_reason = event::wait_reason(reason).into();
            answer.wake_time = until.map(time::timestamp);
        }
        TriedEnd::Items(items) => {
            answer.state = StepState::Waiting.into();
            put(&mut answer, &items);
        }
    }
    answer
}

/// Puts an output into the answer, if it fits.
fn put(answer: &mut TestAppletResponse, output: &Value) {
    let size = output.to_string().len();
    answer.output_size_bytes = i64::try_from(size).unwrap_or(i64::MAX);
    let output = convert::value::to_proto(output);
    if answer.encoded_len() + output.encoded_len() < MOST_BYTES {
        answer.output = Some(output);
    }
}
