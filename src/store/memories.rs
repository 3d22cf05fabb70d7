//! What `memory` nodes keep: entries by key, within collections, within namespaces.
//!
//! Every write also moves [`usage`], in its own transaction: first the entry, then the counters of its collection,
//! then those of its namespace, so that writers never wait for each other in a circle.

pub mod search;
pub mod usage;
pub mod vectors;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Json, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::Result;
use super::schema::memories;
use crate::ids::Namespace;
use crate::value::canonical;

/// How many of the last writes an entry knows again.
pub const MAX_WRITERS: usize = 8;

/// A part of a namespace, as the authors of flows name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Whose it is.
    pub namespace: Namespace,
    /// Its name: 1 to 200 characters.
    pub name: String,
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Queryable, QueryableByName)]
#[diesel(table_name = memories)]
pub struct Entry {
    /// Its name in the collection.
    pub key: String,
    /// What was stored.
    pub value: Value,
    /// As they were given.
    #[diesel(sql_type = Array<Text>)]
    pub tags: Vec<String>,
    /// The run that wrote it last.
    pub run_id: Uuid,
    /// The node that wrote it last.
    pub node_id: String,
    /// When there was first something under this key.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// What is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// Its name in the collection: 1 to 200 characters.
    pub key: &'a str,
    /// The value.
    pub value: &'a Value,
    /// Tags, none twice.
    pub tags: &'a [String],
    /// A text search configuration that the database has.
    pub language: &'a str,
    /// What it is found by: the texts of the value.
    pub text: &'a str,
    /// What it is found by too, with less weight: key and tags.
    pub aside: &'a str,
    /// What counts against the limit of the namespace.
    pub size_bytes: i64,
    /// Names this write: the same for each attempt at it.
    pub writer: &'a str,
    /// The run that writes.
    pub run_id: Uuid,
    /// The node that writes.
    pub node_id: &'a str,
    /// What it is found by where there are vectors.
    pub vector: Option<&'a vectors::Vector>,
}

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most entries of a collection.
    pub entries: i64,
    /// The most bytes of a namespace: values, keys and tags as compact JSON.
    pub size_bytes: i64,
}

