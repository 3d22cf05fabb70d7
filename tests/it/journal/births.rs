//! Runs that come into being, each request id once.

use futures_util::poll;
use synapps::journal::{Birth, Born};
use synapps::store::births::Request;

use super::desk::{BIRTH, Desk};
use crate::support::proxy::Cut;
use crate::support::within;

fn request(id: &str, body: u8) -> Request {
    Request {
        id: id.to_owned(),
        body_hash: [body; 32],
    }
}

fn named(desk: &Desk, id: &str, body: u8) -> Birth {
    Birth {
        request: Some(request(id, body)),
        ..desk.birth()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_starts_one_run_and_is_refused_with_another_body() {
    let desk = Desk::open().await;
    let first = named(&desk, "order-1", 1);
    let run = first.key.run_id;

    let born = desk.journal.bear(first).await.unwrap();
    let again = desk.journal.bear(named(&desk, "order-1", 1)).await.unwrap();
    let reused = desk.journal.bear(named(&desk, "order-1", 2)).await.unwrap();
    let other = desk.journal.bear(named(&desk, "order-2", 2)).await.unwrap();

    assert_eq!(born, Born::Yes);
    assert_eq!(again, Born::Before(run));
    assert_eq!(reused, Born::Reused(run));
    assert_eq!(other, Born::Yes);
    assert_eq!(desk.rows("workflow_runs").await, 2);
    assert_eq!(desk.rows("run_events").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_free_again_when_its_time_is_over() {
    let desk = Desk::open().await;
    desk.journal.bear(named(&desk, "order-1", 1)).await.unwrap();
    let over = "UPDATE start_requests SET expires_at = now() - interval '1 second'";
    desk.sql.batch_execute(over).await.unwrap();

    let second = named(&desk, "order-1", 2);
    let run = second.key.run_id;
    let born = desk.journal.bear(second).await.unwrap();
    let again = desk.journal.bear(named(&desk, "order-1", 2)).await.unwrap();

    assert_eq!((born, again), (Born::Yes, Born::Before(run)));
    assert_eq!(desk.rows("start_requests").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_births_with_one_request_id_that_are_posted_together_the_first_is_born() {
    let desk = Desk::open().await;
    // Holds up the lane: a start with the same request id that is not yet durable.
    let elsewhere = desk.database.sql().await;
    let take = "BEGIN; INSERT INTO start_requests VALUES ('default', 'held', decode(repeat('00', 32), 'hex'), \
                gen_random_uuid(), now() + interval '1 day')";
    elsewhere.batch_execute(take).await.unwrap();
    let (journal, held) = (desk.journal.clone(), named(&desk, "held", 0));
    let held = tokio::spawn(async move { journal.bear(held).await.unwrap() });
    desk.database.somebody_waits_for_a_lock().await;

    let births: Vec<Birth> = (0..4).map(|_| named(&desk, "order-1", 1)).collect();
    let first = births[0].key.run_id;
    let neighbour = desk.birth();
    let births = births.into_iter().chain([neighbour]);
    let mut born = Box::pin(futures_util::future::join_all(
        births.map(|birth| desk.journal.bear(birth)),
    ));
    assert!(poll!(&mut born).is_pending());
    elsewhere.batch_execute("ROLLBACK").await.unwrap();

    let born: Vec<Born> = within("births", born)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let before = Born::Before(first);
    assert_eq!(
        born,
        [Born::Yes, before.clone(), before.clone(), before, Born::Yes]
    );
    assert_eq!(
        held.await.unwrap(),
        Born::Yes,
        "the other start came to nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_whose_connection_is_cut_happens_once_and_is_told() {
    for cut in [Cut::BeforeSending, Cut::AfterSending, Cut::BeforeAnswer] {
        let desk = Desk::open().await;
        let sprung = desk.proxy.cut_at(BIRTH, cut);
        let named = named(&desk, "order-1", 1);
        let run = named.key.clone();

        let born = within("a birth", desk.journal.bear(named)).await;
        within("the cut", sprung).await.unwrap();

        assert_eq!(born, Ok(Born::Yes), "{cut:?}");
        assert_eq!(desk.sequences(&run).await, [1], "{cut:?}");
        assert_eq!(desk.rows("workflow_runs").await, 1, "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_without_a_request_id_whose_connection_is_cut_happens_once() {
    for cut in [Cut::BeforeSending, Cut::AfterSending, Cut::BeforeAnswer] {
        let desk = Desk::open().await;
        let sprung = desk.proxy.cut_at(BIRTH, cut);

        let born = within("a birth", desk.journal.bear(desk.birth())).await;
        within("the cut", sprung).await.unwrap();

        assert_eq!(born, Ok(Born::Yes), "{cut:?}");
        assert_eq!(desk.rows("run_events").await, 1, "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_that_the_database_refuses_is_turned_away_and_frees_its_request_id() {
    let desk = Desk::open().await;
    let mut bad = named(&desk, "order-1", 1);
    bad.projection.progress = bad.total_steps + 1;

    let refused = desk.journal.bear(bad).await.unwrap();
    let good = desk.journal.bear(named(&desk, "order-1", 1)).await.unwrap();

    let Born::Rejected(reason) = refused else {
        panic!("the constraint on progress refuses it: {refused:?}");
    };
    assert!(reason.contains("23514"), "{reason}");
    assert_eq!(good, Born::Yes);
}
