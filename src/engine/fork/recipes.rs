//! The recipes of a revision's nodes: what their outputs follow from, as far as that is known before they run.

use serde_json::{Map, Value, json};

use crate::applet::Prepared;
use crate::engine::plan::{Plan, PlanNode};
use crate::flow::graph::{Graph, NodeIndex};
use crate::run::reuse::{Needs, Recipe};
use crate::value::canonical;

/// The recipes of the nodes of the outermost graph, in their order.
pub(super) fn recipes(plan: &Plan) -> Vec<Recipe> {
    plan.graph
        .nodes()
        .map(|(index, _)| recipe(plan, index).unwrap_or_else(Recipe::unrepeatable))
        .collect()
}

/// `None` for a node that this binary cannot run.
fn recipe(plan: &Plan, index: NodeIndex) -> Option<Recipe> {
    let mut needs = Needs::default();
    let node = plan.node(plan.graph.number(), index);
    let data = match &node.node.data {
        Value::Null => Value::Object(Map::new()),
        data => data.clone(),
    };
    let mut parts = vec![data];
    add(plan, &plan.graph, index, &mut parts, &mut needs)?;
    let fingerprint = canonical::hash(&Value::Array(parts));
    Some(Recipe::new(&plan.graph, index, fingerprint, &needs))
}

/// Adds the applet of a node, and what it reads; for a loop those of its body too, which read the outer results.
fn add(
    plan: &Plan,
    graph: &Graph,
    index: NodeIndex,
    parts: &mut Vec<Value>,
    needs: &mut Needs,
) -> Option<()> {
    let PlanNode { prepared, node, .. } = plan.node(graph.number(), index);
    let prepared: &dyn Prepared = &**prepared.as_ref().ok()?;
    parts.push(json!([node.kind, prepared.version()]));
    let reads = prepared.reads();
    needs.input |= reads.names.contains("input");
    needs.own |= reads.names.contains("run") || !reads.secrets.is_empty();
    needs.all_results |= reads.all_nodes;
    needs.results.extend(reads.nodes.iter().cloned());
    if let Some(body) = &graph.node(index).body {
        for (inner, _) in body.nodes() {
            add(plan, body, inner, parts, needs)?;
        }
    }
    Some(())
}
