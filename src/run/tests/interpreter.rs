//! The reference interpreter: what must come of a run, whatever happens on the way.
//!
//! It walks the graphs one node after the other. It knows no time, no events, no concurrency and no crashes; of two
//! things that can come first neither makes a difference to it.

use std::collections::{BTreeMap, BTreeSet};

use super::reference::{Left, is_way};
use super::script::{End, Script};
use super::shapes::Shape;
use crate::flow::OnError;
use crate::flow::graph::{Graph, NodeIndex};
use crate::run::state::{Handling, OnItemError, Resolution};

/// What must have come of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It succeeded and was left by this port.
    Succeeded(String),
    /// It failed, and this followed.
    Failed(Handling),
    /// Nothing reached it.
    Skipped,
}

/// What must have come of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ItemFate {
    /// These ends gave something.
    Succeeded(Vec<NodeIndex>),
    /// A step failed it.
    Failed,
}

/// What must have come of a run.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Steps by their paths, without those of items and loops that failed: there it matters what came first.
    pub steps: BTreeMap<String, Fate>,
    /// What loops made their outputs of, by their paths.
    pub lists: BTreeMap<String, Vec<ItemFate>>,
    /// Steps of which each alone fails the run; if there are any, all else may have been cut off.
    pub failing: BTreeSet<String>,
    /// What the paths of steps begin with that were left out.
    pub loose: BTreeSet<String>,
}

/// Walks the graph, once for good or as often as it takes until nothing fails the run any more.
pub(super) fn interpret(shape: &Shape, script: Script, is_tried_again: bool) -> Expected {
    let mut walk = Walk {
        shape,
        script,
        is_tried_again,
        expected: Expected::default(),
    };
    let graph = shape.graph.clone();
    walk.graph(&graph, "", true);
    walk.expected
}

struct Walk<'a> {
    shape: &'a Shape,
    script: Script,
    is_tried_again: bool,
    expected: Expected,
}

