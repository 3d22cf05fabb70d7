use std::time::Duration;

use super::*;
use crate::ids::{Namespace, RunId};

fn run() -> RunKey {
    RunKey {
        namespace: Namespace::default_namespace(),
        run_id: RunId::new(uuid::Uuid::now_v7()),
    }
}

fn pen(hub: &Hub, run: &RunKey, step: &str, attempt: u32) -> Pen {
    let node_id = NodeId::from(step);
    let author = Author {
        path: StepPath::from(&node_id),
        node_id,
        attempt,
        epoch: 1,
    };
    Pen::new(hub.clone(), run.clone(), author)
}

/// All that was not shown yet, as (attempt, offset, text).
fn rest(reader: &mut Reader) -> Vec<(u32, u64, String)> {
    let mut pieces = Vec::new();
    while let Some(piece) = reader.find_next(None) {
        reader.shown(&piece);
        pieces.push((piece.author.attempt, piece.offset, piece.text));
    }
    pieces
}

#[tokio::test]
async fn a_late_reader_gets_the_text_so_far_and_then_what_is_added() {
    let (hub, run) = (Hub::new(10), run());
    let pen = pen(&hub, &run, "a", 1);
    pen.output("one ");
    pen.output("two ");

    let mut late = hub.read_drafts(&run);
    assert_eq!(rest(&mut late), [(1, 0, "one two ".to_owned())]);

    pen.output("three");
    tokio::time::timeout(Duration::from_secs(5), late.changed())
        .await
        .expect("it is told");
    assert_eq!(rest(&mut late), [(1, 8, "three".to_owned())]);
    assert_eq!(rest(&mut late), []);
}

#[test]
fn a_text_that_begins_anew_is_shown_from_its_beginning() {
    let (hub, run) = (Hub::new(10), run());
    let pen = pen(&hub, &run, "a", 1);
    let mut reader = hub.read_drafts(&run);
    pen.output("wrong");
    assert_eq!(rest(&mut reader), [(1, 0, "wrong".to_owned())]);

    pen.restart();
    assert_eq!(rest(&mut reader), [(1, 0, String::new())]);
    pen.output("right");

    assert_eq!(rest(&mut reader), [(1, 0, "right".to_owned())]);
}

#[test]
fn what_an_attempt_wrote_last_is_still_there_for_its_readers_when_it_has_ended() {
    let (hub, run) = (Hub::new(10), run());
    let mut reader = hub.read_drafts(&run);
    let first = pen(&hub, &run, "a", 1);
    first.output("cut");
    drop(first);
    let second = pen(&hub, &run, "a", 2);
    second.output("whole");

    assert_eq!(
        rest(&mut reader),
        [(1, 0, "cut".to_owned()), (2, 0, "whole".to_owned())]
    );
    let mut late = hub.read_drafts(&run);
    assert_eq!(rest(&mut late), [(2, 0, "whole".to_owned())]);
}

#[test]
fn only_the_end_of_a_long_text_is_kept() {
    let (hub, run) = (Hub::new(10), run());
    let pen = pen(&hub, &run, "a", 1);
    let written = 4 * MOST_BYTES as u64;
    for _ in 0..written / 4 {
        // Three bytes and one: no cut may fall inside a character.
        pen.output("\u{20ac}.");
    }

    let mut reader = hub.read_drafts(&run);
    let pieces = rest(&mut reader);

    let kept: u64 = pieces.iter().map(|(_, _, text)| text.len() as u64).sum();
    assert_eq!(pieces[0].1 + kept, written);
    assert!(kept >= MOST_BYTES as u64 - 4 && kept <= 2 * MOST_BYTES as u64);
    assert!(pieces.windows(2).all(|two| two[0].1 < two[1].1));
}

#[test]
fn nothing_is_kept_of_a_run_whose_attempts_and_readers_are_gone() {
    let (hub, run) = (Hub::new(10), run());
    let pen = pen(&hub, &run, "a", 1);
    pen.log("line\n");
    let reader = hub.read_drafts(&run);
    assert_eq!(hub.shelves(), 1);

    drop(pen);
    assert_eq!(hub.shelves(), 1);
    drop(reader);

    assert_eq!(hub.shelves(), 0);
}

#[test]
fn values_of_secrets_are_not_shown_however_they_come() {
    let (hub, run) = (Hub::new(10), run());
    let author = Author {
        node_id: NodeId::from("a"),
        path: StepPath::from(&NodeId::from("a")),
        attempt: 1,
        epoch: 1,
    };
    let redactor = crate::redact::Redactor::of(["hunter22"]);
    let mut reader = hub.read_drafts(&run);
    let pen = Pen::redacting(hub.clone(), run.clone(), author, redactor.clone());

    for char in "my hunter22 and hun".chars() {
        pen.output(char.encode_utf8(&mut [0; 4]));
    }
    pen.log("hunter22, ");
    redactor.add("composed");
    pen.log("composed.");
    let shown = rest(&mut reader);
    pen.finish();
    let last = rest(&mut reader);
    pen.log("and hunter2");
    drop(pen);
    let after = rest(&mut reader);

    let texts = |pieces: &[(u32, u64, String)]| -> Vec<String> {
        pieces.iter().map(|piece| piece.2.clone()).collect()
    };
    assert_eq!(
        texts(&shown),
        ["my [redacted] and ", "[redacted], [redacted]."]
    );
    assert_eq!(texts(&last), ["hun"]);
    // Nobody has said that it is whole.
    assert_eq!(texts(&after), ["and "]);
}
