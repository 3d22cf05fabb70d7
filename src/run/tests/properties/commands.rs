//! What a run asks for, and what it has begun when nothing more can be done.

use proptest::prelude::*;

use super::{all_settled, any_world, is_ending, is_held, times};
use crate::flow::Effect;
use crate::run::event::Awaited;
use crate::run::scope::{Scope, StepKey};
use crate::run::state::{RunState, StepState};
use crate::run::tests::reference::{Fate, deliverers, fates};
use crate::run::tests::simulation::{Applets, Simulation};
use crate::run::{Command, QUARANTINED_AFTER, Run};

proptest! {
    #![proptest_config(times(2))]

    #[test]
    fn nodes_run_or_are_skipped_as_the_ports_say(world in any_world()) {
        let mut simulation = Simulation::new(world, Applets::Obedient);

        simulation.drive(|_, _| (), nodes_are_as_the_ports_say);
    }

    #[test]
    fn commands_ask_only_for_what_can_be_done(world in any_world()) {
        let mut simulation = Simulation::new(world, Applets::Obedient);

        simulation.drive(|now, commands| {
            let run = &now.story.run;
            let rests = run.state() == RunState::Paused;
            let waits_for_something = !run.in_flight().is_empty();
            assert!(!commands.is_empty() || waits_for_something, "the run is stuck: {now:?}");
            for command in commands {
                assert!(can_be_done(now, command), "{command:?}: {now:?}");
                let others = commands.iter().filter(|it| !matches!(it, Command::Resume(_)));
                assert!(!ends_or_rests(command) || others.count() == 1, "{command:?}: {now:?}");
                assert!(!rests || is_ending(now) || ends_or_rests(command), "{command:?}: {now:?}");
                let steps = |key: &StepKey| commands.iter().filter(|&it| step_of(it) == Some(*key)).count();
                assert!(step_of(command).is_none_or(|key| steps(&key) == 1), "two commands for a step: {now:?}");
            }
        }, |_| ());
    }
}

fn nodes_are_as_the_ports_say(now: &Simulation) {
    let run = &now.story.run;
    for (&id, scope) in &run.history.scopes {
        let held = is_held(now) || scope.is_closed() || run.is_stopped(id);
        for ((node, step), fate) in scope.steps().zip(fates(run, id)) {
            let key = StepKey { scope: id, node };
            let is_begun = run.in_flight().contains(&key) || step.state != StepState::Pending;
            let is_skipped = step.state == StepState::Skipped;
            let holds = match fate {
                Fate::Live if held => !is_skipped,
                Fate::Live => is_begun && !is_skipped || !now.has_room(),
                Fate::Dead if held => is_skipped || step.state == StepState::Pending,
                Fate::Dead => is_skipped,
                Fate::Open => !is_begun,
            };
            assert!(
                holds,
                "{} is {fate:?} and {}: {now:?}",
                run.path(key),
                step.state
            );
        }
    }
}

fn can_be_done(now: &Simulation, command: &Command) -> bool {
    let run = &now.story.run;
    let is_closed = |scope| run.find_scope(scope).is_none_or(Scope::is_closed);
    let is_idle = |key: &StepKey| !run.in_flight().contains(key) && !is_ending(now);
    match command {
        Command::Attempt {
            key,
            number,
            waited,
        } => {
            let fates = fates(run, key.scope);
            let last = run.step(*key).attempt();
            fates[key.node.at()] == Fate::Live
                && run.delivered(*key) == deliverers(run, key.scope, &fates, key.node)
                && *number == last + u32::from(!waited)
                && is_idle(key)
                && !is_held(now)
                && !is_closed(key.scope)
        }
        Command::Skip(key) => {
            fates(run, key.scope)[key.node.at()] == Fate::Dead && !is_closed(key.scope)
        }
        Command::Expire(key) => {
            let wait = run.step(*key).wait.as_ref();
            is_idle(key) && wait.is_some_and(|wait| wait.until <= now.story.now && wait.expires())
        }
        Command::Collect(key) | Command::FailLoop(key, _) => {
            is_idle(key) && items_under_way(run, *key) == 0
        }
        Command::Condemn(key) => is_idle(key) && run.step(*key).condemned.is_some(),
        Command::Park(key) => {
            is_idle(key) && run.graph_of(key.scope).node(key.node).effect == Effect::AtMostOnce
        }
        Command::Quarantine(key, deaths) => {
            is_idle(key) && *deaths >= QUARANTINED_AFTER && run.running().contains(key)
        }
        Command::Stop(_) => !run.in_flight().is_empty() || waits_for_child(run),
        Command::StopStep(key) => {
            (run.in_flight().contains(key) || waits_for_child(run)) && run.is_stopped(key.scope)
        }
        Command::Abandon(key, _) => !run.step(*key).state.is_final(),
        Command::Succeed => all_settled(run) && run.in_flight().is_empty(),
        // An attempt may outlive its item, which then has come to its end without it.
        Command::Fail(_) | Command::Cancel => {
            run.in_flight().iter().all(|key| is_closed(key.scope))
        }
        Command::Wait { until, .. } => *until > now.story.now && run.in_flight().is_empty(),
        Command::Start => run.state() == RunState::Queued && !run.is_blocked(),
        Command::Resume(_) => run.waits_until().is_some(),
    }
}

fn items_under_way(run: &Run, key: StepKey) -> usize {
    run.items_of(key)
        .filter(|(id, ..)| !run.scope(*id).is_closed())
        .count()
}

fn waits_for_child(run: &Run) -> bool {
    run.waiting()
        .any(|(_, wait)| matches!(wait.what, Awaited::Child { .. }))
}

/// What is only asked for when there is nothing else to do.
fn ends_or_rests(command: &Command) -> bool {
    matches!(
        command,
        Command::Succeed | Command::Fail(_) | Command::Cancel | Command::Wait { .. }
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
        | Command::Quarantine(key, _)
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
