//! The program on the command line: what it says of itself, and why it does not start.

use std::process::Output;

use tokio::net::TcpListener;

use crate::support::binary::{Binary, run};
use crate::support::cluster::Cluster;
use crate::support::database::Database;
use crate::support::proxy::Proxy;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The last line of a program that had to fail, which is where it says why.
#[track_caller]
fn complaint(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}

/// What `serve` says when it does not start with this database.
async fn refusal(url: &str) -> String {
    complaint(&run(&["serve", "--listen=127.0.0.1:0"], &[("DATABASE_URL", url)]).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_names_all_commands_and_each_of_them_its_variables() {
    let all = text(&run(&["--help"], &[]).await.stdout);
    let serve = text(&run(&["serve", "--help"], &[]).await.stdout);

    for command in ["serve", "migrate", "dev", "demo", "health"] {
        assert!(all.contains(command), "{all}");
    }
    for variable in [
        "DATABASE_URL",
        "SYNAPPS_LISTEN",
        "SYNAPPS_LEASE",
        "SYNAPPS_MAX_CONCURRENT_STEPS",
    ] {
        assert!(serve.contains(variable), "{serve}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_has_the_commit() {
    let output = run(&["--version"], &[]).await;

    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout).trim(),
        format!("synapps {}", synapps::cli::VERSION)
    );
    assert!(
        synapps::cli::VERSION.contains('('),
        "{}",
        synapps::cli::VERSION
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_out_of_bounds_is_a_usage_error_that_names_flag_and_bound() {
    let output = run(&["serve", "--lease=1s", "--database-url=unused"], &[]).await;

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("--lease") && said.contains("2s to 1m"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_to_listen_for_others_unless_that_is_said_to_be_meant() {
    let database = Database::migrated().await;
    let exposed = ["serve", "--listen=0.0.0.0:0"];

    let refused = complaint(&run(&exposed, &[("DATABASE_URL", &database.url())]).await);

    assert!(
        refused.contains("--insecure") && refused.contains("no access control"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let database = Database::migrated().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let arguments = ["serve", "--listen", &address];
    let refused = complaint(&run(&arguments, &[("DATABASE_URL", &database.url())]).await);

    assert!(
        refused.contains(&address) && refused.contains("use"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_url_is_explained_and_its_password_is_kept_quiet() {
    let refused = refusal("postgres://u:sesame@h:port/db").await;

    assert!(
        refused.contains("malformed") && refused.contains("postgres://user:password@"),
        "{refused}"
    );
    assert!(!refused.contains("sesame"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named_with_its_address() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);

    let refused = refusal(&format!("postgres://u:sesame@{address}/db")).await;

    assert!(
        refused.contains("no Postgres answers") && refused.contains(&address.to_string()),
        "{refused}"
    );
    assert!(!refused.contains("sesame"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_and_a_user_that_are_not_there_are_named() {
    let no_database = refusal(&Cluster::get().url("nowhere")).await;
    let no_user = refusal(
        &Cluster::get()
            .url("postgres")
            .replace("synapps@", "nobody@"),
    )
    .await;

    assert!(no_database.contains("createdb nowhere"), "{no_database}");
    assert!(no_user.contains("\"nobody\""), "{no_user}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_database_that_would_lose_runs_are_refused() {
    let mut refusals = Vec::new();
    for setting in [
        "synchronous_commit = off",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
    ] {
        let database = Database::migrated().await;
        let set = format!("ALTER DATABASE {} SET {setting}", database.name());
        database.sql().await.batch_execute(&set).await.unwrap();
        refusals.push(refusal(&database.url()).await);
    }

    let [durability, isolation, standby] = &refusals[..] else {
        unreachable!("three were asked for");
    };
    assert!(
        durability.contains("RESET synchronous_commit"),
        "{durability}"
    );
    assert!(isolation.contains("read committed"), "{isolation}");
    assert!(standby.contains("takes no writes"), "{standby}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_refused_with_its_version() {
    let database = Database::migrated().await;
    let proxy = Proxy::start().await;
    // No old server is at hand. The question is answered as one would: a function of the same name comes first.
    let old = format!(
        "CREATE SCHEMA old; CREATE FUNCTION old.current_setting(name text) RETURNS text LANGUAGE sql AS \
         $$ SELECT CASE name WHEN 'server_version_num' THEN '140010' WHEN 'server_version' THEN '14.10' \
         ELSE pg_catalog.current_setting(name) END $$; ALTER DATABASE {} SET search_path = old, pg_catalog, public",
        database.name()
    );
    database.sql().await.batch_execute(&old).await.unwrap();

    let refused = refusal(&proxy.url(&database)).await;

    assert!(
        refused.contains("14.10") && refused.contains("15 or newer"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_runs_what_is_pending_and_says_so() {
    let database = Database::empty().await;
    let url = database.url();
    let migrate = |flags: &'static [&'static str]| {
        let url = url.clone();
        async move { run(&[&["migrate"], flags].concat(), &[("DATABASE_URL", &url)]).await }
    };

    let before = migrate(&["--status"]).await;
    let first = migrate(&[]).await;
    let second = migrate(&[]).await;
    let after = migrate(&["--status"]).await;

    assert_eq!(before.status.code(), Some(1));
    assert!(
        text(&before.stdout).contains("pending"),
        "{}",
        text(&before.stdout)
    );
    assert!(
        text(&first.stdout).contains("migrated"),
        "{}",
        text(&first.stderr)
    );
    assert_eq!(text(&second.stdout), "the schema is up to date\n");
    assert!(after.status.success());
    assert!(
        !text(&after.stdout).contains("pending"),
        "{}",
        text(&after.stdout)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_in_order_and_its_executor_is_retired() {
    let mut binary = Binary::start(&[]).await;
    let address = binary.address().to_string();

    let healthy = run(&["health", "--address", &address], &[]).await;
    let status = binary.terminate().await;
    let gone = run(&["health", "--address", &address, "--timeout=1s"], &[]).await;

    assert_eq!(text(&healthy.stdout), "SERVING\n");
    assert!(status.success(), "{status}: {}", binary.log().text());
    assert!(!gone.status.success());
    let retired = "SELECT bool_and(retired) FROM executors";
    let retired = binary
        .database()
        .sql()
        .await
        .query_one(retired, &[])
        .await
        .unwrap();
    assert!(retired.get::<_, bool>(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_again_on_the_same_address_after_it_was_killed() {
    let mut binary = Binary::start(&[]).await;
    let address = binary.address();
    binary.kill().await;

    let again = binary.restart().await;

    assert_eq!(again.address(), address);
    let executors = again
        .database()
        .sql()
        .await
        .query_one("SELECT count(*) FROM executors", &[])
        .await
        .unwrap();
    assert_eq!(
        executors.get::<_, i64>(0),
        2,
        "each start is an executor of its own"
    );
}
