//! Random graphs: branches, joins, several roots and ends, parallel edges, error handling, loops in loops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::{Manner, Shape, edge, node};
use crate::flow::graph::{Graph, NodeIndex};
use crate::flow::{ERROR_PORT, Edge, Effect, OnError, RetryPolicy};
use crate::ids::NodeId;
use crate::run::state::OnItemError;
use crate::run::tests::simulation::{Chance, any_numbers};

/// How deep loops may be in each other.
const MOST_DEPTH: usize = 3;

/// Any graph of 1 to 30 nodes with loops in it.
pub(in crate::run::tests) fn any_shape() -> impl Strategy<Value = Shape> {
    any_numbers(0..300).prop_map(|mut chance| {
        let mut book = Book::default();
        let (graph, text) = book.graph(&mut chance, 0);
        Shape {
            graph,
            manners: book.manners,
            text,
        }
    })
}

/// What was drawn so far.
#[derive(Default)]
struct Book {
    graphs: u32,
    manners: BTreeMap<(u32, NodeIndex), Manner>,
}

/// A node as it is drawn.
struct Sketch {
    id: String,
    effect: Effect,
    manner: Manner,
    body: Option<(Arc<Graph>, String)>,
}

impl Book {
    fn graph(&mut self, chance: &mut Chance, depth: usize) -> (Arc<Graph>, String) {
        let number = self.graphs;
        self.graphs += 1;
        let most = if depth == 0 {
            [4, 8, 15, 30]
        } else {
            [1, 2, 3, 5]
        };
        let most = most[chance.pick(4)];
        let count = 1 + chance.pick(most);
        let ids: Vec<String> = (0..count)
            .map(|at| match chance.pick(10) {
                9 => format!("end{at}"),
                _ => format!("n{at}"),
            })
            .collect();
        let sketches: Vec<Sketch> = (0..count)
            .map(|at| self.sketch(chance, &ids, at, depth))
            .collect();
        let edges = edges(chance, &sketches);
        let edges = shuffled(chance, edges);
        let sketches = shuffled(chance, sketches);

        let mut shapes = Vec::new();
        let mut written = Vec::new();
        for (place, sketch) in (0..).zip(sketches) {
            let mut shape = node(&sketch.id, sketch.effect);
            let mut line = vec![format!("{} {:?}", sketch.id, sketch.effect)];
            if !sketch.manner.ports.is_empty() {
                line.push(format!("{:?}", sketch.manner.ports));
            }
            if let Some(retry) = &sketch.manner.retry {
                line.push(format!(
                    "{} attempts, {:?} apart, safe on {:?}",
                    retry.max_attempts, retry.initial_interval, retry.safe_on
                ));
            }
            if let Some(on_error) = &sketch.manner.on_error {
                line.push(format!("{on_error:?}"));
            }
            if let Some(OnError::Fallback(node)) = &sketch.manner.on_error {
                shape.fallback = Some(node.clone());
            }
            if let (Some((body, text)), Some(turns)) = (sketch.body, sketch.manner.turns) {
                shape.body = Some(body);
                line.push(format!("{turns:?} of {{{text}}}"));
            }
            self.manners
                .insert((number, NodeIndex(place)), sketch.manner);
            shapes.push(shape);
            written.push(line.join(" "));
        }
        let text = format!("{}; {}", written.join(", "), edges.join(", "));
        let edges: Vec<Edge> = edges.iter().map(|text| edge(text)).collect();
        (Arc::new(Graph::new(number, shapes, &edges)), text)
    }

    fn sketch(&mut self, chance: &mut Chance, ids: &[String], at: usize, depth: usize) -> Sketch {
        let effects = [
            Effect::Pure,
            Effect::Idempotent,
            Effect::AtMostOnce,
            Effect::Pure,
        ];
        let ports: &[&str] = [
            &[][..],
            &[],
            &["out"],
            &["true", "false"],
            &["case:a", "case:b", "default"],
        ][chance.pick(5)];
        let effect = effects[chance.pick(4)];
        let later = ids.len() - at - 1;
        let on_error = match chance.pick(10) {
            6 => Some(OnError::ErrorPort),
            7 if later > 0 => {
                let fallback = &ids[at + 1 + chance.pick(later)];
                Some(OnError::Fallback(NodeId::from(fallback.as_str())))
            }
            8 if ports.len() < 2 => Some(OnError::DefaultOutput(Value::Null)),
            9 => Some(OnError::ContinueRun),
            _ => None,
        };
        let is_loop = depth < MOST_DEPTH && chance.pick(4) == 3;
        let turns = is_loop.then(|| {
            let concurrency = [1, 2, 3, 4][chance.pick(4)];
            (concurrency, OnItemError::ALL[chance.pick(3)])
        });
        let retry = (chance.pick(4) == 3).then(|| RetryPolicy {
            max_attempts: [2, 3, 4][chance.pick(3)],
            initial_interval: Duration::from_secs([1, 4, 40][chance.pick(3)]),
            safe_on: vec!["HTTP_5XX".to_owned()],
            non_retryable_reasons: vec!["HTTP_4XX".to_owned()],
            ..RetryPolicy::default()
        });
        Sketch {
            id: ids[at].clone(),
            effect,
            manner: Manner {
                ports: ports.iter().map(|&port| port.to_owned()).collect(),
                retry,
                on_error,
                turns,
            },
            body: is_loop.then(|| self.graph(chance, depth + 1)),
        }
    }
}

/// Each edge leads from a node to a later one, so that there is no cycle.
fn edges(chance: &mut Chance, sketches: &[Sketch]) -> Vec<String> {
    let mut edges = Vec::new();
    for (target, sketch) in sketches.iter().enumerate().skip(1) {
        for _ in 0..chance.pick(4) {
            let source = &sketches[chance.pick(target)];
            let manner = &source.manner;
            let mut ports: Vec<&str> = vec![""];
            ports.extend(manner.ports.iter().map(String::as_str));
            if manner.on_error == Some(OnError::ErrorPort) {
                ports.push(ERROR_PORT);
            }
            let port = ports[chance.pick(ports.len())];
            let colon = if port.is_empty() { "" } else { ":" };
            edges.push(format!("{}{colon}{port} -> {}", source.id, sketch.id));
        }
    }
    edges
}

fn shuffled<T>(chance: &mut Chance, mut list: Vec<T>) -> Vec<T> {
    if chance.pick(2) == 1 {
        for at in (1..list.len()).rev() {
            list.swap(at, chance.pick(at + 1));
        }
    }
    list
}
