//! What a fork may take from the run that it was forked from: the rule of reuse, without database or clock.
//!
//! A step's output follows from its [`Recipe`] (applet, version, config) and its [`Key`]: what reaches it and what its
//! templates read. Rendering a config is a function of these and of nothing else, so a step with the recipe and the key
//! that it had in the original would compute what the original has recorded. What lies outside (an HTTP answer, a
//! child's flow that was saved again) is taken as it was then: whoever wants it anew names the node.

mod forecast;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::forecast::{Action, Forecast, Ways};
use super::Run;
use super::event::{Origin, Reused};
use super::scope::StepKey;
use super::state::StepState;
use super::step::Step;
use crate::flow::graph::{Graph, NodeIndex};
use crate::ids::{NodeId, RunId};

/// What a node reads beside what reaches it.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Whether it reads the run's input.
    pub input: bool,
    /// Nodes whose results it reads.
    pub results: BTreeSet<NodeId>,
    /// Whether it reads results of which it cannot be told whose.
    pub all_results: bool,
    /// Whether it reads what no two runs share, or what may not be compared: the run's id, a secret.
    pub own: bool,
}

/// All that decides a step's output but what it reads.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Hash over the applet's kind and version and the node's config.
    fingerprint: String,
    /// Nodes that can deliver to it: one that has several gets an object, even if only one delivers.
    sources: usize,
    /// Whether it reads the run's input.
    input: bool,
    /// Nodes before it whose results it reads.
    results: Vec<NodeIndex>,
    /// Whether all that it reads can be told before it runs.
    is_repeatable: bool,
}

impl Recipe {
    /// The recipe of a node; `fingerprint` stands for its applet and its config.
    #[must_use]
    pub fn new(graph: &Graph, node: NodeIndex, fingerprint: String, needs: &Needs) -> Self {
        let (results, all_told) = if needs.all_results {
            let (before, after) = (before(graph, node), after(graph, node));
            // Nodes beside it may or may not be finished when it is its turn.
            let beside = before.len() + after.len() + 1 < graph.len();
            (before.into_iter().collect(), !beside)
        } else if needs.results.is_empty() {
            (Vec::new(), true)
        } else {
            let found = needs.results.iter().map(|id| graph.find(id.as_str()));
            // What is not found here is inside a loop's body, and made there.
            let named: Vec<NodeIndex> = found.flatten().collect();
            let before = before(graph, node);
            let all_told = named.iter().all(|read| before.contains(read));
            (named, all_told)
        };
        let is_repeatable = all_told && !needs.own;
        let sources = graph.sources(node).len();
        Self {
            fingerprint,
            sources,
            input: needs.input || sources == 0,
            results,
            is_repeatable,
        }
    }

    /// The recipe of a node that cannot be run, or of which nothing is known: it is never what another one is.
    #[must_use]
    pub fn unrepeatable() -> Self {
        Self {
            fingerprint: String::new(),
            sources: 0,
            input: true,
            results: Vec::new(),
            is_repeatable: false,
        }
    }

    fn is_that_of(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.sources == other.sources
    }
}

/// All nodes that lead to one, directly or not.
fn before(graph: &Graph, node: NodeIndex) -> BTreeSet<NodeIndex> {
    reach(node, |at| {
        let incoming = graph.node(at).incoming.iter();
        incoming.map(|&edge| graph.edge(edge).source).collect()
    })
}

/// All nodes that one leads to, directly or not.
fn after(graph: &Graph, node: NodeIndex) -> BTreeSet<NodeIndex> {
    reach(node, |at| {
        let outgoing = graph.node(at).outgoing.iter();
        outgoing.map(|&edge| graph.edge(edge).target).collect()
    })
}

fn reach(from: NodeIndex, next: impl Fn(NodeIndex) -> Vec<NodeIndex>) -> BTreeSet<NodeIndex> {
    let mut found = BTreeSet::new();
    let mut open = next(from);
    while let Some(node) = open.pop() {
        if found.insert(node) {
            open.extend(next(node));
        }
    }
    found
}

/// What a step reads, as the hashes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The outputs that reach it, by their nodes, in edge order.
    delivered: Vec<(NodeId, String)>,
    /// The results that its templates read, as far as there are any.
    results: BTreeMap<NodeId, String>,
    /// The run's input, if it reads that.
    input: Option<String>,
}

