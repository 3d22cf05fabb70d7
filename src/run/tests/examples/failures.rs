//! What follows when a step has failed for good.

use crate::flow::Effect::{Idempotent, Pure};
use crate::run::Command;
use crate::run::state::{Handling, StepState};
use crate::run::tests::shapes::{graph, graph_of, node, with_fallback};
use crate::run::tests::story::Story;

#[test]
fn a_failure_leaves_by_the_error_port_and_by_no_other() {
    let ported = graph(
        &[("get", Idempotent), ("good", Pure), ("bad", Pure)],
        &["get -> good", "get:error -> bad"],
    );
    let mut story = Story::started(ported);
    story.starts("get");

    story.fails_with("get", Handling::ErrorPort);

    assert_eq!(story.state("get"), StepState::Failed);
    let (good, bad) = (story.step("good"), story.step("bad"));
    assert_eq!(
        story.next(),
        [Command::Skip(good), story.first_attempt("bad")]
    );
    assert_eq!(story.run.delivered(bad), [story.step("get").node]);
    assert!(story.run.step(story.step("get")).gave_result());
}

#[test]
fn nothing_leaves_by_the_error_port_when_all_is_well() {
    let ported = graph(
        &[("get", Idempotent), ("good", Pure), ("bad", Pure)],
        &["get -> good", "get:error -> bad"],
    );
    let mut story = Story::started(ported);

    story.succeeds("get", "");

    let bad = story.step("bad");
    assert_eq!(
        story.next(),
        [Command::Skip(bad), story.first_attempt("good")]
    );
}

#[test]
fn the_fallback_runs_in_the_place_of_a_step_that_failed() {
    let shapes = vec![
        with_fallback("get", Idempotent, "plan_b"),
        node("plan_b", Pure),
        node("next", Pure),
    ];
    let mut story = Story::started(graph_of(0, shapes, &["get -> next", "plan_b -> next"]));
    story.starts("get");

    story.fails_with("get", Handling::Fallback);
    assert_eq!(story.next(), [story.first_attempt("plan_b")]);
    story.succeeds("plan_b", "");

    assert_eq!(story.next(), [story.first_attempt("next")]);
    let delivered = story.run.delivered(story.step("next"));
    assert_eq!(delivered, [story.step("plan_b").node]);
}

#[test]
fn the_fallback_of_a_step_that_succeeds_or_is_skipped_is_skipped() {
    let shapes = || {
        vec![
            node("fork", Pure),
            with_fallback("get", Idempotent, "plan_b"),
            node("plan_b", Pure),
        ]
    };
    let edges = &["fork:true -> get"];

    let mut succeeds = Story::started(graph_of(0, shapes(), edges));
    succeeds.succeeds("fork", "true");
    succeeds.succeeds("get", "");
    assert_eq!(succeeds.next(), [Command::Skip(succeeds.step("plan_b"))]);

    let mut skipped = Story::started(graph_of(0, shapes(), edges));
    skipped.succeeds("fork", "false");
    skipped.is_skipped("get");
    assert_eq!(skipped.next(), [Command::Skip(skipped.step("plan_b"))]);
}

#[test]
fn a_default_output_goes_on_in_place_of_the_output() {
    let mut story = Story::started(graph(
        &[("get", Idempotent), ("next", Pure)],
        &["get -> next"],
    ));
    story.starts("get");

    story.fails_with("get", Handling::DefaultOutput);

    assert_eq!(story.next(), [story.first_attempt("next")]);
    assert!(story.run.step(story.step("get")).gave_output());
}

#[test]
fn a_run_goes_on_without_a_step_whose_failure_does_not_matter() {
    let mut story = Story::started(graph(
        &[("get", Idempotent), ("next", Pure)],
        &["get -> next"],
    ));
    story.starts("get");

    story.fails_with("get", Handling::ContinueRun);
    assert_eq!(story.next(), [Command::Skip(story.step("next"))]);
    story.is_skipped("next");

    assert_eq!(story.next(), [Command::Succeed]);
    assert_eq!(story.run.ends(), [], "the leaf was not reached");
}

#[test]
fn a_command_is_void_once_another_step_has_failed_the_run() {
    let mut story = Story::started(graph(&[("a", Pure), ("b", Pure)], &[]));
    let commands = story.next();
    assert_eq!(
        commands,
        [story.first_attempt("a"), story.first_attempt("b")]
    );

    story.fails("a");

    assert!(!story.run.still_wants(&commands[1]));
}
