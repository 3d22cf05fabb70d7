//! Which steps are put aside for having killed the process, and which are not.

use proptest::prelude::*;

use super::{all_steps, any_world, times};
use crate::flow::Effect;
use crate::run::QUARANTINED_AFTER;
use crate::run::event::{Event, Recorded};
use crate::run::scope::StepKey;
use crate::run::state::RunState;
use crate::run::tests::simulation::{Applets, Simulation};

proptest! {
    #![proptest_config(times(4))]

    #[test]
    fn a_step_is_put_aside_only_after_three_deaths(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Obedient);

        let journal = &ended.story.journal;
        for (at, recorded) in journal.iter().enumerate() {
            let Event::StepQuarantined(event) = &recorded.event else {
                continue;
            };
            let before = &journal[..at];
            let anew = before.iter().rposition(|it| match &it.event {
                Event::StepResolved(it) => it.path == event.path,
                Event::RunReopened(_) => true,
                _ => false,
            });
            let since = &before[anew.map_or(0, |at| at + 1)..];
            let lost = |it: &&Recorded| matches!(&it.event, Event::RunRecovered(it) if it.lost.contains(&event.path));
            let deaths = since.iter().filter(lost).count();
            // The first death of a `PURE` step has left no trace.
            prop_assert!(deaths + 1 >= QUARANTINED_AFTER as usize, "{}: {:?}", event.path, ended);
        }
    }

    #[test]
    fn the_step_that_kills_is_put_aside_after_three_deaths_and_no_other_ever(
        world in any_world(),
        which in any::<prop::sample::Index>(),
    ) {
        let mut simulation = Simulation::new(world, Applets::Obedient);
        let graph = simulation.shape.graph.clone();
        let repeated: Vec<_> = graph.nodes().filter(|(_, node)| node.effect != Effect::AtMostOnce).collect();
        if repeated.is_empty() {
            return Ok(());
        }
        let (node, _) = repeated[which.index(repeated.len())];
        let poison = simulation.story.run.path(StepKey::top(node)).to_string();
        simulation.poison = Some(poison.clone());
        simulation.is_mortal = false;

        simulation.drive(|_, _| (), |_| ());

        let put_aside: Vec<&str> = simulation.story.journal.iter().filter_map(|it| match &it.event {
            Event::StepQuarantined(event) => Some(event.path.as_str()),
            _ => None,
        }).collect();
        prop_assert!(put_aside.iter().all(|path| *path == poison), "{:?}: {:?}", put_aside, simulation);
        prop_assert!(put_aside.len() <= 1 + simulation.reopened, "it was mended: {:?}", simulation);
        if put_aside.len() == 1 && simulation.reopened == 0 {
            prop_assert_eq!(simulation.crashes, QUARANTINED_AFTER as usize, "{:?}", simulation);
        }
        let run = &simulation.story.run;
        if run.state() == RunState::Succeeded {
            let open = all_steps(run).find(|&key| !run.step(key).state.is_final());
            prop_assert_eq!(open, None, "{:?}", simulation);
        }
    }
}
