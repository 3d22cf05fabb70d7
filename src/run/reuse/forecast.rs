//! What a fork would do, told beforehand: which steps are sure to be reused, which run, and which depend on what those
//! give.
//!
//! The graph is walked as a run would walk it. Of what a step will give that runs nothing is known, so what follows it
//! is open, until an output that is known anyway.

use super::{Cause, Key, Past};
use crate::flow::ERROR_PORT;
use crate::flow::graph::{EdgeIndex, Exit, Graph, NodeIndex, Way};
use crate::ids::NodeId;
use crate::run::event::Origin;

/// What becomes of one step of a fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Which node.
    pub node: NodeIndex,
    /// What becomes of it, if the run comes to it.
    pub action: Action,
    /// Why it runs, or may; `None` where nothing of it does.
    pub cause: Option<Cause>,
}

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The original's output is taken.
    Reuse,
    /// The fork's author gives the output.
    Override,
    /// It runs.
    Run,
    /// It runs if what it reads comes out differently this time, or if it was not reached last time; else the
    /// original's output is taken, or it is skipped.
    RunIfChanged,
    /// Nothing can reach it.
    Skip,
}

/// The ways out of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    /// How many named ports its applet has; 0 where it has just one way out.
    pub ports: usize,
    /// Whether the run may go on past its failure.
    pub outlives_failure: bool,
}

/// What is known of how a node will be left.
#[derive(Clone, Debug)]
enum Left {
    /// With this output, by this port.
    Known { hash: String, port: String },
    /// Not at all.
    Nowhere,
    /// Not known; `surely` says whether the run is sure to come to it.
    Open { surely: bool },
}

/// What is known of an edge.
enum Delivery<'a> {
    Known(&'a str),
    Dead,
    Surely,
    Perhaps,
}

/// What is known of what reaches a node.
enum Arrival {
    Nothing,
    Known(Vec<(NodeId, String)>),
    Open { surely: bool, by: Vec<NodeId> },
}

struct Walk<'a> {
    graph: &'a Graph,
    ways: &'a [Ways],
    left: Vec<Option<Left>>,
}

impl Past {
    /// What becomes of the steps of a fork with this graph and input, in the order of the nodes. `ways` are those out
    /// of its nodes.
    #[must_use]
    pub fn forecast(
        &self,
        origin: &Origin,
        graph: &Graph,
        input_hash: &str,
        ways: &[Ways],
    ) -> Vec<Forecast> {
        let mut walk = Walk {
            graph,
            ways,
            left: vec![None; graph.len()],
        };
        let mut forecasts: Vec<Forecast> = Vec::with_capacity(graph.len());
        for node in in_order(graph) {
            let (forecast, left) = self.foresee(&walk, origin, input_hash, node);
            walk.left[node.at()] = Some(left);
            forecasts.push(forecast);
        }
        forecasts.sort_by_key(|forecast| forecast.node);
        forecasts
    }