impl Key {
    /// Why a step with this key is not the one with that key; `None` if it is.
    fn difference(&self, then: &Self) -> Option<Cause> {
        if self.input != then.input {
            return Some(Cause::InputChanged);
        }
        let now = self.delivered.iter().map(|(id, hash)| (id, hash));
        let now: BTreeSet<_> = now.chain(&self.results).collect();
        let before = then.delivered.iter().map(|(id, hash)| (id, hash));
        let before: BTreeSet<_> = before.chain(&then.results).collect();
        let changed: BTreeSet<&NodeId> = now
            .symmetric_difference(&before)
            .map(|(id, _)| *id)
            .collect();
        let is_same = changed.is_empty() && self.delivered == then.delivered;
        (!is_same).then(|| Cause::ResultsChanged(changed.into_iter().cloned().collect()))
    }
}

/// Why a step of a fork runs, or may have to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The fork's author wants it to.
    Named,
    /// The original's revision has no such node.
    New,
    /// It has not succeeded in the original.
    NotSucceeded,
    /// Its applet, that applet's version, its config or the number of nodes that lead to it differ.
    ConfigChanged,
    /// It reads what no two runs share, or what cannot be told before it runs.
    Unrepeatable,
    /// It reads the run's input, which differs.
    InputChanged,
    /// It reads outputs that differ, or may: those of these nodes.
    ResultsChanged(Vec<NodeId>),
}

/// The run that a fork was forked from, as it stood then, with the recipes of its nodes and of the fork's.
#[derive(Clone, Debug)]
pub struct Past {
    run_id: RunId,
    run: Run,
    recipes: Vec<Recipe>,
    own: Vec<Recipe>,
}

impl Past {
    /// What a fork may take from `run`: `recipes` are those of its nodes, `own` those of the fork's, each in the order
    /// of their graph.
    #[must_use]
    pub fn new(run_id: RunId, run: Run, recipes: Vec<Recipe>, own: Vec<Recipe>) -> Self {
        Self {
            run_id,
            run,
            recipes,
            own,
        }
    }

    /// The original as it stood.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The step of the original whose output the fork's step takes, which is about to be dispatched for the first time.
    ///
    /// # Errors
    ///
    /// Why there is none, and the step runs.
    pub fn get_recorded(&self, fork: &Run, node: NodeIndex) -> Result<&Step, Cause> {
        let origin = fork.origin().ok_or(Cause::New)?;
        let then = self.candidate(origin, fork.graph(), node)?;
        let key = fork.key_of(node, &self.own[node.at()]);
        match key.difference(&self.key_then(then)) {
            Some(cause) => Err(cause),
            None => Ok(self.run.top_step(then)),
        }
    }

    /// Where a step's output was computed: what the fork's event says of it.
    #[must_use]
    pub fn computed(&self, step: &Step) -> Option<Reused> {
        let here = step.output.as_ref().map(|output| Reused {
            run_id: self.run_id,
            sequence: output.sequence,
        });
        step.reused.clone().or(here)
    }

    /// The node of the original that a node of the fork would take the output of, if it reads the same.
    fn candidate(
        &self,
        origin: &Origin,
        graph: &Graph,
        node: NodeIndex,
    ) -> Result<NodeIndex, Cause> {
        let id = &graph.node(node).id;
        if origin.from_nodes.contains(id) {
            return Err(Cause::Named);
        }
        let then = self.run.graph().find(id.as_str()).ok_or(Cause::New)?;
        let (own, recipe) = (&self.own[node.at()], &self.recipes[then.at()]);
        if !own.is_that_of(recipe) {
            return Err(Cause::ConfigChanged);
        }
        if !own.is_repeatable || !recipe.is_repeatable {
            return Err(Cause::Unrepeatable);
        }
        let step = self.run.top_step(then);
        if step.state != StepState::Succeeded || step.output.is_none() {
            return Err(Cause::NotSucceeded);
        }
        Ok(then)
    }

    fn key_then(&self, then: NodeIndex) -> Key {
        self.run.key_of(then, &self.recipes[then.at()])
    }
}

impl Run {
    /// What a step of the run's own graph reads, once all edges into it are decided.
    fn key_of(&self, node: NodeIndex, recipe: &Recipe) -> Key {
        let hash = |node: NodeIndex| {
            let output = self.top_step(node).output.as_ref();
            Some((
                self.graph().node(node).id.clone(),
                output?.info.sha256.clone(),
            ))
        };
        let delivered = self.delivered(StepKey::top(node));
        let results = recipe.results.iter().copied();
        Key {
            delivered: delivered.into_iter().filter_map(hash).collect(),
            results: results
                .filter(|&read| self.top_step(read).gave_result())
                .filter_map(hash)
                .collect(),
            input: self
                .input_hash()
                .filter(|_| recipe.input)
                .map(str::to_owned),
        }
    }

    fn input_hash(&self) -> Option<&str> {
        self.input().map(|info| info.sha256.as_str())
    }
}
