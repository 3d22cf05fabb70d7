//! Steps in doubt, and runs that are tried again.

use chrono::TimeDelta;

use crate::flow::Effect::{AtMostOnce, Idempotent, Pure};
use crate::run::Command;
use crate::run::event::{RunFailed, RunReopened};
use crate::run::state::{
    Handling, OnItemError, Resolution, RunState, StepState, StopCause, WaitReason,
};
use crate::run::tests::shapes::{graph, graph_of, looped, node};
use crate::run::tests::story::Story;

#[test]
fn a_lost_step_that_may_happen_once_is_parked() {
    let mut story = Story::started(graph(&[("post", AtMostOnce)], &[]));
    story.starts("post");
    let node = story.step("post");

    story.crash(story.journal.len());
    assert_eq!(story.next(), [Command::Park(node)]);
    story.is_in_doubt("post");

    assert_eq!(story.state("post"), StepState::OutcomeUnknown);
    let until = story.run.deadline().unwrap();
    assert_eq!(
        story.next(),
        [Command::Wait {
            reason: WaitReason::OutcomeUnknown,
            until
        }]
    );
}

#[test]
fn a_lost_step_that_may_be_repeated_is_attempted_again() {
    let mut story = Story::started(graph(&[("put", Idempotent)], &[]));
    story.starts("put");
    let node = story.step("put");

    story.crash(story.journal.len());

    assert_eq!(
        story.next(),
        [Command::Attempt {
            key: node,
            number: 2,
            waited: false
        }]
    );
}

#[test]
fn a_step_in_doubt_is_tried_again_or_fails_or_succeeds_as_somebody_decides() {
    let in_doubt = || {
        let mut story = Story::started(graph(&[("post", AtMostOnce)], &[]));
        story.starts("post");
        story.is_in_doubt("post");
        story
    };

    let mut again = in_doubt();
    again.is_resolved("post", Resolution::Retry);
    assert_eq!(again.next(), [again.attempt("post", 2)]);

    let mut failed = in_doubt();
    failed.is_resolved("post", Resolution::Failed);
    failed.crash(failed.journal.len());
    assert_eq!(failed.next(), [Command::Condemn(failed.step("post"))]);
    failed.fails("post");
    assert!(matches!(failed.next()[..], [Command::Fail(_)]));

    let mut succeeded = in_doubt();
    succeeded.is_resolved("post", Resolution::Succeeded);
    succeeded.succeeds("post", "");
    assert_eq!(succeeded.next(), [Command::Succeed]);
    assert_eq!(succeeded.run.step(succeeded.step("post")).attempts.len(), 1);
}

#[test]
fn a_run_that_was_parked_in_doubt_is_resumed_before_it_succeeds() {
    let mut story = Story::started(graph(&[("post", AtMostOnce)], &[]));
    story.starts("post");
    story.is_in_doubt("post");
    let until = story.run.deadline().unwrap();
    story.parks(WaitReason::OutcomeUnknown, until);

    story.is_resolved("post", Resolution::Succeeded);
    story.succeeds("post", "");

    let resume = Command::Resume(WaitReason::OutcomeUnknown);
    assert_eq!(story.next(), [resume, Command::Succeed]);
}

#[test]
fn the_time_for_all_attempts_begins_anew_when_somebody_has_one_tried_again() {
    let mut story = Story::started(graph(&[("post", AtMostOnce)], &[]));
    story.starts("post");
    story.is_in_doubt("post");

    story.after(TimeDelta::minutes(30));
    story.is_resolved("post", Resolution::Retry);
    story.starts("post");

    assert_eq!(
        story.run.step(story.step("post")).tried_since(),
        Some(story.now)
    );
}

#[test]
fn a_run_that_is_tried_again_keeps_what_succeeded_and_tries_what_failed_or_was_cut_off() {
    let three = graph(
        &[
            ("good", Pure),
            ("bad", Idempotent),
            ("beside", Idempotent),
            ("next", Pure),
        ],
        &["good -> bad", "bad -> next"],
    );
    let mut story = Story::started(three);
    story.succeeds("good", "");
    story.starts("bad");
    story.starts("beside");
    story.fails("bad");
    story.is_cut("beside", StopCause::RunFailed);

    story.is_tried_again();

    assert_eq!(story.run.state(), RunState::Running);
    assert_eq!(story.state("good"), StepState::Succeeded);
    let again = [story.attempt("bad", 2), story.attempt("beside", 2)];
    assert_eq!(story.next(), again);
    assert_eq!(story.run.error(), None);
}

