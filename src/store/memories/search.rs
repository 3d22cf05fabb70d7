//! Finding entries: by words, by tags, by time.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{COLUMNS, Collection, Entry};
use crate::store::Result;

/// The most different words of a query that count, the first ones.
const MAX_WORDS: i64 = 256;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// A text search configuration that the database has.
    pub language: &'a str,
    /// Text: an entry with any of its words is found.
    pub query: &'a str,
    /// Only entries that have one of these; all if there are none.
    pub tags: &'a [String],
    /// The most entries.
    pub limit: i64,
}

/// When a word of an entry is one of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// When they are the same to the language.
    Words,
    /// When it begins with it.
    Beginnings,
}

/// An entry that was found.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Hit {
    /// The entry.
    #[diesel(embed)]
    pub entry: Entry,
    /// How well it fits: from 0 to 1.
    #[diesel(sql_type = Double)]
    pub score: f64,
}

/// Entries with any of the words, the best first, then the newest, then by key.
///
/// # Errors
///
/// As every query.
pub async fn by_words(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    search: Search<'_>,
    matching: Matching,
) -> Result<Vec<Hit>> {
    // The words, quoted for a query of their own: what plainto_tsquery makes of a text wants all of them.
    let query = format!(
        "WITH asked AS (SELECT string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''' || $4, \
         ' | ')::tsquery AS terms FROM (SELECT lexeme FROM unnest(to_tsvector($5::regconfig, $6)) \
         ORDER BY positions[1], lexeme LIMIT $7) w) \
         SELECT {COLUMNS}, ts_rank(m.words, a.terms, 32)::float8 AS score FROM asked a CROSS JOIN memories m \
         WHERE m.namespace = $1 AND m.collection = $2 AND m.words @@ ($3::tsquery && a.terms) \
         AND (cardinality($8) = 0 OR m.tags && $8) \
         ORDER BY score DESC, m.updated_at DESC, m.key LIMIT $9"
    );
    Ok(diesel::sql_query(query)
        .bind::<Text, _>(at.namespace.as_str())
        .bind::<Text, _>(&at.name)
        .bind::<Text, _>(marks(at, search.tags))
        .bind::<Text, _>(match matching {
            Matching::Words => "",
            Matching::Beginnings => ":*",
        })
        .bind::<Text, _>(search.language)
        .bind::<Text, _>(search.query)
        .bind::<BigInt, _>(MAX_WORDS)
        .bind::<Array<Text>, _>(search.tags)
        .bind::<BigInt, _>(search.limit)
        .load(conn)
        .await?)
}

/// The entries that were written last, the newest first, then by key.
///
/// # Errors
///
/// As every query.
pub async fn newest(
    conn: &mut AsyncPgConnection,
    at: &Collection,
    tags: &[String],
    limit: i64,
) -> Result<Vec<Entry>> {
    let of_tags = if tags.is_empty() {
        ""
    } else {
        "AND m.words @@ $4::tsquery AND m.tags && $5"
    };
    let query = format!(
        "SELECT {COLUMNS} FROM memories m WHERE m.namespace = $1 AND m.collection = $2 {of_tags} \
         ORDER BY m.updated_at DESC, m.key LIMIT $3"
    );
    let query = diesel::sql_query(query)
        .bind::<Text, _>(at.namespace.as_str())
        .bind::<Text, _>(&at.name)
        .bind::<BigInt, _>(limit);
    Ok(if tags.is_empty() {
        query.load(conn).await?
    } else {
        query
            .bind::<Text, _>(marks(at, tags))
            .bind::<Array<Text>, _>(tags)
            .load(conn)
            .await?
    })
}

/// A query for entries of the collection that have any of the tags.
fn marks(at: &Collection, tags: &[String]) -> String {
    let of_tags: Vec<_> = tags
        .iter()
        .map(|tag| format!("'{}'", at.mark(Some(tag))))
        .collect();
    if of_tags.is_empty() {
        format!("'{}'", at.mark(None))
    } else {
        format!("({})", of_tags.join(" | "))
    }
}
