//! Loops: items under way, what they give, what one that fails does to the others.

use std::sync::Arc;

use chrono::TimeDelta;

use crate::flow::Effect::{Idempotent, Pure};
use crate::flow::graph::Graph;
use crate::run::Command;
use crate::run::scope::ScopeId;
use crate::run::state::{Handling, OnItemError, StepState, StopCause, WaitReason};
use crate::run::tests::shapes::{graph_of, looped, node};
use crate::run::tests::story::Story;
use crate::run::turns::ItemOutcome;

/// `loop` runs `get -> note` for each item, then comes `next`.
fn looping() -> Arc<Graph> {
    let body = graph_of(
        1,
        vec![node("get", Idempotent), node("note", Pure)],
        &["get -> note"],
    );
    graph_of(
        0,
        vec![looped("loop", body), node("next", Pure)],
        &["loop -> next"],
    )
}

/// `outer` runs `inner` for each item, which runs `x` for each of its own.
fn nested() -> Arc<Graph> {
    let innermost = graph_of(2, vec![node("x", Idempotent)], &[]);
    let body = graph_of(1, vec![looped("inner", innermost)], &[]);
    graph_of(0, vec![looped("outer", body)], &[])
}

fn item_succeeds(story: &mut Story, prefix: &str) {
    for step in ["get", "note"] {
        story.starts(&format!("{prefix}/{step}"));
        story.succeeds(&format!("{prefix}/{step}"), "");
    }
}

#[test]
fn items_begin_in_order_as_places_become_free() {
    let mut story = Story::started(looping());
    story.loops("loop", 4, 2, OnItemError::Fail);
    let first = [
        story.first_attempt("loop[0]/get"),
        story.first_attempt("loop[1]/get"),
    ];
    assert_eq!(story.next(), first);
    story.starts("loop[0]/get");

    item_succeeds(&mut story, "loop[1]");

    assert_eq!(story.next(), [story.first_attempt("loop[2]/get")]);
    assert_eq!(story.run.turns(story.step("loop")).unwrap().under_way(), 2);
}

#[test]
fn a_loop_collects_its_items_in_their_order_once_all_have_ended() {
    let mut story = Story::started(looping());
    story.loops("loop", 2, 2, OnItemError::Fail);

    item_succeeds(&mut story, "loop[1]");
    assert_eq!(story.next(), [story.first_attempt("loop[0]/get")]);
    item_succeeds(&mut story, "loop[0]");

    let key = story.step("loop");
    assert_eq!(story.next(), [Command::Collect(key)]);
    let outcomes: Vec<&ItemOutcome> = story.run.turns(key).unwrap().outcomes().collect();
    let sequences: Vec<i64> = outcomes
        .iter()
        .map(|outcome| match outcome {
            ItemOutcome::Succeeded(outputs) => outputs[0].1.sequence,
            ItemOutcome::Failed(error) => panic!("{error:?}"),
        })
        .collect();
    assert!(
        sequences[0] > sequences[1],
        "the first item ended last: {sequences:?}"
    );
    story.succeeds("loop", "");
    assert_eq!(story.next(), [story.first_attempt("next")]);
}

#[test]
fn a_loop_over_nothing_is_done_at_once() {
    let mut story = Story::started(looping());

    story.loops("loop", 0, 2, OnItemError::Fail);

    assert_eq!(story.next(), [Command::Collect(story.step("loop"))]);
}

#[test]
fn an_item_that_fails_ends_the_loop_with_all_that_is_under_way() {
    let mut story = Story::started(looping());
    story.loops("loop", 4, 3, OnItemError::Fail);
    for item in 0..3 {
        story.starts(&format!("loop[{item}]/get"));
    }
    story.succeeds("loop[2]/get", "");

    story.fails_with("loop[0]/get", Handling::FailItem);
    assert_eq!(story.next(), [Command::StopStep(story.step("loop[1]/get"))]);
    story.is_cut("loop[1]/get", StopCause::ItemFailed);

    let [Command::FailLoop(key, error)] = &story.next()[..] else {
        panic!("{:?}", story.next());
    };
    assert_eq!(*key, story.step("loop"));
    assert_eq!(error.path, Some("loop[0]/get".into()));
    assert_eq!(
        story.run.turns(*key).unwrap().begun,
        3,
        "the last item never begins"
    );
}

#[test]
fn what_does_not_stop_after_its_item_has_failed_is_given_up_after_the_grace() {
    let mut story = Story::started(looping());
    story.loops("loop", 2, 2, OnItemError::Fail);
    story.starts("loop[0]/get");
    story.starts("loop[1]/get");
    story.fails_with("loop[0]/get", Handling::FailItem);
    let deaf = story.step("loop[1]/get");
    let grace = TimeDelta::seconds(10);
    assert_eq!(story.run.wakes_at(story.now), Some(story.now + grace));

    story.after(grace);

    let given_up = Command::Abandon(deaf, StopCause::ItemFailed);
    assert_eq!(story.next(), [given_up]);
}

