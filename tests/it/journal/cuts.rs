//! Connections that break between a flush and its answer: what is written is recognised, what is not is sent again.

use synapps::journal::Verdict;

use super::desk::{Desk, FLUSH};
use crate::support::proxy::Cut;
use crate::support::within;

/// The verdicts on three runs in one batch whose connection is cut, and how often the batch was sent.
async fn cut_in_a_batch(cut: Cut) -> (Desk, Vec<Vec<i64>>, usize) {
    let desk = Desk::open().await;
    let runs = desk.born(3).await;
    let gate = desk.gate().await;
    let posted = gate
        .post(runs.iter().map(|run| desk.step(run, 2, "a")).collect())
        .await;

    let sprung = desk.proxy.cut_at(FLUSH, cut);
    gate.open().await;

    assert_eq!(posted.verdicts().await, vec![Verdict::Committed; 3]);
    within("the cut", sprung).await.unwrap();
    let mut sequences = Vec::new();
    for run in &runs {
        sequences.push(desk.sequences(run).await);
    }
    let sent = desk.proxy.count(FLUSH) - 1;
    (desk, sequences, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_was_written_and_not_answered_is_recognised_and_not_repeated() {
    let (_desk, sequences, sent) = cut_in_a_batch(Cut::BeforeAnswer).await;

    assert_eq!(sequences, vec![vec![1, 2]; 3]);
    assert_eq!(sent, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_never_arrived_is_sent_again() {
    let (_desk, sequences, sent) = cut_in_a_batch(Cut::BeforeSending).await;

    assert_eq!(sequences, vec![vec![1, 2]; 3]);
    assert_eq!(sent, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_of_which_nobody_knows_is_written_once() {
    let (desk, sequences, _) = cut_in_a_batch(Cut::AfterSending).await;

    assert_eq!(sequences, vec![vec![1, 2]; 3]);
    assert_eq!(
        desk.rows("run_events").await,
        8,
        "three runs and the gate's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_flush_that_is_still_at_work_and_its_repetition_write_once() {
    let desk = Desk::open().await;
    let run = desk.born(1).await.remove(0);
    let holder = desk.hold(&run).await;
    let sprung = desk.proxy.cut_at(FLUSH, Cut::AfterSending);

    let (journal, step) = (desk.journal.clone(), desk.step(&run, 2, "a"));
    let verdict = tokio::spawn(async move { journal.append(step).await.unwrap() });
    within("the cut", sprung).await.unwrap();
    // The first one still waits in the server for the row when the second one comes.
    desk.proxy.executed(FLUSH, 2).await;
    holder.batch_execute("ROLLBACK").await.unwrap();

    assert_eq!(
        within("the verdict", verdict).await.unwrap(),
        Verdict::Committed
    );
    assert_eq!(desk.sequences(&run).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_over_while_the_connection_was_down_is_dropped() {
    let desk = Desk::open().await;
    let runs = desk.born(2).await;
    let gate = desk.gate().await;
    let posted = gate
        .post(runs.iter().map(|run| desk.step(run, 2, "a")).collect())
        .await;

    let sprung = desk.proxy.cut_at(FLUSH, Cut::BeforeSending);
    desk.take_away(&desk.sql, &runs[0]).await;
    gate.open().await;
    within("the cut", sprung).await.unwrap();

    assert_eq!(
        posted.verdicts().await,
        [Verdict::Fenced, Verdict::Committed]
    );
    assert_eq!(desk.sequences(&runs[0]).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_outlasts_a_database_that_is_away() {
    let desk = Desk::open().await;
    let run = desk.born(1).await.remove(0);
    desk.proxy.close();

    let (journal, step) = (desk.journal.clone(), desk.step(&run, 2, "a"));
    let verdict = tokio::spawn(async move { journal.append(step).await.unwrap() });
    desk.proxy.refused(3).await;
    desk.proxy.open();

    assert_eq!(
        within("the verdict", verdict).await.unwrap(),
        Verdict::Committed
    );
    assert_eq!(desk.sequences(&run).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cut_connection_of_one_lane_is_replaced_and_later_flushes_go_through() {
    let desk = Desk::open().await;
    let run = desk.born(1).await.remove(0);
    for sequence in 2..=5 {
        let sprung = desk.proxy.cut_at(FLUSH, Cut::AfterSending);
        let verdict = desk.journal.append(desk.step(&run, sequence, "a"));

        assert_eq!(within("the verdict", verdict).await, Ok(Verdict::Committed));
        within("the cut", sprung).await.unwrap();
    }
    assert_eq!(desk.sequences(&run).await, [1, 2, 3, 4, 5]);
}
