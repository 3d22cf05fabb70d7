//! Processes that die during steps, and processes that end in order.

use chrono::TimeDelta;

use crate::flow::Effect::{AtMostOnce, Idempotent, Pure};
use crate::run::state::{Resolution, StepState, WaitReason};
use crate::run::tests::shapes::graph;
use crate::run::tests::story::Story;
use crate::run::{Command, PROBED_AFTER, QUARANTINED_AFTER};

#[test]
fn a_step_whose_attempts_die_three_times_is_put_aside_until_somebody_decides() {
    let mut story = Story::started(graph(&[("put", Idempotent), ("other", Pure)], &[]));
    for number in 1..=QUARANTINED_AFTER {
        assert!(story.next().contains(&story.attempt("put", number)));
        story.starts("put");
        story.dies();
    }

    let put = story.step("put");
    let aside = Command::Quarantine(put, QUARANTINED_AFTER);
    assert_eq!(story.next(), [story.first_attempt("other"), aside]);
    story.is_quarantined("put");
    story.starts("other");
    story.succeeds("other", "");
    assert_eq!(story.state("put"), StepState::Quarantined);
    let until = story.run.deadline().unwrap();
    let reason = WaitReason::OutcomeUnknown;
    assert_eq!(story.next(), [Command::Wait { reason, until }]);
    story.parks(reason, until);
    story.is_resolved("put", Resolution::Retry);

    let again = story.attempt("put", QUARANTINED_AFTER + 1);
    assert!(story.next().contains(&again));
    assert_eq!(story.run.deaths(put), 0);
}

#[test]
fn a_run_goes_cautiously_to_its_end_whatever_it_waits_for() {
    let mut story = Story::started(graph(&[("put", Idempotent)], &[]));
    story.dies();

    // What follows on the wait may be what has killed, while the end of the wait was in memory only.
    let until = story.now + TimeDelta::minutes(1);
    story.parks(WaitReason::Retry, until);
    assert!(story.run.is_cautious());

    story.starts("put");
    story.fails("put");
    story.is_tried_again();
    assert!(!story.run.is_cautious());
}

#[test]
fn a_lost_attempt_that_waits_for_its_turn_is_not_counted_again() {
    let mut story = Story::started(graph(&[("put", Idempotent)], &[]));
    story.starts("put");

    for _ in 0..5 {
        story.dies();
    }

    assert_eq!(story.run.deaths(story.step("put")), 1);
}

#[test]
fn a_pure_step_is_suspected_from_the_first_death_on_which_it_may_have_caused_unseen() {
    let mut story = Story::started(graph(&[("text", Pure), ("put", Idempotent)], &[]));
    let (text, put) = (story.step("text"), story.step("put"));

    story.dies();
    assert_eq!((story.run.deaths(text), story.run.deaths(put)), (1, 0));
    story.starts("text");
    story.starts("put");
    story.dies();

    assert_eq!(
        (story.run.deaths(text), story.run.deaths(put)),
        (PROBED_AFTER, 1)
    );
}

#[test]
fn an_interrupted_attempt_counts_for_nothing_whatever_its_effect() {
    let mut story = Story::started(graph(&[("put", Idempotent), ("post", AtMostOnce)], &[]));
    story.starts("put");
    story.starts("post");

    story.is_interrupted("put");
    story.is_interrupted("post");

    assert_eq!(
        story.next(),
        [story.attempt("put", 2), story.attempt("post", 2)]
    );
    let put = story.step("put");
    assert_eq!(
        (story.run.deaths(put), story.run.step(put).failures()),
        (0, 0)
    );
    story.dies();
    assert_eq!(story.run.deaths(put), 0, "it was not open");
}
