//! Secrets: what is known of them, and their sealed values.
//!
//! Each write that changes what steps may use gives the secret another `edition`, in the same transaction, by which
//! processes notice that what they hold in memory is old.

mod reseal;

use chrono::{DateTime, Utc};
use diesel::dsl::{now, sql};
use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

pub use self::reseal::{Place, Resealable, not_sealed_with, reseal};
use super::schema::{secret_versions, secrets};
use super::{Error, Result};
use crate::ids::Namespace;

/// How many versions of a secret are kept: a further one replaces the oldest.
pub const MAX_VERSIONS: i64 = 20;

/// What is known of a secret beside its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// What flows call it.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Hosts that its values are sent to; empty for any.
    pub hosts: Vec<String>,
    /// The number of the newest version.
    pub latest_version: i32,
    /// Those that are kept, newest first.
    pub versions: Vec<Version>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When anything in it last changed.
    pub updated_at: DateTime<Utc>,
}

/// One value of a secret, without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Counted from 1.
    pub number: i32,
    /// Whether steps may use it.
    pub enabled: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// A sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key that it is sealed with.
    pub key_id: String,
    /// Nonce, sealed value and tag.
    pub bytes: Vec<u8>,
}

/// A secret with all its sealed values, for those who can open them.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What flows call it.
    pub name: String,
    /// Another one after each change.
    pub edition: Uuid,
    /// Hosts that its values are sent to; empty for any.
    pub hosts: Vec<String>,
    /// Number, whether it is enabled, and the sealed value; newest first.
    pub versions: Vec<(i32, bool, Sealed)>,
}

