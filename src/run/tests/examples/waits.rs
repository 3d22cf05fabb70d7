//! Waits: for a time, a signal, a decision; and what ends them.

use chrono::TimeDelta;

use crate::flow::Effect::Pure;
use crate::run::Command;
use crate::run::state::{Decision, StepState, StopCause, WaitReason};
use crate::run::step::Woken;
use crate::run::tests::shapes::graph;
use crate::run::tests::story::Story;

#[test]
fn a_waiting_run_that_is_cancelled_cuts_its_wait_off_and_ends() {
    let delay = graph(&[("delay", Pure)], &[]);
    let mut story = Story::started(delay);
    story.waits("delay", TimeDelta::minutes(10));
    let until = story.now + TimeDelta::minutes(10);
    assert_eq!(
        story.next(),
        [Command::Wait {
            reason: WaitReason::Delay,
            until
        }]
    );
    story.parks(WaitReason::Delay, until);
    let attempt = &story.run.step(story.step("delay")).attempts[0];
    assert_eq!(attempt.state, StepState::Waiting);

    story.is_cancelled();
    assert_eq!(story.run.wait_reason(), None);
    assert_eq!(
        story.next(),
        [Command::Abandon(
            story.step("delay"),
            StopCause::RunCancelled
        )]
    );
    story.is_cut("delay", StopCause::RunCancelled);

    assert_eq!(story.next(), [Command::Cancel]);
}

#[test]
fn a_wait_goes_on_with_the_attempt_that_asked_for_it() {
    let delay = graph(&[("delay", Pure)], &[]);
    let mut story = Story::started(delay);
    story.waits("delay", TimeDelta::minutes(10));
    let until = story.now + TimeDelta::minutes(10);
    story.parks(WaitReason::Delay, until);

    story.after(TimeDelta::minutes(10));

    let node = story.step("delay");
    let goes_on = Command::Attempt {
        key: node,
        number: 1,
        waited: true,
    };
    assert_eq!(story.next(), [Command::Resume(WaitReason::Delay), goes_on]);
}

#[test]
fn a_run_whose_time_is_up_while_it_waits_fails_without_resuming() {
    let mut story = Story::started(graph(&[("delay", Pure)], &[]));
    story.waits("delay", TimeDelta::hours(2));
    let deadline = story.run.deadline().unwrap();
    assert_eq!(
        story.next(),
        [Command::Wait {
            reason: WaitReason::Delay,
            until: deadline
        }]
    );
    story.parks(WaitReason::Delay, deadline);

    story.after(TimeDelta::hours(1));
    assert_eq!(
        story.next(),
        [Command::Abandon(story.step("delay"), StopCause::RunTimeout)]
    );
    story.is_cut("delay", StopCause::RunTimeout);

    let [Command::Fail(error)] = &story.next()[..] else {
        panic!("{:?}", story.next());
    };
    assert_eq!(error.failure.reason, "RUN_TIMEOUT");
}

#[test]
fn a_signal_that_comes_before_it_is_asked_for_is_kept() {
    let mut story = Story::started(graph(&[("a", Pure), ("b", Pure)], &["a -> b"]));
    story.is_signalled("go");
    story.is_signalled("go");
    assert_eq!(story.run.kept_signals(), 2);

    story.awaits_signal("a", "go", None);

    assert_eq!(story.run.kept_signals(), 1, "each step takes one");
    let woken = story.run.woken(story.step("a"));
    assert!(
        matches!(woken, Some(Woken::Signal(3, _))),
        "the oldest: {woken:?}"
    );
    assert_eq!(story.next(), [story.going_on("a")]);
}

#[test]
fn a_signal_goes_to_the_step_that_has_waited_longest() {
    let mut story = Story::started(graph(&[("a", Pure), ("b", Pure)], &[]));
    story.awaits_signal("b", "go", None);
    story.awaits_signal("a", "go", None);

    story.is_signalled("go");

    assert_eq!(story.next(), [story.going_on("b")]);
    assert!(story.run.woken(story.step("a")).is_none());
}

#[test]
fn a_signal_of_another_name_wakes_nobody() {
    let mut story = Story::started(graph(&[("a", Pure)], &[]));
    story.awaits_signal("a", "go", Some(TimeDelta::minutes(1)));

    story.is_signalled("stop");

    let until = story.now + TimeDelta::minutes(1);
    let reason = WaitReason::Signal;
    assert_eq!(story.next(), [Command::Wait { reason, until }]);
}

#[test]
fn a_wait_for_a_signal_expires_by_an_event_of_its_own() {
    let mut story = Story::started(graph(&[("a", Pure)], &[]));
    story.awaits_signal("a", "go", Some(TimeDelta::minutes(1)));

    story.after(TimeDelta::minutes(1));
    assert_eq!(story.next(), [Command::Expire(story.step("a"))]);
    story.expires("a");

    assert_eq!(story.run.woken(story.step("a")), Some(&Woken::Time));
    assert_eq!(story.next(), [story.going_on("a")]);
}

#[test]
fn a_signal_that_comes_after_the_wait_has_expired_is_kept() {
    let mut story = Story::started(graph(&[("a", Pure)], &[]));
    story.awaits_signal("a", "go", Some(TimeDelta::minutes(1)));
    story.after(TimeDelta::minutes(1));
    story.expires("a");

    story.is_signalled("go");

    assert_eq!(story.run.woken(story.step("a")), Some(&Woken::Time));
    assert_eq!(story.run.kept_signals(), 1);
}

#[test]
fn a_decision_wakes_the_step_that_asked_and_outlives_a_crash() {
    let mut story = Story::started(graph(&[("ask", Pure)], &[]));
    story.asks("ask", None);
    let until = story.run.deadline().unwrap();
    story.parks(WaitReason::Approval, until);

    story.is_decided("ask", Decision::Rejected);
    story.crash(story.journal.len());

    let woken = story.run.woken(story.step("ask"));
    assert!(
        matches!(woken, Some(Woken::Approval(Decision::Rejected, 5, _))),
        "{woken:?}"
    );
    let resume = Command::Resume(WaitReason::Approval);
    assert_eq!(story.next(), [resume, story.going_on("ask")]);
}

#[test]
fn the_run_waits_for_what_comes_first() {
    let mut story = Story::started(graph(&[("a", Pure), ("b", Pure), ("c", Pure)], &[]));
    story.asks("a", None);
    story.awaits_signal("b", "go", Some(TimeDelta::minutes(10)));
    story.waits("c", TimeDelta::minutes(20));

    let until = story.now + TimeDelta::minutes(10);
    let reason = WaitReason::Signal;
    assert_eq!(story.next(), [Command::Wait { reason, until }]);
}

#[test]
fn what_a_step_has_waited_for_is_over_once_it_goes_on() {
    let body = crate::run::tests::shapes::graph_of(1, vec![], &[]);
    let shapes = vec![crate::run::tests::shapes::looped("loop", body)];
    let mut story = Story::started(crate::run::tests::shapes::graph_of(0, shapes, &[]));
    story.asks("loop", None);
    story.is_decided("loop", Decision::Approved);

    story.loops("loop", 3, 1, crate::run::state::OnItemError::Fail);

    let step = story.run.step(story.step("loop"));
    assert_eq!((step.state, &step.wait), (StepState::Running, &None));
}
