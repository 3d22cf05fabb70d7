//! Replicas tell each other what is there for them, and do without it as well.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use serde_json::json;
use synapps::proto::{RunState, SignalRunRequest};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};
use uuid::Uuid;

use crate::support::calls::Calls;
use crate::support::database::Database;
use crate::support::flows::{chain, flow_with_ends};
use crate::support::http_bin::HttpBin;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use crate::support::within;

/// What the statement of the tick begins with.
const TICK: &str = "WITH gone AS";

/// Hears all that is told in a database.
struct Ear {
    payloads: mpsc::UnboundedReceiver<String>,
    _client: Client,
}

impl Ear {
    async fn open(database: &Database) -> Self {
        let (client, mut connection) = tokio_postgres::connect(&database.url(), NoTls)
            .await
            .unwrap();
        let (heard, payloads) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(notification) = message {
                    heard.send(notification.payload().to_owned()).ok();
                }
            }
        });
        client.batch_execute("LISTEN synapps").await.unwrap();
        Self {
            payloads,
            _client: client,
        }
    }

    async fn hears(&mut self, wanted: &str) {
        let wait = async { while self.payloads.recv().await.unwrap() != wanted {} };
        within("a notification", wait).await;
    }

    /// All that was heard so far.
    fn heard(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.payloads.try_recv().ok()).collect()
    }
}

async fn executor(sql: &Client, address: &str) -> Uuid {
    let query = "SELECT executor_id FROM executors WHERE address = $1";
    sql.query_one(query, &[&address]).await.unwrap().get(0)
}

async fn signal(calls: &Calls, run_id: &str, name: &str) {
    let request = SignalRunRequest {
        run_id: run_id.to_owned(),
        name: name.to_owned(),
        ..SignalRunRequest::default()
    };
    calls.runs().signal_run(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_from_another_replica_tells_its_owner_and_nobody_else() {
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let owner = TestServer::builder().flag("--notify=on").start().await;
    let builder = TestServer::builder().database(owner.database());
    let other = builder.flag("--notify=on").start().await;
    let get = json!({ "url": bin.url("/slow") });
    let run = owner
        .save_and_start(chain("slow", &[("get", "http_request", get)]), &json!({}))
        .await;
    bin.requested("/slow", 1).await;
    let sql = owner.sql().await;
    let id = executor(&sql, &owner.address().to_string()).await;
    let mut ear = Ear::open(owner.database()).await;

    owner.cancel(&run).await.unwrap();
    let before = ear.heard();
    let run = owner.start("slow", &json!({})).await;
    bin.requested("/slow", 2).await;
    other.cancel(&run).await.unwrap();
    ear.hears(&format!("i:{id}")).await;

    assert_eq!(before, Vec::<String>::new(), "the run was there");
    assert_eq!(other.finished_run(&run).await.state(), RunState::Cancelled);
    assert_eq!(ear.heard(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_makes_the_tick_come_at_once() {
    let (proxy, database) = (Proxy::start().await, Database::migrated().await);
    let builder = TestServer::builder()
        .database(&database)
        .url(proxy.url(&database));
    let server = builder.flag("--notify=on").start().await;
    let sql = database.sql().await;
    let id = executor(&sql, &server.address().to_string()).await;
    let listening = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN synapps'";
    until(&sql, listening).await;

    let began = Instant::now();
    for hint in ["c".to_owned(), format!("i:{id}")].iter().cycle().take(30) {
        let before = proxy.count(TICK);
        sql.execute("SELECT pg_notify('synapps', $1)", &[hint])
            .await
            .unwrap();
        proxy.executed(TICK, before + 1).await;
    }
    let took = began.elapsed();

    assert!(
        took < Duration::from_secs(15),
        "30 ticks took {took:?}, by themselves they take 30 s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_letters_makes_few_notifications() {
    let owner = TestServer::builder().flag("--notify=on").start().await;
    let builder = TestServer::builder().database(owner.database());
    let other = builder.flag("--notify=on").start().await;
    let bin = HttpBin::start().await;
    let _held = bin.hold("/slow");
    let get = json!({ "url": bin.url("/slow") });
    let run = owner
        .save_and_start(chain("slow", &[("get", "http_request", get)]), &json!({}))
        .await;
    bin.requested("/slow", 1).await;
    let mut ear = Ear::open(owner.database()).await;

    let began = Instant::now();
    let names: Vec<String> = (0..200).map(|n| format!("s{n}")).collect();
    let signals = names.iter().map(|name| signal(&other, &run, name));
    within("the signals", futures_util::future::join_all(signals)).await;
    let seconds = began.elapsed().as_secs_f64();

    let heard = ear.heard().len();
    assert!(heard > 0);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let rate = heard as f64 / seconds.max(1.0);
    assert!(rate <= 20.0, "{heard} in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_queued_by_a_full_replica_goes_on_in_one_that_has_room() {
    for notify in ["--notify=on", "--notify=off"] {
        let bin = HttpBin::start().await;
        let held = bin.hold("/slow");
        let full = TestServer::builder()
            .flag(notify)
            .flag("--max-open-runs=1")
            .start()
            .await;
        let builder = TestServer::builder().database(full.database());
        let roomy = builder.flag(notify).start().await;
        let mut ear = Ear::open(full.database()).await;
        let get = json!({ "url": bin.url("/slow") });
        full.save(chain("slow", &[("get", "http_request", get)]))
            .await;

        let first = full.start("slow", &json!({})).await;
        bin.requested("/slow", 1).await;
        let second = full.start("slow", &json!({})).await;
        bin.requested("/slow", 2).await;
        held.release();

        for run in [first, second] {
            assert_eq!(roomy.finished_run(&run).await.state(), RunState::Succeeded);
        }
        if notify == "--notify=on" {
            ear.hears("c").await;
        } else {
            assert_eq!(ear.heard(), Vec::<String>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_nothing_is_told_or_heard_and_letters_arrive_all_the_same() {
    let owner = TestServer::builder().flag("--notify=off").start().await;
    let builder = TestServer::builder().database(owner.database());
    let other = builder.flag("--notify=off").start().await;
    let sql = owner.sql().await;
    let mut ear = Ear::open(owner.database()).await;
    let flow = flow_with_ends("waits")
        .node("wait", "wait_signal", json!({ "name": "go" }))
        .node("again", "wait_signal", json!({ "name": "on" }))
        .edge("start", "wait")
        .edge_from("wait", "received", "again")
        .edge_from("again", "received", "end")
        .build();

    let run = owner.save_and_start(flow, &json!({})).await;
    owner.run_in_state(&run, RunState::Waiting).await;
    signal(&other, &run, "go").await;
    signal(&owner, &run, "on").await;
    let run = other.finished_run(&run).await;
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN synapps'";
    let listening: i64 = sql.query_one(listening, &[]).await.unwrap().get(0);

    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(ear.heard(), Vec::<String>::new());
    assert_eq!(listening, 1, "only the ear of this test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_listens_is_made_again() {
    let server = TestServer::builder().flag("--notify=on").start().await;
    let sql = server.sql().await;
    let there = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN synapps'";
    until(&sql, there).await;
    let pid = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN synapps'";
    let old: i32 = sql.query_one(pid, &[]).await.unwrap().get(0);

    sql.execute("SELECT pg_terminate_backend($1)", &[&old])
        .await
        .unwrap();

    let again = format!("SELECT count(*) = 1 FROM ({pid}) p WHERE pid <> {old}");
    until(&sql, &again).await;
}

async fn until(sql: &Client, query: &str) {
    let wait = async {
        while !sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(query, wait).await;
}