/// What a new secret is to be.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// What flows are to call it.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// Hosts that its values are sent to.
    pub hosts: &'a [String],
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = secrets, check_for_backend(diesel::pg::Pg))]
struct Row {
    name: String,
    description: String,
    hosts: Value,
    latest_version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn hosts_from(hosts: Value, name: &str) -> Result<Vec<String>> {
    serde_json::from_value(hosts)
        .map_err(|error| Error::Corrupt(format!("the hosts of secret {name}: {error}")))
}

/// Stores a new secret with its first version. Of two that create the same name at once, one is refused.
///
/// # Errors
///
/// [`Error::SecretExists`]; nothing was stored.
pub async fn create(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    content: Content<'_>,
    first: &Sealed,
) -> Result<Secret> {
    conn.transaction(async |conn| {
        let inserted = diesel::insert_into(secrets::table)
            .values((
                secrets::namespace.eq(namespace.as_str()),
                secrets::name.eq(content.name),
                secrets::description.eq(content.description),
                secrets::hosts.eq(Value::from(content.hosts)),
                secrets::latest_version.eq(1),
            ))
            .on_conflict_do_nothing()
            .execute(conn)
            .await?;
        if inserted == 0 {
            return Err(Error::SecretExists(content.name.to_owned()));
        }
        insert(conn, namespace, content.name, 1, first).await?;
        get(conn, namespace, content.name).await
    })
    .await
}

async fn insert(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    name: &str,
    number: i32,
    sealed: &Sealed,
) -> Result<()> {
    diesel::insert_into(secret_versions::table)
        .values((
            secret_versions::namespace.eq(namespace.as_str()),
            secret_versions::name.eq(name),
            secret_versions::version.eq(number),
            secret_versions::sealed.eq(&sealed.bytes),
            secret_versions::key_id.eq(&sealed.key_id),
            secret_versions::enabled.eq(true),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Adds a version, which `seal` makes for its number, and removes the oldest beyond [`MAX_VERSIONS`]. Two that add at
/// once get numbers one after the other.
///
/// # Errors
///
/// [`Error::SecretNotFound`].
pub async fn add_version(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    name: &str,
    seal: impl FnOnce(i32) -> Sealed + Send,
) -> Result<Secret> {
    conn.transaction(async |conn| {
        let latest: i32 = diesel::update(secrets::table.find((namespace.as_str(), name)))
            .set((
                secrets::latest_version.eq(secrets::latest_version + 1),
                secrets::edition.eq(sql::<SqlUuid>("gen_random_uuid()")),
                secrets::updated_at.eq(now),
            ))
            .returning(secrets::latest_version)
            .get_result(conn)
            .await
            .optional()?
            .ok_or_else(|| Error::SecretNotFound(name.to_owned()))?;
        insert(conn, namespace, name, latest, &seal(latest)).await?;
        let kept = i32::try_from(MAX_VERSIONS).unwrap_or(i32::MAX);
        diesel::delete(
            secret_versions::table
                .filter(secret_versions::namespace.eq(namespace.as_str()))
                .filter(secret_versions::name.eq(name))
                .filter(secret_versions::version.le(latest.saturating_sub(kept))),
        )
        .execute(conn)
        .await?;
        get(conn, namespace, name).await
    })
    .await
}

/// A secret without its values.
///
/// # Errors
///
/// [`Error::SecretNotFound`].
pub async fn get(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    name: &str,
) -> Result<Secret> {
    let row: Option<Row> = secrets::table
        .find((namespace.as_str(), name))
        .select(Row::as_select())
        .first(conn)
        .await
        .optional()?;
    let row = row.ok_or_else(|| Error::SecretNotFound(name.to_owned()))?;
    let mut found = with_versions(conn, namespace, vec![row]).await?;
    found
        .pop()
        .ok_or_else(|| Error::SecretNotFound(name.to_owned()))
}

/// Secrets in the order of their names, after this one.
///
/// # Errors
///
/// As every query.
pub async fn list(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Secret>> {
    // No name is empty.
    let rows: Vec<Row> = secrets::table
        .filter(secrets::namespace.eq(namespace.as_str()))
        .filter(secrets::name.gt(after.unwrap_or_default()))
        .order(secrets::name)
        .limit(limit)
        .select(Row::as_select())
        .load(conn)
        .await?;
    with_versions(conn, namespace, rows).await
}

async fn with_versions(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    rows: Vec<Row>,
) -> Result<Vec<Secret>> {
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let versions: Vec<(String, i32, bool, DateTime<Utc>)> = secret_versions::table
        .filter(secret_versions::namespace.eq(namespace.as_str()))
        .filter(secret_versions::name.eq_any(names))
        .order(secret_versions::version.desc())
        .select((
            secret_versions::name,
            secret_versions::version,
            secret_versions::enabled,
            secret_versions::created_at,
        ))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            let own = versions.iter().filter(|version| version.0 == row.name);
            Ok(Secret {
                versions: own
                    .map(|&(_, number, enabled, created_at)| Version {
                        number,
                        enabled,
                        created_at,
                    })
                    .collect(),
                hosts: hosts_from(row.hosts, &row.name)?,
                name: row.name,
                description: row.description,
                latest_version: row.latest_version,
                created_at: row.created_at,
                updated_at: row.updated_at,
            })
        })
        .collect()
}

/// Whether steps may use a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// They may.
    Enabled,
    /// They may not, until it is enabled again.
    Disabled,
}

/// Enables or disables one version, or all that are kept. A repeated call changes nothing.
///
/// # Errors
///
/// [`Error::SecretNotFound`], [`Error::SecretVersionNotFound`].
pub async fn set_use(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    name: &str,
    version: Option<i32>,
    wanted: Use,
) -> Result<Secret> {
    conn.transaction(async |conn| {
        let latest: i32 = secrets::table
            .find((namespace.as_str(), name))
            .select(secrets::latest_version)
            .for_update()
            .first(conn)
            .await
            .optional()?
            .ok_or_else(|| Error::SecretNotFound(name.to_owned()))?;
        let (from, to) = version.map_or((1, latest), |version| (version, version));
        let own = secret_versions::table
            .filter(secret_versions::namespace.eq(namespace.as_str()))
            .filter(secret_versions::name.eq(name))
            .filter(secret_versions::version.between(from, to));
        let found: i64 = own.count().get_result(conn).await?;
        if found == 0 {
            return Err(Error::SecretVersionNotFound {
                name: name.to_owned(),
                version: from,
                latest,
            });
        }
        let enabled = wanted == Use::Enabled;
        let changed = diesel::update(own.filter(secret_versions::enabled.ne(enabled)))
            .set(secret_versions::enabled.eq(enabled))
            .execute(conn)
            .await?;
        if changed > 0 {
            diesel::update(secrets::table.find((namespace.as_str(), name)))
                .set((
                    secrets::edition.eq(sql::<SqlUuid>("gen_random_uuid()")),
                    secrets::updated_at.eq(now),
                ))
                .execute(conn)
                .await?;
        }
        get(conn, namespace, name).await
    })
    .await
}

/// Deletes a secret with all its values.
///
/// # Errors
///
/// [`Error::SecretNotFound`].
pub async fn delete(conn: &mut AsyncPgConnection, namespace: &Namespace, name: &str) -> Result<()> {
    let deleted = diesel::delete(secrets::table.find((namespace.as_str(), name)))
        .execute(conn)
        .await?;
    if deleted == 0 {
        return Err(Error::SecretNotFound(name.to_owned()));
    }
    Ok(())
}

/// The editions of those of these secrets that there are.
///
/// # Errors
///
/// As every query.
pub async fn editions(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    names: &[&str],
) -> Result<Vec<(String, Uuid)>> {
    Ok(secrets::table
        .filter(secrets::namespace.eq(namespace.as_str()))
        .filter(secrets::name.eq_any(names))
        .select((secrets::name, secrets::edition))
        .load(conn)
        .await?)
}

/// Those of these secrets that there are, with their sealed values. One snapshot.
///
/// # Errors
///
/// As every query.
pub async fn sealed(
    conn: &mut AsyncPgConnection,
    namespace: &Namespace,
    names: &[&str],
) -> Result<Vec<Stored>> {
    type Joined = (String, Uuid, Value, i32, bool, String, Vec<u8>);
    let rows: Vec<Joined> = secrets::table
        .inner_join(
            secret_versions::table.on(secret_versions::namespace
                .eq(secrets::namespace)
                .and(secret_versions::name.eq(secrets::name))),
        )
        .filter(secrets::namespace.eq(namespace.as_str()))
        .filter(secrets::name.eq_any(names))
        .order((secrets::name, secret_versions::version.desc()))
        .select((
            secrets::name,
            secrets::edition,
            secrets::hosts,
            secret_versions::version,
            secret_versions::enabled,
            secret_versions::key_id,
            secret_versions::sealed,
        ))
        .load(conn)
        .await?;
    let mut found: Vec<Stored> = Vec::new();
    for (name, edition, hosts, number, enabled, key_id, bytes) in rows {
        let version = (number, enabled, Sealed { key_id, bytes });
        match found.last_mut() {
            Some(last) if last.name == name => last.versions.push(version),
            _ => found.push(Stored {
                hosts: hosts_from(hosts, &name)?,
                name,
                edition,
                versions: vec![version],
            }),
        }
    }
    Ok(found)
}
