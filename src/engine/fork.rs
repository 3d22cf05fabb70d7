//! Forking a run: a new run that takes from the original whatever its steps would compute again.
//!
//! The fork's first event says what it may take and from where; its driver decides step by step. What is decided here
//! is only whether the fork can be, and, for who asks, what would become of its steps.

mod past;
mod recipes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub(super) use self::past::read_past;
use super::payloads::Encoded;
use super::plan::Plan;
use super::start::Newborn;
use super::{Engine, Error, Started};
use crate::flow::Violation;
use crate::flow::graph::NodeIndex;
use crate::ids::{NodeId, RunKey};
use crate::run::event::{Event, Origin};
use crate::run::reuse::{Forecast, Past, Ways};
use crate::run::step::Step;
use crate::store::births::{Proviso, Request};
use crate::store::runs::RunRow;
use crate::store::{self, events, flows, runs};
use crate::usage::Usage;
use crate::value::{check_all, normalise};

/// A fork that somebody wants.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The original, in whatever state.
    pub original: RunKey,
    /// The revision to run.
    pub revision: Wanted,
    /// Nodes that run in any case.
    pub from_nodes: Vec<NodeId>,
    /// Fields that replace those of the original's input, or are added to them.
    pub input_overrides: Map<String, Value>,
    /// Outputs that are given in place of running their nodes; they keep the rules of payloads.
    pub output_overrides: Map<String, Value>,
    /// The ports that they leave by, where their nodes have several.
    pub output_ports: BTreeMap<NodeId, String>,
    /// The client's marks; those of the original are not taken over.
    pub labels: BTreeMap<String, String>,
    /// The client's name for the request, if it gave one.
    pub request: Option<Request>,
    /// The largest input, in bytes of compact JSON.
    pub max_input_bytes: u64,
}

/// Which revision a fork runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That of the original.
    Same,
    /// The flow's latest.
    Latest,
    /// This one.
    Number(i32),
}

/// What [`Engine::forecast`] tells.
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// The revision that the fork would run.
    pub plan: Arc<Plan>,
    /// What would become of its steps, in the order of the nodes.
    pub steps: Vec<(Forecast, Option<Cost>)>,
}

/// What a step took when it was last executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// From the beginning of its first attempt to its end, waits included.
    pub took: TimeDelta,
    /// How many attempts it had.
    pub attempts: usize,
    /// What they used.
    pub usage: Usage,
}

/// How many other runs are read to tell what a step took that the original did not execute itself.
const MOST_ANCESTORS: usize = 16;

/// A fork that can be.
struct Checked {
    row: RunRow,
    plan: Arc<Plan>,
    origin: Origin,
    input: Arc<Value>,
}

impl Engine {
    /// Starts a fork and answers when it is durable, with the revision that it runs. The original stays as it is.
    ///
    /// # Errors
    ///
    /// No such run or revision, its flow deleted, names of nodes and ports that the revision does not have, an input
    /// that does not fit, a request id that was used for another request, the process about to end, or the store's own.
    pub async fn fork(&self, fork: Fork) -> Result<Started, Error> {
        let _starting = self.starting().await?;
        let Checked {
            row,
            plan,
            origin,
            input,
        } = self.checked_fork(&fork).await?;
        let parts = &self.inner.parts;
        let created_at = parts.clock.now();
        let key = RunKey {
            namespace: fork.original.namespace.clone(),
            run_id: parts.clock.run_id(created_at),
        };
        let newborn = Newborn {
            key: key.clone(),
            created_at,
            labels: fork.labels,
            priority: row.priority,
            request: fork.request.clone(),
            input,
            parent: None,
            origin: Some(origin),
            proviso: Proviso::None,
            given_up: CancellationToken::new(),
        };
        let born = self.take_in(plan, newborn).await?;
        self.answer(key, fork.request, born, None, false)
    }

    /// What would become of the steps of a fork. Nothing is started, and the request id stays free.
    ///
    /// # Errors
    ///
    /// As [`Engine::fork`].
    pub async fn forecast(&self, fork: &Fork) -> Result<Foreseen, Error> {
        let Checked {
            plan,
            origin,
            input,
            ..
        } = self.checked_fork(fork).await?;
        let parts = &self.inner.parts;
        let past = past::get_past(parts, &fork.original, origin.sequence, &plan)
            .await?
            .ok_or(Error::RunNotFound(fork.original.run_id))?;
        let input_hash = Encoded::new(input).info.sha256;
        let ways: Vec<Ways> = plan
            .graph
            .nodes()
            .map(|(index, _)| self.ways_out(&plan, index))
            .collect();
        let forecasts = past.forecast(&origin, &plan.graph, &input_hash, &ways);
        let costs = self.costs(fork, &past, &plan).await?;
        let steps = forecasts.into_iter().map(|forecast| {
            let id = &plan.graph.node(forecast.node).id;
            let cost = costs.get(id).copied();
            (forecast, cost)
        });
        let steps = steps.collect();
        Ok(Foreseen { plan, steps })
    }

