//! `synapps dev` makes a key of its own for secrets and keeps it beside its data.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Parser;
use serde_json::json;
use synapps::cli::{Cli, Command};
use synapps::dev::{self, Dev};
use synapps::proto::RunState;

use super::echo::Echo;
use super::{asking, ran, store};
use crate::support::calls::Calls;

/// The service as `synapps dev` starts it with this directory.
async fn start(directory: &Path) -> (Dev, Calls) {
    let directory = format!("--data-dir={}", directory.display());
    let cli = Cli::parse_from([
        "synapps",
        "dev",
        "--listen=127.0.0.1:0",
        "--code-probe=false",
        &directory,
    ]);
    let Command::Dev(arguments) = cli.command else {
        panic!("dev was asked for");
    };
    let place = dev::place(&arguments.private).unwrap();
    let start = Dev::start(
        arguments.listen,
        place,
        &arguments.private,
        arguments.common,
    );
    let dev = Box::pin(start).await.unwrap();
    let calls = Calls::to(dev.server().address());
    (dev, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn its_secrets_outlast_a_restart_and_only_its_user_reads_the_key() {
    let echo = Echo::start().await;
    let directory = tempfile::tempdir().unwrap();
    // Root's Postgres runs as somebody else, who has to get to its data.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let data = directory.path().join("data");
    let flow = |id: &str| {
        let headers = json!({"X-Key": "{{ secrets.kept }}"});
        asking(id, json!({"url": echo.url("/json"), "headers": headers}))
    };

    let (dev, server) = start(&data).await;
    store(&server, "kept", "kept-over-the-restart").await;
    let before = ran(&server, flow("before")).await;
    let path = dev.cluster().dir().join("secrets.key");
    let key = fs::read_to_string(&path).unwrap();
    dev.stop().await.unwrap();
    let (dev, server) = start(&data).await;
    let after = ran(&server, flow("after")).await;
    dev.stop().await.unwrap();

    assert_eq!(before.state(), RunState::Succeeded, "{before:?}");
    assert_eq!(after.state(), RunState::Succeeded, "{after:?}");
    assert!(
        echo.seen()
            .iter()
            .all(|seen| seen.contains("kept-over-the-restart"))
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), key);
    assert!(!path.with_extension("new").exists());
}
