//! Sealed values that are to be sealed with another key: those of all namespaces, for the operator.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Sealed;
use crate::ids::Namespace;
use crate::store::Result;
use crate::store::schema::secret_versions;

/// Where a sealed value lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose secret it is.
    pub namespace: Namespace,
    /// The secret.
    pub name: String,
    /// The version.
    pub version: i32,
}

/// A sealed value and its place.
#[derive(Clone, Debug)]
pub struct Resealable {
    /// Where it lies.
    pub place: Place,
    /// What lies there.
    pub sealed: Sealed,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    namespace: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    key_id: String,
    #[diesel(sql_type = diesel::sql_types::Binary)]
    sealed: Vec<u8>,
}

/// Values that are sealed with another key than this one, in the order of their places, after this place.
///
/// # Errors
///
/// As every query.
pub async fn not_sealed_with(
    conn: &mut AsyncPgConnection,
    key_id: &str,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Resealable>> {
    let (namespace, name, version) = after.map_or(("", "", 0), |place| {
        (place.namespace.as_str(), place.name.as_str(), place.version)
    });
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT namespace, name, version, key_id, sealed FROM secret_versions \
         WHERE key_id <> $1 AND (namespace, name, version) > ($2, $3, $4) \
         ORDER BY namespace, name, version LIMIT $5",
    )
    .bind::<Text, _>(key_id)
    .bind::<Text, _>(namespace)
    .bind::<Text, _>(name)
    .bind::<Integer, _>(version)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Resealable {
            place: Place {
                namespace: Namespace::new(row.namespace),
                name: row.name,
                version: row.version,
            },
            sealed: Sealed {
                key_id: row.key_id,
                bytes: row.sealed,
            },
        })
        .collect())
}

/// Puts a value in place of the same one under its old key; says whether it was still there. The value itself stays the
/// same, so that nobody who holds it in memory has to notice.
///
/// # Errors
///
/// As every query.
pub async fn reseal(
    conn: &mut AsyncPgConnection,
    old: &Resealable,
    sealed: &Sealed,
) -> Result<bool> {
    let place = &old.place;
    let version =
        secret_versions::table.find((place.namespace.as_str(), place.name.as_str(), place.version));
    let changed = diesel::update(version.filter(secret_versions::sealed.eq(&old.sealed.bytes)))
        .set((
            secret_versions::sealed.eq(&sealed.bytes),
            secret_versions::key_id.eq(&sealed.key_id),
        ))
        .execute(conn)
        .await?;
    Ok(changed > 0)
}
