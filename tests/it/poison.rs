//! A step that kills its process: it is found, put aside and told of, its neighbours come through, and somebody's word
//! lets it go on.
//!
//! The crash point `attempt.poison` kills the process in which an attempt of a node with that id begins.

mod words;

use std::time::Duration;

use serde_json::{Value, json};
use synapps::proto::{Flow, RunState};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::crash::{all_succeed, assert_sound, start_many};
use crate::support::binary::Binary;
use crate::support::bounded;
use crate::support::calls::Calls;
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::server::TestServer;

/// What kills the process where the poison begins.
const KILLS: &str = "attempt.poison=return(kill)";

/// More slots than there are neighbours, so that all are in the middle of their work at once.
const FLAGS: [&str; 1] = ["--max-concurrent-steps=2000"];

/// Some deaths and leases of a busy machine.
const LONG: Duration = Duration::from_mins(5);

const QUARANTINED: &str = "SELECT count(*) FROM run_events WHERE kind = 'step_quarantined'";
const ENDED: &str = "SELECT count(*) FROM workflow_runs WHERE ended_at IS NOT NULL";
const RESTS: &str =
    "SELECT count(*) FROM workflow_runs WHERE state = 'WAITING' AND executor_id IS NULL";

/// A request, the node that kills, and one after it.
fn deadly(bin: &HttpBin, kind: &str, config: Value) -> Flow {
    let first = json!({ "url": bin.url("/first") });
    let text = json!({ "operation": "template", "template": "after" });
    chain(
        "deadly",
        &[
            ("first", "http_request", first),
            ("poison", kind, config),
            ("after", "transform", text),
        ],
    )
}

/// What is told of the processes.
enum News {
    Up(Calls),
    Died,
}

/// So many processes on this database, each of which is started again whenever it dies, for as long as `tasks` last.
fn replicas(
    count: usize,
    database: &Database,
    tasks: &mut JoinSet<()>,
) -> mpsc::UnboundedReceiver<News> {
    let (teller, news) = mpsc::unbounded_channel();
    for _ in 0..count {
        let (database, teller) = (database.clone(), teller.clone());
        tasks.spawn(async move {
            loop {
                let mut replica = Binary::start_armed(&database, &FLAGS, KILLS).await;
                teller.send(News::Up(Calls::clone(&replica))).unwrap();
                replica.dies().await;
                teller.send(News::Died).unwrap();
            }
        });
    }
    news
}

async fn first_up(news: &mut mpsc::UnboundedReceiver<News>) -> Calls {
    match news.recv().await {
        Some(News::Up(calls)) => calls,
        _ => panic!("a process has died before it was up"),
    }
}

/// Waits until a query counts so many.
async fn counted(sql: &Client, what: &str, query: &str, wanted: usize) {
    let wanted = i64::try_from(wanted).unwrap();
    let wait = async {
        while sql.query_one(query, &[]).await.unwrap().get::<_, i64>(0) < wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    bounded(LONG, what, wait).await;
}

/// Starts a run with a poison on one of so many processes, waits until it is put aside, and gives the run.
async fn put_aside(
    database: &Database,
    replicas_count: usize,
    kind: &str,
    config: Value,
    neighbours: usize,
) -> (String, usize) {
    let bin = HttpBin::start().await;
    let sql = database.sql().await;
    let (first, held) = (
        bin.hold("/first"),
        (0..neighbours).map(|n| bin.hold(&format!("/n/{n}"))),
    );
    let held: Vec<_> = held.collect();
    let mut tasks = JoinSet::new();
    let mut news = replicas(replicas_count, database, &mut tasks);
    let calls = first_up(&mut news).await;
    let get = json!({ "url": bin.url("/n/{{ input.n }}") });
    let text = json!({ "operation": "template", "template": "{{ content.data.count }}" });
    let steps = [("get", "http_request", get), ("text", "transform", text)];
    calls.save(chain("neighbour", &steps)).await;
    let runs = start_many(&calls, "neighbour", neighbours).await;
    let poison = calls
        .save_and_start(deadly(&bin, kind, config), &json!({}))
        .await;
    bin.requested_in_all(neighbours + 1).await;

    first.release();
    // They end one after the other, so that there are some in the middle of their work at each death.
    for held in held {
        tokio::time::sleep(Duration::from_millis(6_000 / neighbours as u64)).await;
        held.release();
    }
    counted(&sql, "the quarantine", QUARANTINED, 1).await;
    counted(&sql, "the end of the neighbours", ENDED, neighbours).await;
    counted(&sql, "the rest of the poison", RESTS, 1).await;
    tasks.shutdown().await;

    let mut deaths = 0;
    while let Ok(told) = news.try_recv() {
        deaths += usize::from(matches!(told, News::Died));
    }
    let server = TestServer::builder().database(database).start().await;
    all_succeed(&server, &runs).await;
    for run in &runs {
        assert_sound(&server.events_after(run, 0).await);
    }
    let aside = sql.query_one(QUARANTINED, &[]).await.unwrap();
    assert_eq!(aside.get::<_, i64>(0), 1, "and nothing else");
    server.stop().await;
    (poison, deaths)
}

fn request(bin: &HttpBin) -> Value {
    json!({ "url": bin.url("/poison") })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_kills_is_put_aside_after_three_deaths_and_none_of_its_neighbours() {
    let (database, bin) = (Database::migrated().await, HttpBin::start().await);

    let (poison, deaths) = put_aside(&database, 2, "http_request", request(&bin), 100).await;

    assert_eq!(deaths, 3);
    assert_eq!(bin.count("/poison"), 0);
    let server = TestServer::builder().database(&database).start().await;
    words::is_told(&server, &poison).await;
    words::goes_on_when_it_is_tried_again(&server, &poison).await;
    assert_eq!(bin.count("/poison"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pure_step_that_kills_is_put_aside_after_three_deaths_and_none_of_its_neighbours() {
    let database = Database::migrated().await;
    let text = json!({ "operation": "template", "template": "never" });

    let (poison, deaths) = put_aside(&database, 2, "transform", text, 100).await;

    assert_eq!(deaths, 3);
    let server = TestServer::builder().database(&database).start().await;
    words::is_told(&server, &poison).await;
    words::goes_on_with_an_output(&server, &poison).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_kills_the_only_process_fails_by_somebodys_word_and_is_tried_again_with_its_run()
 {
    let (database, bin) = (Database::migrated().await, HttpBin::start().await);

    let (poison, deaths) = put_aside(&database, 1, "http_request", request(&bin), 5).await;

    assert_eq!(deaths, 3);
    let server = TestServer::builder().database(&database).start().await;
    words::fails_and_is_tried_again(&server, &poison).await;
    let run = server.finished_run(&poison).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
}
