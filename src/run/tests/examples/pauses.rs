//! Runs that are held: paused, or not admitted yet.

use chrono::TimeDelta;

use crate::flow::Effect::{Idempotent, Pure};
use crate::run::event::RunAdmitted;
use crate::run::state::{RunState, StopCause, WaitReason};
use crate::run::tests::shapes::graph;
use crate::run::tests::story::Story;
use crate::run::{Command, FAR};

#[test]
fn a_paused_run_lets_what_is_in_flight_end_and_dispatches_nothing_more() {
    let mut story = Story::started(graph(&[("a", Idempotent), ("b", Pure)], &["a -> b"]));
    story.starts("a");

    story.is_paused();
    assert_eq!(story.next(), []);
    story.succeeds("a", "");

    let until = story.run.deadline().unwrap();
    let reason = WaitReason::Paused;
    assert_eq!(story.next(), [Command::Wait { reason, until }]);
    story.parks(reason, until);
    assert_eq!(story.run.state(), RunState::Paused);
    story.is_resumed();
    assert_eq!(story.next(), [story.first_attempt("b")]);
}

#[test]
fn time_does_not_wake_a_paused_run_but_its_own_end_does() {
    let mut story = Story::started(graph(&[("delay", Pure)], &[]));
    story.waits("delay", TimeDelta::minutes(1));
    story.is_paused();

    assert_eq!(story.run.wakes_at(story.now), story.run.deadline());
    story.after(TimeDelta::hours(1));

    let delay = story.step("delay");
    assert_eq!(
        story.next(),
        [Command::Abandon(delay, StopCause::RunTimeout)]
    );
}

#[test]
fn a_run_may_be_paused_before_it_starts_and_starts_when_it_is_resumed() {
    let mut story = Story::queued(graph(&[("a", Pure)], &[]));

    story.is_paused();
    let reason = WaitReason::Paused;
    assert_eq!(story.next(), [Command::Wait { reason, until: FAR }]);
    story.is_resumed();

    assert_eq!(story.run.state(), RunState::Queued);
    assert_eq!(story.next(), [Command::Start]);
}

#[test]
fn a_paused_run_can_be_cancelled() {
    let mut story = Story::started(graph(&[("a", Pure)], &[]));
    story.is_paused();

    story.is_cancelled();

    assert_eq!(story.next(), [Command::Cancel]);
}

#[test]
fn a_blocked_run_starts_once_it_is_admitted() {
    let mut story = Story::blocked(graph(&[("a", Pure)], &[]));
    let reason = WaitReason::Concurrency;
    assert_eq!(story.next(), [Command::Wait { reason, until: FAR }]);

    story.parks(reason, FAR);
    story.record(RunAdmitted {});

    assert_eq!(story.next(), [Command::Start]);
}

#[test]
fn a_paused_run_that_is_admitted_stays_paused() {
    let mut story = Story::blocked(graph(&[("a", Pure)], &[]));
    story.is_paused();

    story.record(RunAdmitted {});

    assert_eq!(story.run.state(), RunState::Paused);
    story.is_resumed();
    assert_eq!(story.next(), [Command::Start]);
}
