//! The state machine: leading a run, asking it what is next, recovering it.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use synapps::flow::graph::Graph;
use synapps::run::Run;

use crate::shapes::{chain, each, fan};
use crate::story::Story;

/// A shape, and how many items its loops have.
#[derive(Clone, Copy, Debug)]
enum Shape {
    W5,
    W40,
    Fan50,
    /// A flow of a thousand nodes.
    Fan1000,
    Loop10000,
}

const SHAPES: [Shape; 5] = [
    Shape::W5,
    Shape::W40,
    Shape::Fan50,
    Shape::Fan1000,
    Shape::Loop10000,
];

impl Shape {
    fn graph(self) -> Arc<Graph> {
        match self {
            Self::W5 => chain(3),
            Self::W40 => chain(40),
            Self::Fan50 => fan(50),
            Self::Fan1000 => fan(997),
            Self::Loop10000 => each(),
        }
    }

    fn items(self) -> u32 {
        match self {
            Self::Loop10000 => 10_000,
            Self::W5 | Self::W40 | Self::Fan50 | Self::Fan1000 => 0,
        }
    }

    fn ended(self) -> Story {
        Story::ended(self.graph(), self.items())
    }
}

/// From queued to succeeded: `next`, the events, `apply`. Items are events.
#[divan::bench(args = SHAPES)]
fn play(bencher: Bencher<'_, '_>, shape: Shape) {
    let graph = shape.graph();
    bencher
        .counter(ItemsCount::new(shape.ended().journal.len()))
        .with_inputs(|| Story::queued(Arc::clone(&graph), shape.items()))
        .bench_local_values(|mut story| {
            story.play();
            story
        });
}

/// What a run wants done half-way, asked once: it is asked after each event.
#[divan::bench(args = SHAPES)]
fn next(bencher: Bencher<'_, '_>, shape: Shape) {
    let story = Story::half_way(&shape.graph(), shape.items());
    bencher.bench_local(|| black_box(&story).next());
}

/// A run that has ended, recovered from its journal. Items are events.
#[divan::bench(args = SHAPES)]
fn fold(bencher: Bencher<'_, '_>, shape: Shape) {
    let story = shape.ended();
    bencher
        .counter(ItemsCount::new(story.journal.len()))
        .bench_local(|| Run::fold(Arc::clone(story.run.graph()), black_box(&story.journal)));
}

/// The copy that a driver keeps while an event is written that a letter may forestall: once a run at least.
#[divan::bench(args = SHAPES)]
fn copy(bencher: Bencher<'_, '_>, shape: Shape) {
    let story = Story::half_way(&shape.graph(), shape.items());
    bencher.bench_local(|| black_box(&story).run.clone());
}
