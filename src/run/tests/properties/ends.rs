//! How runs and steps end.

use proptest::prelude::*;

use super::{all_settled, any_world, as_shown, since_reopened};
use crate::flow::Effect;
use crate::flow::graph::{NodeIndex, Way};
use crate::run::event::{Event, Recorded};
use crate::run::scope::StepKey;
use crate::run::state::{Handling, Resolution, RunState, StepState};
use crate::run::tests::simulation::{Applets, Launch, Simulation};

proptest! {
    #[test]
    fn each_step_ends_at_most_once_and_none_is_left_open(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Obedient);

        for (node, step) in ended.story.run.steps() {
            let path = ended.story.run.path(StepKey::top(node));
            let ends = ended.story.journal.iter().filter(|it| {
                ends_a_step(&it.event) && it.event.step().is_some_and(|(of, _)| *of == path)
            });
            let ends = ends.count();
            prop_assert!(ends >= usize::from(step.state.is_final()), "{path}: {:?}", ended);
            prop_assert!(ends <= usize::from(step.state.is_final()) + ended.reopened, "{path}: {:?}", ended);
        }
        let shown = as_shown(&ended);
        for key in super::all_steps(&shown) {
            let (path, step) = (shown.path(key), shown.step(key));
            prop_assert!(!matches!(step.state, StepState::Running | StepState::Waiting), "{path}: {:?}", ended);
            prop_assert!(step.attempts.iter().all(|attempt| attempt.ended_at.is_some()), "{path}: {:?}", ended);
            let numbers: Vec<u32> = step.attempts.iter().map(|attempt| attempt.number).collect();
            prop_assert_eq!(numbers, (1..=step.attempt()).collect::<Vec<_>>(), "{}: {:?}", path, ended);
        }
    }

    #[test]
    fn what_may_happen_once_is_let_go_again_only_if_it_is_known_to_be_safe(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Obedient);

        // An attempt that asked to wait has done nothing yet, and goes on.
        let once = ended.launches.iter().filter(|it| it.effect == Effect::AtMostOnce && !it.waited);
        let once: Vec<&Launch> = once.collect();
        for (at, launch) in once.iter().enumerate() {
            if began_anew(&ended, &launch.path) {
                continue;
            }
            let earlier = once[..at].iter().rev().find(|it| it.path == launch.path);
            if let Some(earlier) = earlier {
                prop_assert!(earlier.number < launch.number, "{launch:?}: {ended:?}");
                prop_assert!(may_follow(&ended.story.journal, earlier), "{launch:?}: {ended:?}");
            }
        }
    }

    #[test]
    fn a_run_ends_as_its_history_says(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Obedient);

        let run = &ended.story.run;
        let journal = since_reopened(&ended.story.journal);
        let failed = journal.iter().find_map(|it| match &it.event {
            Event::StepFailed(event) if event.handling == Handling::FailRun => Some(event),
            _ => None,
        });
        let cancelled = journal.iter().any(|it| matches!(it.event, Event::RunCancelling(_)));
        match (cancelled, failed) {
            (true, _) => prop_assert_eq!(run.state(), RunState::Cancelled, "{:?}", ended),
            (false, Some(failed)) => {
                let error = run.error().unwrap();
                prop_assert_eq!(run.state(), RunState::Failed, "{:?}", ended);
                prop_assert_eq!(error.path.as_ref(), Some(&failed.path), "{:?}", ended);
                prop_assert_eq!(&error.failure, &failed.error, "{:?}", ended);
            }
            (false, None) if run.state() == RunState::Failed => {
                let last = journal[journal.len() - 1].at;
                prop_assert!(run.deadline().is_some_and(|deadline| last >= deadline), "{:?}", ended);
                prop_assert_eq!(&*run.error().unwrap().failure.reason, "RUN_TIMEOUT", "{:?}", ended);
            }
            (false, None) => {
                prop_assert_eq!(run.state(), RunState::Succeeded, "{:?}", ended);
                prop_assert!(all_settled(run), "{:?}", ended);
                prop_assert_eq!(run.progress(), run.total_steps(), "{:?}", ended);
            }
        }
    }

    #[test]
    fn nothing_follows_the_end_but_another_try(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Obedient);

        let mut story = ended.story.clone();
        prop_assert_eq!(story.next(), vec![], "{:?}", ended);
        prop_assert_eq!(story.run.wakes_at(story.now), None, "{:?}", ended);
        let failed = story.run.state() == RunState::Failed;
        for recorded in &ended.story.journal {
            if !(failed && matches!(recorded.event, Event::RunReopened(_))) {
                prop_assert!(story.try_record(recorded.event.clone()).is_err(), "{:?}", ended);
            }
        }
        prop_assert_eq!(story.run.history(), ended.story.run.history());
    }

    #[test]
    fn the_outputs_of_the_ends_make_the_output(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Obedient);

        let run = &ended.story.run;
        let graph = run.graph();
        let has_end = graph.nodes().any(|(_, node)| &*node.kind == "end");
        let is_leaf = |index: NodeIndex| {
            let mut ways = graph.node(index).outgoing.iter().map(|&edge| &graph.edge(edge).way);
            !ways.any(|way| matches!(way, Way::Port(port) if &**port != "error"))
        };
        let expected: Vec<NodeIndex> = graph
            .nodes()
            .filter(|(index, node)| if has_end { &*node.kind == "end" } else { is_leaf(*index) })
            .map(|(index, _)| index)
            .filter(|&index| {
                let step = run.top_step(index);
                step.state == StepState::Succeeded || step.handling == Some(Handling::DefaultOutput)
            })
            .collect();
        prop_assert_eq!(run.ends(), expected, "{:?}", ended);
    }
}

fn ends_a_step(event: &Event) -> bool {
    matches!(
        event,
        Event::StepSucceeded(_)
            | Event::StepFailed(_)
            | Event::StepSkipped(_)
            | Event::StepCancelled(_)
    )
}

/// Whether a loop that the step is in was tried again as a whole, so that its items are others.
fn began_anew(ended: &Simulation, path: &str) -> bool {
    let begun = ended.story.journal.iter().filter(|it| match &it.event {
        Event::LoopStarted(event) => path.starts_with(&format!("{}[", event.path)),
        _ => false,
    });
    let begun: Vec<_> = begun.filter_map(|it| it.event.step()).collect();
    begun
        .iter()
        .any(|(of, _)| begun.iter().filter(|(other, _)| of == other).count() > 1)
}

/// Whether it is known of an attempt that it did nothing, or somebody decided that it may be repeated.
fn may_follow(journal: &[Recorded], earlier: &Launch) -> bool {
    journal.iter().any(|it| {
        let is_its = it.event.step().is_some_and(|(path, attempt)| {
            path.as_str() == earlier.path && attempt == earlier.number
        });
        is_its
            && match &it.event {
                Event::StepRetryScheduled(_) | Event::StepFailed(_) => true,
                Event::StepResolved(event) => event.resolution == Resolution::Retry,
                Event::StepCancelled(event) => !event.outcome_unknown,
                _ => false,
            }
    })
}
