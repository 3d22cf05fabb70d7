//! Rules for a graph as a whole: the flow's own, and those inside of its loops, one in the other.

use std::collections::HashMap;
use std::time::Duration;

use super::edges::Links;
use super::findings::{Findings, Part, shown};
use super::nodes::Known;
use super::shape::{Ancestors, Shape};
use super::{Applets, Limits, Report, Warning, edges, failure, nodes};
use crate::flow::{Body, Definition, Edge, Node};
use crate::ids::NodeId;

/// The deepest that loops may be inside of each other.
const MAX_LOOPS: usize = 4;

/// What is counted over all graphs of a flow.
pub(super) struct Whole<'a> {
    pub(super) applets: Applets<'a>,
    limits: &'a Limits,
    run_timeout: Option<Duration>,
    /// Path of the first node with each id: step paths, templates and people name nodes by it.
    ids: HashMap<NodeId, String>,
    nodes: usize,
    edges: usize,
}

impl<'a> Whole<'a> {
    /// Counts the flow's own graph.
    pub(super) fn new(definition: &Definition, limits: &'a Limits, applets: Applets<'a>) -> Self {
        Self {
            applets,
            limits,
            run_timeout: definition.policy.run_timeout,
            ids: HashMap::new(),
            nodes: definition.nodes.len(),
            edges: definition.edges.len(),
        }
    }

    /// Notes the id of a node; gives the path of the node that has it already, if one does.
    pub(super) fn take_id(&mut self, id: &NodeId, path: impl FnOnce() -> String) -> Option<String> {
        if let Some(first) = self.ids.get(id) {
            return Some(first.clone());
        }
        self.ids.insert(id.clone(), path());
        None
    }

    /// Counts the graph inside a loop; tells if that makes too much of the flow.
    fn take_body(&mut self, body: &Body, part: Part, findings: &mut Findings) -> bool {
        self.nodes += body.nodes.len();
        self.edges += body.edges.len();
        let mut fits = true;
        for (list, reason, found, most) in [
            ("nodes", "TOO_MANY_NODES", self.nodes, self.limits.nodes),
            ("edges", "TOO_MANY_EDGES", self.edges, self.limits.edges),
        ] {
            if found > most {
                let description =
                    format!("with these the flow has {found} {list}, the most are {most}");
                findings.add(part, &format!("data.body.{list}"), reason, description);
                fits = false;
            }
        }
        fits
    }
}

/// One graph, and what is around it.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    nodes: &'a [Node],
    edges: &'a [Edge],
    /// The loop that the graph is in, if it is in one.
    outer: Option<&'a Outer<'a>>,
    /// In how many loops.
    depth: usize,
}

/// A loop as the graph inside it sees it.
struct Outer<'a> {
    graph: &'a Walk<'a>,
    node: usize,
}

impl<'a> Level<'a> {
    /// The flow's own graph.
    pub(super) fn of(definition: &'a Definition) -> Self {
        Self {
            nodes: &definition.nodes,
            edges: &definition.edges,
            outer: None,
            depth: 0,
        }
    }

    /// Looks at the graph and at those inside of it, and gives its layers: none if there is a cycle or an edge to or
    /// from nowhere.
    pub(super) fn check(
        self,
        whole: &mut Whole<'_>,
        findings: &mut Findings,
        report: &mut Report,
    ) -> Vec<Vec<NodeId>> {
        let (known, by_id) = nodes::check(self.nodes, whole, findings);
        let warnings = &mut report.warnings;
        let links = edges::check(self.edges, self.nodes, &by_id, &known, findings, warnings);
        let fallbacks = failure::fallbacks(self.nodes, self.edges.len(), &by_id, findings);
        let ways = links.whole.iter().chain(&fallbacks).copied();
        let shape = Shape::new(self.nodes.len(), ways);
        let layers = shape.layers();
        let walk = Walk {
            level: self,
            known: &known,
            by_id: &by_id,
            ancestors: layers.as_deref().map(|layers| shape.ancestors(layers)),
            shape,
        };
        if layers.is_none() {
            walk.report_cycles(findings);
        }
        walk.check_starts(&links.whole, findings);
        let unreachable = walk.check_reach(&links.from_nowhere, findings);
        report.unreachable.extend(unreachable);
        walk.check_references(findings);
        walk.warn(&links, whole.run_timeout, findings, &mut report.warnings);
        for (index, known) in known.iter().enumerate() {
            let Some(inspection) = &known.inspection else {
                continue;
            };
            report.secrets.extend(inspection.secrets.iter().cloned());
            report.hosts.extend(inspection.hosts.iter().cloned());
            if let Some(body) = &inspection.body {
                walk.check_body(index, body, whole, findings, report);
            }
        }
        let id = |&node: &usize| self.nodes[node].id.clone();
        let layers = layers.filter(|_| !links.dangling).unwrap_or_default();
        layers
            .iter()
            .map(|layer| layer.iter().map(id).collect())
            .collect()
    }
}

