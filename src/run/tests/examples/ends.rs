//! How a run comes to an early end.

use chrono::TimeDelta;

use crate::flow::Effect::{AtMostOnce, Idempotent, Pure};
use crate::run::Command;
use crate::run::state::{RunState, StepState, StopCause};
use crate::run::tests::shapes::graph;
use crate::run::tests::story::Story;

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