    /// Looks up all that a fork needs, and tells all that is wrong with it at once.
    async fn checked_fork(&self, fork: &Fork) -> Result<Checked, Error> {
        let parts = &self.inner.parts;
        let original = &fork.original;
        let mut conn = self.store().conn().await?;
        let row = runs::find(&mut conn, original)
            .await?
            .ok_or(Error::RunNotFound(original.run_id))?;
        let flow_id = row
            .flow_id
            .clone()
            .ok_or(Error::FlowDeleted(original.run_id))?;
        let latest = flows::find_latest(&mut conn, &original.namespace, &flow_id).await?;
        let (_, latest) = latest.ok_or(Error::FlowDeleted(original.run_id))?;
        let revision = match fork.revision {
            Wanted::Same => row.revision,
            Wanted::Latest => latest,
            Wanted::Number(number) => number,
        };
        if !(1..=latest).contains(&revision) {
            return Err(store::Error::RevisionNotFound {
                flow_id,
                revision,
                latest,
            }
            .into());
        }
        let queued = events::find(&mut conn, original, 1).await?;
        drop(conn);
        let Some(Event::RunQueued(queued)) = queued.map(|queued| queued.event) else {
            return Err(store::Error::Corrupt(format!("run {original} has no first event")).into());
        };
        let plan = parts
            .plans
            .get(&original.namespace, row.flow_key, revision)
            .await?;
        let input = parts.payloads.value(original, 1, &queued.input).await?;
        let (origin, mut violations) = self.origin(fork, &row, &plan);
        let input = match merged(input, fork) {
            Ok(input) => input,
            Err(problems) => {
                violations.extend(problems);
                Arc::default()
            }
        };
        if !violations.is_empty() {
            return Err(Error::InvalidFork(violations));
        }
        if plan.has_input_schema() {
            let (plan, input) = (Arc::clone(&plan), Arc::clone(&input));
            let checked = parts.cpu.run(move || plan.check_input(&input)).await;
            let violations = checked.map_err(|panic| Error::Rejected(panic.to_string()))?;
            if !violations.is_empty() {
                return Err(Error::InvalidInput(violations));
            }
        }
        Ok(Checked {
            row,
            plan,
            origin,
            input,
        })
    }

    /// What the fork may take from where, and what is wrong with what was asked for.
    fn origin(&self, fork: &Fork, row: &RunRow, plan: &Plan) -> (Origin, Vec<Violation>) {
        let mut violations = Vec::new();
        let mut refuse = |field: String, reason, description: String| {
            violations.push(Violation {
                field,
                reason,
                description,
            });
        };
        let revision = plan.revision.number;
        let unknown = |id: &str| format!("revision {revision} has no top-level node {id:?}");
        for (at, id) in fork.from_nodes.iter().enumerate() {
            let field = format!("from_nodes[{at}]");
            if plan.graph.find(id.as_str()).is_none() {
                refuse(field, "UNKNOWN_NODE", unknown(id.as_str()));
            } else if fork.output_overrides.contains_key(id.as_str()) {
                let description = format!("{id} cannot both run and be given its output");
                refuse(field, "CONFLICT", description);
            }
        }
        let mut output_ports = BTreeMap::new();
        for id in fork.output_overrides.keys() {
            let Some(index) = plan.graph.find(id) else {
                refuse(
                    format!("output_overrides.{id}"),
                    "UNKNOWN_NODE",
                    unknown(id),
                );
                continue;
            };
            let ports = self.ports(plan, index);
            let given = fork.output_ports.get(id.as_str()).map(String::as_str);
            let field = format!("output_ports.{id}");
            let names = || ports.join(", ");
            match (&*ports, given) {
                ([], None | Some("")) => {}
                ([], Some(given)) => {
                    let description = format!("is {given:?}, but {id} has only one way out");
                    refuse(field, "UNKNOWN_HANDLE", description);
                }
                (ports, Some(given)) if ports.iter().any(|port| port == given) => {
                    output_ports.insert(NodeId::from(&**id), given.to_owned());
                }
                (_, Some(given)) => {
                    let description = format!("is {given:?}, but {id} has {}", names());
                    refuse(field, "UNKNOWN_HANDLE", description);
                }
                ([only], None) => {
                    output_ports.insert(NodeId::from(&**id), only.clone());
                }
                (_, None) => {
                    let description = format!("{id} has several ways out, name one: {}", names());
                    refuse(field, "HANDLE_REQUIRED", description);
                }
            }
        }
        for id in fork.output_ports.keys() {
            if !fork.output_overrides.contains_key(id.as_str()) {
                let description = format!("output_overrides has no output for {id}");
                refuse(format!("output_ports.{id}"), "CONFLICT", description);
            }
        }
        let mut from_nodes = fork.from_nodes.clone();
        from_nodes.sort_unstable();
        from_nodes.dedup();
        let origin = Origin {
            run_id: fork.original.run_id,
            sequence: row.last_sequence,
            from_nodes,
            output_overrides: fork.output_overrides.clone(),
            output_ports,
        };
        (origin, violations)
    }

