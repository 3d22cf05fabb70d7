//! From a client's draft to a valid definition, or all that is wrong with it.
//!
//! Pure, and bounded in time by the size of the draft: a graph over the limits is not walked. It still takes
//! milliseconds for a large graph, and the applets parse templates and patterns, so that it belongs on the threads of
//! [`crate::cpu`].

mod edges;
mod findings;
mod nodes;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use self::findings::{Findings, Part, shown};
use self::nodes::Known;
pub use self::rules::compile_input_schema;
use self::shape::Shape;
pub use self::texts::{is_flow_id, run_labels};
use super::{Definition, Draft, Inspection, Node, Violation, hash};
use crate::ids::{FlowId, NodeId};

/// What a flow may be at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most nodes: 1,000 unless set.
    pub nodes: usize,
    /// The most edges: 5,000 unless set.
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
    /// The nodes in topological order: those of a layer depend only on those of layers before it. Empty if the graph
    /// has a cycle or an edge to or from nowhere.
    pub layers: Vec<Vec<NodeId>>,
    /// Nodes that no root leads to, in the order of the draft; each is a violation too.
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
    let mut findings = Findings::default();
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
    let (known, by_id) = nodes::check(&definition.nodes, &applets, &mut findings);
    let links = edges::check(
        &definition.edges,
        &by_id,
        &known,
        &mut findings,
        &mut report.warnings,
    );
    let shape = Shape::new(definition.nodes.len(), links.whole.iter().copied());
    let layers = shape.layers();
    let walk = Walk {
        definition,
        known: &known,
        shape: &shape,
    };
    if layers.is_none() {
        walk.report_cycles(&mut findings);
    }
    walk.check_starts(&links.whole, &mut findings);
    report.unreachable = walk.check_reach(&links.from_nowhere, &mut findings);
    let ancestors = layers.as_deref().map(|layers| shape.ancestors(layers));
    walk.check_references(&by_id, ancestors.as_ref(), &mut findings);
    walk.warn(&mut report.warnings);
    if let Some(layers) = layers.filter(|_| !links.dangling) {
        let id = |&node: &usize| definition.nodes[node].id.clone();
        report.layers = layers
            .iter()
            .map(|layer| layer.iter().map(id).collect())
            .collect();
    }
    for inspection in known.into_iter().filter_map(|known| known.inspection) {
        report.secrets.extend(inspection.secrets);
        report.hosts.extend(inspection.hosts);
    }
    report.violations = findings.into_violations();
    report
}

/// The node that a violation is about, by its index in the draft.
#[must_use]
pub fn node_index(violation: &Violation) -> Option<usize> {
    let inner = violation.field.strip_prefix("flow.nodes[")?;
    inner.split_once(']')?.0.parse().ok()
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

/// The graph, and what is known of its nodes one by one.
struct Walk<'a> {
    definition: &'a Definition,
    known: &'a [Known],
    shape: &'a Shape,
}

impl Walk<'_> {
    fn is_start(&self, node: usize) -> bool {
        self.definition.nodes[node].kind == "start"
    }

    fn report_cycles(&self, findings: &mut Findings) {
        /// The most nodes of a cycle that a message names.
        const NAMED: usize = 20;
        for cycle in self.shape.cycles() {
            let name = |&node: &usize| shown(self.definition.nodes[node].id.as_str());
            let mut names: Vec<_> = cycle.nodes.iter().take(NAMED).map(name).collect();
            if cycle.nodes.len() > NAMED {
                names.push("…".into());
            }
            names.extend(cycle.nodes.first().map(name));
            findings.add(
                Part::Edge(cycle.closing_edge),
                "",
                "CYCLE",
                format!("closes a cycle: {}", names.join(" -> ")),
            );
        }
    }

    fn check_starts(&self, edges: &[(usize, usize, usize)], findings: &mut Findings) {
        for &(edge, _, target) in edges {
            if self.is_start(target) {
                let id = shown(self.definition.nodes[target].id.as_str());
                findings.add(
                    Part::Edge(edge),
                    "target",
                    "EDGE_INTO_START",
                    format!("{id:?} is a start node, which no edge may lead to"),
                );
            }
        }
    }

    /// Finds what the roots do not lead to: the `start` nodes, or all without incoming edges where there is none.
    fn check_reach(&self, from_nowhere: &[usize], findings: &mut Findings) -> Vec<NodeId> {
        let all = 0..self.known.len();
        let mut roots: Vec<usize> = all.clone().filter(|&node| self.is_start(node)).collect();
        let has_start = !roots.is_empty();
        if !has_start {
            roots.extend(all.clone().filter(|&node| self.shape.incoming(node) == 0));
        }
        if roots.is_empty() {
            // One great cycle, or nothing at all: that has been said.
            return Vec::new();
        }
        roots.extend(from_nowhere);
        let reached = self.shape.reached(&roots);
        let mut unreachable = Vec::new();
        for node in all.filter(|&node| !reached[node] && self.known[node].unique) {
            let id = &self.definition.nodes[node].id;
            let from = if has_start {
                "no start node leads to it"
            } else {
                "nothing but a cycle leads to it"
            };
            findings.add(
                Part::Node(node),
                "",
                "UNREACHABLE_NODE",
                format!("{:?} would never run: {from}", shown(id.as_str())),
            );
            unreachable.push(id.clone());
        }
        unreachable
    }

    /// Templates may read only what is there by then. With a cycle, which is told already, nothing is before or after.
    fn check_references(
        &self,
        by_id: &std::collections::HashMap<&str, usize>,
        ancestors: Option<&shape::Ancestors>,
        findings: &mut Findings,
    ) {
        for (node, known) in self.known.iter().enumerate() {
            let references = known.inspection.iter().flat_map(|i| &i.references);
            for reference in references {
                let id = shown(reference.as_str());
                match by_id.get(reference.as_str()) {
                    None => findings.add(
                        Part::Node(node),
                        "data",
                        "UNKNOWN_REFERENCE",
                        format!("reads results.{id}, and no node has that id"),
                    ),
                    Some(&read) if ancestors.is_some_and(|all| !all.contains(node, read)) => {
                        findings.add(
                            Part::Node(node),
                            "data",
                            "NOT_UPSTREAM",
                            format!("reads results.{id}, and no path leads from {id:?} here"),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn warn(&self, warnings: &mut Vec<Warning>) {
        for (index, node) in self.definition.nodes.iter().enumerate() {
            let mut add = |field: &str, reason, description: String| {
                warnings.push(Warning {
                    field: format!("flow.nodes[{index}]{field}"),
                    reason,
                    description,
                    node: Some(node.id.clone()),
                });
            };
            if node.kind == "end" && self.shape.outgoing(index) > 0 {
                let description = "edges leave this end node: the run goes on after it";
                add("", "END_NOT_LAST", description.to_owned());
            }
            if let (Some(step), Some(run)) = (node.timeout, self.definition.policy.run_timeout)
                && step > run
            {
                let (step, run) = (step.as_secs_f64(), run.as_secs_f64());
                let description = format!("an attempt may take {step} s, but the run only {run} s");
                add(".timeout", "TIMEOUT_ABOVE_RUN_TIMEOUT", description);
            }
        }
    }
}

/// Rounds times up to the milliseconds in which they are stored, so that what is read back has the same hash.
fn round(definition: &mut Definition) {
    let up = |time: &mut Option<Duration>| {
        *time = time.map(|time| {
            let milliseconds = time.as_nanos().div_ceil(1_000_000);
            Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX))
        });
    };
    up(&mut definition.policy.run_timeout);
    for node in &mut definition.nodes {
        up(&mut node.timeout);
    }
}