    fn foresee(
        &self,
        walk: &Walk<'_>,
        origin: &Origin,
        input_hash: &str,
        node: NodeIndex,
    ) -> (Forecast, Left) {
        let forecast = |action, cause| Forecast {
            node,
            action,
            cause,
        };
        let arrival = walk.arrival(node);
        let surely = match &arrival {
            Arrival::Nothing => return (forecast(Action::Skip, None), Left::Nowhere),
            Arrival::Known(_) => true,
            Arrival::Open { surely, .. } => *surely,
        };
        let id = &walk.graph.node(node).id;
        if let Some(given) = origin.find_given(id) {
            let left = if surely {
                Left::Known {
                    hash: given.hash(),
                    port: given.port.to_owned(),
                }
            } else {
                Left::Open { surely }
            };
            return (forecast(Action::Override, None), left);
        }
        let runs = |cause| (forecast(Action::Run, Some(cause)), Left::Open { surely });
        let then = match self.candidate(origin, walk.graph, node) {
            Ok(then) => then,
            Err(cause) => return runs(cause),
        };
        let recipe = &self.own[node.at()];
        if recipe.input && self.run.input_hash() != Some(input_hash) {
            return runs(Cause::InputChanged);
        }
        let (delivered, mut open) = match arrival {
            Arrival::Known(delivered) => (delivered, Vec::new()),
            Arrival::Open { by, .. } => (Vec::new(), by),
            Arrival::Nothing => (Vec::new(), Vec::new()),
        };
        let mut results = std::collections::BTreeMap::new();
        for &read in &recipe.results {
            let id = &walk.graph.node(read).id;
            match &walk.left[read.at()] {
                Some(Left::Known { hash, .. }) => {
                    results.insert(id.clone(), hash.clone());
                }
                Some(Left::Nowhere) => {}
                Some(Left::Open { .. }) | None => open.push(id.clone()),
            }
        }
        if !open.is_empty() {
            open.sort_unstable();
            open.dedup();
            let cause = Some(Cause::ResultsChanged(open));
            return (forecast(Action::RunIfChanged, cause), Left::Open { surely });
        }
        let key = Key {
            delivered,
            results,
            input: recipe.input.then(|| input_hash.to_owned()),
        };
        if let Some(cause) = key.difference(&self.key_then(then)) {
            return runs(cause);
        }
        let left = match &self.run.top_step(then).output {
            Some(output) => Left::Known {
                hash: output.info.sha256.clone(),
                port: output.port.clone(),
            },
            None => Left::Open { surely },
        };
        (forecast(Action::Reuse, None), left)
    }
}

impl Walk<'_> {
    fn arrival(&self, node: NodeIndex) -> Arrival {
        let incoming = &self.graph.node(node).incoming;
        let mut delivered: Vec<(NodeId, String)> = Vec::new();
        let (mut surely, mut by) = (incoming.is_empty(), Vec::new());
        for &edge in incoming {
            let source = &self.graph.node(self.graph.edge(edge).source).id;
            match self.delivery(edge) {
                Delivery::Dead => {}
                Delivery::Known(hash) => {
                    surely = true;
                    if !delivered.iter().any(|(id, _)| id == source) {
                        delivered.push((source.clone(), hash.to_owned()));
                    }
                }
                Delivery::Surely => {
                    surely = true;
                    by.push(source.clone());
                }
                Delivery::Perhaps => by.push(source.clone()),
            }
        }
        if !by.is_empty() {
            return Arrival::Open { surely, by };
        }
        if surely {
            Arrival::Known(delivered)
        } else {
            Arrival::Nothing
        }
    }

    fn delivery(&self, edge: EdgeIndex) -> Delivery<'_> {
        let edge = self.graph.edge(edge);
        match &self.left[edge.source.at()] {
            Some(Left::Known { hash, port }) if edge.way.is_taken(Exit::By(port)) => {
                Delivery::Known(hash)
            }
            Some(Left::Known { .. } | Left::Nowhere) => Delivery::Dead,
            Some(Left::Open { surely }) => {
                let ways = self.ways[edge.source.at()];
                let is_regular = matches!(&edge.way, Way::Port(port) if **port != *ERROR_PORT);
                if *surely && is_regular && ways.ports <= 1 && !ways.outlives_failure {
                    Delivery::Surely
                } else {
                    Delivery::Perhaps
                }
            }
            None => Delivery::Perhaps,
        }
    }
}

/// The nodes in an order in which each comes after all that lead to it.
fn in_order(graph: &Graph) -> Vec<NodeIndex> {
    let mut undecided: Vec<usize> = graph.nodes().map(|(_, node)| node.incoming.len()).collect();
    let mut open: Vec<NodeIndex> = graph
        .nodes()
        .filter(|(_, node)| node.incoming.is_empty())
        .map(|(index, _)| index)
        .collect();
    let mut order = Vec::with_capacity(graph.len());
    while let Some(node) = open.pop() {
        order.push(node);
        for &edge in &graph.node(node).outgoing {
            let target = graph.edge(edge).target;
            undecided[target.at()] -= 1;
            if undecided[target.at()] == 0 {
                open.push(target);
            }
        }
    }
    order
}
