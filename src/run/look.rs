//! Looking into a run: its steps, by key and by path, and what reaches them.

use std::sync::Arc;

use super::Run;
use super::scope::{EdgeState, Scope, ScopeId, StepKey};
use super::step::{Step, Wait};
use crate::flow::graph::{Graph, NodeIndex};
use crate::ids::{NodeId, StepPath};

impl Run {
    /// One step, if its item is still known.
    #[must_use]
    pub fn find_step(&self, key: StepKey) -> Option<&Step> {
        self.history
            .scopes
            .get(&key.scope)?
            .steps
            .get(key.node.at())
    }

    /// One step of an item that is still known, which that of a step in flight may not be.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[must_use]
    pub fn step(&self, key: StepKey) -> &Step {
        self.find_step(key).expect("the item is still known")
    }

    /// The step of a node of the run's own graph.
    #[must_use]
    pub fn top_step(&self, node: NodeIndex) -> &Step {
        self.step(StepKey::top(node))
    }

    /// All steps of the run's own graph, in the order of the nodes.
    pub fn steps(&self) -> impl Iterator<Item = (NodeIndex, &Step)> {
        self.scope(ScopeId::TOP).steps()
    }

    /// One opening of a graph that is still known.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[must_use]
    pub fn scope(&self, id: ScopeId) -> &Scope {
        self.history
            .scopes
            .get(&id)
            .expect("the item is still known")
    }

    /// The same, if it is still known.
    #[must_use]
    pub fn find_scope(&self, id: ScopeId) -> Option<&Scope> {
        self.history.scopes.get(&id)
    }

    /// The graph that a scope opens.
    #[must_use]
    pub fn graph_of(&self, id: ScopeId) -> &Arc<Graph> {
        self.scope(id).graph()
    }

    /// The step of this path, if its item is still known.
    #[must_use]
    pub fn find(&self, path: &StepPath) -> Option<StepKey> {
        let mut scope = ScopeId::TOP;
        let mut rest = path.as_str();
        while let Some((turn, inner)) = rest.split_once('/') {
            let (node, item) = turn.strip_suffix(']')?.split_once('[')?;
            let node = self.find_scope(scope)?.graph().find(node)?;
            let item: u32 = item.parse().ok()?;
            let turns = self.turns(StepKey { scope, node })?;
            scope = match turns.open.get(&item) {
                Some(id) => *id,
                None => self.find_item(StepKey { scope, node }, item)?,
            };
            rest = inner;
        }
        let node = self.find_scope(scope)?.graph().find(rest)?;
        Some(StepKey { scope, node })
    }

    /// The scope of an item of a loop, among all that are known.
    #[must_use]
    pub fn find_item(&self, of: StepKey, item: u32) -> Option<ScopeId> {
        // Later ones first: an item may have been opened again in a later attempt.
        let mut scopes = self.history.scopes.iter().rev();
        let found = scopes.find(|(_, scope)| {
            scope
                .place
                .as_ref()
                .is_some_and(|place| place.of == of && place.item == item)
        });
        found.map(|(id, _)| *id)
    }

    /// The nodes whose outputs reach a step, each once, in edge order.
    #[must_use]
    pub fn delivered(&self, key: StepKey) -> Vec<NodeIndex> {
        let mut sources = Vec::new();
        let scope = self.scope(key.scope);
        for &edge in &scope.graph.node(key.node).incoming {
            let source = scope.graph.edge(edge).source;
            if scope.edges[edge.at()] == EdgeState::Live && !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }

    /// The steps whose outputs make the run's output, as far as they gave one.
    #[must_use]
    pub fn ends(&self) -> Vec<NodeIndex> {
        self.scope(ScopeId::TOP)
            .outputs()
            .into_iter()
            .map(|(node, _)| node)
            .collect()
    }

    /// Ids of the nodes whose steps execute or wait.
    #[must_use]
    pub fn current_nodes(&self) -> Vec<NodeId> {
        self.graph
            .nodes()
            .filter(|(index, _)| self.top_step(*index).state.is_under_way())
            .map(|(_, node)| node.id.clone())
            .collect()
    }

    /// The path of a step.
    #[must_use]
    pub fn path(&self, key: StepKey) -> StepPath {
        self.scope(key.scope).path(key.node)
    }

    /// Steps that wait, with what they wait for.
    pub fn waiting(&self) -> impl Iterator<Item = (StepKey, &Wait)> {
        self.history
            .waiting
            .keys()
            .filter_map(|&key| Some((key, self.find_step(key)?.wait.as_ref()?)))
    }
}
