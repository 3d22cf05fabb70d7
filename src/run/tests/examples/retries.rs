//! Further attempts: when they begin, and how they are counted.

use chrono::TimeDelta;

use crate::flow::Effect::{AtMostOnce, Idempotent, Pure};
use crate::run::Command;
use crate::run::state::{Handling, StepState, WaitReason};
use crate::run::tests::shapes::graph;
use crate::run::tests::story::Story;

#[test]
fn a_step_that_is_to_be_tried_again_waits_and_then_begins_its_next_attempt() {
    let mut story = Story::started(graph(&[("get", Idempotent)], &[]));
    story.starts("get");
    story.is_to_be_tried_again("get", TimeDelta::minutes(1));
    let until = story.now + TimeDelta::minutes(1);
    let reason = WaitReason::Retry;
    assert_eq!(story.next(), [Command::Wait { reason, until }]);

    story.after(TimeDelta::minutes(1));
    assert_eq!(story.next(), [story.attempt("get", 2)]);
    story.starts("get");
    story.succeeds("get", "");

    let step = story.run.step(story.step("get"));
    let states: Vec<StepState> = step.attempts.iter().map(|it| it.state).collect();
    assert_eq!(states, [StepState::Failed, StepState::Succeeded]);
    assert_eq!(story.next(), [Command::Succeed]);
}

#[test]
fn a_step_that_must_not_be_repeated_is_not_in_doubt_while_it_waits_for_its_next_attempt() {
    let mut story = Story::started(graph(&[("post", AtMostOnce)], &[]));
    story.starts("post");
    story.is_to_be_tried_again("post", TimeDelta::seconds(1));

    story.crash(story.journal.len());
    story.after(TimeDelta::seconds(1));

    assert_eq!(story.next(), [story.attempt("post", 2)]);
}

#[test]
fn attempts_that_were_lost_with_their_process_are_no_failures() {
    let mut story = Story::started(graph(&[("get", Idempotent)], &[]));
    story.starts("get");
    story.crash(story.journal.len());
    story.starts("get");

    story.is_to_be_tried_again("get", TimeDelta::seconds(1));

    let step = story.run.step(story.step("get"));
    assert_eq!((step.attempt(), step.failures()), (2, 1));
}

#[test]
fn a_wait_for_the_next_attempt_is_cut_off_like_any_other() {
    let mut story = Story::started(graph(&[("a", Pure), ("b", Pure)], &[]));
    story.is_to_be_tried_again("a", TimeDelta::minutes(1));

    story.fails("b");

    let cause = crate::run::state::StopCause::RunFailed;
    assert_eq!(story.next(), [Command::Abandon(story.step("a"), cause)]);
}

#[test]
fn the_retry_policy_begins_anew_when_the_run_is_tried_again() {
    let mut story = Story::started(graph(&[("get", Idempotent)], &[]));
    story.starts("get");
    story.is_to_be_tried_again("get", TimeDelta::seconds(1));
    story.after(TimeDelta::seconds(1)).starts("get");
    story.fails_with("get", Handling::FailRun);
    assert_eq!(story.run.step(story.step("get")).failures(), 2);

    story.after(TimeDelta::hours(5)).is_tried_again();
    story.starts("get");

    let step = story.run.step(story.step("get"));
    assert_eq!((step.attempt(), step.failures()), (3, 0));
    assert_eq!(
        step.tried_since(),
        Some(story.now),
        "the time for all attempts too"
    );
    assert!(step.started_at() < step.tried_since());
}
