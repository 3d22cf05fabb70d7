//! The schema: made, taken away and made again, by one migrator at a time.

use synapps::server::Error;
use synapps::store::migrate;

use crate::support::database::Database;
use crate::support::server::TestServer;
use crate::support::within;

/// The tables and indexes that are there, without those of partitions and of the migrations themselves.
async fn relations(database: &Database) -> Vec<String> {
    let rows = database
        .sql()
        .await
        .query(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND NOT relispartition \
             AND relname NOT LIKE '\\_\\_diesel%' ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_goes_up_and_down_and_up_again() {
    let database = Database::empty().await;
    let store = database.store().await;

    let first = migrate::run(&store).await.unwrap();
    let up = relations(&database).await;
    let again = migrate::run(&store).await.unwrap();
    let mut reverted = migrate::revert_all(&store).await.unwrap();
    let down = relations(&database).await;
    let second = migrate::run(&store).await.unwrap();

    assert!(up.iter().any(|name| name == "workflow_runs"), "{up:?}");
    assert_eq!(again, Vec::<String>::new());
    reverted.reverse();
    assert_eq!(reverted, first);
    assert_eq!(down, Vec::<String>::new());
    assert_eq!(second, first);
    assert_eq!(relations(&database).await, up);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_migrators_that_start_together_one_does_all_and_the_others_wait() {
    let database = Database::empty().await;
    let store = database.store().await;

    let migrators: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { migrate::run(&store).await.unwrap() })
        })
        .collect();
    let mut applied = Vec::new();
    for migrator in migrators {
        applied.push(within("a migrator", migrator).await.unwrap());
    }

    let status = migrate::status(&store).await.unwrap();
    assert_eq!(status.pending, Vec::<String>::new());
    applied.retain(|versions| !versions.is_empty());
    assert_eq!(applied, vec![status.applied]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_migrate_refuses_an_old_schema_and_says_what_to_run() {
    let database = Database::empty().await;

    let refused = TestServer::builder()
        .database(&database)
        .flag("--migrate=off")
        .try_start()
        .await;

    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("pending") && text.contains("synapps migrate"),
        "{text}"
    );
    assert_eq!(relations(&database).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_migrates_an_empty_database_and_makes_room_for_history() {
    let server = TestServer::builder()
        .database(&Database::empty().await)
        .start()
        .await;

    let partitions = server
        .sql()
        .await
        .query_one(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'run_events'::regclass",
            &[],
        )
        .await
        .unwrap();
    let partitions: i64 = partitions.get(0);
    assert!(
        partitions >= 3,
        "the current one and two ahead, not {partitions}"
    );
    assert!(!server.server().about().schema.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_a_newer_version_has_added_to_is_taken_as_it_is() {
    let database = Database::migrated().await;
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')";
    database.sql().await.execute(newer, &[]).await.unwrap();

    let server = TestServer::builder()
        .database(&database)
        .flag("--migrate=off")
        .start()
        .await;

    let status = migrate::status(&database.store().await).await.unwrap();
    assert_eq!(status.unknown, ["20991231000000"]);
    server.stop().await;
}
