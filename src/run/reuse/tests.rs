//! Forks of random runs: whatever is taken from the original is what a run from scratch would compute, nothing is
//! computed that need not be, and the forecast comes true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::flow::graph::{Graph, NodeIndex, NodeShape};
use crate::flow::{Edge, Effect};
use crate::run::Command;
use crate::run::event::{
    Event, Origin, PayloadInfo, Recorded, Reused, RunQueued, RunStarted, RunSucceeded, StepSkipped,
    StepSucceeded,
};
use crate::run::scope::StepKey;
use crate::usage::Usage;
use crate::value::canonical;

/// A node whose applet computes a small number from all that it reads, so that different inputs often come out alike.
#[derive(Clone, Debug)]
struct Spec {
    config: u8,
    input: bool,
    /// Whether it leaves by `a` or `b`.
    branches: bool,
    /// Which of the nodes before it its templates read, by chance.
    reads: Vec<prop::sample::Index>,
}

#[derive(Clone, Debug)]
struct Case {
    specs: Vec<Spec>,
    /// From an earlier node to a later one, by port.
    edges: Vec<(usize, usize, u8)>,
}

/// A revision ready to be run.
struct Made {
    graph: Arc<Graph>,
    specs: Vec<Spec>,
    reads: Vec<BTreeSet<NodeId>>,
    recipes: Vec<Recipe>,
}

#[derive(Debug, Default)]
struct Done {
    events: Vec<Recorded>,
    executed: BTreeSet<NodeIndex>,
    reused: BTreeSet<NodeIndex>,
    given: BTreeSet<NodeIndex>,
}

fn id(node: usize) -> NodeId {
    NodeId::from(format!("n{node}"))
}

fn info(value: &Value) -> PayloadInfo {
    let text = value.to_string();
    PayloadInfo {
        size_bytes: text.len() as u64,
        sha256: canonical::hex(&canonical::digest(text.as_bytes())),
        chunks: None,
    }
}

fn run_id(number: u128) -> RunId {
    RunId::new(Uuid::from_u128(number))
}

impl Case {
    fn made(&self) -> Made {
        let shapes = self.specs.iter().enumerate().map(|(node, _)| NodeShape {
            id: id(node),
            kind: "test".into(),
            effect: Effect::Pure,
            body: None,
            fallback: None,
        });
        let edges: Vec<Edge> = self
            .edges
            .iter()
            .map(|&(source, target, port)| Edge {
                id: String::new(),
                source: id(source),
                target: id(target),
                source_handle: match (self.specs[source].branches, port) {
                    (false, _) => String::new(),
                    (true, 0) => "a".to_owned(),
                    (true, _) => "b".to_owned(),
                },
                target_handle: String::new(),
                animated: false,
            })
            .collect();
        let graph = Arc::new(Graph::new(0, shapes.collect(), &edges));
        let mut reads = Vec::new();
        let mut recipes = Vec::new();
        for ((index, _), spec) in graph.nodes().zip(&self.specs) {
            let before: Vec<NodeIndex> = before(&graph, index).into_iter().collect();
            let read: BTreeSet<NodeId> = match &*before {
                [] => BTreeSet::new(),
                before => spec
                    .reads
                    .iter()
                    .map(|read| graph.node(*read.get(before)).id.clone())
                    .collect(),
            };
            let needs = Needs {
                input: spec.input,
                results: read.clone(),
                ..Needs::default()
            };
            let fingerprint = format!("{} {}", spec.config, spec.branches);
            recipes.push(Recipe::new(&graph, index, fingerprint, &needs));
            reads.push(read);
        }
        Made {
            graph,
            specs: self.specs.clone(),
            reads,
            recipes,
        }
    }
}

