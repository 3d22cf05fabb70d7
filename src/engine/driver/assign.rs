//! What an attempt is told: what reaches its step, what its templates read, where that is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use tokio_util::sync::CancellationToken;

use super::{Driver, Flying};
use crate::applet::{Effect, References};
use crate::engine::attempt::{Assignment, Collection, Given, Source, Task};
use crate::engine::plan::PlanNode;
use crate::engine::pool::Slot;
use crate::flow::graph::NodeIndex;
use crate::ids::NodeId;
use crate::run::scope::{ScopeId, StepKey};
use crate::run::step::{Output, Woken};
use crate::run::turns::ItemOutcome;

impl Driver {
    /// All that an attempt needs; from now on it counts as in flight.
    pub(super) fn assign(
        &mut self,
        key: StepKey,
        number: u32,
        task: Task,
        slot: Option<Slot>,
    ) -> Assignment {
        let stop = CancellationToken::new();
        let graph = Arc::clone(self.run.graph_of(key.scope));
        let effect = graph.node(key.node).effect;
        let flying = Flying {
            number,
            pure: effect == Effect::Pure || slot.is_none(),
            kept: match task {
                Task::Run(_) => effect == Effect::AtMostOnce,
                Task::PassOn(..) => true,
                Task::Collect(_) | Task::Take(_) => false,
            },
            stop: stop.clone(),
            abort: None,
        };
        self.flying.insert(key, flying);
        self.run.launched(key);
        let results = match (&task, &self.plan_node(key).prepared) {
            (Task::Run(_), Ok(prepared)) => self.referenced(key, prepared.references()),
            _ => Vec::new(),
        };
        let delivered = self.run.delivered(key);
        let delivered = delivered.into_iter().filter_map(|node| {
            let source = StepKey {
                scope: key.scope,
                node,
            };
            Some((graph.node(node).id.clone(), self.output_of(source)?))
        });
        let started_at = match self.run.step(key).attempts.last() {
            Some(attempt) if attempt.number == number => attempt.started_at,
            _ => self.now(),
        };
        let wakening = match &task {
            Task::Run(Some(Woken::Signal(sequence, info) | Woken::Approval(_, sequence, info))) => {
                // It may have come a moment ago, and not be durable yet.
                Some(self.source(*sequence, info.clone()))
            }
            _ => None,
        };
        Assignment {
            key: self.key.clone(),
            epoch: self.epoch,
            depth: self.run.parent().map_or(0, |parent| parent.depth),
            plan: Arc::clone(&self.plan),
            step: key,
            graph: graph.number(),
            path: self.run.path(key),
            number,
            started_at,
            task,
            wakening,
            timeout: self.timeout(key),
            input: self.run_input(),
            item: self.item_of(key.scope),
            delivered: delivered.collect(),
            results,
            cancelled: stop,
            slot,
        }
    }

    /// What is needed to run a step's node.
    pub(super) fn plan_node(&self, key: StepKey) -> &PlanNode {
        let graph = self.run.graph_of(key.scope).number();
        self.plan.node(graph, key.node)
    }

    /// The bound of the next attempt: the node's, or what is left of the time for all of them.
    fn timeout(&self, key: StepKey) -> Duration {
        let node = self.plan_node(key);
        let total = node
            .node
            .retry
            .as_ref()
            .and_then(|retry| retry.total_timeout);
        let begun = self.run.step(key).tried_since();
        match (total, begun) {
            (Some(total), Some(begun)) => {
                let spent = (self.now() - begun).to_std().unwrap_or_default();
                let left = total.saturating_sub(spent).max(Duration::from_millis(1));
                node.timeout.min(left)
            }
            (Some(total), None) => node.timeout.min(total),
            _ => node.timeout,
        }
    }

    /// The item of the innermost loop that a scope is in.
    fn item_of(&self, scope: ScopeId) -> Option<(Source, u32)> {
        let place = self.run.scope(scope).place()?;
        let source = if let Some(items) = self.items.get(&place.of) {
            Source::Ready(Arc::clone(items))
        } else {
            let (sequence, info) = &self.run.turns(place.of)?.items;
            self.source(*sequence, info.clone())
        };
        Some((source, place.item))
    }

    /// Outputs of the nodes that a step's templates read, as far as there are any: of its own item, and of those that
    /// its loop is in.
    fn referenced(&self, key: StepKey, references: &References) -> Vec<(NodeId, Source)> {
        let mut found = Vec::new();
        let mut at = Some(key.scope);
        while let Some(id) = at {
            let scope = self.run.scope(id);
            let graph = scope.graph();
            let mut add = |node: NodeIndex| {
                let source = StepKey { scope: id, node };
                if self.run.step(source).gave_result()
                    && let Some(output) = self.output_of(source)
                {
                    found.push((graph.node(node).id.clone(), output));
                }
            };
            match references {
                References::Nodes(ids) => ids
                    .iter()
                    .filter_map(|id| graph.find(id.as_str()))
                    .for_each(&mut add),
                References::All => graph.nodes().map(|(node, _)| node).for_each(&mut add),
            }
            at = scope.place().map(|place| place.of.scope);
        }
        found
    }

    /// Where a step's output is; `None` if it has none.
    pub(super) fn output_of(&self, key: StepKey) -> Option<Source> {
        let output = self.run.step(key).output.as_ref()?;
        Some(self.source_of(output))
    }

    fn source_of(&self, output: &Output) -> Source {
        self.source(output.sequence, output.info.clone())
    }

    fn source(&self, sequence: i64, info: crate::run::event::PayloadInfo) -> Source {
        match self.outputs.get(&sequence) {
            Some(encoded) => Source::Ready(Arc::clone(&encoded.value)),
            None => Source::Stored(sequence, info),
        }
    }

    fn run_input(&self) -> Source {
        match (&self.input, self.run.input()) {
            (Some(encoded), _) => Source::Ready(Arc::clone(&encoded.value)),
            (None, Some(info)) => Source::Stored(1, info.clone()),
            (None, None) => unreachable!("a run begins with its input"),
        }
    }

    /// What the items of a loop gave, to make its output of.
    pub(super) fn collection(&self, key: StepKey) -> Collection {
        let body = &self.run.graph_of(key.scope).node(key.node).body;
        let node_id = |node| {
            let id = body.as_ref().map(|body| body.node(node).id.clone());
            id.unwrap_or_else(|| NodeId::new(""))
        };
        let mut collection = Collection {
            given: Vec::new(),
            keyed: body.as_ref().is_some_and(|body| body.ends().len() > 1),
            details: Map::new(),
        };
        let Some(turns) = self.run.turns(key) else {
            return collection;
        };
        let given = turns.outcomes().map(|outcome| match outcome {
            ItemOutcome::Succeeded(outputs) => Given::Outputs(
                outputs
                    .iter()
                    .map(|(node, output)| (node_id(*node), self.source_of(output)))
                    .collect(),
            ),
            ItemOutcome::Failed(error) => Given::Error(error.clone()),
        });
        collection.given = given.collect();
        let details = &mut collection.details;
        details.insert("items".to_owned(), turns.count.into());
        details.insert("succeeded".to_owned(), turns.succeeded.into());
        details.insert("failed".to_owned(), turns.failed.into());
        details.insert("truncated".to_owned(), turns.truncated.into());
        collection
    }
}
