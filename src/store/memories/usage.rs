//! How much is kept, counted as it is written: counting it anew would take as long as there are entries.
//!
//! The counters of a collection, and those of a namespace under the collection `''`, are spread over sixteen rows by
//! key, so that concurrent writes rarely queue for one. Only their sum means anything.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Collection;
use crate::store::Result;
use crate::value::canonical;

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct Kept {
    /// Entries of the collection.
    #[diesel(sql_type = BigInt)]
    pub entries: i64,
    /// Bytes of the whole namespace.
    #[diesel(sql_type = BigInt)]
    pub size_bytes: i64,
}

/// The row that counts a key.
pub(super) fn shard(key: &str) -> i16 {
    i16::from(canonical::digest(key.as_bytes())[0] & 0xf)
}

/// What is kept by all that has committed.
///
/// # Errors
///
/// As every query.
pub async fn kept(conn: &mut AsyncPgConnection, at: &Collection) -> Result<Kept> {
    Ok(diesel::sql_query(
        "SELECT coalesce(sum(entries) FILTER (WHERE collection = $2), 0)::bigint AS entries, \
         coalesce(sum(size_bytes) FILTER (WHERE collection = ''), 0)::bigint AS size_bytes \
         FROM memory_usage WHERE namespace = $1 AND collection IN ('', $2)",
    )
    .bind::<Text, _>(at.namespace.as_str())
    .bind::<Text, _>(&at.name)
    .get_result(conn)
    .await?)
}

/// Adds entries and bytes, in the transaction that writes or removes them and after that.
pub(super) async fn add(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    shard: i16,
    (entries, size_bytes): (i64, i64),
) -> Result<()> {
    if (entries, size_bytes) == (0, 0) {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO memory_usage (namespace, collection, shard, entries, size_bytes) \
         VALUES ($1, $2, $3, $4, $5), ($1, '', $3, $4, $5) \
         ON CONFLICT (namespace, collection, shard) DO UPDATE \
         SET entries = memory_usage.entries + excluded.entries, size_bytes = memory_usage.size_bytes + excluded.size_bytes",
    )
    .bind::<Text, _>(at.namespace.as_str())
    .bind::<Text, _>(&at.name)
    .bind::<SmallInt, _>(shard)
    .bind::<BigInt, _>(entries)
    .bind::<BigInt, _>(size_bytes)
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the counters of a collection that has no entries, so that collections that come and go leave nothing.
///
/// # Errors
///
/// As every query.
pub async fn forget_if_empty(conn: &mut AsyncPgConnection, at: &Collection) -> Result<()> {
    // One statement: a shard that somebody else is adding is not in its snapshot, has a sum of its own, and stays.
    diesel::sql_query(
        "WITH rows AS (SELECT shard, entries, size_bytes FROM memory_usage WHERE namespace = $1 AND collection = $2 \
         ORDER BY shard FOR UPDATE) \
         DELETE FROM memory_usage u USING rows r WHERE u.namespace = $1 AND u.collection = $2 AND u.shard = r.shard \
         AND (SELECT sum(entries) FROM rows) = 0 AND (SELECT sum(size_bytes) FROM rows) = 0",
    )
    .bind::<Text, _>(at.namespace.as_str())
    .bind::<Text, _>(&at.name)
    .execute(conn)
    .await?;
    Ok(())
}