impl Made {
    /// What the applet of a node computes.
    fn compute(&self, run: &Run, node: NodeIndex) -> (Value, String) {
        let spec = &self.specs[node.at()];
        let hash = |at: NodeIndex| {
            run.top_step(at)
                .output
                .as_ref()
                .map(|o| o.info.sha256.clone())
        };
        let is_root = self.graph.sources(node).is_empty();
        let delivered: Vec<_> = run
            .delivered(StepKey::top(node))
            .into_iter()
            .map(|at| (self.graph.node(at).id.clone(), hash(at)))
            .collect();
        let read: Vec<_> = self.reads[node.at()]
            .iter()
            .map(|id| {
                let at = self.graph.find(id.as_str()).unwrap();
                hash(at).filter(|_| run.top_step(at).gave_result())
            })
            .collect();
        let input = (spec.input || is_root).then(|| run.input().unwrap().sha256.clone());
        let all = format!(
            "{} {} {} {delivered:?} {read:?} {input:?}",
            spec.config,
            spec.branches,
            self.graph.sources(node).len()
        );
        let digest = canonical::digest(all.as_bytes());
        let port = match (spec.branches, digest[1] % 2) {
            (false, _) => "",
            (true, 0) => "a",
            (true, _) => "b",
        };
        (json!(digest[0] % 2), port.to_owned())
    }

    /// Runs it from this input to its end, doing what can be done in the order of `turns`.
    fn run(
        &self,
        input: &Value,
        origin: Option<&Origin>,
        past: Option<&Past>,
        turns: &[prop::sample::Index],
    ) -> (Run, Done) {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let mut run = Run::new(Arc::clone(&self.graph));
        let mut done = Done::default();
        let record = |run: &mut Run, done: &mut Done, event: Event| {
            let recorded = Recorded {
                sequence: run.last_sequence() + 1,
                at: now,
                event,
                payload: None,
            };
            run.apply(&recorded).unwrap();
            done.events.push(recorded);
        };
        let queued = RunQueued {
            input: info(input),
            parent: None,
            origin: origin.cloned(),
            blocked: false,
        };
        record(&mut run, &mut done, queued.into());
        for turn in (0..).map(|at| turns[at % turns.len()]) {
            let commands = run.next(now);
            match turn.get(&commands).clone() {
                Command::Start => {
                    let deadline = now + TimeDelta::days(1);
                    record(&mut run, &mut done, RunStarted { deadline }.into());
                }
                Command::Skip(key) => {
                    let path = run.path(key);
                    record(&mut run, &mut done, StepSkipped { path }.into());
                }
                Command::Attempt { key, number, .. } => {
                    let node = key.node;
                    let given = origin
                        .as_ref()
                        .and_then(|origin| origin.find_given(&self.graph.node(node).id));
                    let recorded = past.and_then(|past| {
                        let step = past.get_recorded(&run, node).ok()?;
                        Some((step.output.clone()?, past.computed(step)))
                    });
                    let (output, port, reused) = if let Some(given) = given {
                        done.given.insert(node);
                        let reused = Reused {
                            run_id: run_id(9),
                            sequence: 0,
                        };
                        (info(given.value), given.port.to_owned(), Some(reused))
                    } else if let Some((output, reused)) = recorded {
                        done.reused.insert(node);
                        (output.info, output.port, reused)
                    } else {
                        done.executed.insert(node);
                        let (value, port) = self.compute(&run, node);
                        (info(&value), port, None)
                    };
                    let event = StepSucceeded {
                        path: run.path(key),
                        attempt: number,
                        started_at: now,
                        port,
                        output,
                        details: Map::new(),
                        usage: Usage::default(),
                        reused,
                    };
                    record(&mut run, &mut done, event.into());
                }
                Command::Succeed => {
                    let output = info(&json!(null));
                    record(&mut run, &mut done, RunSucceeded { output }.into());
                    return (run, done);
                }
                other => panic!("nothing here asks for {other:?}"),
            }
        }
        unreachable!("turns go on for ever")
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let spec = (
        0..3_u8,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
        prop::collection::vec(any::<prop::sample::Index>(), 0..2),
    );
    let spec = spec.prop_map(|(config, input, branches, reads)| Spec {
        config,
        input,
        branches,
        reads,
    });
    prop::collection::vec(spec, 1..9).prop_flat_map(|specs| {
        let count = specs.len();
        let edge = (0..count, 0..count, 0..2_u8);
        let edges = prop::collection::vec(edge, 0..count * 2);
        edges.prop_map(move |edges| {
            let forward = edges
                .into_iter()
                .filter(|(source, target, _)| source < target);
            Case {
                specs: specs.clone(),
                edges: forward.collect(),
            }
        })
    })
}

/// How a fork differs from its original.
#[derive(Clone, Debug)]
struct Changes {
    configs: Vec<(prop::sample::Index, u8)>,
    named: Vec<prop::sample::Index>,
    given: Vec<(prop::sample::Index, u8, bool)>,
    input: u8,
    /// How much of the original had happened.
    cut: Option<prop::sample::Index>,
}

fn changes() -> impl Strategy<Value = Changes> {
    let index = any::<prop::sample::Index>;
    (
        prop::collection::vec((index(), 0..3_u8), 0..2),
        prop::collection::vec(index(), 0..2),
        prop::collection::vec((index(), 0..3_u8, any::<bool>()), 0..2),
        0..2_u8,
        prop::option::weighted(0.3, index()),
    )
        .prop_map(|(configs, named, given, input, cut)| Changes {
            configs,
            named,
            given,
            input,
            cut,
        })
}

fn turns() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 1..20)
}

