//! What comes of a run is what comes of it by the reference interpreter, in whatever order things happen.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{any_world, as_shown, times};
use crate::run::event::Event;
use crate::run::state::{Handling, RunState, StepState, StopCause};
use crate::run::tests::interpreter::{
    Expected, Fate, ItemFate, interpret, is_same_when_tried_again,
};
use crate::run::tests::simulation::{Applets, Simulation};
use crate::run::turns::ItemOutcome;

proptest! {
    #![proptest_config(times(12))]

    #[test]
    fn a_run_comes_to_what_the_reference_interpreter_says(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Obedient);
        let run = &ended.story.run;
        if run.state() == RunState::Cancelled || ran_out_of_time(&ended) {
            return Ok(());
        }

        if ended.reopened == 0 {
            let expected = interpret(&ended.shape, ended.script, false);
            if expected.failing.is_empty() {
                is_as_expected(&ended, &expected)?;
            } else {
                prop_assert_eq!(run.state(), RunState::Failed, "{:?}", ended);
                let path = run.error().unwrap().path.as_ref().unwrap();
                prop_assert!(expected.failing.contains(path.as_str()), "{path}: {:?}", ended);
            }
        } else if run.state() == RunState::Succeeded
            && is_same_when_tried_again(&ended.shape)
            && !was_cut_short(&ended)
        {
            is_as_expected(&ended, &interpret(&ended.shape, ended.script, true))?;
        }
    }
}

fn ran_out_of_time(ended: &Simulation) -> bool {
    ended.story.journal.iter().any(|it| match &it.event {
        Event::RunFailed(event) => event.error.failure.reason == "RUN_TIMEOUT",
        Event::StepCancelled(event) => event.cause == StopCause::RunTimeout,
        _ => false,
    })
}

/// Whether a step that handles its failures failed while its run was failing already: then it was tried again with
/// the run, and not handled.
fn was_cut_short(ended: &Simulation) -> bool {
    let shown = as_shown(ended);
    ended.story.journal.iter().any(|it| {
        let Event::StepFailed(event) = &it.event else {
            return false;
        };
        let ends = matches!(event.handling, Handling::FailRun | Handling::FailItem);
        let handles = shown.find(&event.path).is_some_and(|key| {
            let graph = shown.graph_of(key.scope);
            ended.shape.manner(graph, key.node).on_error.is_some()
        });
        ends && handles
    })
}

fn is_as_expected(ended: &Simulation, expected: &Expected) -> Result<(), TestCaseError> {
    prop_assert_eq!(ended.story.run.state(), RunState::Succeeded, "{:?}", ended);
    let shown = as_shown(ended);
    let mut steps = BTreeMap::new();
    for key in super::all_steps(&shown) {
        let step = shown.step(key);
        let fate = match step.state {
            StepState::Succeeded => Fate::Succeeded(step.output.as_ref().unwrap().port.clone()),
            StepState::Failed => Fate::Failed(step.handling.unwrap()),
            StepState::Skipped => Fate::Skipped,
            _ => continue,
        };
        // Later scopes after earlier ones: if a loop was tried again, its last try counts.
        steps.insert(shown.path(key).to_string(), fate);
    }
    let is_certain = |path: &str| !expected.loose.iter().any(|prefix| path.starts_with(prefix));
    steps.retain(|path, _| is_certain(path));
    prop_assert_eq!(&steps, &expected.steps, "{:?}", ended);
    let lists = ended.collected.iter().filter(|(path, _)| is_certain(path));
    let lists: BTreeMap<String, Vec<ItemFate>> = lists
        .map(|(path, outcomes)| (path.clone(), outcomes.iter().map(fate_of_item).collect()))
        .collect();
    prop_assert_eq!(&lists, &expected.lists, "{:?}", ended);
    Ok(())
}

fn fate_of_item(outcome: &ItemOutcome) -> ItemFate {
    match outcome {
        ItemOutcome::Succeeded(outputs) => {
            ItemFate::Succeeded(outputs.iter().map(|(node, _)| *node).collect())
        }
        ItemOutcome::Failed(_) => ItemFate::Failed,
    }
}
