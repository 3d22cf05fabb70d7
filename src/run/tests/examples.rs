//! The important cases, as stories.

use chrono::TimeDelta;

use super::shapes::graph;
use super::story::Story;
use crate::flow::Effect::{AtMostOnce, Idempotent, Pure};
use crate::run::Command;
use crate::run::state::{RunState, StepState, StopCause, WaitReason};

#[test]
fn a_join_does_not_wait_for_the_branch_that_was_not_taken() {
    let diamond = graph(
        &[
            ("fork", Pure),
            ("left", Pure),
            ("right", Pure),
            ("join", Pure),
        ],
        &[
            "fork:true -> left",
            "fork:false -> right",
            "left -> join",
            "right -> join",
        ],
    );
    let mut story = Story::started(diamond);

    story.succeeds("fork", "true");
    let (left, right) = (story.step("left"), story.step("right"));
    assert_eq!(
        story.next(),
        [Command::Skip(right), story.first_attempt("left")]
    );
    story.succeeds("left", "");
    assert_eq!(story.next(), [Command::Skip(right)]);
    story.is_skipped("right");

    assert_eq!(story.next(), [story.first_attempt("join")]);
    assert_eq!(story.run.delivered(story.step("join")), [left.node]);
}

#[test]
fn a_join_waits_for_the_slower_of_two_that_come() {
    let join = graph(
        &[("slow", Idempotent), ("fast", Pure), ("join", Pure)],
        &["slow -> join", "fast -> join"],
    );
    let mut story = Story::started(join);

    story.starts("slow");
    story.succeeds("fast", "");
    assert_eq!(story.next(), []);
    story.succeeds("slow", "");

    assert_eq!(story.next(), [story.first_attempt("join")]);
    let (slow, fast) = (story.step("slow"), story.step("fast"));
    assert_eq!(
        story.run.delivered(story.step("join")),
        [slow.node, fast.node],
        "edge order"
    );
}

#[test]
fn a_skipped_step_kills_all_that_only_it_could_reach() {
    let chain = graph(
        &[("fork", Pure), ("a", Pure), ("b", Pure), ("c", Pure)],
        &["fork:true -> a", "a -> b", "b:x -> c", "b:y -> c"],
    );
    let mut story = Story::started(chain);

    story.succeeds("fork", "false");
    for id in ["a", "b", "c"] {
        assert_eq!(story.next(), [Command::Skip(story.step(id))]);
        story.is_skipped(id);
    }

    assert_eq!(story.next(), [Command::Succeed]);
    assert_eq!(story.run.progress(), 4);
    assert_eq!(story.run.ends(), [], "the only leaf was not reached");
}

#[test]
fn an_edge_without_a_port_delivers_by_whichever_port_its_source_is_left() {
    let chain = graph(&[("a", Pure), ("b", Pure)], &["a -> b"]);
    let mut story = Story::started(chain);

    story.succeeds("a", "out");

    assert_eq!(story.next(), [story.first_attempt("b")]);
}

#[test]
fn a_failure_stops_the_step_beside_it_and_the_run_fails_once_that_has_ended() {
    let pair = graph(&[("bad", Idempotent), ("good", Idempotent)], &[]);
    let mut story = Story::started(pair);
    story.starts("bad");
    story.starts("good");

    story.fails("bad");
    assert_eq!(story.next(), [Command::Stop(StopCause::RunFailed)]);
    story.is_cut("good", StopCause::RunFailed);

    let [Command::Fail(error)] = &story.next()[..] else {
        panic!("{:?}", story.next());
    };
    assert_eq!(error.failure.reason, "HTTP_5XX");
    assert_eq!(error.path, Some("bad".into()));
}

#[test]
fn what_does_not_stop_after_a_failure_is_given_up_after_the_grace() {
    let pair = graph(&[("bad", Idempotent), ("deaf", AtMostOnce)], &[]);
    let mut story = Story::started(pair);
    story.starts("bad");
    story.starts("deaf");
    story.fails("bad");
    let deaf = story.step("deaf");
    assert_eq!(
        story.run.wakes_at(story.now),
        Some(story.now + TimeDelta::seconds(10))
    );

    story.after(TimeDelta::seconds(10));

    assert_eq!(story.next(), [Command::Abandon(deaf, StopCause::RunFailed)]);
    assert!(story.run.cut_leaves_doubt(deaf), "it may have taken effect");
}

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
fn a_cancelled_run_that_has_not_started_ends_at_once() {
    let mut story = Story::queued(graph(&[("a", Pure)], &[]));
    assert_eq!(story.next(), [Command::Start]);

    story.is_cancelled();

    assert_eq!(story.next(), [Command::Cancel]);
}

#[test]
fn a_result_that_comes_after_the_cancel_does_not_save_the_run() {
    let mut story = Story::started(graph(&[("a", Idempotent)], &[]));
    story.starts("a");

    story.is_cancelled();
    assert_eq!(story.next(), [Command::Stop(StopCause::RunCancelled)]);
    story.succeeds("a", "");

    assert_eq!(story.next(), [Command::Cancel]);
    assert_eq!(story.state("a"), StepState::Succeeded);
    assert_eq!(story.run.state(), RunState::Cancelling);
}

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
