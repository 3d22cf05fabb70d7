//! Runs that a step starts and waits for.

use chrono::TimeDelta;

use crate::flow::Effect::{Idempotent, Pure};
use crate::run::Command;
use crate::run::state::{RunState, StopCause, WaitReason};
use crate::run::step::Woken;
use crate::run::tests::shapes::graph;
use crate::run::tests::story::Story;

fn calling() -> Story {
    let mut story = Story::started(graph(&[("call", Idempotent), ("other", Pure)], &[]));
    story.succeeds("other", "");
    story.starts("call");
    story
}

#[test]
fn a_step_goes_on_when_its_child_has_ended() {
    let mut story = calling();
    let child = story.calls("call");
    let until = story.run.deadline().unwrap();
    let reason = WaitReason::Child;
    assert_eq!(story.next(), [Command::Wait { reason, until }]);

    story.child_ends(child, RunState::Succeeded);

    assert_eq!(story.next(), [story.going_on("call")]);
    let woken = story.run.woken(story.step("call"));
    assert!(
        matches!(
            woken,
            Some(Woken::Child {
                state: RunState::Succeeded,
                ..
            })
        ),
        "{woken:?}"
    );
    assert_eq!(
        story.run.find_awaiting_child(child),
        None,
        "a second word changes nothing"
    );
}

#[test]
fn a_cancelled_run_waits_for_its_child_to_end() {
    let mut story = calling();
    let child = story.calls("call");

    story.is_cancelled();
    assert_eq!(story.next(), [Command::Stop(StopCause::RunCancelled)]);
    story.child_ends(child, RunState::Cancelled);

    let call = story.step("call");
    assert_eq!(
        story.next(),
        [Command::Abandon(call, StopCause::RunCancelled)]
    );
    story.is_cut("call", StopCause::RunCancelled);
    assert_eq!(story.next(), [Command::Cancel]);
}

#[test]
fn a_child_that_does_not_end_is_given_up_after_the_grace() {
    let mut story = calling();
    story.calls("call");
    story.is_cancelled();
    assert_eq!(
        story.run.wakes_at(story.now),
        Some(story.now + TimeDelta::seconds(10))
    );

    story.after(TimeDelta::seconds(10));

    let call = story.step("call");
    assert_eq!(
        story.next(),
        [Command::Abandon(call, StopCause::RunCancelled)]
    );
}

#[test]
fn a_run_whose_time_is_up_while_it_waits_for_a_child_is_resumed_to_end_it() {
    let mut story = calling();
    story.calls("call");
    let deadline = story.run.deadline().unwrap();
    story.parks(WaitReason::Child, deadline);

    story.after(TimeDelta::hours(1));

    let resume = Command::Resume(WaitReason::Child);
    assert_eq!(story.next(), [resume, Command::Stop(StopCause::RunTimeout)]);
}