    /// The named ports of a node's applet; none where it has just one way out.
    fn ports(&self, plan: &Plan, index: NodeIndex) -> Vec<String> {
        let node = &plan.node(plan.graph.number(), index).node;
        let inspection = self.registry().inspect(node).unwrap_or_default();
        inspection.ports.iter().map(ToString::to_string).collect()
    }

    fn ways_out(&self, plan: &Plan, index: NodeIndex) -> Ways {
        let node = &plan.node(plan.graph.number(), index).node;
        Ways {
            ports: self.ports(plan, index).len(),
            outlives_failure: node.on_error.is_some(),
        }
    }

    /// What the steps took when they were last executed, by their nodes: in the original, or in the run that the
    /// original had taken their output from.
    async fn costs(
        &self,
        fork: &Fork,
        past: &Past,
        plan: &Plan,
    ) -> Result<HashMap<NodeId, Cost>, Error> {
        let mut costs = HashMap::new();
        let mut elsewhere = BTreeMap::new();
        for (_, node) in plan.graph.nodes() {
            let Some(then) = past.run().graph().find(node.id.as_str()) else {
                continue;
            };
            let step = past.run().top_step(then);
            match &step.reused {
                None => {
                    costs.extend(cost(step).map(|cost| (node.id.clone(), cost)));
                }
                // Its author gave it: nothing was executed.
                Some(reused) if reused.sequence == 0 => {}
                Some(reused) => elsewhere
                    .entry(reused.run_id)
                    .or_insert_with(Vec::new)
                    .push(node.id.clone()),
            }
        }
        for (run_id, ids) in elsewhere.into_iter().take(MOST_ANCESTORS) {
            let key = RunKey {
                namespace: fork.original.namespace.clone(),
                run_id,
            };
            let view = match self.view(&key).await {
                Ok(view) => view,
                Err(Error::RunNotFound(_)) => continue,
                Err(error) => return Err(error),
            };
            for id in ids {
                let step = view.run.graph().find(id.as_str());
                let cost = step.and_then(|step| cost(view.run.top_step(step)));
                costs.extend(cost.map(|cost| (id, cost)));
            }
        }
        Ok(costs)
    }
}

fn cost(step: &Step) -> Option<Cost> {
    Some(Cost {
        took: step.ended_at()? - step.started_at()?,
        attempts: step.attempts.len(),
        usage: step.usage,
    })
}

/// The original's input with the fields of the fork's author in it.
fn merged(input: Arc<Value>, fork: &Fork) -> Result<Arc<Value>, Vec<Violation>> {
    const FIELD: &str = "input_overrides";
    const MOST: usize = 100;
    if fork.input_overrides.is_empty() {
        return Ok(input);
    }
    let Value::Object(mut fields) = Value::clone(&input) else {
        return Err(vec![Violation {
            field: FIELD.to_owned(),
            reason: "CONFLICT",
            description:
                "the input of the original is no object, so that it has no fields to replace"
                    .to_owned(),
        }]);
    };
    fields.extend(fork.input_overrides.clone());
    let mut input = Value::Object(fields);
    let problems = check_all(&input, fork.max_input_bytes, MOST);
    if !problems.is_empty() {
        let violations = problems.iter().map(|problem| Violation {
            field: match problem.path() {
                "" => FIELD.to_owned(),
                path => format!("{FIELD}.{path}"),
            },
            reason: problem.reason(),
            description: problem.to_string(),
        });
        return Err(violations.collect());
    }
    normalise(&mut input);
    Ok(Arc::new(input))
}