#[test]
fn a_failed_item_is_collected_or_left_out_and_the_others_go_on() {
    for (on_item_error, listed) in [(OnItemError::Collect, 2), (OnItemError::Skip, 1)] {
        let mut story = Story::started(looping());
        story.loops("loop", 2, 1, on_item_error);
        story.starts("loop[0]/get");

        story.fails_with("loop[0]/get", Handling::FailItem);
        item_succeeds(&mut story, "loop[1]");

        let key = story.step("loop");
        assert_eq!(story.next(), [Command::Collect(key)]);
        let turns = story.run.turns(key).unwrap();
        assert_eq!((turns.succeeded, turns.failed), (1, 1));
        assert_eq!(turns.outcomes().count(), listed);
    }
}

#[test]
fn a_failed_item_takes_the_loops_inside_it_along() {
    let mut story = Story::started(nested());
    story.loops("outer", 1, 1, OnItemError::Fail);
    story.loops("outer[0]/inner", 2, 2, OnItemError::Fail);
    story.waits("outer[0]/inner[0]/x", TimeDelta::minutes(1));
    story.starts("outer[0]/inner[1]/x");

    story.fails_with("outer[0]/inner[1]/x", Handling::FailItem);
    let waits = story.step("outer[0]/inner[0]/x");
    assert_eq!(
        story.next(),
        [Command::Abandon(waits, StopCause::ItemFailed)]
    );
    story.is_cut("outer[0]/inner[0]/x", StopCause::ItemFailed);
    assert!(
        matches!(&story.next()[..], [Command::FailLoop(key, _)] if *key == story.step("outer[0]/inner"))
    );
    story.fails_with("outer[0]/inner", Handling::FailItem);

    assert!(
        matches!(&story.next()[..], [Command::FailLoop(key, _)] if *key == story.step("outer"))
    );
}

#[test]
fn nothing_is_kept_of_the_items_of_a_loop_that_has_ended() {
    let mut story = Story::started(nested());
    story.loops("outer", 2, 1, OnItemError::Skip);
    story.loops("outer[0]/inner", 2, 1, OnItemError::Fail);
    story.starts("outer[0]/inner[0]/x");
    story.fails_with("outer[0]/inner[0]/x", Handling::FailItem);

    story.fails_with("outer[0]/inner", Handling::FailItem);
    let kept: Vec<ScopeId> = story.run.history.scopes.keys().copied().collect();
    assert_eq!(
        kept,
        [ScopeId::TOP, ScopeId(3)],
        "the run's own and that of the next item"
    );
    story.loops("outer[1]/inner", 0, 1, OnItemError::Fail);
    story.succeeds("outer[1]/inner", "");
    story.succeeds("outer", "");

    assert_eq!(story.run.history.scopes.len(), 1);
}

#[test]
fn a_command_for_an_item_is_void_once_the_item_has_failed() {
    let body = graph_of(1, vec![node("a", Pure), node("b", Pure)], &[]);
    let mut story = Story::started(graph_of(0, vec![looped("loop", body)], &[]));
    story.loops("loop", 2, 1, OnItemError::Collect);
    let commands = story.next();

    story.fails_with("loop[0]/a", Handling::FailItem);

    assert!(!story.run.still_wants(&commands[1]), "{commands:?}");
}

#[test]
fn a_wait_inside_a_loop_parks_the_run() {
    let mut story = Story::started(looping());
    story.loops("loop", 1, 1, OnItemError::Fail);
    story.waits("loop[0]/get", TimeDelta::minutes(1));
    let until = story.now + TimeDelta::minutes(1);
    let reason = WaitReason::Delay;
    assert_eq!(story.next(), [Command::Wait { reason, until }]);

    story.parks(reason, until);
    story.after(TimeDelta::minutes(1));

    let resume = Command::Resume(WaitReason::Delay);
    assert_eq!(story.next(), [resume, story.going_on("loop[0]/get")]);
    assert_eq!(story.state("loop"), StepState::Running);
}

#[test]
fn a_loop_that_must_not_be_repeated_is_not_in_doubt_when_it_is_cut_off() {
    let body = graph_of(1, vec![node("x", Pure)], &[]);
    let shape = crate::flow::graph::NodeShape {
        effect: crate::flow::Effect::AtMostOnce,
        ..looped("loop", body)
    };
    let mut story = Story::started(graph_of(0, vec![shape], &[]));
    story.starts("loop");

    story.loops("loop", 1, 1, OnItemError::Fail);

    assert!(!story.run.cut_leaves_doubt(story.step("loop")));
}
