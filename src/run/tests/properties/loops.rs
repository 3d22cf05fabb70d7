//! Loops: how many items are under way, in which order, until when, and what is kept of them.

use proptest::prelude::*;

use super::any_world;
use crate::run::scope::{Scope, ScopeId, StepKey};
use crate::run::state::{Handling, OnItemError, RunState, StepState};
use crate::run::tests::simulation::{Applets, Simulation};
use crate::run::{Command, Run};

proptest! {
    #[test]
    fn items_begin_in_order_and_no_more_at_once_than_may(world in any_world()) {
        let mut simulation = Simulation::new(world, Applets::Obedient);

        simulation.drive(|now, _| {
            let run = &now.story.run;
            for (&key, turns) in &run.history.loops {
                let mut items: Vec<(ScopeId, u32)> = run.items_of(key).map(|(id, _, item)| (id, item)).collect();
                items.sort_unstable();
                assert!(items.is_sorted_by_key(|(_, item)| *item), "{now:?}");
                assert!(items.iter().all(|(_, item)| *item < turns.begun), "{now:?}");
                let open = items.iter().filter(|(id, _)| !run.scope(*id).is_closed()).count();
                assert!(open <= turns.concurrency as usize, "{now:?}");
                assert!(turns.begun <= turns.count, "{now:?}");
            }
        }, |_| ());
    }

    #[test]
    fn nothing_of_a_failed_item_starts_after_its_failure(world in any_world()) {
        let mut simulation = Simulation::new(world, Applets::Obedient);

        simulation.drive(|now, commands| {
            for command in commands {
                if let Command::Attempt { key, .. } | Command::Skip(key) = command {
                    assert!(!is_in_failed_item(&now.story.run, *key), "{command:?}: {now:?}");
                }
            }
        }, |_| ());
    }

    #[test]
    fn no_item_is_kept_that_nobody_can_go_on_with(world in any_world()) {
        let mut simulation = Simulation::new(world, Applets::Obedient);

        simulation.drive(|_, _| (), |now| {
            let run = &now.story.run;
            let kept = run.history.scopes.iter().filter(|(id, _)| **id != ScopeId::TOP);
            for (id, scope) in kept {
                assert!(can_go_on(run, scope), "{id:?} of {:?} is kept: {now:?}", scope.place());
            }
            let inside = run.history.loops.keys();
            for key in inside {
                assert!(run.find_scope(key.scope).is_some(), "{key:?} is kept: {now:?}");
            }
        });

        let run = &simulation.story.run;
        if run.state() == RunState::Succeeded {
            prop_assert_eq!(run.history.scopes.len(), 1, "{:?}", simulation);
            let outcomes = run.history.loops.values().map(|turns| turns.outcomes.len());
            prop_assert_eq!(outcomes.sum::<usize>(), 0, "{:?}", simulation);
        }
    }
}

fn has_failed(scope: &Scope) -> bool {
    let fails = |step: &crate::run::step::Step| {
        step.state == StepState::Failed && step.handling == Some(Handling::FailItem)
    };
    scope.steps().any(|(_, step)| fails(step))
}

/// Whether an item around the step, or one beside it in a loop that one failure ends, has failed.
fn is_in_failed_item(run: &Run, key: StepKey) -> bool {
    let mut at = key.scope;
    loop {
        let scope = run.scope(at);
        let Some(place) = scope.place() else {
            return false;
        };
        let turns = run.turns(place.of).expect("a loop has its items");
        let ends_with_one = turns.on_item_error == OnItemError::Fail;
        let mut beside = run.items_of(place.of).map(|(id, ..)| run.scope(id));
        if has_failed(scope) || (ends_with_one && beside.any(has_failed)) {
            return true;
        }
        at = place.of.scope;
    }
}

/// Whether an item is under way, or can be taken up again with the run.
fn can_go_on(run: &Run, scope: &Scope) -> bool {
    let Some(place) = scope.place() else {
        return true;
    };
    let Some(around) = run.find_scope(place.of.scope) else {
        return false;
    };
    let step = run.step(place.of);
    let goes_on = match step.state {
        StepState::Succeeded | StepState::Skipped => false,
        StepState::Failed => matches!(step.handling, Some(Handling::FailRun | Handling::FailItem)),
        _ => true,
    };
    goes_on && can_go_on(run, around)
}