impl Walk<'_> {
    /// Walks one opening of a graph; its ends that gave something, or `None` if a step failed it.
    ///
    /// `fails_run` says whether such a failure would go through to the run.
    fn graph(&mut self, graph: &Graph, prefix: &str, fails_run: bool) -> Option<Vec<NodeIndex>> {
        let mut left: Vec<Option<Option<Left>>> = vec![None; graph.len()];
        let mut failed = false;
        // As many rounds as there are nodes reach the last of the longest chain.
        for _ in 0..graph.len() {
            for (node, known) in graph.nodes() {
                let sources = known.incoming.iter().map(|&edge| graph.edge(edge));
                let decided: Option<Vec<bool>> = sources
                    .map(|edge| {
                        let left = left[edge.source.at()].as_ref()?.as_ref()?;
                        Some(is_way(&edge.way, left))
                    })
                    .collect();
                let (None, Some(reached)) = (&left[node.at()], decided) else {
                    continue;
                };
                let path = format!("{prefix}{}", known.id);
                let fate = if reached.is_empty() || reached.contains(&true) {
                    self.node(graph, node, &path, fails_run)
                } else {
                    Fate::Skipped
                };
                left[node.at()] = Some(match &fate {
                    Fate::Succeeded(port) => Some(Left::By(port.clone())),
                    Fate::Failed(handling) => Left::after(*handling),
                    Fate::Skipped => Some(Left::Nowhere),
                });
                if matches!(fate, Fate::Failed(Handling::FailRun | Handling::FailItem)) {
                    failed = true;
                    if fails_run {
                        self.expected.failing.insert(path.clone());
                    }
                }
                self.expected.steps.insert(path, fate);
            }
        }
        if failed {
            return None;
        }
        let gave = |end: &&NodeIndex| {
            let id = &graph.node(**end).id;
            let fate = &self.expected.steps[&format!("{prefix}{id}")];
            matches!(
                fate,
                Fate::Succeeded(_) | Fate::Failed(Handling::DefaultOutput)
            )
        };
        Some(graph.ends().iter().filter(gave).copied().collect())
    }

    /// Tries a node until that is over.
    fn node(&mut self, graph: &Graph, node: NodeIndex, path: &str, fails_run: bool) -> Fate {
        let manner = self.shape.manner(graph, node);
        let known = graph.node(node);
        let handling = match &manner.on_error {
            Some(OnError::ErrorPort) => Handling::ErrorPort,
            Some(OnError::Fallback(_)) => Handling::Fallback,
            Some(OnError::DefaultOutput(_)) => Handling::DefaultOutput,
            Some(OnError::ContinueRun) => Handling::ContinueRun,
            None if path.contains('/') => Handling::FailItem,
            None => Handling::FailRun,
        };
        let goes_through = fails_run && manner.on_error.is_none();
        let mut failures = 0;
        for tries in 0.. {
            let act = self.script.act(path, tries, manner, known.effect);
            let collect = act.collect.clone();
            let end = match (act.end, &known.body, manner.turns) {
                (End::Success(_), Some(body), Some((_, on_item_error))) => {
                    match self.items(body, path, on_item_error, goes_through) {
                        Some(list) => {
                            self.expected.lists.insert(path.to_owned(), list);
                            act.collect
                        }
                        // No retry policy repeats a loop because of its items.
                        None => return Fate::Failed(handling),
                    }
                }
                (end, ..) => end,
            };
            let trouble = match end {
                End::Success(port) => return Fate::Succeeded(port),
                End::Failure(trouble) => Some(trouble),
                End::Doubt(Resolution::Retry) => continue,
                End::Doubt(Resolution::Succeeded) => {
                    let port = match collect {
                        End::Success(port) => port,
                        _ => manner.ways()[0].clone(),
                    };
                    return Fate::Succeeded(port);
                }
                End::Doubt(Resolution::Failed) => None,
            };
            let again = trouble.is_some_and(|it| it.wait(manner, known.effect, failures).is_some());
            failures += 1;
            if !(again || (self.is_tried_again && goes_through)) {
                return Fate::Failed(handling);
            }
        }
        unreachable!("every script comes to an end")
    }

    /// What the items of a loop give, or `None` if one fails the loop.
    fn items(
        &mut self,
        body: &Graph,
        path: &str,
        on_item_error: OnItemError,
        fails_run: bool,
    ) -> Option<Vec<ItemFate>> {
        let stands = on_item_error != OnItemError::Fail;
        let mut list = Vec::new();
        let mut failed = false;
        for item in 0..self.script.items(path) {
            let prefix = format!("{path}[{item}]/");
            if let Some(ends) = self.graph(body, &prefix, fails_run && !stands) {
                list.push(ItemFate::Succeeded(ends));
                continue;
            }
            failed = true;
            self.forget(&prefix);
            if on_item_error == OnItemError::Collect {
                list.push(ItemFate::Failed);
            }
        }
        if failed && !stands {
            self.forget(&format!("{path}["));
            return None;
        }
        Some(list)
    }

    fn forget(&mut self, prefix: &str) {
        self.expected.loose.insert(prefix.to_owned());
        self.expected
            .steps
            .retain(|path, _| !path.starts_with(prefix));
        self.expected
            .lists
            .retain(|path, _| !path.starts_with(prefix));
    }
}

/// Whether a run that was tried again after a failure must come to the same end as one that never failed: not where an
/// item or a loop may fail for good without the run, for then it matters whether the run failed first.
pub(super) fn is_same_when_tried_again(shape: &Shape) -> bool {
    shape.manners().all(|manner| {
        let stands = manner.on_error.is_some();
        let loops =
            matches!(manner.turns, Some((_, on_item_error)) if on_item_error != OnItemError::Fail);
        !loops && !(stands && (manner.turns.is_some() || manner.retry.is_some()))
    })
}