/// A graph, and what is known of it so far.
struct Walk<'a> {
    level: Level<'a>,
    known: &'a [Known],
    by_id: &'a HashMap<&'a str, usize>,
    shape: Shape,
    /// Unknown where there is a cycle.
    ancestors: Option<Ancestors>,
}

/// What a node is to one that wants to read its result.
enum Sight {
    Upstream,
    NotUpstream,
    Unknown,
}

impl Walk<'_> {
    fn is_start(&self, node: usize) -> bool {
        self.level.nodes[node].kind == "start"
    }

    fn shown(&self, node: usize) -> std::borrow::Cow<'_, str> {
        shown(self.level.nodes[node].id.as_str())
    }

    fn report_cycles(&self, findings: &mut Findings) {
        /// The most nodes of a cycle that a message names.
        const NAMED: usize = 20;
        for cycle in self.shape.cycles() {
            let name = |&node: &usize| self.shown(node);
            let mut names: Vec<_> = cycle.nodes.iter().take(NAMED).map(name).collect();
            if cycle.nodes.len() > NAMED {
                names.push("…".into());
            }
            names.extend(cycle.nodes.first().map(name));
            let edges = self.level.edges.len();
            let (part, field) = match cycle.closing_edge.checked_sub(edges) {
                None => (Part::Edge(cycle.closing_edge), ""),
                Some(node) => (Part::Node(node), "on_error.fallback.node_id"),
            };
            let description = format!("closes a cycle: {}", names.join(" -> "));
            findings.add(part, field, "CYCLE", description);
        }
    }

    /// A run begins at start nodes, and nowhere else.
    fn check_starts(&self, edges: &[(usize, usize, usize)], findings: &mut Findings) {
        for &(edge, _, target) in edges {
            if self.is_start(target) {
                let id = self.shown(target);
                findings.add(
                    Part::Edge(edge),
                    "target",
                    "EDGE_INTO_START",
                    format!("{id:?} is a start node, which no edge may lead to"),
                );
            }
        }
        if self.level.outer.is_none() {
            return;
        }
        for node in (0..self.known.len()).filter(|&node| self.is_start(node)) {
            let description =
                "a loop's body has no start node: its nodes without incoming edges get the item";
            findings.add(Part::Node(node), "type", "START_IN_BODY", description);
        }
    }

    /// Finds what the roots do not lead to: the `start` nodes, or all without incoming edges where there is none.
    fn check_reach(&self, from_nowhere: &[usize], findings: &mut Findings) -> Vec<NodeId> {
        let all = 0..self.known.len();
        let mut roots: Vec<usize> = Vec::new();
        if self.level.outer.is_none() {
            roots.extend(all.clone().filter(|&node| self.is_start(node)));
        }
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
            let from = if has_start {
                "no start node leads to it"
            } else {
                "nothing but a cycle leads to it"
            };
            findings.add(
                Part::Node(node),
                "",
                "UNREACHABLE_NODE",
                format!("{:?} would never run: {from}", self.shown(node)),
            );
            unreachable.push(self.level.nodes[node].id.clone());
        }
        unreachable
    }

    /// Templates may read only what is there by then, and the item of a loop only inside of it.
    fn check_references(&self, findings: &mut Findings) {
        for (node, known) in self.known.iter().enumerate() {
            let Some(inspection) = &known.inspection else {
                continue;
            };
            for reference in &inspection.references {
                let id = shown(reference.as_str());
                let (reason, description) = match self.sight(node, reference) {
                    Sight::Upstream => continue,
                    Sight::NotUpstream => (
                        "NOT_UPSTREAM",
                        format!("reads results.{id}, and no path leads from {id:?} here"),
                    ),
                    Sight::Unknown => (
                        "UNKNOWN_REFERENCE",
                        format!(
                            "reads results.{id}, and no node that is seen from here has that id"
                        ),
                    ),
                };
                findings.add(Part::Node(node), "data", reason, description);
            }
            if self.level.outer.is_none() && !inspection.loop_names.is_empty() {
                let names = inspection.loop_names.join(" and ");
                let description =
                    format!("reads {names}, which there is only inside a loop's body");
                findings.add(Part::Node(node), "data", "NOT_IN_LOOP", description);
            }
        }
    }

    /// Whether a node's result is there when `node` runs: it leads to it, or to a loop that `node` is in. With a cycle,
    /// which is told already, nothing is before or after.
    fn sight(&self, node: usize, reference: &NodeId) -> Sight {
        match self.by_id.get(reference.as_str()) {
            Some(&read) => match &self.ancestors {
                Some(all) if !all.contains(node, read) => Sight::NotUpstream,
                _ => Sight::Upstream,
            },
            None => match self.level.outer {
                Some(outer) => outer.graph.sight(outer.node, reference),
                None => Sight::Unknown,
            },
        }
    }

    fn check_body(
        &self,
        node: usize,
        body: &Body,
        whole: &mut Whole<'_>,
        findings: &mut Findings,
        report: &mut Report,
    ) {
        let part = Part::Node(node);
        // The applet made a body of its own out of something else, such as the id of a flow: nobody wrote it, and it
        // needs no rules.
        if !self.level.nodes[node].data["body"].is_object() {
            return;
        }
        let depth = self.level.depth + 1;
        if depth > MAX_LOOPS {
            let description = format!("is a loop inside of {MAX_LOOPS} others, which are the most");
            findings.add(part, "data.body", "LOOPS_TOO_DEEP", description);
            return;
        }
        if !whole.take_body(body, part, findings) {
            return;
        }
        let outer = Outer { graph: self, node };
        let level = Level {
            nodes: &body.nodes,
            edges: &body.edges,
            outer: Some(&outer),
            depth,
        };
        let mut inner = Findings::inside(findings.path(part, "data.body"));
        level.check(whole, &mut inner, report);
        findings.absorb(part, inner);
    }

    fn warn(
        &self,
        links: &Links,
        run_timeout: Option<Duration>,
        findings: &Findings,
        warnings: &mut Vec<Warning>,
    ) {
        let mut leaves = vec![false; self.known.len()];
        for &(_, source, _) in &links.whole {
            leaves[source] = true;
        }
        for (index, node) in self.level.nodes.iter().enumerate() {
            let mut add = |field: &str, reason, description: String| {
                warnings.push(Warning {
                    field: findings.path(Part::Node(index), field),
                    reason,
                    description,
                    node: Some(node.id.clone()),
                });
            };
            if node.kind == "end" && leaves[index] {
                let description = "edges leave this end node: the run goes on after it";
                add("", "END_NOT_LAST", description.to_owned());
            }
            if node.kind == "for_each" && node.retry.is_some() {
                let description = "a loop whose item has failed is not repeated, only the making of its list is: items \
                                   are repeated by the retry of the nodes in its body";
                add("retry", "RETRY_OF_LOOP", description.to_owned());
            }
            if let (Some(step), Some(run)) = (node.timeout, run_timeout)
                && step > run
            {
                let (step, run) = (step.as_secs_f64(), run.as_secs_f64());
                let description = format!("an attempt may take {step} s, but the run only {run} s");
                add("timeout", "TIMEOUT_ABOVE_RUN_TIMEOUT", description);
            }
        }
    }
}
