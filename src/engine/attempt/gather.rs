//! What an attempt reads: the run's input, what reaches the node, what its templates name, what woke it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::{Assignment, Source, load, persist};
use crate::applet::{self, Context, Delivered, Effect};
use crate::engine::Parts;
use crate::hub::drafts::{Author, Pen};
use crate::run::step::Woken;
use crate::secrets::Known;
use crate::template::Scope;

/// All that an applet gets for one attempt.
pub(super) async fn context(
    parts: &Parts,
    assignment: &Assignment,
    woken: Option<Woken>,
    effect: Effect,
) -> Result<Context, applet::Error> {
    let graph = assignment.plan.graph_numbered(assignment.graph);
    let node_id = graph.node(assignment.step.node).id.clone();
    let read = read(parts, assignment).await?;
    let mut results = BTreeMap::new();
    for (node_id, source) in &assignment.results {
        results.insert(node_id.clone(), load(parts, &assignment.key, source).await?);
    }
    let known = secrets(parts, assignment).await?;
    let granted = known.grant(own_secrets(assignment))?;
    let redactor = known.redactor().clone();
    let pen = Pen::redacting(
        parts.hub.clone(),
        assignment.key.clone(),
        Author {
            node_id: node_id.clone(),
            path: assignment.path.clone(),
            attempt: assignment.number,
            epoch: assignment.epoch,
        },
        redactor.clone(),
    );
    Ok(Context {
        namespace: assignment.key.namespace.clone(),
        run_id: assignment.key.run_id,
        node_id: node_id.clone(),
        step_path: assignment.path.clone(),
        attempt: assignment.number,
        idempotency_key: format!("{}/{}", assignment.key.run_id, assignment.path),
        effect,
        input: Arc::clone(&read.content),
        inputs: read.inputs,
        scope: Scope {
            input: read.run_input,
            content: read.content,
            results: Arc::new(results),
            run_id: assignment.key.run_id,
            node_id,
            item: read.item,
            secrets: granted.for_templates(),
            extra: BTreeMap::new(),
        },
        deadline: Instant::now() + assignment.timeout,
        cancelled: assignment.cancelled.clone(),
        woken: match woken {
            Some(woken) => Some(Box::pin(wakening(parts, assignment, woken)).await?),
            None => None,
        },
        cpu: parts.cpu.clone(),
        egress: parts.egress.clone(),
        secrets: granted,
        redactor,
        pen,
        files: parts.files(&assignment.key),
    })
}

/// What is known of the secrets that the run's revision names: all of them, for one step may get to see what another one
/// has sent.
async fn secrets(parts: &Parts, assignment: &Assignment) -> Result<Known, applet::Error> {
    let (namespace, named) = (&assignment.key.namespace, assignment.plan.secrets());
    let used = own_secrets(assignment);
    if named.is_empty() && used.is_empty() {
        return Ok(Known::default());
    }
    Box::pin(persist(|| {
        parts.vault.known(&parts.store, namespace, named, used)
    }))
    .await
}

/// The secrets that the step's node names.
fn own_secrets(assignment: &Assignment) -> &BTreeSet<String> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    match &assignment.node().prepared {
        Ok(prepared) => &prepared.reads().secrets,
        Err(_) => &NONE,
    }
}

/// What a step is given.
pub(super) struct Read {
    run_input: Arc<Value>,
    item: Option<(Arc<Value>, u64)>,
    inputs: Vec<Delivered>,
    /// The node's input.
    pub(super) content: Arc<Value>,
}

/// Reads what a step is given.
pub(super) async fn read(parts: &Parts, assignment: &Assignment) -> Result<Read, applet::Error> {
    let run_input = load(parts, &assignment.key, &assignment.input).await?;
    let item = match &assignment.item {
        Some((source, index)) => Some(Box::pin(item(parts, assignment, source, *index)).await?),
        None => None,
    };
    let mut inputs = Vec::with_capacity(assignment.delivered.len());
    for (node_id, source) in &assignment.delivered {
        let value = load(parts, &assignment.key, source).await?;
        inputs.push(Delivered {
            node_id: node_id.clone(),
            value,
        });
    }
    let outer = item.as_ref().map_or(&run_input, |(item, _)| item);
    let content = content(assignment.node().sources, outer, &inputs);
    Ok(Read {
        run_input,
        item,
        inputs,
        content,
    })
}

async fn item(
    parts: &Parts,
    assignment: &Assignment,
    source: &Source,
    index: u32,
) -> Result<(Arc<Value>, u64), applet::Error> {
    let list = load(parts, &assignment.key, source).await?;
    let item = list.get(index as usize).cloned().ok_or_else(|| {
        let message = format!("the list of items has no item {index}");
        applet::Error::permanent("PAYLOAD_LOST", message)
    })?;
    Ok((Arc::new(item), u64::from(index)))
}

async fn wakening(
    parts: &Parts,
    assignment: &Assignment,
    woken: Woken,
) -> Result<applet::Woken, applet::Error> {
    let payload = async || match &assignment.wakening {
        Some(source) => load(parts, &assignment.key, source).await,
        None => Ok(Arc::default()),
    };
    Ok(match woken {
        // The end of a child is no applet's business.
        Woken::Time | Woken::Child { .. } => applet::Woken::Time,
        Woken::Signal(..) => applet::Woken::Signal(payload().await?),
        Woken::Approval(decision, ..) => applet::Woken::Approval(decision, payload().await?),
    })
}

/// A node's input: the run's or the item for a root, its predecessor's output, or an object by node id if several can
/// deliver.
fn content(sources: usize, outer: &Arc<Value>, inputs: &[Delivered]) -> Arc<Value> {
    match (sources, inputs) {
        (0, _) => Arc::clone(outer),
        (1, [only]) => Arc::clone(&only.value),
        _ => {
            let by_node = inputs
                .iter()
                .map(|input| (input.node_id.to_string(), Value::clone(&input.value)));
            Arc::new(Value::Object(by_node.collect()))
        }
    }
}