impl Default for Limits {
    /// 100,000 entries, 1 GiB.
    fn default() -> Self {
        Self {
            entries: 100_000,
            size_bytes: 1 << 30,
        }
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Now,
    /// The same write had been done before; nothing has changed.
    Before,
    /// The collection holds as many entries as it may.
    FullOfEntries,
    /// The namespace holds as many bytes as it may; so many are left.
    FullOfBytes(i64),
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct Removed {
    /// How many entries.
    #[diesel(sql_type = BigInt)]
    pub entries: i64,
    /// Their bytes.
    #[diesel(sql_type = BigInt)]
    pub size_bytes: i64,
}

/// The columns of [`Entry`], of a table that is called `m`.
const COLUMNS: &str = "m.key, m.value, m.tags, m.run_id, m.node_id, m.created_at, m.updated_at";

/// What `words` is made of: marks, the language, and the two texts.
macro_rules! words {
    ($marks:literal, $language:literal, $text:literal, $aside:literal) => {
        concat!(
            "array_to_tsvector(",
            $marks,
            ") || setweight(to_tsvector(",
            $language,
            "::regconfig, ",
            $text,
            "), 'A') || setweight(to_tsvector(",
            $language,
            "::regconfig, ",
            $aside,
            "), 'B')"
        )
    };
}

impl Collection {
    /// What stands among the words of every entry of the collection, and with a tag, of those that have the tag. No
    /// text gives such a word, because none begins with an equals sign.
    fn mark(&self, tag: Option<&str>) -> String {
        let parts = serde_json::json!([self.namespace.as_str(), self.name, tag]);
        format!("={}", &canonical::hash(&parts)[..32])
    }

    fn marks(&self, tags: &[String]) -> Vec<String> {
        let of_tags = tags.iter().map(|tag| self.mark(Some(tag)));
        std::iter::once(self.mark(None)).chain(of_tags).collect()
    }
}

/// The entry under a key.
///
/// # Errors
///
/// As every query.
pub async fn find(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    key: &str,
) -> Result<Option<Entry>> {
    Ok(memories::table
        .filter(memories::namespace.eq(at.namespace.as_str()))
        .filter(memories::collection.eq(&at.name))
        .filter(memories::key.eq(key))
        .select((
            memories::key,
            memories::value,
            // No tag is null, which the type of an array cannot say.
            diesel::dsl::sql::<Array<Text>>("tags"),
            memories::run_id,
            memories::node_id,
            memories::created_at,
            memories::updated_at,
        ))
        .first(conn)
        .await
        .optional()?)
}

/// Stores an entry in place of what its key held, unless the same write is among the last [`MAX_WRITERS`] of it.
///
/// Of concurrent writes of one key the last one stays. The limits are checked against what is committed: writes that
/// are under way at the same time may together pass them, each by itself.
///
/// # Errors
///
/// As every query; nothing is stored then.
pub async fn put(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    writing: &Writing<'_>,
    limits: Limits,
) -> Result<Put> {
    conn.transaction(async |conn| {
        loop {
            let before = lock(conn, at, writing.key).await?;
            let put = match &before {
                Some((_, writers)) if writers.iter().any(|writer| writer == writing.writer) => {
                    Put::Before
                }
                _ => check(conn, at, writing, before.as_ref(), limits).await?,
            };
            if put != Put::Now {
                return Ok(put);
            }
            let change = if let Some((size_bytes, _)) = before {
                update(conn, at, writing).await?;
                (0, writing.size_bytes - size_bytes)
            } else if insert(conn, at, writing).await? {
                (1, writing.size_bytes)
            } else {
                // Somebody else was faster: now it is there to be locked.
                continue;
            };
            if let Some(vector) = writing.vector {
                vectors::put(conn, at, writing, vector).await?;
            }
            usage::add(conn, at, usage::shard(writing.key), change).await?;
            return Ok(Put::Now);
        }
    })
    .await
}

async fn lock(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    key: &str,
) -> Result<Option<(i64, Vec<String>)>> {
    Ok(memories::table
        .filter(memories::namespace.eq(at.namespace.as_str()))
        .filter(memories::collection.eq(&at.name))
        .filter(memories::key.eq(key))
        .select((
            memories::size_bytes,
            diesel::dsl::sql::<Array<Text>>("writers"),
        ))
        .for_update()
        .first(conn)
        .await
        .optional()?)
}

async fn check(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    writing: &Writing<'_>,
    before: Option<&(i64, Vec<String>)>,
    limits: Limits,
) -> Result<Put> {
    let growth = writing.size_bytes - before.map_or(0, |(size_bytes, _)| *size_bytes);
    if before.is_some() && growth <= 0 {
        return Ok(Put::Now);
    }
    let kept = usage::kept(conn, at).await?;
    let left = limits.size_bytes - kept.size_bytes;
    Ok(if before.is_none() && kept.entries >= limits.entries {
        Put::FullOfEntries
    } else if growth > left {
        Put::FullOfBytes(left.max(0))
    } else {
        Put::Now
    })
}

/// Whether it was inserted: not if there is an entry by now.
async fn insert(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    writing: &Writing<'_>,
) -> Result<bool> {
    let inserted = diesel::sql_query(concat!(
        "INSERT INTO memories (namespace, collection, key, value, tags, language, words, size_bytes, writers, run_id, \
         node_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, ",
        words!("$7", "$6", "$8", "$9"),
        ", $10, ARRAY[$11], $12, $13, now(), now()) ON CONFLICT DO NOTHING"
    ))
    .bind::<Text, _>(at.namespace.as_str())
    .bind::<Text, _>(&at.name)
    .bind::<Text, _>(writing.key)
    .bind::<Json, _>(writing.value)
    .bind::<Array<Text>, _>(writing.tags)
    .bind::<Text, _>(writing.language)
    .bind::<Array<Text>, _>(at.marks(writing.tags))
    .bind::<Text, _>(writing.text)
    .bind::<Text, _>(writing.aside)
    .bind::<BigInt, _>(writing.size_bytes)
    .bind::<Text, _>(writing.writer)
    .bind::<SqlUuid, _>(writing.run_id)
    .bind::<Text, _>(writing.node_id)
    .execute(conn)
    .await?;
    Ok(inserted == 1)
}

async fn update(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    writing: &Writing<'_>,
) -> Result<()> {
    let last = i64::try_from(MAX_WRITERS).unwrap_or(i64::MAX);
    diesel::sql_query(concat!(
        "UPDATE memories SET value = $4, tags = $5, language = $6, words = ",
        words!("$7", "$6", "$8", "$9"),
        ", size_bytes = $10, writers = (ARRAY[$11] || writers)[1:$14], run_id = $12, node_id = $13, \
         updated_at = greatest(now(), updated_at) WHERE namespace = $1 AND collection = $2 AND key = $3"
    ))
    .bind::<Text, _>(at.namespace.as_str())
    .bind::<Text, _>(&at.name)
    .bind::<Text, _>(writing.key)
    .bind::<Json, _>(writing.value)
    .bind::<Array<Text>, _>(writing.tags)
    .bind::<Text, _>(writing.language)
    .bind::<Array<Text>, _>(at.marks(writing.tags))
    .bind::<Text, _>(writing.text)
    .bind::<Text, _>(writing.aside)
    .bind::<BigInt, _>(writing.size_bytes)
    .bind::<Text, _>(writing.writer)
    .bind::<SqlUuid, _>(writing.run_id)
    .bind::<Text, _>(writing.node_id)
    .bind::<BigInt, _>(last)
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes the entry under a key; whether there was one.
///
/// # Errors
///
/// As every query; nothing is removed then.
pub async fn delete(conn: &mut AsyncPgConnection, at: &Collection, key: &str) -> Result<bool> {
    conn.transaction(async |conn| {
        let gone = memories::table
            .filter(memories::namespace.eq(at.namespace.as_str()))
            .filter(memories::collection.eq(&at.name))
            .filter(memories::key.eq(key));
        let size_bytes: Option<i64> = diesel::delete(gone)
            .returning(memories::size_bytes)
            .get_result(conn)
            .await
            .optional()?;
        let Some(size_bytes) = size_bytes else {
            return Ok(false);
        };
        usage::add(conn, at, usage::shard(key), (-1, -size_bytes)).await?;
        Ok(true)
    })
    .await
}

/// Removes at most `limit` entries of a collection that were last written at `until` or before.
///
/// # Errors
///
/// As every query; nothing is removed then.
pub async fn clear(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Removed> {
    conn.transaction(async |conn| {
        let removed: Removed = diesel::sql_query(
            "WITH chosen AS (SELECT key FROM memories WHERE namespace = $1 AND collection = $2 AND updated_at <= $3 \
             ORDER BY key LIMIT $4 FOR UPDATE), \
             gone AS (DELETE FROM memories m USING chosen c WHERE m.namespace = $1 AND m.collection = $2 \
             AND m.key = c.key RETURNING m.size_bytes) \
             SELECT count(*) AS entries, coalesce(sum(size_bytes), 0)::bigint AS size_bytes FROM gone",
        )
        .bind::<Text, _>(at.namespace.as_str())
        .bind::<Text, _>(&at.name)
        .bind::<Timestamptz, _>(until)
        .bind::<BigInt, _>(limit)
        .get_result(conn)
        .await?;
        if removed.entries > 0 {
            let change = (-removed.entries, -removed.size_bytes);
            usage::add(conn, at, 0, change).await?;
        }
        Ok(removed)
    })
    .await
}

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// The time by the database, which entries are stamped with.
///
/// # Errors
///
/// As every query.
pub async fn now(conn: &mut AsyncPgConnection) -> Result<DateTime<Utc>> {
    let row: Now = diesel::sql_query("SELECT clock_timestamp() AS now")
        .get_result(conn)
        .await?;
    Ok(row.now)
}

#[derive(QueryableByName)]
struct Language {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The text search configurations that the database has, by name.
///
/// # Errors
///
/// As every query.
pub async fn languages(conn: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let rows: Vec<Language> = diesel::sql_query(
        "SELECT cfgname::text AS name FROM pg_ts_config WHERE pg_ts_config_is_visible(oid) ORDER BY 1",
    )
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}
