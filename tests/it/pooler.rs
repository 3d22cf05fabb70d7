//! The service behind PgBouncer. Skipped, with a word of it, where PgBouncer is not installed.

use serde_json::json;
use synapps::proto::{ConflictAction, FlowPolicy, RunState};

use crate::support::calls::assert_gapless;
use crate::support::database::Database;
use crate::support::flows::flow_with_ends;
use crate::support::http_bin::HttpBin;
use crate::support::pooler::{self, Mode, Pooler};
use crate::support::server::{Builder, TestServer};

/// A PgBouncer of this mode, if it is installed and knows how: transactions need prepared statements, from 1.21 on.
fn start(mode: Mode) -> Option<Pooler> {
    let version = pooler::version();
    let fits = match mode {
        Mode::Session => version.is_some(),
        Mode::Transaction => version.is_some_and(|version| version >= (1, 21)),
    };
    if !fits {
        eprintln!("skipped: {mode:?} mode needs another PgBouncer than {version:?}");
        return None;
    }
    Some(Pooler::start(mode))
}

fn behind(pooler: &Pooler, database: &Database) -> Builder {
    let builder = TestServer::builder()
        .database(database)
        .flag("--notify=on")
        .url(pooler.url(database));
    match pooler.mode() {
        Mode::Session => builder,
        Mode::Transaction => builder.flag(&format!("--direct-url={}", database.url())),
    }
}

/// Two replicas make the schema, run flows, wait, wake each other up and hand over.
async fn works_behind(pooler: &Pooler) {
    let bin = HttpBin::start().await;
    let database = Database::empty().await;
    let one = behind(pooler, &database).start().await;
    let other = behind(pooler, &database).start().await;
    let policy = FlowPolicy {
        max_open_runs: 2,
        on_conflict: ConflictAction::Queue.into(),
        ..FlowPolicy::default()
    };
    let flow = flow_with_ends("counted")
        .node("get", "http_request", json!({ "url": bin.url("/x") }))
        .node("wait", "delay", json!({ "seconds": 1 }))
        .edge("start", "get")
        .edge("get", "wait")
        .edge("wait", "end")
        .policy(policy)
        .build();
    one.save(flow).await;
    let held = bin.hold("/held");
    let slow = flow_with_ends("slow")
        .node("get", "http_request", json!({ "url": bin.url("/held") }))
        .edge("start", "get")
        .edge("get", "end")
        .build();
    one.save(slow).await;

    let mut runs = Vec::new();
    for n in 0..6 {
        let server = if n % 2 == 0 { &one } else { &other };
        runs.push(server.start("counted", &json!({})).await);
    }
    let cancelled = one.start("slow", &json!({})).await;
    bin.requested("/held", 1).await;
    other.cancel(&cancelled).await.unwrap();
    let handed_over = one.start("slow", &json!({})).await;
    bin.requested("/held", 2).await;
    one.stop().await;
    held.release();

    for run in runs.iter().chain([&handed_over]) {
        let ended = other.finished_run(run).await;
        assert_eq!(ended.state(), RunState::Succeeded, "{ended:?}");
        assert_gapless(&other.events_after(run, 0).await);
    }
    assert_eq!(
        other.finished_run(&cancelled).await.state(),
        RunState::Cancelled
    );
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_works_behind_a_pooler_of_sessions() {
    if let Some(pooler) = start(Mode::Session) {
        works_behind(&pooler).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_works_behind_a_pooler_of_transactions_with_a_direct_way_beside_it() {
    if let Some(pooler) = start(Mode::Transaction) {
        works_behind(&pooler).await;
    }
}
