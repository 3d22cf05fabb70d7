//! Vectors beside entries, where Postgres has the extension `vector` and the service an embedder.
//!
//! Their table is made by the service at its start and by no migration, because migrations run on every Postgres. A
//! vector counts only while its entry is as it was when the vector was made, and only against vectors of the same
//! model.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::search::Hit;
use super::{COLUMNS, Collection, Writing};
use crate::store::Result;

/// A point that stands for a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// What made it: only vectors of one model can be compared.
    pub model: String,
    /// Its coordinates: at least one, all of them finite.
    pub coordinates: Vec<f32>,
}

/// Whether there is a place for vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// There is.
    Ready,
    /// Postgres does not have the extension.
    NoExtension,
}

#[derive(QueryableByName)]
struct Available {
    #[diesel(sql_type = Bool)]
    available: bool,
}

/// Makes the place for vectors, unless it is there or Postgres cannot have one.
///
/// # Errors
///
/// As every query; above all where the role may not create extensions and nobody else has.
pub async fn prepare(conn: &mut AsyncPgConnection) -> Result<Readiness> {
    let row: Available = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS available",
    )
    .get_result(conn)
    .await?;
    if !row.available {
        return Ok(Readiness::NoExtension);
    }
    // Under the lock of the migrations: IF NOT EXISTS alone fails when two do it at once. One batch is one transaction.
    conn.batch_execute(
        "SELECT pg_advisory_xact_lock(x'0073796e61707073'::bigint); \
         CREATE EXTENSION IF NOT EXISTS vector; \
         CREATE TABLE IF NOT EXISTS memory_vectors ( \
             namespace text COLLATE \"C\" NOT NULL, \
             collection text COLLATE \"C\" NOT NULL, \
             key text COLLATE \"C\" NOT NULL, \
             writer text NOT NULL, \
             model text NOT NULL, \
             embedding vector NOT NULL, \
             CONSTRAINT memory_vectors_pkey PRIMARY KEY (namespace, collection, key), \
             CONSTRAINT memory_vectors_entry_fkey FOREIGN KEY (namespace, collection, key) \
                 REFERENCES memories (namespace, collection, key) ON DELETE CASCADE \
         )",
    )
    .await?;
    Ok(Readiness::Ready)
}

/// Stores the vector of an entry, in the transaction that stores the entry and after that.
pub(super) async fn put(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    writing: &Writing<'_>,
    vector: &Vector,
) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO memory_vectors (namespace, collection, key, writer, model, embedding) \
         VALUES ($1, $2, $3, $4, $5, $6::vector) ON CONFLICT (namespace, collection, key) DO UPDATE \
         SET writer = excluded.writer, model = excluded.model, embedding = excluded.embedding",
    )
    .bind::<Text, _>(at.namespace.as_str())
    .bind::<Text, _>(&at.name)
    .bind::<Text, _>(writing.key)
    .bind::<Text, _>(writing.writer)
    .bind::<Text, _>(&vector.model)
    .bind::<Text, _>(literal(vector))
    .execute(conn)
    .await?;
    Ok(())
}

/// The entries whose vectors are the nearest by angle, the nearest first, then by key.
///
/// All vectors of the collection are compared: an index over all namespaces would find those of others first, and a
/// small collection not at all.
///
/// # Errors
///
/// As every query.
pub async fn nearest(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    vector: &Vector,
    tags: &[String],
    limit: i64,
) -> Result<Vec<Hit>> {
    // The distance is from 0 to 2. That of a vector without length is not a number, and comes last.
    let query = format!(
        "SELECT {COLUMNS}, n.score FROM ( \
             SELECT v.key, (1 - (v.embedding <=> $3::vector) / 2)::float8 AS score \
             FROM memory_vectors v JOIN memories m USING (namespace, collection, key) \
             WHERE v.namespace = $1 AND v.collection = $2 AND v.model = $4 AND v.writer = m.writers[1] \
             AND (cardinality($5) = 0 OR m.tags && $5) \
             ORDER BY v.embedding <=> $3::vector, v.key LIMIT $6 \
         ) n JOIN memories m ON m.namespace = $1 AND m.collection = $2 AND m.key = n.key \
         ORDER BY nullif(n.score, 'NaN') DESC NULLS LAST, m.key"
    );
    Ok(diesel::sql_query(query)
        .bind::<Text, _>(at.namespace.as_str())
        .bind::<Text, _>(&at.name)
        .bind::<Text, _>(literal(vector))
        .bind::<Text, _>(&vector.model)
        .bind::<Array<Text>, _>(tags)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?)
}

/// As the extension reads it.
fn literal(vector: &Vector) -> String {
    let coordinates: Vec<_> = vector.coordinates.iter().map(f32::to_string).collect();
    format!("[{}]", coordinates.join(","))
}