proptest! {
    #[test]
    fn a_fork_ends_as_a_run_from_scratch_and_computes_nothing_twice(
        case in cases(),
        changes in changes(),
        orders in (turns(), turns(), turns()),
    ) {
        let original = case.made();
        let (_, first) = original.run(&json!(0), None, None, &orders.0);
        let reached = changes.cut.map_or(first.events.len(), |cut| cut.index(first.events.len()) + 1);
        let then = Run::fold(Arc::clone(&original.graph), &first.events[..reached]).unwrap();
        let mut changed = case.clone();
        for (at, config) in &changes.configs {
            let at = at.index(changed.specs.len());
            changed.specs[at].config = *config;
        }
        let new = changed.made();
        let at = |index: &prop::sample::Index| id(index.index(case.specs.len()));
        let given: BTreeMap<NodeId, (u8, bool)> =
            changes.given.iter().map(|(index, value, left)| (at(index), (*value, *left))).collect();
        let from_nodes: Vec<NodeId> =
            changes.named.iter().map(at).filter(|id| !given.contains_key(id)).collect();
        let branches = |id: &NodeId| new.specs[new.graph.find(id.as_str()).unwrap().at()].branches;
        let origin = Origin {
            run_id: run_id(1),
            sequence: then.last_sequence(),
            from_nodes: from_nodes.clone(),
            output_overrides: given.iter().map(|(id, (value, _))| (id.to_string(), json!(value))).collect(),
            output_ports: given
                .iter()
                .filter(|(id, _)| branches(id))
                .map(|(id, (_, left))| (id.clone(), if *left { "a" } else { "b" }.to_owned()))
                .collect(),
        };
        let past = Past::new(run_id(1), then, original.recipes.clone(), new.recipes.clone());
        let input = json!(changes.input);

        let (fork, forked) = new.run(&input, Some(&origin), Some(&past), &orders.1);
        let (scratch, from_scratch) = new.run(&input, Some(&origin), None, &orders.2);

        // What stands is what a run from scratch gives.
        for (node, step) in fork.steps() {
            let wanted = scratch.top_step(node);
            prop_assert_eq!(step.state, wanted.state);
            let seen = |step: &Step| step.output.as_ref().map(|o| (o.info.clone(), o.port.clone()));
            prop_assert_eq!(seen(step), seen(wanted));
        }
        prop_assert_eq!(&forked.given, &from_scratch.given);
        // Only what is named, was not there, or reads something else is computed.
        for &node in &forked.executed {
            let spec = new.graph.node(node);
            let before = past.run().top_step(node);
            let named = from_nodes.contains(&spec.id);
            let is_same = original.compute(past.run(), node) == new.compute(&fork, node)
                && past.run().key_of(node, &past.recipes[node.at()]) == fork.key_of(node, &new.recipes[node.at()])
                && past.recipes[node.at()].is_that_of(&new.recipes[node.at()]);
            prop_assert!(named || before.state != StepState::Succeeded || !is_same, "{}", spec.id);
        }
        // The forecast comes true.
        let ways: Vec<Ways> = new
            .specs
            .iter()
            .map(|spec| Ways { ports: if spec.branches { 2 } else { 0 }, outlives_failure: false })
            .collect();
        let forecasts = past.forecast(&origin, &new.graph, &info(&input).sha256, &ways);
        prop_assert_eq!(forecasts.len(), new.graph.len());
        for forecast in forecasts {
            let node = forecast.node;
            let skipped = fork.top_step(node).state == StepState::Skipped;
            let held = match forecast.action {
                Action::Reuse => forked.reused.contains(&node),
                Action::Override => forked.given.contains(&node) || skipped,
                Action::Run => forked.executed.contains(&node) || skipped,
                Action::RunIfChanged => !forked.given.contains(&node),
                Action::Skip => skipped,
            };
            prop_assert!(held, "{:?}", forecast);
        }
    }

    #[test]
    fn a_fork_that_changes_nothing_computes_nothing(case in cases(), orders in (turns(), turns())) {
        let made = case.made();
        let (run, first) = made.run(&json!(0), None, None, &orders.0);
        let origin = Origin {
            run_id: run_id(1),
            sequence: run.last_sequence(),
            from_nodes: Vec::new(),
            output_overrides: Map::new(),
            output_ports: BTreeMap::new(),
        };
        let past = Past::new(run_id(1), run, made.recipes.clone(), made.recipes.clone());

        let (_, forked) = made.run(&json!(0), Some(&origin), Some(&past), &orders.1);

        prop_assert!(forked.executed.is_empty());
        prop_assert_eq!(&forked.reused, &first.executed);
        let ways = vec![Ways { ports: 2, outlives_failure: true }; made.graph.len()];
        let forecasts = past.forecast(&origin, &made.graph, &info(&json!(0)).sha256, &ways);
        prop_assert!(forecasts.iter().all(|forecast| matches!(forecast.action, Action::Reuse | Action::Skip)));
    }
}

#[test]
fn what_reads_all_results_is_repeatable_only_where_nothing_is_beside_it() {
    let spec = Spec {
        config: 0,
        input: false,
        branches: false,
        reads: Vec::new(),
    };
    let case = Case {
        specs: vec![spec; 4],
        edges: vec![(0, 1, 0), (1, 2, 0), (0, 3, 0)],
    };
    let graph = case.made().graph;
    let needs = Needs {
        all_results: true,
        ..Needs::default()
    };
    let recipe = |node| Recipe::new(&graph, NodeIndex(node), String::new(), &needs);

    assert!(recipe(0).is_repeatable);
    assert!(!recipe(1).is_repeatable, "n3 may be done before it or not");
    assert!(!recipe(3).is_repeatable);
}

#[test]
fn what_reads_the_runs_own_id_has_no_equal() {
    let case = Case {
        specs: vec![Spec {
            config: 0,
            input: false,
            branches: false,
            reads: Vec::new(),
        }],
        edges: Vec::new(),
    };
    let graph = case.made().graph;
    let needs = Needs {
        own: true,
        ..Needs::default()
    };

    assert!(!Recipe::new(&graph, NodeIndex(0), String::new(), &needs).is_repeatable);
}