#[test]
fn what_may_have_taken_effect_is_in_doubt_when_its_run_is_tried_again() {
    let mut story = Story::started(graph(&[("bad", Pure), ("post", AtMostOnce)], &[]));
    story.starts("post");
    story.fails("bad");
    story.is_cut_in_doubt("post", StopCause::RunFailed);

    story.is_tried_again();

    assert_eq!(story.state("post"), StepState::OutcomeUnknown);
    assert_eq!(story.next(), [story.attempt("bad", 2)]);
}

#[test]
fn only_a_failed_run_is_tried_again() {
    let mut story = Story::started(graph(&[("a", Pure)], &[]));
    story.succeeds("a", "");
    let output = crate::run::tests::story::payload();
    story.record(crate::run::event::RunSucceeded { output });

    let deadline = story.now;
    let refused = story.try_record(RunReopened { deadline }).unwrap_err();

    assert_eq!(refused.problem, "the run has SUCCEEDED");
}

/// A loop of three items of which one failed the run and one succeeded.
fn failed_in_a_loop() -> Story {
    let body = graph_of(1, vec![node("x", Idempotent)], &[]);
    let mut story = Story::started(graph_of(0, vec![looped("loop", body)], &[]));
    story.loops("loop", 4, 3, OnItemError::Fail);
    for item in 0..3 {
        story.starts(&format!("loop[{item}]/x"));
    }
    story.succeeds("loop[0]/x", "");
    story.starts("loop[3]/x");
    story.fails_with("loop[1]/x", Handling::FailItem);
    story.is_cut("loop[2]/x", StopCause::ItemFailed);
    story.is_cut("loop[3]/x", StopCause::ItemFailed);
    story.fails("loop");
    story
}

#[test]
fn a_loop_of_a_run_that_is_tried_again_goes_on_with_the_items_that_are_left() {
    let mut story = failed_in_a_loop();

    story.is_tried_again();

    let again = [1, 2, 3].map(|item| story.attempt(&format!("loop[{item}]/x"), 2));
    assert_eq!(story.next(), again);
    for item in 1..4 {
        story.succeeds(&format!("loop[{item}]/x"), "");
    }
    let key = story.step("loop");
    assert_eq!(story.next(), [Command::Collect(key)]);
    let turns = story.run.turns(key).unwrap();
    assert_eq!((turns.succeeded, turns.failed), (4, 0));
    assert_eq!(
        story.count("step_succeeded", "loop[0]/x"),
        1,
        "it is not run again"
    );
}

#[test]
fn an_item_that_failed_while_one_of_its_steps_was_in_doubt_goes_on_too() {
    let body = graph_of(1, vec![node("post", AtMostOnce), node("bad", Pure)], &[]);
    let mut story = Story::started(graph_of(
        0,
        vec![looped("loop", body), node("worse", Pure)],
        &[],
    ));
    story.loops("loop", 1, 1, OnItemError::Fail);
    story.starts("loop[0]/post");
    story.is_in_doubt("loop[0]/post");
    story.fails_with("loop[0]/bad", Handling::FailItem);
    story.fails("worse");
    story.is_cut("loop", StopCause::RunFailed);

    story.is_tried_again();

    assert_eq!(story.state("loop[0]/post"), StepState::OutcomeUnknown);
    let again = [story.attempt("worse", 2), story.attempt("loop[0]/bad", 2)];
    assert_eq!(story.next(), again);
}

#[test]
fn a_run_that_was_failed_by_force_can_be_tried_again() {
    let body = graph_of(1, vec![node("x", Idempotent)], &[]);
    let mut story = Story::started(graph_of(0, vec![looped("loop", body)], &[]));
    story.loops("loop", 1, 1, OnItemError::Fail);
    story.starts("loop[0]/x");
    let failure = crate::run::tests::story::failure("JOURNAL_CORRUPT");
    let error = crate::run::event::RunError {
        failure,
        path: None,
        attempt: 0,
    };
    story.record(RunFailed { error });
    assert_eq!(story.run.progress(), 1);

    let deadline = story.now + TimeDelta::hours(1);
    story.record(RunReopened { deadline });
    story.crash(story.journal.len());
    assert_eq!(story.next(), [story.attempt("loop[0]/x", 2)]);
    story.succeeds("loop[0]/x", "");

    assert_eq!(story.next(), [Command::Collect(story.step("loop"))]);
}
