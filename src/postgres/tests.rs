//! Real clusters: made, stopped, found again, taken over.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

fn options(place: Place) -> Options {
    Options {
        place,
        durability: Durability::None,
        programs: None,
        search_path: crate::config::search_path(),
    }
}

/// A directory that the user of the server can enter, even if these tests run as root.
fn open_tempdir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

async fn number(cluster: &PrivateCluster, query: &str) -> i32 {
    let client = cluster.connect("kept").await.unwrap();
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn data_is_kept_between_starts() {
    let temp = open_tempdir();
    let place = Place::Kept(temp.path().join("postgres"));

    let cluster = PrivateCluster::start(options(place.clone())).await.unwrap();
    cluster.ensure_database("kept").await.unwrap();
    let client = cluster.connect("kept").await.unwrap();
    client
        .batch_execute("CREATE TABLE t AS SELECT 7 AS n")
        .await
        .unwrap();
    cluster.stop().await;

    let cluster = PrivateCluster::start(options(place)).await.unwrap();
    cluster.ensure_database("kept").await.unwrap();
    assert_eq!(number(&cluster, "SELECT n FROM t").await, 7);
    cluster.stop().await;
}

#[tokio::test]
async fn an_ephemeral_cluster_answers_by_its_url_and_leaves_nothing() {
    let cluster = PrivateCluster::start(options(Place::Ephemeral))
        .await
        .unwrap();
    let dir = cluster.dir().to_owned();
    let (client, connection) = tokio_postgres::connect(&cluster.url("postgres"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let row = client.query_one("SHOW listen_addresses", &[]).await;
    let listens: String = row.unwrap().get(0);

    cluster.stop().await;

    assert_eq!(listens, "");
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_second_start_on_the_same_data_is_refused() {
    let temp = open_tempdir();
    let place = Place::Kept(temp.path().join("postgres"));
    let first = PrivateCluster::start(options(place.clone())).await.unwrap();

    let error = PrivateCluster::start(options(place)).await.unwrap_err();

    assert!(error.to_string().contains("in use by another synapps"));
    first.stop().await;
}

#[tokio::test]
async fn a_server_that_was_left_behind_is_replaced() {
    let temp = open_tempdir();
    let place = Place::Kept(temp.path().join("postgres"));
    let made = PrivateCluster::start(options(place.clone())).await.unwrap();
    made.ensure_database("kept").await.unwrap();
    let (data, run) = (made.dir().join("data"), made.socket_dir().to_owned());
    made.stop().await;
    let mut orphan = start_orphan(&data, &run);

    let cluster = PrivateCluster::start(options(place)).await.unwrap();

    let status = orphan.try_wait().unwrap();
    assert!(status.is_some(), "the orphan still runs");
    assert_eq!(number(&cluster, "SELECT 1").await, 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_no_obstacle() {
    let temp = open_tempdir();
    let place = Place::Kept(temp.path().join("postgres"));
    let made = PrivateCluster::start(options(place.clone())).await.unwrap();
    let data = made.dir().join("data");
    made.stop().await;
    let stranger = std::process::id();
    std::fs::write(
        data.join("postmaster.pid"),
        format!("{stranger}\n{}\n", data.display()),
    )
    .unwrap();

    let cluster = PrivateCluster::start(options(place)).await.unwrap();

    cluster.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let temp = open_tempdir();
    let place = Place::Kept(temp.path().join("postgres"));
    let made = PrivateCluster::start(options(place.clone())).await.unwrap();
    let data = made.dir().join("data");
    made.stop().await;
    std::fs::write(data.join("postgresql.auto.conf"), "no_such_setting = 1\n").unwrap();

    let error = PrivateCluster::start(options(place)).await.unwrap_err();

    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

/// A server that no keeper stops, as a killed process leaves it where the kernel does not help.
fn start_orphan(data: &Path, socket: &Path) -> Child {
    let programs = Programs::find(&crate::config::search_path(), None).unwrap();
    let mut command = Command::new(programs.postgres);
    command
        .arg("-D")
        .arg(data)
        .arg("-k")
        .arg(socket)
        .args(["-p", "5432", "-c", "listen_addresses="])
        .current_dir(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(account) = Account::for_data(data).unwrap() {
        account.apply(&mut command);
    }
    let child = command.spawn().unwrap();
    while !socket.join(".s.PGSQL.5432").exists() {
        std::thread::sleep(START_POLL);
    }
    child
}
