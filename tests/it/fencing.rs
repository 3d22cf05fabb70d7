//! A process that stood still while its runs were taken over: it comes back, writes nothing, begins nothing, and drops
//! them. And how long a take-over takes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde_json::json;
use synapps::proto::{Flow, RunState, StartRunRequest, WaitReason};
use tokio_postgres::Client;

use crate::crash::{all_succeed, assert_sound, crowd, order, start_many};
use crate::support::binary::Binary;
use crate::support::calls::{collected, events_of};
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;
use crate::support::within;

/// A slow request, and then one that must not happen twice.
fn slow(bin: &HttpBin) -> Flow {
    let slow = json!({ "url": bin.url("/slow/{{ input.n }}") });
    let pay = json!({ "method": "POST", "url": bin.url("/pay/{{ input.n }}") });
    chain(
        "slow",
        &[("slow", "http_request", slow), ("pay", "http_request", pay)],
    )
}

/// How many events were written behind one of a later owner.
async fn late_events(sql: &Client) -> i64 {
    let late = "SELECT count(*) FROM run_events a JOIN run_events b \
        ON b.namespace = a.namespace AND b.run_id = a.run_id AND b.sequence < a.sequence AND b.epoch > a.epoch";
    sql.query_one(late, &[]).await.unwrap().get(0)
}

async fn until(sql: &Client, what: &str, query: &str) {
    let wait = async {
        while !sql.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(what, wait).await;
}

/// How many runs it has dropped after it stood still.
async fn dropped(binary: &Binary) -> i64 {
    let line = binary
        .log()
        .line_with("known again which runs are ours")
        .await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let fields = line.get("fields").unwrap_or(&line);
    fields["runs.dropped"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_stood_still_writes_nothing_and_drops_its_runs() {
    let bin = HttpBin::start().await;
    let mut held: Vec<_> = (0..10).map(|n| bin.hold(&format!("/slow/{n}"))).collect();
    let database = Database::migrated().await;
    let sql = database.sql().await;
    let stopped = Binary::start_on(&database, &[]).await;
    stopped.save(slow(&bin)).await;
    let runs = start_many(&stopped, "slow", 10).await;
    bin.requested_in_all(10).await;
    let watch = stopped.watch(&runs[0], 0).await;
    let heir = Binary::start_on(&database, &[]).await;

    stopped.signal(Signal::STOP);
    // Each slow request is made once more, by the heir.
    bin.requested_in_all(20).await;
    let last = held.pop();
    drop(held);
    all_succeed(&heir, &runs[..9]).await;
    stopped.signal(Signal::CONT);

    // Of the one whose request is still on its way nothing tells it but that it asks.
    assert!(dropped(&stopped).await >= 1);
    // The others' answers came to it too. The watch goes on to the end of what the heir has done.
    let watched = within("the end of the watch", collected(watch)).await;
    assert_sound(&events_of(&watched));
    drop(last);
    all_succeed(&heir, &runs).await;
    let next = stopped.start("slow", &json!({ "n": 10 })).await;
    all_succeed(&stopped, &[next]).await;
    assert_eq!(late_events(&sql).await, 0);
    for n in 0..=10 {
        assert_eq!(bin.count(&format!("/pay/{n}")), 1, "run {n}");
    }
    for run in &runs {
        assert_sound(&heir.events_after(run, 0).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_about_to_begin_when_its_owner_stood_still_does_not_begin() {
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let sql = database.sql().await;
    // It stands still where the start of the attempt is durable and the attempt has not begun.
    let stopped = Binary::start_armed(&database, &[], "journal.birth.after=1*return(stop)").await;
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    stopped
        .save(chain("pay", &[("pay", "http_request", pay)]))
        .await;
    let calls = stopped.runs();
    let started = tokio::spawn(async move {
        let request = StartRunRequest {
            flow_id: "pay".to_owned(),
            ..StartRunRequest::default()
        };
        calls.clone().start_run(request).await.unwrap().into_inner()
    });
    stopped
        .log()
        .line_with("crash point journal.birth.after")
        .await;

    let heir = Binary::start_on(&database, &[]).await;
    let parked = "SELECT count(*) = 1 FROM workflow_runs WHERE wait_reason = 'OUTCOME_UNKNOWN'";
    until(&sql, "the doubt", parked).await;
    stopped.signal(Signal::CONT);
    let run_id = within("the answer", started)
        .await
        .unwrap()
        .run
        .unwrap()
        .run_id;
    assert_eq!(dropped(&stopped).await, 1);
    let next = stopped.start("pay", &json!({})).await;
    all_succeed(&stopped, &[next]).await;

    assert_eq!(bin.count("/pay"), 1, "that of the second run");
    let run = heir.run_in_state(&run_id, RunState::Waiting).await;
    assert_eq!(run.wait_reason(), WaitReason::OutcomeUnknown);
    assert_eq!(late_events(&sql).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_killed_owner_go_on_within_a_lease_and_a_second() {
    let bin = HttpBin::start().await;
    let held: Vec<_> = (0..20).map(|n| bin.hold(&format!("/stock/{n}"))).collect();
    let database = Database::migrated().await;
    let sql = database.sql().await;
    let lease = Duration::from_secs(4);
    let mut killed = Binary::start_on(&database, &["--lease=4s"]).await;
    let heir = Binary::start_on(&database, &["--lease=4s"]).await;
    killed.save(order(&bin)).await;
    let runs = start_many(&killed, "order", 20).await;
    for n in 0..20 {
        bin.requested(&format!("/stock/{n}"), 1).await;
    }
    // Until it has kept its own lease for a whole one the heir takes nothing.
    let old = "SELECT max(started_at) < now() - interval '6 seconds' FROM executors";
    until(&sql, "a while", old).await;

    let at: DateTime<Utc> = sql
        .query_one("SELECT clock_timestamp()", &[])
        .await
        .unwrap()
        .get(0);
    killed.kill().await;
    let taken = "SELECT count(DISTINCT run_id) >= 20 FROM run_events WHERE epoch = 2";
    until(&sql, "the take-over", taken).await;

    let waits = "SELECT extract(epoch FROM min(at) - $1)::float8 FROM run_events WHERE epoch = 2 GROUP BY run_id ORDER BY 1";
    let waits = sql.query(waits, &[&at]).await.unwrap();
    let waits: Vec<f64> = waits.iter().map(|row| row.get(0)).collect();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "take-over after a kill: half within {median:.2} s, all within {longest:.2} s, lease {lease:?}"
    );
    let bound = lease + Duration::from_secs(1).mul_f64(crowd());
    assert!(longest <= bound.as_secs_f64(), "{waits:?}");
    drop(held);
    all_succeed(&heir, &runs).await;
    for n in 0..20 {
        assert_eq!(bin.count(&format!("/pay/{n}")), 1);
    }
}
