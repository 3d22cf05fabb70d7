//! When a run has to be looked at again, and by when it must have ended.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::properties::{any_world, since_reopened};
use super::simulation::{Applets, Simulation};
use crate::run::STOP_GRACE;
use crate::run::event::Event;
use crate::run::state::{Handling, RunState};

proptest! {
    #[test]
    fn nothing_new_is_wanted_before_the_run_wakes(world in any_world()) {
        let mut simulation = Simulation::new(world, Applets::Obedient);

        simulation.drive(|_, _| (), |settled| {
            let (run, now) = (&settled.story.run, settled.story.now);
            let wake = run.wakes_at(now);
            assert!(wake.is_none_or(|wake| wake > now), "a driver would spin: {settled:?}");
            let before = wake.unwrap_or(now + TimeDelta::days(1_000)) - TimeDelta::microseconds(1);
            for at in [now, now + (before - now) / 2, before] {
                assert_eq!(run.next(at), run.next(now), "at {at}, which is before {wake:?}: {settled:?}");
            }
        });
    }

    #[test]
    fn the_grace_bounds_what_will_not_end(world in any_world()) {
        let ended = Simulation::ended(world, Applets::Stubborn);

        // A run that was not in memory when its time came ends as soon as it is; one that succeeds has nothing to end.
        let run = &ended.story.run;
        let bound = latest_end(&ended).max(ended.adopted_at);
        let is_in_time = run.ended_at().unwrap() <= bound || run.state() == RunState::Succeeded;
        prop_assert!(is_in_time, "later than {}: {:?}", bound, ended);
    }
}

/// The time by which everything must have been given up: the grace of a cancel, of a failure or of the deadline.
fn latest_end(ended: &Simulation) -> DateTime<Utc> {
    let journal = since_reopened(&ended.story.journal).iter();
    let cancelled = journal.clone().find_map(|it| match &it.event {
        Event::RunCancelling(event) => Some(event.force_at),
        _ => None,
    });
    let failed = journal.clone().find_map(|it| match &it.event {
        Event::StepFailed(event) if event.handling == Handling::FailRun => Some(event.force_at),
        _ => None,
    });
    let deadline = ended.story.run.deadline();
    cancelled
        .or(failed)
        .or(deadline.map(|deadline| deadline + STOP_GRACE))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
