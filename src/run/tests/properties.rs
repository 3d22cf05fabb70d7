//! What holds in every run, whatever happens.

mod caution;
mod commands;
mod ends;
mod loops;
mod outcomes;

use std::sync::Arc;

use proptest::prelude::*;

use super::script::{Script, any_script};
use super::shapes::{Shape, any_shape};
use super::simulation::{Chance, Simulation, any_chance};
use crate::run::Run;
use crate::run::event::{Event, Recorded};
use crate::run::scope::StepKey;
use crate::run::state::{Handling, RunState, StepState};

/// A graph, what the world does, and in which order.
pub(super) fn any_world() -> impl Strategy<Value = (Shape, Script, Chance)> {
    (any_shape(), any_script(), any_chance())
}

/// So many times as many cases as proptest tries by itself, unless `PROPTEST_CASES` says how many.
pub(super) fn times(factor: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: config.cases * factor,
        ..config
    }
}

/// The events since the run was last tried again, or all.
pub(super) fn since_reopened(journal: &[Recorded]) -> &[Recorded] {
    let reopened = journal
        .iter()
        .rposition(|it| matches!(it.event, Event::RunReopened(_)));
    &journal[reopened.map_or(0, |at| at + 1)..]
}

/// Whether the run is being brought to its end.
fn is_ending(simulation: &Simulation) -> bool {
    let story = &simulation.story;
    let failed = since_reopened(&story.journal).iter().any(
        |it| matches!(&it.event, Event::StepFailed(event) if event.handling == Handling::FailRun),
    );
    let late = story.run.deadline().is_some_and(|at| at <= story.now);
    failed || late || story.run.state() == RunState::Cancelling
}

/// Whether nothing is to be dispatched, for whatever reason.
fn is_held(simulation: &Simulation) -> bool {
    let run = &simulation.story.run;
    is_ending(simulation) || run.is_blocked() || run.state() == RunState::Paused
}

fn all_settled(run: &Run) -> bool {
    run.steps().all(|(_, step)| match step.state {
        StepState::Succeeded | StepState::Skipped => true,
        StepState::Failed => !matches!(
            step.handling,
            None | Some(Handling::FailRun | Handling::FailItem)
        ),
        _ => false,
    })
}

/// All steps, in loops too, of the items that are still known.
pub(super) fn all_steps(run: &Run) -> impl Iterator<Item = StepKey> {
    let scopes = run.history.scopes.iter();
    scopes.flat_map(|(&scope, it)| it.steps().map(move |(node, _)| StepKey { scope, node }))
}

/// The run as it is shown: with the steps of items that have ended.
fn as_shown(simulation: &Simulation) -> Run {
    Run::keeping_all(Arc::clone(&simulation.shape.graph))
        .after(&simulation.story.journal)
        .unwrap()
}
