//! A process is told to stop in the middle of its work: its runs go on elsewhere at once, from where they were.

mod clients;
mod moments;

use std::time::Duration;

use serde_json::{Value, json};
use synapps::proto::{Flow, RunState};
use tokio_postgres::Client;

use crate::crash::{all_succeed, assert_sound, crowd, start_many};
use crate::support::binary::Binary;
use crate::support::bounded;
use crate::support::database::Database;
use crate::support::flows::chain;
use crate::support::http_bin::HttpBin;

/// Longer than any test: nothing is taken over because somebody has died.
const LEASE: &str = "--lease=60s";

/// Requests one after the other, with steps between them that compute.
fn long(bin: &HttpBin) -> Flow {
    let text = json!({ "operation": "template", "template": "{{ content.data.count }}" });
    let mut steps: Vec<(String, &str, Value)> = Vec::new();
    for at in 0..20 {
        let get = json!({ "url": bin.url(&format!("/get{at}/{{{{ input.n }}}}")) });
        steps.push((format!("get{at}"), "http_request", get));
        if at % 5 == 4 {
            steps.push((format!("text{at}"), "transform", text.clone()));
        }
    }
    let steps: Vec<_> = steps
        .iter()
        .map(|(id, kind, config)| (id.as_str(), *kind, config.clone()))
        .collect();
    chain("long", &steps)
}

/// For how long nothing happened in each run that changed hands, shortest first, in seconds.
async fn pauses(sql: &Client) -> Vec<f64> {
    let query = "SELECT extract(epoch FROM heir.at - last.at)::float8 FROM run_events heir \
        JOIN run_events last ON last.namespace = heir.namespace AND last.run_id = heir.run_id \
        AND last.sequence = heir.sequence - 1 WHERE heir.epoch > last.epoch ORDER BY 1";
    let rows = sql.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_under_load_go_on_elsewhere_with_hardly_a_pause_while_a_post_keeps_the_process() {
    const RUNS: usize = 60;
    let bin = HttpBin::start().await;
    let database = Database::migrated().await;
    let held = bin.hold("/pay");
    let mut leaving = Binary::start_on(&database, &[LEASE, "--drain-timeout=60s"]).await;
    leaving.save(long(&bin)).await;
    let pay = json!({ "method": "POST", "url": bin.url("/pay") });
    let mut paying = chain("pay", &[("pay", "http_request", pay)]);
    let pay = paying.nodes.iter_mut().find(|node| node.id == "pay");
    // However long the others take.
    pay.unwrap().timeout = prost_types::Duration::try_from(Duration::from_mins(5)).ok();
    let kept = leaving.save_and_start(paying, &json!({})).await;
    let heir = Binary::start_on(&database, &[LEASE]).await;
    let runs = start_many(&leaving, "long", RUNS).await;
    bin.requested_in_all(RUNS * 3).await;

    leaving.signal(rustix::process::Signal::TERM);
    // The process is there to the end: it is not by its retirement that its runs are free.
    all_succeed(&heir, &runs).await;
    let sql = database.sql().await;
    let retired = sql
        .query_one("SELECT bool_or(retired) FROM executors", &[])
        .await;
    assert!(!retired.unwrap().get::<_, bool>(0));
    held.release();
    let ended = bounded(Duration::from_secs(20), "the stop", leaving.ended()).await;

    assert!(ended.success(), "{}", leaving.log().text());
    assert_eq!(heir.finished_run(&kept).await.state(), RunState::Succeeded);
    assert_eq!(bin.count("/pay"), 1);
    let pauses = pauses(&sql).await;
    let (median, longest) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    println!(
        "{} of {RUNS} runs changed hands: half within {median:.3} s, all within {longest:.3} s",
        pauses.len()
    );
    assert!(pauses.len() > RUNS / 2, "{pauses:?}");
    assert!(
        longest <= Duration::from_secs(1).mul_f64(crowd()).as_secs_f64() + 0.5,
        "{pauses:?}"
    );
    let deaths = "SELECT count(*) FROM run_events WHERE kind = 'run_recovered'";
    assert_eq!(
        sql.query_one(deaths, &[]).await.unwrap().get::<_, i64>(0),
        0
    );
    for run in &runs {
        assert_sound(&heir.events_after(run, 0).await);
    }
    for (n, _) in runs.iter().enumerate() {
        for at in 0..20 {
            let path = format!("/get{at}/{n}");
            let seen = bin.seen().into_iter().filter(|seen| seen.path == path);
            let keys: Vec<String> = seen.map(|seen| seen.idempotency_key).collect();
            assert!((1..=2).contains(&keys.len()), "{path}: {keys:?}");
            assert!(keys.iter().all(|key| *key == keys[0]), "{path}: {keys:?}");
        }
    }
}
