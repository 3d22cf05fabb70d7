//! From a client's draft to a valid definition, or all that is wrong with it.
//!
//! Pure, and bounded in time by the size of the draft: a graph over the limits is not walked. It still takes
//! milliseconds for a large graph, and the applets parse templates and patterns, so that it belongs on the threads of
//! [`crate::cpu`].

mod edges;
mod failure;
mod findings;
mod level;
mod nodes;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use self::findings::{Findings, Part};
use self::level::{Level, Whole};
pub use self::rules::compile_input_schema;
pub use self::texts::{is_flow_id, run_labels};
use super::{Definition, Draft, Inspection, Node, Violation, hash};
use crate::ids::{FlowId, NodeId};

/// What a flow may be at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most nodes, those inside of loops included: 1,000 unless set.
    pub nodes: usize,
    /// The most edges, those inside of loops included: 5,000 unless set.
    pub edges: usize,
    /// The longest that a policy may let a run take: 30 days unless set.
    pub run_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 1_000,
            edges: 5_000,
            run_timeout: Duration::from_hours(30 * 24),
        }
    }
}

/// What validation asks of the applets.
#[derive(Clone, Copy)]
pub struct Applets<'a> {
    /// The kinds that there are.
    pub kinds: &'a [&'a str],
    /// What the applet of a node's kind says about the node; `None` if there is none.
    pub inspect: &'a dyn Fn(&Node) -> Option<Inspection>,
}

impl fmt::Debug for Applets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applets")
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}

/// All that validation says about a draft.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Why the draft is refused, in the order of its fields; empty if it is valid.
    pub violations: Vec<Violation>,
    /// What is allowed but doubtful.
    pub warnings: Vec<Warning>,
    /// The nodes in topological order, those inside of loops left out: those of a layer depend only on those of layers
    /// before it. Empty if the graph has a cycle or an edge to or from nowhere.
    pub layers: Vec<Vec<NodeId>>,
    /// Nodes that no root leads to, each a violation too: in the order of the draft, those inside of loops last.
    pub unreachable: Vec<NodeId>,
    /// Names of the secrets that the configs read.
    pub secrets: BTreeSet<String>,
    /// Hosts that the configs name literally.
    pub hosts: BTreeSet<String>,
}

/// Something that will run, but perhaps not as its author thinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path of the field, as the client wrote it.
    pub field: String,
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub description: String,
    /// The node that it is about, if it is about one.
    pub node: Option<NodeId>,
}

/// A flow that may be stored.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The client's id; `None` where the service is to make one.
    pub id: Option<FlowId>,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The client's own marks.
    pub labels: BTreeMap<String, String>,
    /// The graph and what governs it, with times rounded up to whole milliseconds.
    pub definition: Definition,
    /// Hash of the definition.
    pub content_hash: [u8; 32],
    /// What is allowed but doubtful.
    pub warnings: Vec<Warning>,
}

/// Makes a draft a flow that may be stored.
///
/// # Errors
///
/// All that is wrong with it.
pub fn validate(draft: Draft, limits: &Limits, applets: Applets<'_>) -> Result<Valid, Box<Report>> {
    let report = check(&draft, limits, applets);
    if !report.violations.is_empty() {
        return Err(Box::new(report));
    }
    let mut definition = draft.definition;
    round(&mut definition);
    Ok(Valid {
        id: (!draft.id.is_empty()).then(|| FlowId::new(draft.id)),
        name: draft.name,
        description: draft.description,
        labels: draft.labels,
        content_hash: hash::content_hash(&definition),
        definition,
        warnings: report.warnings,
    })
}

/// Says all that there is to say about a draft.
#[must_use]
pub fn check(draft: &Draft, limits: &Limits, applets: Applets<'_>) -> Report {
    let mut findings = Findings::of_flow();
    texts::check(draft, &mut findings);
    let definition = &draft.definition;
    if !check_size(definition, limits, &mut findings) {
        return Report {
            violations: findings.into_violations(),
            ..Report::default()
        };
    }
    rules::check(definition, limits, &mut findings);
    let mut report = Report::default();
    let mut whole = Whole::new(definition, limits, applets);
    report.layers = Level::of(definition).check(&mut whole, &mut findings, &mut report);
    report.violations = findings.into_violations();
    report
}

/// Id of the node that a violation is about, the innermost where it is inside of loops.
#[must_use]
pub fn find_node<'a>(violation: &Violation, definition: &'a Definition) -> Option<&'a str> {
    fn index(path: &str) -> Option<(usize, &str)> {
        let (index, rest) = path.split_once(']')?;
        Some((index.parse().ok()?, rest))
    }
    let (outermost, mut rest) = index(violation.field.strip_prefix("flow.nodes[")?)?;
    let node = definition.nodes.get(outermost)?;
    let (mut id, mut data) = (node.id.as_str(), &node.data);
    while let Some((inner, path)) = rest.strip_prefix(".data.body.nodes[").and_then(index) {
        let node = &data["body"]["nodes"][inner];
        let Some(inner_id) = node["id"].as_str() else {
            break;
        };
        (id, data, rest) = (inner_id, &node["data"], path);
    }
    Some(id)
}

fn check_size(definition: &Definition, limits: &Limits, findings: &mut Findings) -> bool {
    let (nodes, edges) = (definition.nodes.len(), definition.edges.len());
    if nodes == 0 {
        findings.add(Part::Flow, "nodes", "REQUIRED", "a flow needs a node");
    }
    if nodes > limits.nodes {
        findings.add(
            Part::Flow,
            "nodes",
            "TOO_MANY_NODES",
            format!("there are {nodes} nodes, the most are {}", limits.nodes),
        );
    }
    if edges > limits.edges {
        findings.add(
            Part::Flow,
            "edges",
            "TOO_MANY_EDGES",
            format!("there are {edges} edges, the most are {}", limits.edges),
        );
    }
    nodes <= limits.nodes && edges <= limits.edges
}

/// Rounds times up to the milliseconds in which they are stored, so that what is read back has the same hash.
fn round(definition: &mut Definition) {
    let up = |time: &mut Option<Duration>| *time = time.map(whole_milliseconds);
    up(&mut definition.policy.run_timeout);
    for node in &mut definition.nodes {
        up(&mut node.timeout);
        if let Some(retry) = &mut node.retry {
            up(&mut retry.total_timeout);
            for interval in [&mut retry.initial_interval, &mut retry.max_interval] {
                *interval = whole_milliseconds(*interval);
            }
        }
    }
}

fn whole_milliseconds(time: Duration) -> Duration {
    let milliseconds = time.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}
