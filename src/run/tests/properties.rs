//! What holds in every run, whatever happens.

use proptest::prelude::*;

use super::reference::{Fate, deliverers, fates};
use super::shapes::any_shape;
use super::simulation::{Applets, Simulation, any_chance};
use crate::flow::Effect;
use crate::flow::graph::NodeIndex;
use crate::run::event::Event;
use crate::run::scope::StepKey;
use crate::run::state::{RunState, StepState};
use crate::run::{Command, Run};

proptest! {
    #[test]
    fn nodes_run_or_are_skipped_as_the_ports_say(shape in any_shape(), chance in any_chance()) {
        let mut simulation = Simulation::new(shape, chance, Applets::Obedient);

        simulation.drive(|_, _| (), |now| {
            let run = &now.story.run;
            let ending = is_ending(now);
            for ((node, step), fate) in run.steps().zip(fates(run)) {
                let is_begun = run.in_flight().contains(&StepKey::top(node)) || step.state != StepState::Pending;
                match fate {
                    Fate::Live if ending => assert_ne!(step.state, StepState::Skipped, "{now:?}"),
                    Fate::Live => assert!(is_begun && step.state != StepState::Skipped || !now.has_room(), "{now:?}"),
                    Fate::Dead if ending => assert!(matches!(step.state, StepState::Skipped | StepState::Pending), "{now:?}"),
                    Fate::Dead => assert_eq!(step.state, StepState::Skipped, "{now:?}"),
                    Fate::Open => assert!(!is_begun, "{now:?}"),
                }
            }
        });
    }

    #[test]
    fn commands_ask_only_for_what_can_be_done(shape in any_shape(), chance in any_chance()) {
        let mut simulation = Simulation::new(shape, chance, Applets::Obedient);

        simulation.drive(|now, commands| {
            let run = &now.story.run;
            let fates = fates(run);
            assert!(!commands.is_empty() || !run.in_flight().is_empty(), "the run is stuck: {now:?}");
            for command in commands {
                match command {
                    Command::Attempt { key, number, waited } => {
                        let last = run.step(*key).attempt();
                        assert_eq!(fates[key.node.at()], Fate::Live, "{now:?}");
                        assert_eq!(run.delivered(*key), deliverers(run, &fates, key.node), "{now:?}");
                        assert_eq!(*number, if *waited { last } else { last + 1 }, "{now:?}");
                        assert!(!run.in_flight().contains(key) && !is_ending(now), "{now:?}");
                    }
                    Command::Skip(key) => assert_eq!(fates[key.node.at()], Fate::Dead, "{now:?}"),
                    Command::Park(key) => assert_eq!(run.graph().node(key.node).effect, Effect::AtMostOnce),
                    Command::Stop(_) => assert!(!run.in_flight().is_empty(), "{now:?}"),
                    Command::Succeed => assert!(all_settled(run) && commands.len() == 1, "{now:?}"),
                    Command::Wait { until, .. } => assert!(*until > now.story.now && commands.len() == 1, "{now:?}"),
                    Command::Fail(_) | Command::Cancel => {
                        assert!(run.in_flight().is_empty() && commands.len() == 1, "{now:?}");
                    }
                    Command::Start | Command::Resume(_) | Command::Abandon(..) => {}
                    Command::Expire(_) | Command::Collect(_) | Command::FailLoop(..) | Command::Condemn(_) | Command::StopStep(_) => {
                        panic!("{now:?}")
                    }
                }
                let steps = |key: &StepKey| commands.iter().filter(|&it| step_of(it) == Some(*key)).count();
                assert!(step_of(command).is_none_or(|key| steps(&key) == 1), "two commands for a step: {now:?}");
            }
        }, |_| ());
    }

    #[test]
    fn each_step_ends_at_most_once_and_none_is_left_open(shape in any_shape(), chance in any_chance()) {
        let ended = Simulation::ended(shape, chance, Applets::Obedient);

        for (node, step) in ended.story.run.steps() {
            let path = ended.story.run.path(StepKey::top(node));
            let ends = ended.story.journal.iter().filter(|it| {
                ends_a_step(&it.event) && it.event.step().is_some_and(|(of, _)| *of == path)
            });
            prop_assert_eq!(ends.count(), usize::from(step.state.is_final()), "{:?}", ended);
            prop_assert!(!matches!(step.state, StepState::Running | StepState::Waiting), "{:?}", ended);
            prop_assert!(step.attempts.iter().all(|attempt| attempt.ended_at.is_some()), "{:?}", ended);
            let numbers: Vec<u32> = step.attempts.iter().map(|attempt| attempt.number).collect();
            prop_assert_eq!(numbers, (1..=step.attempt()).collect::<Vec<_>>(), "{:?}", ended);
        }
    }

    #[test]
    fn what_may_happen_once_is_let_go_once(shape in any_shape(), chance in any_chance()) {
        let ended = Simulation::ended(shape, chance, Applets::Obedient);

        for (node, step) in ended.story.run.steps() {
            if ended.shape.graph.node(node).effect == Effect::AtMostOnce {
                // An attempt that asked to wait has done nothing yet, and goes on.
                let launches = ended.launches.iter().filter(|it| it.key.node == node && !it.waited);
                prop_assert!(launches.count() <= 1, "{:?}", ended);
                prop_assert!(step.attempt() <= 1, "{:?}", ended);
            }
        }
    }

    #[test]
    fn a_run_ends_as_its_history_says(shape in any_shape(), chance in any_chance()) {
        let ended = Simulation::ended(shape, chance, Applets::Obedient);

        let run = &ended.story.run;
        let journal = &ended.story.journal;
        let failed = journal.iter().find_map(|it| match &it.event {
            Event::StepFailed(event) => Some(event),
            _ => None,
        });
        let cancelled = journal.iter().any(|it| matches!(it.event, Event::RunCancelling(_)));
        let late = run.deadline().is_some_and(|deadline| journal[journal.len() - 1].at >= deadline);
        match (cancelled, failed) {
            (true, _) => prop_assert_eq!(run.state(), RunState::Cancelled, "{:?}", ended),
            (false, Some(failed)) => {
                let error = run.error().unwrap();
                prop_assert_eq!(run.state(), RunState::Failed, "{:?}", ended);
                prop_assert_eq!(error.path.as_ref(), Some(&failed.path), "{:?}", ended);
                prop_assert_eq!(&error.failure, &failed.error, "{:?}", ended);
            }
            (false, None) if run.state() == RunState::Failed => {
                prop_assert!(late, "{:?}", ended);
                prop_assert_eq!(&*run.error().unwrap().failure.reason, "RUN_TIMEOUT", "{:?}", ended);
            }
            (false, None) => {
                prop_assert_eq!(run.state(), RunState::Succeeded, "{:?}", ended);
                prop_assert!(!late && all_settled(run), "{:?}", ended);
                prop_assert_eq!(run.progress(), run.total_steps(), "{:?}", ended);
            }
        }
    }

    #[test]
    fn nothing_follows_the_end(shape in any_shape(), chance in any_chance()) {
        let ended = Simulation::ended(shape, chance, Applets::Obedient);

        let mut story = ended.story.clone();
        prop_assert_eq!(story.next(), vec![], "{:?}", ended);
        prop_assert_eq!(story.run.wakes_at(story.now), None, "{:?}", ended);
        for recorded in &ended.story.journal {
            prop_assert!(story.try_record(recorded.event.clone()).is_err(), "{:?}", ended);
        }
        prop_assert_eq!(story.run.history(), ended.story.run.history());
    }

    #[test]
    fn the_outputs_of_the_ends_make_the_output(shape in any_shape(), chance in any_chance()) {
        let ended = Simulation::ended(shape, chance, Applets::Obedient);

        let run = &ended.story.run;
        let graph = run.graph();
        let has_end = graph.nodes().any(|(_, node)| &*node.kind == "end");
        let expected: Vec<NodeIndex> = graph
            .nodes()
            .filter(|(_, node)| if has_end { &*node.kind == "end" } else { node.outgoing.is_empty() })
            .map(|(index, _)| index)
            .filter(|&index| run.top_step(index).state == StepState::Succeeded)
            .collect();
        prop_assert_eq!(run.ends(), expected, "{:?}", ended);
    }
}

fn is_ending(simulation: &Simulation) -> bool {
    let story = &simulation.story;
    let failed = story
        .journal
        .iter()
        .any(|it| matches!(it.event, Event::StepFailed(_)));
    let late = story.run.deadline().is_some_and(|at| at <= story.now);
    failed || late || story.run.state() == RunState::Cancelling
}

fn all_settled(run: &Run) -> bool {
    run.steps()
        .all(|(_, step)| matches!(step.state, StepState::Succeeded | StepState::Skipped))
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

fn step_of(command: &Command) -> Option<StepKey> {
    match command {
        Command::Skip(key)
        | Command::Attempt { key, .. }
        | Command::Expire(key)
        | Command::Collect(key)
        | Command::FailLoop(key, _)
        | Command::Condemn(key)
        | Command::Park(key)
        | Command::StopStep(key)
        | Command::Abandon(key, _) => Some(*key),
        Command::Start
        | Command::Resume(_)
        | Command::Stop(_)
        | Command::Succeed
        | Command::Fail(_)
        | Command::Cancel
        | Command::Wait { .. } => None,
    }
}
