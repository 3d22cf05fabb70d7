//! The journal on its own: what each entry is told when others hold it up, take its run, break the connection, or
//! bring rows that the database refuses.

mod births;
mod cuts;
mod desk;

use std::collections::HashSet;
use std::time::Duration;

use futures_util::poll;
use synapps::hub::Signal;
use synapps::journal::Verdict;
use synapps::store::inbox::{self, Request};

use crate::support::within;
use desk::{Desk, FLUSH};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_during_a_flush_is_written_by_the_next_one_in_one_statement() {
    let desk = Desk::open().await;
    let runs = desk.born(5).await;
    let gate = desk.gate().await;

    let moves = runs.iter().map(|run| desk.step(run, 2, "a")).collect();
    let posted = gate.post(moves).await;
    gate.open().await;

    assert_eq!(posted.verdicts().await, vec![Verdict::Committed; 5]);
    assert_eq!(desk.proxy.count(FLUSH), 2, "that of the gate, and one more");
    for run in &runs {
        assert_eq!(desk.sequences(run).await, [1, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_over_before_its_flush_is_dropped_and_its_neighbours_are_written() {
    let desk = Desk::open().await;
    let runs = desk.born(3).await;
    let gate = desk.gate().await;

    let moves = runs.iter().map(|run| desk.step(run, 2, "a")).collect();
    let posted = gate.post(moves).await;
    desk.take_away(&desk.sql, &runs[1]).await;
    gate.open().await;

    let verdicts = posted.verdicts().await;
    assert_eq!(
        verdicts,
        [Verdict::Committed, Verdict::Fenced, Verdict::Committed]
    );
    assert_eq!(desk.sequences(&runs[0]).await, [1, 2]);
    assert_eq!(desk.sequences(&runs[1]).await, [1]);
    assert_eq!(desk.sequences(&runs[2]).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_taken_over_in_the_middle_of_its_flush_is_dropped_and_its_neighbours_are_written()
 {
    let desk = Desk::open().await;
    let runs = desk.born(3).await;
    let thief = desk.database.sql().await;
    thief.batch_execute("BEGIN").await.unwrap();
    desk.take_away(&thief, &runs[1]).await;
    let gate = desk.gate().await;

    let moves = runs.iter().map(|run| desk.step(run, 2, "a")).collect();
    let posted = gate.post(moves).await;
    gate.open().await;
    desk.database.somebody_waits_for_a_lock().await;
    thief.batch_execute("COMMIT").await.unwrap();

    let verdicts = posted.verdicts().await;
    assert_eq!(
        verdicts,
        [Verdict::Committed, Verdict::Fenced, Verdict::Committed]
    );
    assert_eq!(desk.sequences(&runs[1]).await, [1]);
    assert_eq!(
        desk.proxy.count(FLUSH),
        2,
        "the neighbours were in the same statement"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_appended_to_a_run_that_has_ended() {
    let desk = Desk::open().await;
    let run = desk.born(1).await.remove(0);

    let ended = desk
        .journal
        .append(desk.end(&run, 2, Some(0)))
        .await
        .unwrap();
    let late = desk.journal.append(desk.step(&run, 3, "a")).await.unwrap();

    assert_eq!((ended, late), (Verdict::Committed, Verdict::Fenced));
    assert_eq!(desk.sequences(&run).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_skips_a_sequence_writes_nothing() {
    let desk = Desk::open().await;
    let run = desk.born(1).await.remove(0);

    let verdict = desk.journal.append(desk.step(&run, 3, "a")).await.unwrap();

    assert_eq!(verdict, Verdict::Fenced);
    assert_eq!(desk.sequences(&run).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_turns_away_its_own_run_and_no_other() {
    let desk = Desk::open().await;
    desk.refuse_step("bad").await;
    let runs = desk.born(7).await;
    let gate = desk.gate().await;

    let path = |at| if at == 4 { "bad" } else { "good" };
    let moves = runs
        .iter()
        .enumerate()
        .map(|(at, run)| desk.step(run, 2, path(at)));
    let posted = gate.post(moves.collect()).await;
    gate.open().await;

    for (at, verdict) in posted.verdicts().await.into_iter().enumerate() {
        match verdict {
            Verdict::Rejected(reason) if at == 4 => assert!(reason.contains("23514"), "{reason}"),
            other => assert_eq!((at, other), (at, Verdict::Committed)),
        }
    }
    assert_eq!(desk.sequences(&runs[4]).await, [1]);
    let next = desk
        .journal
        .append(desk.step(&runs[4], 2, "good"))
        .await
        .unwrap();
    assert_eq!(next, Verdict::Committed, "the run itself is unharmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_forestalls_the_end_of_its_run_until_it_is_folded() {
    let desk = Desk::open().await;
    let run = desk.born(1).await.remove(0);
    let request = Request::Cancel {
        reason: String::new(),
        grace_ms: 0,
    };
    let mut conn = desk.store.conn().await.unwrap();
    let letter = inbox::post(&mut conn, &run, &request)
        .await
        .unwrap()
        .unwrap()
        .letter
        .unwrap();

    let step = desk.journal.append(desk.step(&run, 2, "a")).await.unwrap();
    let forestalled = desk
        .journal
        .append(desk.end(&run, 3, Some(0)))
        .await
        .unwrap();
    let mut end = desk.end(&run, 3, Some(1));
    end.answered = vec![letter];
    let folded = desk.journal.append(end).await.unwrap();

    assert_eq!(
        step,
        Verdict::Committed,
        "only what parks or ends the run is held up"
    );
    assert_eq!(forestalled, Verdict::LetterCame);
    assert_eq!(folded, Verdict::Committed);
    let (_, left) = inbox::read(&mut conn, &run).await.unwrap();
    assert!(
        left.is_empty(),
        "the flush that answers a letter removes it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_comes_while_the_end_waits_for_the_row_is_not_passed_over() {
    let desk = Desk::open().await;
    let run = desk.born(1).await.remove(0);
    let caller = desk.database.sql().await;
    caller.batch_execute("BEGIN").await.unwrap();
    let count = "UPDATE workflow_runs SET inbox_count = inbox_count + 1 WHERE run_id = $1";
    caller.execute(count, &[&run.run_id.uuid()]).await.unwrap();

    let (journal, end) = (desk.journal.clone(), desk.end(&run, 2, Some(0)));
    let ending = tokio::spawn(async move { journal.append(end).await.unwrap() });
    desk.database.somebody_waits_for_a_lock().await;
    caller.batch_execute("COMMIT").await.unwrap();

    assert_eq!(
        within("the verdict", ending).await.unwrap(),
        Verdict::LetterCame
    );
    assert_eq!(desk.sequences(&run).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_waits_too_long_for_a_lock_is_repeated_until_it_gets_it() {
    let desk = Desk::open_with(|settings| settings.lock_timeout = Duration::from_millis(50)).await;
    let runs = desk.born(1).await;
    let holder = desk.hold(&runs[0]).await;

    let (journal, step) = (desk.journal.clone(), desk.step(&runs[0], 2, "a"));
    let verdict = tokio::spawn(async move { journal.append(step).await.unwrap() });
    desk.proxy.executed(FLUSH, 3).await;
    holder.batch_execute("ROLLBACK").await.unwrap();

    assert_eq!(
        within("the verdict", verdict).await.unwrap(),
        Verdict::Committed
    );
    assert_eq!(desk.sequences(&runs[0]).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_in_a_deadlock_is_written_in_the_end() {
    let desk = Desk::open().await;
    // By id, which is the order that rows are locked in.
    let mut runs = desk.born(2).await;
    runs.sort();
    let other = desk.hold(&runs[1]).await;
    let gate = desk.gate().await;
    let posted = gate
        .post(runs.iter().map(|run| desk.step(run, 2, "a")).collect())
        .await;
    gate.open().await;
    desk.database.somebody_waits_for_a_lock().await;

    let lock = "SELECT 1 FROM workflow_runs WHERE run_id = $1 FOR UPDATE";
    let locked = other.query(lock, &[&runs[0].run_id.uuid()]).await;
    other.batch_execute("ROLLBACK").await.unwrap();

    assert_eq!(posted.verdicts().await, vec![Verdict::Committed; 2]);
    let met = locked.is_err() || desk.proxy.count(FLUSH) > 2;
    assert!(
        met,
        "neither was told of a deadlock: are rows not locked by id?"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_told_after_the_commit_and_of_nothing_that_was_not_written() {
    let desk = Desk::open().await;
    let runs = desk.born(2).await;
    let mut watch = desk.hub.subscribe(&runs[0]).unwrap();
    let mut watch_lost = desk.hub.subscribe(&runs[1]).unwrap();
    desk.take_away(&desk.sql, &runs[1]).await;
    let holder = desk.hold(&runs[0]).await;

    let entry = desk.step(&runs[0], 2, "a");
    let (journal, posted) = (desk.journal.clone(), entry.clone());
    let verdict = tokio::spawn(async move { journal.append(posted).await.unwrap() });
    desk.database.somebody_waits_for_a_lock().await;
    let mut signal = Box::pin(watch.next());
    assert!(poll!(&mut signal).is_pending(), "nothing is committed yet");
    holder.batch_execute("ROLLBACK").await.unwrap();

    let Signal::Events(events) = within("the signal", signal).await else {
        panic!("events were committed");
    };
    assert_eq!(events, entry.events);
    assert_eq!(verdict.await.unwrap(), Verdict::Committed);
    let lost = desk
        .journal
        .append(desk.step(&runs[1], 2, "a"))
        .await
        .unwrap();
    assert_eq!(lost, Verdict::Fenced);
    assert!(poll!(Box::pin(watch_lost.next())).is_pending());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_posted_is_written_before_a_closed_journal_ends() {
    let desk = Desk::open().await;
    let runs = desk.born(4).await;
    let gate = desk.gate().await;
    let posted = gate
        .post(runs.iter().map(|run| desk.step(run, 2, "a")).collect())
        .await;
    gate.open().await;

    let desk::Desk {
        journal,
        tasks,
        sql,
        ..
    } = desk;
    drop(journal);
    tasks.close();

    assert_eq!(posted.verdicts().await, vec![Verdict::Committed; 4]);
    within("the end of the lanes", tasks.wait()).await;
    let rows = sql
        .query(
            "SELECT DISTINCT run_id FROM run_events WHERE sequence = 2",
            &[],
        )
        .await
        .unwrap();
    let written: HashSet<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
    assert!(runs.iter().all(|run| written.contains(&run.run_id.uuid())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_finds_its_runs_by_the_primary_key_and_reads_no_others() {
    let desk = Desk::open().await;
    // As after a restore: the planner takes what is empty now for empty for ever.
    desk.sql.batch_execute("ANALYZE").await.unwrap();
    let runs = desk.born(20).await;
    for run in &runs {
        let step = desk.step(run, 2, "a");
        assert_eq!(desk.journal.append(step).await, Ok(Verdict::Committed));
    }

    // A session tells what it has read when it ends.
    let Desk { journal, sql, .. } = desk;
    drop(journal);
    let reads = "SELECT coalesce(sum(idx_tup_read) FILTER (WHERE indexrelname LIKE '%pkey'), 0)::bigint, \
                 coalesce(sum(idx_tup_read) FILTER (WHERE indexrelname NOT LIKE '%pkey'), 0)::bigint \
                 FROM pg_stat_user_indexes WHERE relname LIKE 'workflow_runs_p%'";
    let told = async {
        loop {
            let row = sql.query_one(reads, &[]).await.unwrap();
            let (by_key, others): (i64, i64) = (row.get(0), row.get(1));
            if by_key > 0 {
                return (by_key, others);
            }
            tokio::task::yield_now().await;
        }
    };
    let (by_key, others) = within("the statistics", told).await;

    assert_eq!(others, 0, "entries of other indexes");
    // Each run is found as it is, and by what it was before, which may still be there.
    assert!(
        by_key <= 2 * 20,
        "{by_key} entries of the primary key for 20 runs"
    );
}
