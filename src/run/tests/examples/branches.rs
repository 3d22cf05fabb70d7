//! Which nodes run: ports, joins, what nothing reaches.

use crate::flow::Effect::{Idempotent, Pure};
use crate::run::Command;
use crate::run::tests::shapes::graph;
use crate::run::tests::story::Story;

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
