//! `ForkRun`: a new run that uses again what another one has recorded, or what would become of it.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::run_key;
use crate::api::Api;
use crate::api::checks::Checks;
use crate::api::convert::event::number;
use crate::api::convert::run::usage;
use crate::api::convert::time::duration;
use crate::api::convert::value;
use crate::api::status::Result;
use crate::engine::fork::{Cost, Foreseen, Fork, Wanted};
use crate::flow::validate;
use crate::ids::{Namespace, NodeId};
use crate::proto::{
    ForkAction, ForkCause, ForkCost, ForkForecast, ForkRunRequest, ForkRunResponse, ForkStep,
};
use crate::run::reuse::{Action, Cause, Forecast};
use crate::store::births::Request;
use crate::usage::Usage;
use crate::value::{canonical, normalise};

/// How many nodes are named that a step depends on.
const MOST_CHANGED: usize = 10;

impl Api {
    pub(super) async fn fork(
        &self,
        namespace: Namespace,
        request: ForkRunRequest,
    ) -> Result<ForkRunResponse> {
        let validate_only = request.validate_only;
        let fork = self.fork_of(namespace, request)?;
        if validate_only {
            let foreseen = self.engine.forecast(&fork).await?;
            return Ok(ForkRunResponse {
                run: None,
                started: false,
                revision: foreseen.plan.revision.number,
                forecast: Some(forecast(&foreseen)),
            });
        }
        let started = self.engine.fork(fork).await?;
        let run = self.show_started(&started).await?;
        Ok(ForkRunResponse {
            revision: run.revision,
            run: Some(run),
            started: started.started,
            forecast: None,
        })
    }

    /// What the engine is to fork, or all that is wrong with the request as it stands.
    fn fork_of(&self, namespace: Namespace, request: ForkRunRequest) -> Result<Fork> {
        let mut checks = Checks::default();
        let run_id = checks.run_id(&request.run_id);
        let revision = wanted(&request, &mut checks);
        checks.request_id(&request.request_id);
        checks.extend(validate::run_labels(&request.labels));
        let given = request.input_overrides.map(|given| {
            let given = value::struct_from_proto(given, "input_overrides");
            checks.take(given)
        });
        let input_overrides = given.clone().unwrap_or_default();
        let mut outputs = Map::new();
        for (id, output) in request.output_overrides {
            let field = format!("output_overrides.{id}");
            outputs.insert(id, checks.take(value::from_proto(output, &field)));
        }
        let mut outputs = Value::Object(outputs);
        checks.payload("output_overrides", &outputs, self.settings.max_input_bytes);
        checks.finish()?;
        let body = json!({
            "fork": run_id.to_string(),
            "from_nodes": request.from_nodes,
            "revision": request.revision,
            "latest_revision": request.latest_revision,
            "input_overrides": given,
            "output_overrides": outputs,
            "output_ports": request.output_ports,
            "labels": request.labels,
        });
        let request_id = Some(request.request_id).filter(|id| !id.is_empty());
        let request_id = request_id.map(|id| Request {
            id,
            body_hash: canonical::digest(canonical::canonical(&body).as_bytes()),
        });
        normalise(&mut outputs);
        let Value::Object(output_overrides) = outputs else {
            unreachable!("it was made an object just above")
        };
        Ok(Fork {
            original: run_key(namespace, run_id),
            revision,
            from_nodes: request.from_nodes.into_iter().map(NodeId::from).collect(),
            input_overrides,
            output_overrides,
            output_ports: request
                .output_ports
                .into_iter()
                .map(|(id, port)| (NodeId::from(id), port))
                .collect::<BTreeMap<_, _>>(),
            labels: request.labels,
            request: request_id,
            max_input_bytes: self.settings.max_input_bytes,
        })
    }
}

fn wanted(request: &ForkRunRequest, checks: &mut Checks) -> Wanted {
    match (request.revision, request.latest_revision) {
        (0, false) => Wanted::Same,
        (0, true) => Wanted::Latest,
        (number, latest) => {
            if number < 0 {
                let description = format!("is {number}, must be 0 (that of the original) or above");
                checks.add("revision", "OUT_OF_BOUNDS", description);
            }
            if latest {
                let description = format!("is set, but so is revision: {number}");
                checks.add("latest_revision", "CONFLICT", description);
            }
            Wanted::Number(number)
        }
    }
}

fn forecast(foreseen: &Foreseen) -> ForkForecast {
    let count = |action| {
        let with = foreseen
            .steps
            .iter()
            .filter(|(step, _)| step.action == action);
        number(u32::try_from(with.count()).unwrap_or(u32::MAX))
    };
    let sum = |action| {
        let with = foreseen
            .steps
            .iter()
            .filter(|(step, _)| step.action == action);
        let nothing = Cost {
            took: TimeDelta::zero(),
            attempts: 0,
            usage: Usage::default(),
        };
        let sum = with
            .filter_map(|(_, cost)| *cost)
            .fold(nothing, |mut sum, cost| {
                sum.took += cost.took;
                sum.attempts += cost.attempts;
                sum.usage.add(cost.usage);
                sum
            });
        Some(fork_cost(sum))
    };
    ForkForecast {
        steps: foreseen
            .steps
            .iter()
            .map(|(forecast, cost)| {
                let id = &foreseen.plan.graph.node(forecast.node).id;
                step(id, forecast, *cost)
            })
            .collect(),
        reuse_count: count(Action::Reuse),
        override_count: count(Action::Override),
        run_count: count(Action::Run),
        run_if_changed_count: count(Action::RunIfChanged),
        skip_count: count(Action::Skip),
        run_cost: sum(Action::Run),
        run_if_changed_cost: sum(Action::RunIfChanged),
    }
}

fn step(id: &NodeId, forecast: &Forecast, cost: Option<Cost>) -> ForkStep {
    let action = match forecast.action {
        Action::Reuse => ForkAction::Reuse,
        Action::Override => ForkAction::Override,
        Action::Run => ForkAction::Run,
        Action::RunIfChanged => ForkAction::RunIfChanged,
        Action::Skip => ForkAction::Skip,
    };
    let cause = match &forecast.cause {
        None => ForkCause::Unspecified,
        Some(Cause::Named) => ForkCause::Named,
        Some(Cause::New) => ForkCause::New,
        Some(Cause::NotSucceeded) => ForkCause::NotSucceeded,
        Some(Cause::ConfigChanged) => ForkCause::ConfigChanged,
        Some(Cause::Unrepeatable) => ForkCause::Unrepeatable,
        Some(Cause::InputChanged) => ForkCause::InputChanged,
        Some(Cause::ResultsChanged(_)) => ForkCause::ResultsChanged,
    };
    let changed = match &forecast.cause {
        Some(Cause::ResultsChanged(ids)) => &ids[..ids.len().min(MOST_CHANGED)],
        _ => &[],
    };
    ForkStep {
        node_id: id.to_string(),
        action: action.into(),
        cause: cause.into(),
        changed_node_ids: changed.iter().map(ToString::to_string).collect(),
        last_cost: cost.map(fork_cost),
    }
}

fn fork_cost(cost: Cost) -> ForkCost {
    ForkCost {
        duration: Some(duration(cost.took.to_std().unwrap_or_default())),
        attempts: number(u32::try_from(cost.attempts).unwrap_or(u32::MAX)),
        usage: usage(cost.usage),
    }
}
