//! `synapps secrets rotate`, and services that lack a key.

use serde_json::json;
use synapps::proto::RunState;
use synapps::secrets::KeyRing;

use super::echo::Echo;
use super::service::add;
use super::{asking, failure, ran, store};
use crate::support::binary::{Binary, run};
use crate::support::database::Database;

/// Runs the command, and gives whether it succeeded and what it printed.
async fn rotate(database: &Database, keys: &str) -> (bool, String) {
    let url = database.url();
    let variables = [("DATABASE_URL", &*url), ("SYNAPPS_SECRETS_KEY", keys)];
    let output = run(&["secrets", "rotate"], &variables).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    for key in keys.split(',') {
        assert!(!text.contains(key) && !told.contains(key), "{text} {told}");
    }
    (output.status.success(), format!("{text}{told}"))
}

fn key_id(keys: &str) -> String {
    let ring = KeyRing::parse(keys, "here").unwrap();
    ring.first_id().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sealed_anew_and_the_old_key_is_needed_no_longer() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let both = format!("{new},{old}");
    let echo = Echo::start().await;
    let flow = |id| {
        asking(
            id,
            json!({"url": echo.url("/json"), "headers": {"X-Key": "{{ secrets.key }}"}}),
        )
    };
    let server = Binary::start(&[&format!("--secrets-key={old}")]).await;
    let database = server.database().clone();
    store(&server, "key", "rotated-value-1").await;
    add(&server, "key", "rotated-value-2").await.unwrap();
    store(&server, "other", "rotated-value-3").await;
    let before = ran(&server, flow("before")).await;

    let (without, told) = rotate(&database, &new).await;
    let (first, text) = rotate(&database, &both).await;
    let (again, nothing) = rotate(&database, &new).await;
    drop(server);
    let server = Binary::start_on(&database, &[&format!("--secrets-key={new}")]).await;
    let after = ran(&server, flow("after")).await;

    assert_eq!(before.state(), RunState::Succeeded, "{before:?}");
    assert!(!without && told.contains("unreadable: 3"), "{told}");
    assert!(told.contains(&key_id(&old)), "{told}");
    let sealed = format!("sealed 3 with key {}", key_id(&new));
    assert!(first && text.contains(&sealed), "{text}");
    assert!(again && nothing.contains("sealed 0"), "{nothing}");
    assert_eq!(after.state(), RunState::Succeeded, "{after:?}");
    assert!(
        echo.seen()
            .iter()
            .all(|request| request.contains("rotated-value-2"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_the_key_fails_the_step_and_names_the_key() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let server = Binary::start(&[&format!("--secrets-key={old}")]).await;
    let database = server.database().clone();
    store(&server, "key", "unreadable-value").await;
    drop(server);

    let server = Binary::start_on(&database, &[&format!("--secrets-key={new}")]).await;
    let flow = asking(
        "lost",
        json!({"url": "http://127.0.0.1:1/{{ secrets.key }}"}),
    );
    let failed = ran(&server, flow).await;

    assert_eq!(failure(&failed), "SECRET_UNREADABLE");
    let message = &failed.error.as_ref().unwrap().message;
    assert!(message.contains(&key_id(&old)), "{message}");
    let line = server.log().line_with("a secret cannot be read").await;
    assert!(line.contains(&key_id(&old)), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_none_keep_the_service_from_starting() {
    let url = Database::migrated().await.url();
    let refused = run(
        &[
            "serve",
            "--listen=127.0.0.1:0",
            "--secrets-key=bm90IGEga2V5",
        ],
        &[("DATABASE_URL", &*url)],
    )
    .await;
    let told = String::from_utf8_lossy(&refused.stderr);

    assert!(!refused.status.success());
    assert!(told.contains("key 1 of SYNAPPS_SECRETS_KEY"), "{told}");
    assert!(!told.contains("bm90"), "{told}");
}
