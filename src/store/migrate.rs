//! Runs the migrations, which are embedded in the binary.
//!
//! One migrator at a time, by an advisory lock that its session holds: a second one waits and then finds nothing to
//! do. Migrations have no statement timeout, because an index on a large table takes its time.

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::preflight::Error as Setup;
use super::{Error, Result, Store};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Key of the lock: "synapps" in ASCII, so that it meets no other service's in a shared database by chance.
const LOCK: i64 = 0x0073_796e_6170_7073;

/// How the schema of the database and that of the binary compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Migrations of the binary that the database has not had, oldest first.
    pub pending: Vec<String>,
    /// Migrations that the database has had, oldest first.
    pub applied: Vec<String>,
    /// Those of them that the binary does not know: a newer binary was here. That is allowed, because migrations add
    /// first and remove in a later release.
    pub unknown: Vec<String>,
}

/// Compares the schemas; changes nothing, not even in an empty database.
///
/// # Errors
///
/// [`Error::Unavailable`], or [`Error::Database`] when the role may not read the table of migrations.
pub async fn status(store: &Store) -> Result<Status> {
    use diesel::sql_types::Text;
    use diesel_async::RunQueryDsl;

    #[derive(diesel::QueryableByName)]
    struct Applied {
        #[diesel(sql_type = Text)]
        version: String,
    }
    #[derive(diesel::QueryableByName)]
    struct Exists {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        exists: bool,
    }

    let mut conn = store.conn().await?;
    let table =
        diesel::sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS exists")
            .get_result::<Exists>(&mut *conn)
            .await?;
    let applied: Vec<String> = if table.exists {
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version")
            .load::<Applied>(&mut *conn)
            .await?
            .into_iter()
            .map(|row| row.version)
            .collect()
    } else {
        Vec::new()
    };
    let known = embedded()?;
    Ok(Status {
        pending: known
            .iter()
            .filter(|(version, _)| !applied.contains(version))
            .map(|(_, name)| name.clone())
            .collect(),
        unknown: applied
            .iter()
            .filter(|version| !known.iter().any(|(known, _)| known == *version))
            .cloned()
            .collect(),
        applied,
    })
}

/// Fails when more than the last migration is pending.
///
/// A binary works on the schema before its own, so that a fleet can be brought to a new version before or after its
/// schema: what a migration adds is used only by the release after it, or only where it is there. What newer binaries
/// have added is none of our business.
///
/// # Errors
///
/// [`Setup::PendingMigrations`], or what [`status`] fails with.
pub async fn check(store: &Store) -> Result<Status> {
    let status = status(store).await?;
    match &*status.pending {
        [] => Ok(status),
        [last] if embedded()?.last().is_some_and(|(_, name)| name == last) => {
            tracing::warn!(
                migration.name = last,
                "the schema is one migration behind this version, which works all the same; run `synapps migrate`"
            );
            Ok(status)
        }
        _ => Err(Setup::PendingMigrations(status.pending).into()),
    }
}

/// Runs all pending migrations, each in a transaction of its own, and gives their versions, oldest first.
///
/// Waits while another migrator is at work. Needs the multi-threaded runtime of tokio.
///
/// # Errors
///
/// [`Setup::Migration`] names the one that failed; those before it stay.
pub async fn run(store: &Store) -> Result<Vec<String>> {
    locked(store, |harness| {
        harness
            .run_pending_migrations(MIGRATIONS)
            .map(|all| names(&all))
    })
    .await
}

/// Reverts the last migration and gives its version. For tests of what works on the schema before it.
///
/// # Errors
///
/// As for [`run`].
pub async fn revert_last(store: &Store) -> Result<String> {
    let reverted = locked(store, |harness| {
        let version = harness.revert_last_migration(MIGRATIONS)?;
        Ok(vec![version.to_string()])
    });
    Ok(reverted.await?.remove(0))
}

/// Reverts all migrations, newest first: the tables are gone with all that is in them. For tests of `down.sql`.
///
/// # Errors
///
/// As for [`run`].
pub async fn revert_all(store: &Store) -> Result<Vec<String>> {
    locked(store, |harness| {
        harness
            .revert_all_migrations(MIGRATIONS)
            .map(|all| names(&all))
    })
    .await
}

async fn locked(
    store: &Store,
    work: impl FnOnce(
        &mut AsyncMigrationHarness<AsyncPgConnection>,
    ) -> diesel::migration::Result<Vec<String>>,
) -> Result<Vec<String>> {
    let mut conn = store.dedicated().await?;
    conn.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        .await?;
    conn.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))
        .await?;
    let mut harness = AsyncMigrationHarness::new(conn);
    let done = work(&mut harness);
    // The lock goes with the session.
    drop(harness.into_inner());
    done.map_err(|error| Error::Setup(Setup::Migration(super::error::text(&*error))))
}

fn names(versions: &[MigrationVersion<'_>]) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}

/// Version and name of each migration of the binary, oldest first.
fn embedded() -> Result<Vec<(String, String)>> {
    let migrations: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS
        .migrations()
        .map_err(|error| Error::Setup(Setup::Migration(error.to_string())))?;
    let mut all: Vec<(String, String)> = migrations
        .iter()
        .map(|migration| {
            let name = migration.name();
            (name.version().to_string(), name.to_string())
        })
        .collect();
    all.sort();
    Ok(all)
}
